//! The handle on risk that use cases hold.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    Action, ActiveRules, ActivityKey, CounterValues, Decision, Effect, Evaluation, FiredRule,
    Loaded, ReloadError, ReloadedBy, ReviewPolicy, Settings, StartError,
    active_rules::{LiveRules, LoadError, RulesSource},
    counters::Counters,
    pending_count::PendingCount,
    rules_file::RulesFile,
    watch_file::keep_watching,
};
use crate::{cache::Cache, config::RiskSettings, db::Db, facts::Facts, primitives::ChallengeId};

type Decide = Arc<dyn Fn(&Facts) -> Action + Send + Sync>;

/// Evaluates activities; cheap to clone.
#[derive(Clone, Default)]
pub struct Risk(Engine);

#[derive(Clone, Default)]
enum Engine {
    #[default]
    Off,
    Fixed(Decide, ReviewPolicy),
    Rules(Arc<LiveRules>),
}

impl Risk {
    /// Risk that is off: everything is allowed and nothing is stored.
    pub fn off() -> Self {
        Self::default()
    }

    /// For tests: without rules and counters, `decide` gives the action. An answered challenge
    /// counts.
    pub fn fixed(decide: Decide) -> Self {
        Self(Engine::Fixed(decide, ReviewPolicy::default()))
    }

    /// Sets the review policy of [`Self::fixed`]; rules bring their own.
    #[must_use]
    pub fn with_review_policy(self, policy: ReviewPolicy) -> Self {
        match self.0 {
            Engine::Fixed(decide, _) => Self(Engine::Fixed(decide, policy)),
            engine @ (Engine::Off | Engine::Rules(_)) => Self(engine),
        }
    }

    /// With the rules of the settings' file, which is watched from now on. Needs a runtime and the
    /// database; Redis may be away.
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
        let live = LiveRules::start(RulesSource::File(file.clone()), counters, db)
            .await
            .map_err(|source| StartError {
                path: file.path.clone(),
                source,
            })?;
        let live = Arc::new(live);
        cache.report_availability();
        tokio::spawn(keep_watching(Arc::downgrade(&live), file, stamp));
        Ok(Self(Engine::Rules(live)))
    }

    /// With these rules and no file: for tests and tools. A decision waits for its counters for
    /// `timeout` at most.
    pub async fn with_rules(
        text: &str,
        timeout: Duration,
        db: Db,
        cache: &Cache,
    ) -> Result<Self, LoadError> {
        let counters = Counters::new(cache.clone(), timeout);
        let live = LiveRules::start(RulesSource::Text(text.to_owned()), counters, db).await?;
        Ok(Self(Engine::Rules(Arc::new(live))))
    }

    /// Whether nothing is evaluated and stored, so that facts need not be gathered.
    pub const fn is_off(&self) -> bool {
        matches!(self.0, Engine::Off)
    }

    /// Decides on an activity before it is done, and counts it as if it were done. Waits for Redis
    /// for a few milliseconds at most; without Redis each rule takes its `on_missing` action. Never
    /// fails.
    ///
    /// The caller stores the decision in the commit of the activity ([`Evaluation::store`]) and
    /// reports the outcome ([`Evaluation::conclude`]).
    pub async fn evaluate(&self, facts: Facts) -> Evaluation {
        self.evaluate_keyed(facts, ActivityKey::unique()).await
    }

    /// As [`Self::evaluate`], for an activity that may be evaluated more than once before it is
    /// done: it is counted once for each key.
    pub async fn evaluate_keyed(&self, facts: Facts, activity: ActivityKey) -> Evaluation {
        match &self.0 {
            Engine::Off => Evaluation::default(),
            Engine::Fixed(decide, _) => {
                let action = decide(&facts);
                fixed_evaluation(facts, action, None)
            }
            Engine::Rules(live) => {
                let began = std::time::Instant::now();
                let rules = live.in_force();
                let usages = rules.set.counter_usages(facts.stage);
                let (measured, counted) = live.counters.measure(&facts, &usages, activity).await;
                let decision = rules.set.evaluate(rules.number, &facts, &measured, None);
                metrics::histogram!("risk_decide_seconds").record(began.elapsed());
                rules.count_firings(&decision);
                drop(usages);
                Evaluation::counted(decision, PendingCount::new(live, rules, counted))
            }
        }
    }

    /// Evaluates again with the same facts and counter values, now that the customer has answered
    /// this challenge. Nothing is counted again. Without a decision, or when its rule set is no
    /// longer in memory, the evaluation is returned as it is.
    #[must_use]
    pub fn reevaluate_answered(
        &self,
        evaluation: &Evaluation,
        challenge: ChallengeId,
    ) -> Evaluation {
        let Some(first) = evaluation.decision() else {
            return evaluation.clone();
        };
        match &self.0 {
            Engine::Off => evaluation.clone(),
            Engine::Fixed(..) => {
                fixed_evaluation(first.facts.clone(), first.action, Some(challenge))
            }
            Engine::Rules(live) => {
                let Some(rules) = live.numbered(first.rule_set) else {
                    return evaluation.clone();
                };
                let (facts, measured) = (&first.facts, &first.measured);
                let decision = rules
                    .set
                    .evaluate(first.rule_set, facts, measured, Some(challenge));
                rules.count_firings(&decision);
                evaluation.with(decision)
            }
        }
    }

    /// The file's settings for challenges and reviews, or the defaults.
    pub fn settings(&self) -> Settings {
        self.in_force()
            .map_or_else(Settings::default, |rules| rules.set.settings().clone())
    }

    /// The policy for reviews.
    pub fn review_policy(&self) -> ReviewPolicy {
        match &self.0 {
            Engine::Fixed(_, policy) => *policy,
            Engine::Off | Engine::Rules(_) => (&self.settings().review).into(),
        }
    }

    /// Seconds for which an answered challenge counts.
    pub fn answer_valid_seconds(&self) -> i64 {
        i64::from(self.settings().verify_valid_seconds)
    }

    /// The rules in force, unless risk is off.
    pub fn in_force(&self) -> Option<Arc<ActiveRules>> {
        match &self.0 {
            Engine::Off | Engine::Fixed(..) => None,
            Engine::Rules(live) => Some(live.in_force()),
        }
    }

    /// Reads the rule file now and puts it in force if it has no mistakes, with a line in the audit
    /// log. In this process only: others notice the changed file by themselves.
    pub async fn reload(&self, by: ReloadedBy) -> Result<Loaded, ReloadError> {
        match &self.0 {
            Engine::Off | Engine::Fixed(..) => Err(ReloadError::Off),
            Engine::Rules(live) => Ok(live.reload(Some(by)).await?),
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

/// The evaluation of [`Risk::fixed`].
fn fixed_evaluation(facts: Facts, action: Action, answered: Option<ChallengeId>) -> Evaluation {
    let is_answered = action == Action::Verify && answered.is_some();
    let fired = (action != Action::Allow).then(|| FiredRule {
        rule: "fixed".to_owned(),
        action,
        effect: if is_answered {
            Effect::Answered
        } else {
            Effect::Live
        },
        reason: "fixed".to_owned(),
    });
    Evaluation::new(Decision {
        rule_set: 0,
        action: if is_answered { Action::Allow } else { action },
        facts,
        measured: CounterValues::default(),
        fired: fired.into_iter().collect(),
        answered,
    })
}
