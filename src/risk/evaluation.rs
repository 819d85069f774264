//! Evaluations, until their decision is stored.

use std::sync::Arc;

use super::{
    Action, Decision,
    pending_count::PendingCount,
    store::{self, Decisions, PackedDecision},
};
use crate::{
    db::{Cx, DbError, SubmitError, Tx, WorkingSet},
    facts::Stage,
    primitives::{DecisionId, Id},
};

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
