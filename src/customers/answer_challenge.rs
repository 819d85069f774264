//! A customer answers a challenge: a fresh login code shows whose phone this is.

use super::{CustomerError, get_active};
use crate::{
    auth::{LoginFailure, WechatLogin},
    db::{Db, DbError},
    primitives::{ChallengeId, CustomerId, TenantId},
    risk::{self, AnswerChallenge, Challenge, ChallengeState},
};

/// Why a challenge is not answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It does not exist, or is another customer's.
    #[error("the challenge does not exist")]
    NotFound,
    #[error("the challenge's time is over")]
    Expired,
    #[error("the challenge failed: too many codes of somebody else")]
    Failed,
    /// It stays open until there were too many of them.
    #[error("the code is somebody else's")]
    SomebodyElse,
    #[error("the code was not exchanged")]
    Login(#[from] LoginFailure),
    #[error("the customer does not answer")]
    Customer(#[from] CustomerError),
    #[error("database failure around a challenge")]
    Db(#[from] DbError),
}

/// Exchanges the code and, if WeChat says it is this customer's, has the challenge answered. A code
/// of somebody else is counted; one that WeChat does not take (used, too old) or is too busy for is
/// not, since it says nothing about who is there.
///
/// What is decided already is said again without asking WeChat: a code is good for one use, and the
/// first answer may have been lost.
pub async fn answer_challenge(
    db: &Db,
    login: &dyn WechatLogin,
    (tenant, customer): (TenantId, CustomerId),
    id: ChallengeId,
    code: &str,
) -> Result<Challenge, AnswerError> {
    let payer = get_active(db, tenant, customer).await?;
    let found = risk::find_challenge(db, tenant, customer, id).await?;
    let found = found.ok_or(AnswerError::NotFound)?;
    if found.state_at(db.now()) != ChallengeState::Open {
        return settled(found, db);
    }
    let identity = login.exchange(code).await?;
    let same_person = identity.openid == payer.openid;
    let answer = AnswerChallenge {
        tenant,
        customer,
        id,
        same_person,
    };
    let answer = db.run(answer).await?.ok_or(AnswerError::NotFound)?;
    let outcome = match (answer.counted, same_person) {
        (true, true) => "answered",
        (true, false) => "somebody_else",
        (false, _) => "too_late",
    };
    metrics::counter!("risk_challenge_answers_total", "outcome" => outcome).increment(1);
    if answer.counted && !same_person {
        return Err(AnswerError::SomebodyElse);
    }
    settled(answer.challenge, db)
}

fn settled(challenge: Challenge, db: &Db) -> Result<Challenge, AnswerError> {
    match challenge.state_at(db.now()) {
        ChallengeState::Answered { .. } => Ok(challenge),
        ChallengeState::Expired => Err(AnswerError::Expired),
        ChallengeState::Failed => Err(AnswerError::Failed),
        // Open ones are dealt with before.
        ChallengeState::Open => Err(AnswerError::SomebodyElse),
    }
}
