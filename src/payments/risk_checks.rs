//! Risk's evaluation of a request that makes something under an idempotency key.
//!
//! Risk is evaluated before the operation is queued, since an operation does no I/O; so the facts
//! are gathered before it, too: from memory, or with one indexed read. The operation checks
//! everything again. It is given `None` where nothing was evaluated: what the caller named does not
//! exist or is invalid, or the idempotency key was used before. Then it refuses, or returns what
//! the key made. It never makes anything without an evaluation.
//!
//! A repeated request is therefore recognised before the evaluation. Two requests with one new key
//! at the same time are one event to the counters.
//!
//! Which facts those are, each use case says beside what it makes. They are given as a future,
//! which runs only if risk is to be asked.

use super::Payments;
use crate::{
    db::DbError,
    facts::Facts,
    idempotency::{self, Claim},
    risk::{self, ActivityKey, Evaluation},
};

/// Evaluates a request under this key. None when there are no facts, or the key was used before.
pub(super) async fn evaluate(
    payments: &Payments,
    claim: &Claim,
    facts: impl Future<Output = Result<Option<Facts>, DbError>> + Send,
) -> Result<Option<Evaluation>, DbError> {
    if payments.risk.is_off() {
        return Ok(Some(Evaluation::default()));
    }
    let Some(facts) = facts_if_new(payments, claim, facts).await? else {
        return Ok(None);
    };
    let activity = activity_key(claim);
    Ok(Some(payments.risk.evaluate_keyed(facts, activity).await))
}

/// Evaluates a request as [`evaluate`] does, of a customer who can be asked a challenge. One that
/// they have answered is taken into account.
pub(super) async fn evaluate_challengeable(
    payments: &Payments,
    claim: &Claim,
    facts: impl Future<Output = Result<Option<Facts>, DbError>> + Send,
) -> Result<Option<Evaluation>, DbError> {
    if payments.risk.is_off() {
        return Ok(Some(Evaluation::default()));
    }
    let Some(facts) = facts_if_new(payments, claim, facts).await? else {
        return Ok(None);
    };
    let activity = activity_key(claim);
    let evaluation =
        risk::evaluate_challengeable(&payments.risk, &payments.db, facts, activity).await?;
    Ok(Some(evaluation))
}

async fn facts_if_new(
    payments: &Payments,
    claim: &Claim,
    facts: impl Future<Output = Result<Option<Facts>, DbError>> + Send,
) -> Result<Option<Facts>, DbError> {
    if idempotency::is_known(&payments.db, claim).await? {
        return Ok(None);
    }
    facts.await
}

/// The event of a key. Another request under the same key is another event: it is refused in the
/// end, and must not pass for this one until then.
fn activity_key(claim: &Claim) -> ActivityKey {
    ActivityKey::of(&[claim.id, claim.request_hash].concat())
}
