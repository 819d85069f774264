//! Decisions, and evaluations until their decision is stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CounterValues,
    pending_count::PendingCount,
    store::{self, Decisions, PackedDecision},
};
use crate::{
    db::{Cx, DbError, SubmitError, Tx, WorkingSet},
    facts::{Facts, Stage},
    primitives::{ChallengeId, DecisionId, Id, coded},
};

coded! {
    /// What is done with an activity, ordered by severity. Code and name never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Action: Serde, Display {
        Allow = 0 => "allow",
        /// The customer answers a challenge and asks again.
        Verify = 1 => "verify",
        /// It is done, and its points are pending until a person or the time-out decides.
        Review = 2 => "review",
        /// It is not done.
        Block = 3 => "block",
    }
}

coded! {
    /// What influence a rule that fired had on the decision.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Effect: Serde {
        /// It took part in the decision.
        Live => "live",
        /// None: it is in shadow, or the customer is outside its roll-out.
        Shadow => "shadow",
        /// None: a rule of earlier priority allowed.
        Overruled => "overruled",
        /// None: the customer had answered a challenge.
        Answered => "answered",
    }
}

/// One rule that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredRule {
    /// The rule's `id` in the file.
    pub rule: String,
    pub action: Action,
    pub effect: Effect,
    /// Why, in words that a person of the tenant reads; no personal data.
    pub reason: String,
}

/// An action with all its inputs. The stored bytes begin with a format number (`store.rs`): a
/// change of this struct, or of what it is made of, needs a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The number of the rule set in `risk_rule_sets`.
    pub rule_set: u32,
    pub action: Action,
    pub facts: Facts,
    /// The counters' values, in the order of the rule set's counters for this stage.
    pub measured: CounterValues,
    /// Every rule that fired, in the order of the file.
    pub fired: Vec<FiredRule>,
    /// The answered challenge that this decision relied on.
    pub answered: Option<ChallengeId>,
}

impl Decision {
    /// Whether the decision stops the activity. A review does not, nor does a challenge where
    /// nobody can answer it: an order of a merchant, of which the customer is not known.
    pub const fn stops_activity(&self) -> bool {
        let at_a_till =
            matches!(self.facts.stage, Stage::PaymentCreate) && self.facts.customer.is_none();
        match self.action {
            Action::Allow | Action::Review => false,
            Action::Verify => !at_a_till,
            Action::Block => true,
        }
    }
}

/// The result of an evaluation: a decision, to be stored in the commit of the activity, and what
/// was counted for it. Cheap to clone.
///
/// The caller reports whether the activity was done ([`Self::conclude`]), so that the counts of one
/// that was not are reverted.
///
/// When risk is off there is no decision, and everything is allowed.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    decision: Option<Arc<Decision>>,
    counted: Option<Arc<PendingCount>>,
}

impl Evaluation {
    /// An evaluation for which nothing was counted.
    pub fn new(decision: Decision) -> Self {
        Self {
            decision: Some(Arc::new(decision)),
            counted: None,
        }
    }

    pub(super) fn counted(decision: Decision, counted: Arc<PendingCount>) -> Self {
        Self {
            counted: Some(counted),
            ..Self::new(decision)
        }
    }

    /// This evaluation with another decision on the same activity.
    pub(super) fn with(&self, decision: Decision) -> Self {
        Self {
            counted: self.counted.clone(),
            ..Self::new(decision)
        }
    }

    pub fn action(&self) -> Action {
        self.decision
            .as_ref()
            .map_or(Action::Allow, |decision| decision.action)
    }

    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_deref()
    }

    /// Whether the decision stops the activity.
    pub fn stops_activity(&self) -> bool {
        self.decision().is_some_and(Decision::stops_activity)
    }

    /// Reports that the activity is committed, or that it certainly will not be. Its counts stay,
    /// and what it has seen is recorded; or they are reverted. Only the first call counts.
    ///
    /// Not called when the outcome is unknown. Then the counts stay, and a repeat has the same
    /// [`ActivityKey`](super::ActivityKey).
    pub async fn conclude(&self, done: bool) {
        if let Some((counted, decision)) = self.counted.as_ref().zip(self.decision.as_ref()) {
            Arc::clone(counted).conclude(&decision.facts, done).await;
        }
    }

    /// Runs the activity and calls [`Self::conclude`] with its outcome. In a task of its own, since
    /// the caller may hang up, and an activity that is then refused must not stay counted.
    pub(crate) async fn run_and_conclude<T, E>(
        self,
        activity: impl Future<Output = Result<T, SubmitError<E>>> + Send + 'static,
        is_done: fn(&T) -> bool,
    ) -> Result<T, SubmitError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let seen = tokio::spawn(async move {
            let outcome = activity.await;
            let done = match &outcome {
                Ok(reply) => Some(is_done(reply) && !self.stops_activity()),
                Err(SubmitError::Refused(_)) => Some(false),
                Err(SubmitError::Db(error)) => error.is_certainly_undone().then_some(false),
            };
            if let Some(done) = done {
                self.conclude(done).await;
            }
            outcome
        });
        // It panicked, or the process is stopping: the outcome is unknown.
        seen.await
            .unwrap_or(Err(SubmitError::Db(DbError::Unavailable(None))))
    }

    /// Stores the decision about `cause` in the commit of the calling operation. Returns its id, if
    /// there is a decision.
    ///
    /// A decision that cannot be stored fails the operation and pages someone.
    pub fn store(&self, set: &mut WorkingSet, cx: &mut Cx<'_>, cause: Id) -> Option<DecisionId> {
        let decision = self.decision.as_ref()?;
        let Ok(packed) = PackedDecision::new(decision) else {
            cx.inconsistent(store::CANNOT_PACK);
            return None;
        };
        let id = DecisionId::of(cause, decision.facts.stage.code());
        set.put::<Decisions>(id, packed);
        Some(id)
    }

    /// Stores the decision about `cause` in an ordinary transaction: for a login.
    pub async fn store_in(&self, tx: &mut Tx, cause: Id) -> Result<Option<DecisionId>, DbError> {
        let Some(decision) = self.decision.as_ref() else {
            return Ok(None);
        };
        let id = DecisionId::of(cause, decision.facts.stage.code());
        store::insert(tx, id, decision).await?;
        Ok(Some(id))
    }

    pub fn stage(&self) -> Option<Stage> {
        self.decision().map(|decision| decision.facts.stage)
    }
}
