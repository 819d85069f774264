//! Stops an activity, or requires an answered challenge before it continues.

use super::{
    super::{Action, ActivityKey, Evaluation, Risk},
    Challenge, ChallengeState,
    store::{self, Challenges},
};
use crate::{
    db::{Cx, Db, DbError, Tx, Wanted, WorkingSet},
    facts::Facts,
    primitives::{ChallengeId, CustomerId, DecisionId, Lane},
};

/// Why risk stopped an activity: what the customer needs to go on or to ask for help, but neither
/// the rule nor its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("risk does not allow it: {0}")]
    Blocked(DecisionId),
    /// The customer answers the challenge and asks again.
    #[error("the challenge {challenge} must be answered first")]
    Unverified {
        decision: DecisionId,
        challenge: ChallengeId,
    },
}

/// Evaluates an activity whose customer can answer a challenge. If the decision is *verify*, looks
/// for an answered challenge that is still valid, and evaluates again with it; nothing is counted
/// twice.
pub(crate) async fn evaluate_challengeable(
    risk: &Risk,
    db: &Db,
    facts: Facts,
    activity: ActivityKey,
) -> Result<Evaluation, DbError> {
    let (tenant, customer, stage) = (facts.tenant, facts.customer, facts.stage);
    let since = facts.at.plus_seconds(-risk.answer_valid_seconds());
    let evaluation = risk.evaluate_keyed(facts, activity).await;
    let Some(customer) = customer.filter(|_| evaluation.action() == Action::Verify) else {
        return Ok(evaluation);
    };
    let answered = store::find_answered(db, tenant, customer, stage, since).await?;
    Ok(match answered {
        Some(challenge) => risk.reevaluate_answered(&evaluation, challenge),
        None => evaluation,
    })
}

impl Evaluation {
    /// The rows that [`Self::stop`] reads.
    pub(crate) fn want_open_challenge(&self, want: &mut Wanted) {
        if self.action() == Action::Verify
            && let Some(decision) = self.decision()
            && let Some(customer) = decision.facts.customer
        {
            want.row::<Challenges>((customer, decision.facts.stage));
        }
    }

    /// Returns why the activity is stopped, if it is. The decision is stored in the commit of the
    /// operation that calls this, under an id of its own since nothing was made; so is the
    /// challenge, unless one is open. The operation *replies* with the stop: a refusal would undo
    /// both.
    ///
    /// Without a known customer nobody can answer: then it is blocked.
    pub(crate) fn stop(&self, set: &mut WorkingSet, cx: &mut Cx<'_>, lane: Lane) -> Option<Stop> {
        let decision = self.decision()?;
        let facts = &decision.facts;
        match decision.action {
            Action::Allow | Action::Review => return None,
            Action::Verify | Action::Block => {}
        }
        let cause = cx.new_id(lane);
        let decision_id = self.store(set, cx, cause)?;
        let asked = facts.customer.filter(|_| decision.action == Action::Verify);
        let Some(customer) = asked else {
            return Some(Stop::Blocked(decision_id));
        };
        let key = (customer, facts.stage);
        let open = set
            .get::<Challenges>(key)
            .filter(|challenge| challenge.state_at(cx.now()) == ChallengeState::Open);
        let challenge = if let Some(open) = open {
            open.id
        } else {
            let id = ChallengeId::new(cx.new_id(lane));
            let who = (facts.tenant, customer);
            let challenge = Challenge::new(id, who, facts.stage, decision_id, cx.now());
            set.put::<Challenges>(key, challenge);
            id
        };
        Some(Stop::Unverified {
            decision: decision_id,
            challenge,
        })
    }
}

/// Returns the customer's open challenge at this stage, made if there is none, in an ordinary
/// transaction.
pub(crate) async fn open_challenge_in(
    tx: &mut Tx,
    facts: &Facts,
    customer: CustomerId,
    decision: DecisionId,
) -> Result<ChallengeId, DbError> {
    if let Some(open) = store::lock_open(tx, facts.tenant, customer, facts.stage).await? {
        if open.state_at(tx.now()) == ChallengeState::Open {
            return Ok(open.id);
        }
        let expired = Challenge {
            state: ChallengeState::Expired,
            ..open
        };
        store::update(tx, &expired).await?;
    }
    let id = ChallengeId::new(tx.new_id(customer.lane()));
    let who = (facts.tenant, customer);
    let challenge = Challenge::new(id, who, facts.stage, decision, tx.now());
    match store::insert(tx, &challenge).await {
        Ok(()) => Ok(id),
        // Another request of the same customer was a moment earlier.
        Err(error) if error.unique_key().as_deref() == Some("risk_challenges_open") => {
            let open = store::lock_open(tx, facts.tenant, customer, facts.stage).await?;
            let open = open.ok_or(DbError::Inconsistent(
                "a challenge that is there and is not",
            ))?;
            Ok(open.id)
        }
        Err(error) => Err(error),
    }
}
