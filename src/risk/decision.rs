//! What was decided, and why.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CounterValues,
    pending_count::PendingCount,
    store::{self, Decisions, PackedDecision},
};
use crate::{
    db::{Cx, DbError, SubmitError, Tx, WorkingSet},
    facts::{Facts, Stage},
    primitives::{ChallengeId, DecisionId, Id},
};

/// What becomes of an activity; the more severe, the greater. The number and the word are for ever.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Allow,
    /// The customer answers a challenge and asks again.
    Verify,
    /// It is done, and what it gives is held until a person or a time-out decides.
    Review,
    /// It is not done.
    Block,
}

/// A word that is not an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an action is allow, verify, review or block")]
pub struct UnknownAction;

impl Action {
    pub const ALL: [Self; 4] = [Self::Allow, Self::Verify, Self::Review, Self::Block];

    pub const fn code(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Verify => 1,
            Self::Review => 2,
            Self::Block => 3,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.code() == code)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Verify => "verify",
            Self::Review => "review",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.into_iter().find(|action| action.name() == text);
        found.ok_or(UnknownAction)
    }
}

/// What a rule that fired did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It took part in the decision.
    Live,
    /// It only counts what it would have done, or the customer is outside its roll-out.
    Shadow,
    /// A rule that allows came first.
    Overruled,
    /// The customer had answered a challenge, so it asked for nothing more.
    Answered,
}

impl Effect {
    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Overruled => "overruled",
            Self::Answered => "answered",
        }
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

/// A decision with everything that went into it. What is stored of it begins with the number of its form (`store.rs`): another field, here or in what it is made of, is another form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The number of the rule set in `risk_rule_sets`.
    pub rule_set: u32,
    pub action: Action,
    pub facts: Facts,
    /// What the counters said, in the order in which the rule set names them for this stage.
    pub measured: CounterValues,
    /// Every rule that fired, in the order of the file.
    pub fired: Vec<FiredRule>,
    /// The answered challenge that this decision relied on.
    pub answered: Option<ChallengeId>,
}

impl Decision {
    /// Whether the activity is not done because of it. A review is done, and so is an order that a merchant
    /// shows and nobody can be challenged about.
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

/// What risk says, on its way to where it is stored: with the activity, in one commit. Cheap to clone.
///
/// The activity was counted as it was asked about. Whoever asked says what became of it
/// ([`Self::conclude`]), so that what was not done is not counted.
///
/// Without risk (tests, tools) there is nothing to store and everything is allowed.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    decision: Option<Arc<Decision>>,
    counted: Option<Arc<PendingCount>>,
}

impl Evaluation {
    /// One that nothing was counted for.
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

    /// Another decision on the same activity.
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

    /// Whether the activity is not done because of it.
    pub fn stops_activity(&self) -> bool {
        self.decision().is_some_and(Decision::stops_activity)
    }

    /// The activity is done, and committed; or it is known that it will not be. What was counted of it
    /// stays or is taken back, and what it has met is noted. The first word counts.
    ///
    /// Nobody says anything when the outcome is not known, and then it stays counted: the repeat is
    /// the same [`ActivityKey`](super::ActivityKey).
    pub async fn conclude(&self, done: bool) {
        if let Some((counted, decision)) = self.counted.as_ref().zip(self.decision.as_ref()) {
            Arc::clone(counted).conclude(&decision.facts, done).await;
        }
    }

    /// Sees an activity through: does it, and has [`Self::conclude`] told what became of it. In a task of
    /// its own, for whoever asked may hang up, and what is then refused must not stay counted.
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
        // It panicked, or the process is stopping: nobody knows how far it came.
        seen.await
            .unwrap_or(Err(SubmitError::Db(DbError::Unavailable(None))))
    }

    /// Stores the decision on what `cause` names, in the commit of the operation that calls this. Gives its id, if there is one.
    ///
    /// A decision that cannot be stored fails the operation, and someone is paged: no activity without its decision.
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

    /// The same from an ordinary transaction: a login moves neither money nor points.
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
