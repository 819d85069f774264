//! Answering a challenge.

use super::{Challenge, ChallengeState, store};
use crate::{
    db::{Db, DbError, Tx, Work},
    facts::Facts,
    primitives::{ChallengeId, CustomerId, TenantId, Timestamp},
};

/// The challenge, if it is this customer's: another's does not exist for them.
pub async fn find_challenge(
    db: &Db,
    tenant: TenantId,
    customer: CustomerId,
    id: ChallengeId,
) -> Result<Option<Challenge>, DbError> {
    let found = store::find(db, tenant, id).await?;
    Ok(found.filter(|challenge| challenge.customer == customer))
}

/// Notes that somebody came with a code. WeChat was asked before whose it is.
#[derive(Debug)]
pub struct AnswerChallenge {
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub id: ChallengeId,
    /// The code is the customer's.
    pub same_person: bool,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeAnswer {
    pub challenge: Challenge,
    /// It was open until now, and this answer changed it.
    pub counted: bool,
}

impl Work for AnswerChallenge {
    const NAME: &'static str = "risk.answer_challenge";
    /// None: there is no such challenge. A wrong answer is a *reply*, so that it commits: the
    /// attempt must stay counted.
    type Reply = Option<ChallengeAnswer>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Option<ChallengeAnswer>, DbError> {
        let found = store::lock(tx, self.tenant, self.id).await?;
        let Some(before) = found.filter(|challenge| challenge.customer == self.customer) else {
            return Ok(None);
        };
        let was_open = before.state_at(tx.now()) == ChallengeState::Open;
        let challenge = before.clone().answer(self.same_person, tx.now());
        if challenge != before {
            store::update(tx, &challenge).await?;
        }
        Ok(Some(ChallengeAnswer {
            challenge,
            counted: was_open,
        }))
    }
}

/// Answers a challenge for the customer who is there in this transaction, as a login knows it. True
/// when it is answered: now, or by another request not before `since`. False for one that is
/// another's, of another stage, or over.
pub(crate) async fn answer_challenge_in(
    tx: &mut Tx,
    facts: &Facts,
    customer: CustomerId,
    id: ChallengeId,
    since: Timestamp,
) -> Result<bool, DbError> {
    let found = store::lock(tx, facts.tenant, id).await?;
    let Some(before) =
        found.filter(|challenge| challenge.customer == customer && challenge.stage == facts.stage)
    else {
        return Ok(false);
    };
    match before.state_at(tx.now()) {
        ChallengeState::Answered { at } => Ok(at > since),
        ChallengeState::Expired | ChallengeState::Failed => Ok(false),
        ChallengeState::Open => {
            store::update(tx, &before.answer(true, tx.now())).await?;
            Ok(true)
        }
    }
}
