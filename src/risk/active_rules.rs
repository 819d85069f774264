//! The rules in force, and how they are replaced.
//!
//! A rule set is parsed, then stored, then swapped in: at every instant one whole set is in force,
//! and a decision never names a number that is not in `risk_rule_sets`. A failure before the swap
//! leaves the old set in force. This holds over a restart: a process that finds an invalid file at
//! its start uses the set that was in force last, and fails to start only if there never was one. A
//! process that dies half-way leaves a stored set that is not used. A lock serialises loading
//! within a process; processes do not wait for each other.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Mutex;

use super::{
    Decision, Effect, Position, RuleFileErrors, RuleSet,
    counters::Counters,
    rule_sets::{ReloadedBy, StoreRuleSet, find_last_in_force},
    rules_file::RulesFile,
};
use crate::{
    db::{Db, DbError},
    primitives::{Timestamp, WithCauses},
};

/// A rule set in force.
#[derive(Debug)]
pub struct ActiveRules {
    /// Its number in `risk_rule_sets`.
    pub number: u32,
    pub set: RuleSet,
    /// When this process put it in force.
    pub since: Timestamp,
    firing_counters: HashMap<String, Arc<FiringCounters>>,
}

/// How often a rule fired in this process.
#[derive(Debug, Default)]
struct FiringCounters {
    live: AtomicU64,
    shadow: AtomicU64,
    overruled: AtomicU64,
    answered: AtomicU64,
}

/// How often a rule fired in this process since it began to know the rule; a reload that keeps the
/// rule keeps the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Firings {
    pub live: u64,
    pub shadow: u64,
    pub overruled: u64,
    pub answered: u64,
}

/// The result of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The number in force.
    pub number: u32,
    /// False when the file says what is in force already.
    pub changed: bool,
}

/// Why rules were not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the file of risk rules cannot be read")]
    Unreadable(#[source] io::Error),
    #[error("the risk rules have mistakes")]
    Mistakes(#[source] RuleFileErrors),
    #[error("database failure while storing risk rules")]
    Db(#[from] DbError),
}

/// Why nothing was reloaded. The old rules stay in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("risk is off")]
    Off,
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Why risk cannot start.
#[derive(Debug, thiserror::Error)]
#[error("risk cannot start with the rules in {} (ZHANGFANG_RISK__RULES)", .path.display())]
pub struct StartError {
    pub path: PathBuf,
    pub source: LoadError,
}

/// Where rules come from.
#[derive(Debug)]
pub(super) enum RulesSource {
    File(RulesFile),
    Text(String),
}

/// Rules in force, with counters.
#[derive(Debug)]
pub(super) struct LiveRules {
    db: Db,
    pub(super) counters: Counters,
    from: RulesSource,
    in_force: ArcSwap<ActiveRules>,
    /// The previous set, to evaluate again what was decided by it a moment ago.
    before: ArcSwapOption<ActiveRules>,
    loading: Mutex<()>,
}

impl LiveRules {
    pub(super) async fn start(
        from: RulesSource,
        counters: Counters,
        db: Db,
    ) -> Result<Self, LoadError> {
        let set = match from.load().await {
            Ok(set) => set,
            Err(error) => from.load_last(&db, error).await?,
        };
        let number = store(&db, &set, None).await?;
        let first = ActiveRules::new(number, set, db.now(), None);
        first.set_gauge();
        Ok(Self {
            db,
            counters,
            from,
            in_force: ArcSwap::from_pointee(first),
            before: ArcSwapOption::empty(),
            loading: Mutex::default(),
        })
    }

    pub(super) fn in_force(&self) -> Arc<ActiveRules> {
        self.in_force.load_full()
    }

    /// What is in force or was in force before it, if that is its number.
    pub(super) fn numbered(&self, number: u32) -> Option<Arc<ActiveRules>> {
        let now = self.in_force();
        if now.number == number {
            return Some(now);
        }
        self.before.load_full().filter(|set| set.number == number)
    }

    /// Reads the rules again and puts them in force if they are sound.
    pub(super) async fn reload(&self, by: Option<ReloadedBy>) -> Result<Loaded, LoadError> {
        let _one_at_a_time = self.loading.lock().await;
        let by_hand = by.is_some();
        let outcome = self.load_changed(by).await;
        let number = self.in_force.load().number;
        match &outcome {
            Ok(Loaded { changed: true, .. }) => {
                tracing::info!(rule_set = number, "risk rules number {number} are in force");
            }
            Err(error @ LoadError::Mistakes(_)) => log_rejected(error, number),
            Err(error @ LoadError::Unreadable(_)) if by_hand => log_rejected(error, number),
            // What may pass is logged once by whoever tries again.
            Ok(_) | Err(_) => {}
        }
        outcome
    }

    async fn load_changed(&self, by: Option<ReloadedBy>) -> Result<Loaded, LoadError> {
        let text = self.from.read().await?;
        let now = self.in_force();
        if RuleSet::hash_of(&text) == now.set.hash() {
            if by.is_some() {
                store(&self.db, &now.set, by).await?;
            }
            return Ok(Loaded {
                number: now.number,
                changed: false,
            });
        }
        let set = parse(text).await?;
        let number = store(&self.db, &set, by).await?;
        let next = ActiveRules::new(number, set, self.db.now(), Some(&now));
        next.set_gauge();
        self.before.store(Some(now));
        self.in_force.store(Arc::new(next));
        Ok(Loaded {
            number,
            changed: true,
        })
    }
}

impl RulesSource {
    async fn load(&self) -> Result<RuleSet, LoadError> {
        parse(self.read().await?).await
    }

    /// Returns the set that was in force last, when the file has mistakes at the start, so that
    /// payments do not wait for a repair. Returns the error if there was none.
    async fn load_last(&self, db: &Db, error: LoadError) -> Result<RuleSet, LoadError> {
        if matches!(self, Self::Text(_)) {
            return Err(error);
        }
        match find_last_in_force(db).await {
            Ok(Some((number, set))) => {
                log_rejected(&error, number);
                Ok(set)
            }
            Ok(None) | Err(DbError::Inconsistent(_) | DbError::Unreadable(_)) => Err(error),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn read(&self) -> Result<String, LoadError> {
        match self {
            Self::File(file) => file.read().await.map_err(LoadError::Unreadable),
            Self::Text(text) => Ok(text.clone()),
        }
    }
}

impl ActiveRules {
    fn new(number: u32, set: RuleSet, since: Timestamp, before: Option<&Self>) -> Self {
        let counters = |id: &String| {
            let known = before.and_then(|before| before.firing_counters.get(id));
            known.map_or_else(Arc::default, Arc::clone)
        };
        let ids = set.rules().into_iter().map(|rule| rule.id);
        let firing_counters = ids
            .map(|id| {
                let counters = counters(&id);
                (id, counters)
            })
            .collect();
        Self {
            number,
            set,
            since,
            firing_counters,
        }
    }

    fn set_gauge(&self) {
        metrics::gauge!("risk_rule_set").set(f64::from(self.number));
    }

    /// How often the rule with this `id` fired.
    pub fn firings(&self, rule: &str) -> Firings {
        let counters = self.firing_counters.get(rule);
        let read = |count: fn(&FiringCounters) -> &AtomicU64| {
            counters.map_or(0, |counters| count(counters).load(Ordering::Relaxed))
        };
        Firings {
            live: read(|counters| &counters.live),
            shadow: read(|counters| &counters.shadow),
            overruled: read(|counters| &counters.overruled),
            answered: read(|counters| &counters.answered),
        }
    }

    /// Counts a decision and its fired rules, here and in the metrics.
    pub(super) fn count_firings(&self, decision: &Decision) {
        let (stage, action) = (decision.facts.stage.name(), decision.action.name());
        metrics::counter!("risk_decisions_total", "stage" => stage, "action" => action)
            .increment(1);
        if decision.measured.0.contains(&None) {
            metrics::counter!("risk_decisions_without_counters_total").increment(1);
        }
        for fired in &decision.fired {
            let Some(counters) = self.firing_counters.get(&fired.rule) else {
                continue;
            };
            let (count, effect) = match fired.effect {
                Effect::Live => (&counters.live, "live"),
                Effect::Shadow => (&counters.shadow, "shadow"),
                Effect::Overruled => (&counters.overruled, "overruled"),
                Effect::Answered => (&counters.answered, "answered"),
            };
            count.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("risk_rules_total", "rule" => fired.rule.clone(), "effect" => effect)
                .increment(1);
        }
    }
}

/// Parses a rule file. Compiling takes milliseconds, so it has a thread of its own.
async fn parse(text: String) -> Result<RuleSet, LoadError> {
    let parsing = tokio::task::spawn_blocking(move || RuleSet::parse(&text));
    match parsing.await {
        Ok(parsed) => parsed.map_err(LoadError::Mistakes),
        Err(error) => Err(LoadError::Unreadable(io::Error::other(error))),
    }
}

async fn store(db: &Db, set: &RuleSet, by: Option<ReloadedBy>) -> Result<u32, DbError> {
    let text = set.text().to_owned();
    db.run(StoreRuleSet { text, by }).await
}

/// Logs that a file was not loaded and which rules stay in force.
pub(super) fn log_rejected(error: &LoadError, number: u32) {
    match error {
        LoadError::Db(_) => {
            tracing::warn!(rule_set = number, error = %WithCauses(error), "changed risk rules cannot be stored yet; number {number} stays in force");
        }
        LoadError::Unreadable(error) => {
            metrics::counter!("risk_rules_rejected_total").increment(1);
            tracing::error!(rule_set = number, %error, "the file of risk rules cannot be read; number {number} stays in force");
        }
        LoadError::Mistakes(errors) => {
            metrics::counter!("risk_rules_rejected_total").increment(1);
            let positions = positions(errors);
            tracing::error!(
                rule_set = number,
                positions,
                "the risk rules have mistakes (zhangfang risk check tells them); number {number} stays in force"
            );
        }
    }
}

/// Lines and columns alone: a mistake quotes the file, which may name people.
/// `zhangfang risk check` says what is wrong there.
fn positions(errors: &RuleFileErrors) -> String {
    let positions = errors.mistakes().iter().map(|mistake| {
        let Position { line, column } = mistake.position;
        format!("{line}:{column}")
    });
    positions.collect::<Vec<_>>().join(", ")
}
