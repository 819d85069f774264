//! What the slices ask.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Action, Decision, Effect, Event, Fired, InForce, Loaded, Measured, ReloadError, ReloadedBy,
    ReviewTerms, Ruling, Settings, StartError,
    counters::Counters,
    live::{Live, LoadError, RulesFrom},
    pending::Pending,
    rules_file::{RulesFile, keep_watching},
};
use crate::{cache::Cache, config::RiskSettings, db::Db, facts::Facts, primitives::ChallengeId};

type Decide = Arc<dyn Fn(&Facts) -> Action + Send + Sync>;

/// Risk as the use cases see it; cheap to clone.
#[derive(Clone, Default)]
pub struct Risk(Judge);

#[derive(Clone, Default)]
enum Judge {
    #[default]
    Nobody,
    Told(Decide, ReviewTerms),
    Rules(Arc<Live>),
}

impl Risk {
    /// Without rules: everything is allowed and nothing is stored.
    pub fn off() -> Self {
        Self::default()
    }

    /// For tests of what the slices make of a decision: without rules and counters, this decides. Who has answered a challenge is not asked for another.
    pub fn fixed(decide: Decide) -> Self {
        Self(Judge::Told(decide, ReviewTerms::default()))
    }

    /// The same with these terms of reviews. Rules say theirs themselves.
    #[must_use]
    pub fn reviewing(self, terms: ReviewTerms) -> Self {
        match self.0 {
            Judge::Told(decide, _) => Self(Judge::Told(decide, terms)),
            judge @ (Judge::Nobody | Judge::Rules(_)) => Self(judge),
        }
    }

    /// With the rules of the settings' file, which is watched from now on. Needs a runtime and the database; Redis may be away.
    pub async fn start(settings: &RiskSettings, db: Db, cache: &Cache) -> Result<Self, StartError> {
        if !settings.enabled {
            return Ok(Self::off());
        }
        let file = RulesFile {
            path: settings.rules.clone(),
        };
        // Before the reading: what is written while it goes on is a change.
        let stamp = file.stamp().await;
        let counters = Counters::new(cache.clone(), settings.redis_timeout);
        let live = Live::start(RulesFrom::File(file.clone()), counters, db)
            .await
            .map_err(|source| StartError {
                path: file.path.clone(),
                source,
            })?;
        let live = Arc::new(live);
        cache.keep_telling();
        tokio::spawn(keep_watching(Arc::downgrade(&live), file, stamp));
        Ok(Self(Judge::Rules(live)))
    }

    /// With these rules and no file: for tests and tools. A decision waits for its counters for `patience` at most.
    pub async fn with_rules(
        text: &str,
        patience: Duration,
        db: Db,
        cache: &Cache,
    ) -> Result<Self, LoadError> {
        let counters = Counters::new(cache.clone(), patience);
        let live = Live::start(RulesFrom::Text(text.to_owned()), counters, db).await?;
        Ok(Self(Judge::Rules(Arc::new(live))))
    }

    /// Nothing is asked and nothing stored, so facts need not be gathered.
    pub const fn is_off(&self) -> bool {
        matches!(self.0, Judge::Nobody)
    }

    /// Decides on a deed before it is done, and counts it as if it were. Waits for Redis for some milliseconds at most; without it each rule does what its `on_missing` says.
    /// Never fails.
    ///
    /// The ruling is stored by whoever does the deed, in the same commit ([`Ruling::note`]), and then told what became of it ([`Ruling::conclude`]).
    pub async fn rule_on(&self, facts: Facts) -> Ruling {
        self.rule_on_event(facts, Event::once()).await
    }

    /// The same of a deed that may be asked about more than once before it is done: it counts once.
    pub async fn rule_on_event(&self, facts: Facts, event: Event) -> Ruling {
        match &self.0 {
            Judge::Nobody => Ruling::default(),
            Judge::Told(decide, _) => {
                let action = decide(&facts);
                as_told(facts, action, None)
            }
            Judge::Rules(live) => {
                let began = std::time::Instant::now();
                let rules = live.in_force();
                let asks = rules.set.asks(facts.stage);
                let (measured, counted) = live.counters.measure(&facts, &asks, event).await;
                let decision = rules.set.decide(rules.number, &facts, &measured, None);
                metrics::histogram!("risk_decide_seconds").record(began.elapsed());
                rules.note(&decision);
                drop(asks);
                Ruling::counted(decision, Pending::new(live, rules, counted))
            }
        }
    }

    /// Decides again on the same facts and what the counters said of them, now that the customer has answered this challenge. Nothing is measured or counted again: it
    /// is one deed. What risk had nothing to say about stays so, and so does what was decided by rules that are long out of force.
    #[must_use]
    pub fn again_answered(&self, ruling: &Ruling, challenge: ChallengeId) -> Ruling {
        let Some(first) = ruling.decision() else {
            return ruling.clone();
        };
        match &self.0 {
            Judge::Nobody => ruling.clone(),
            Judge::Told(..) => as_told(first.facts.clone(), first.action, Some(challenge)),
            Judge::Rules(live) => {
                let Some(rules) = live.numbered(first.rule_set) else {
                    return ruling.clone();
                };
                let (facts, measured) = (&first.facts, &first.measured);
                let decision = rules
                    .set
                    .decide(first.rule_set, facts, measured, Some(challenge));
                rules.note(&decision);
                ruling.with(decision)
            }
        }
    }

    /// What the file says of challenges and reviews; the usual without one.
    pub fn settings(&self) -> Settings {
        self.in_force()
            .map_or_else(Settings::default, |rules| rules.set.settings().clone())
    }

    /// How reviews are decided.
    pub fn review_terms(&self) -> ReviewTerms {
        match &self.0 {
            Judge::Told(_, terms) => *terms,
            Judge::Nobody | Judge::Rules(_) => (&self.settings().review).into(),
        }
    }

    /// Seconds for which an answered challenge counts.
    pub fn answer_lasts_seconds(&self) -> i64 {
        i64::from(self.settings().verify_lasts_seconds)
    }

    /// The rules in force, unless risk is off.
    pub fn in_force(&self) -> Option<Arc<InForce>> {
        match &self.0 {
            Judge::Nobody | Judge::Told(..) => None,
            Judge::Rules(live) => Some(live.in_force()),
        }
    }

    /// Reads the file of rules now and puts it in force, if it is sound; with a line in the audit log. Only this process: the others find the changed file by themselves.
    pub async fn reload(&self, by: ReloadedBy) -> Result<Loaded, ReloadError> {
        match &self.0 {
            Judge::Nobody | Judge::Told(..) => Err(ReloadError::Off),
            Judge::Rules(live) => Ok(live.reload(Some(by)).await?),
        }
    }
}

impl fmt::Debug for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.in_force().map(|rules| rules.number);
        f.debug_struct("Risk")
            .field("rule_set", &number)
            .finish_non_exhaustive()
    }
}

/// What [`Risk::fixed`] decides.
fn as_told(facts: Facts, told: Action, answered: Option<ChallengeId>) -> Ruling {
    let is_answered = told == Action::Verify && answered.is_some();
    let fired = (told != Action::Allow).then(|| Fired {
        rule: "fixed".to_owned(),
        action: told,
        effect: if is_answered {
            Effect::Answered
        } else {
            Effect::Live
        },
        reason: "told so".to_owned(),
    });
    Ruling::new(Decision {
        rule_set: 0,
        action: if is_answered { Action::Allow } else { told },
        facts,
        measured: Measured::default(),
        fired: fired.into_iter().collect(),
        answered,
    })
}
