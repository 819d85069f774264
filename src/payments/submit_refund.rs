//! Telling WeChat of a refund, and asking what became of it. The number is the same for every attempt, for ever.
//!
//! One at a time: what one attempt learns proves nothing while another may still arrive (see `apply_refund.rs`). Whoever lets a refund set out, the job that takes it
//! over, and a person who wants it done now each have it for [`LEASE_SECONDS`], far longer than a call and the query behind it can live, and nobody else calls
//! meanwhile (`refunds.calling_until`). A repeated request is answered with the refund as it stands.

use super::{
    Gateway, Outcome, Pace, Payments, Refund, RefundCall, RefundError, RefundMoved, RefundState,
    Refusal, RefusalKind,
    apply_refund::{ApplyRefund, RefundWord, apply},
    find::find_refund,
    list,
};
use crate::{
    audit::Actor,
    db::{DbError, DueList, Tx, Work},
    primitives::RefundId,
};

/// Does what is due for a refund: tells WeChat, or asks. What is learnt is noted; the refund as it stands then is given back. Whatever fails is tried again by a
/// job, so failing here is not an error.
///
/// `first`: nobody can have called before.
async fn submit_refund(payments: &Payments, refund: Refund, first: bool) -> Refund {
    let word = match refund.state {
        RefundState::Accepted => {
            if !begin_call(payments, refund.id).await {
                return refund;
            }
            tell(payments, &refund, first).await
        }
        RefundState::Processing | RefundState::Abnormal => ask(payments, &refund).await,
        RefundState::AwaitingApproval
        | RefundState::Rejected
        | RefundState::Returning
        | RefundState::Succeeded { .. }
        | RefundState::Closed
        | RefundState::Failed
        | RefundState::Withdrawn => return refund,
    };
    let Some(word) = word else { return refund };
    let operation = ApplyRefund {
        tenant: refund.tenant,
        refund: Some(refund.id),
        word,
        by: Actor::new("wechat"),
        callback: None,
        our_mchid: String::new(),
        pace: payments.pace,
    };
    match apply(payments, operation).await {
        Ok(RefundMoved::Now(moved)) => *moved,
        // A callback was faster.
        Ok(RefundMoved::Before) => match find_refund(&payments.db, refund.id).await {
            Ok(Some(moved)) => moved,
            Ok(None) | Err(_) => refund,
        },
        Ok(RefundMoved::Unpaid(_)) => refund,
        Ok(RefundMoved::Rejected(reason)) => {
            tracing::error!(refund.no = %refund.no(), reason, "WeChat's answer about a refund is wrong: {reason}");
            refund
        }
        Err(error) => {
            tracing::warn!(refund.no = %refund.no(), reason = %error, "what WeChat said of a refund was not noted; it will be asked again");
            refund
        }
    }
}

/// The same for a refund that has just set out. One that was asked for again with the same key is left to its time: somebody may be telling WeChat of it at this
/// moment, and WeChat takes few calls from somebody whose refunds fail (§5).
pub(super) async fn submit_if_new(payments: &Payments, refund: Refund, is_new: bool) -> Refund {
    if is_new {
        submit_refund(payments, refund, true).await
    } else {
        refund
    }
}

/// A refund that is due, by a job that has claimed it.
pub async fn pursue_refund(payments: &Payments, id: RefundId) -> Result<Refund, RefundError> {
    let refund = find_refund(&payments.db, id).await?;
    let refund = refund.ok_or(RefundError::NotFound)?;
    Ok(submit_refund(payments, refund, false).await)
}

/// What is due for a refund, now, because a person wants it. While somebody else may be at it the refund is given back as it stands.
pub async fn retry_refund(payments: &Payments, id: RefundId) -> Result<Refund, RefundError> {
    let pace = payments.pace;
    if payments.db.run(ClaimOne { id, pace }).await? {
        return pursue_refund(payments, id).await;
    }
    let refund = find_refund(&payments.db, id).await?;
    refund.ok_or(RefundError::NotFound)
}

/// Says that a call begins. False when none may: the refund is somewhere else by now, or nobody knows. What a call that began may have done, a withdrawal minds.
async fn begin_call(payments: &Payments, refund: RefundId) -> bool {
    match payments.db.run(BeginCall { refund }).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(refund.id = %refund, reason = %error, "a call for a refund did not begin; a job begins it");
            false
        }
    }
}

#[derive(Debug)]
struct BeginCall {
    refund: RefundId,
}

impl Work for BeginCall {
    const NAME: &'static str = "payments.begin_call";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let now = tx.now();
        let begun = sqlx::query(
            "/* payments.begin_call */ UPDATE refunds SET calls = calls + 1, called_at = ? WHERE id = ? AND state = 4",
        )
        .bind(now)
        .bind(self.refund)
        .execute(tx.conn())
        .await?;
        Ok(begun.rows_affected() == 1)
    }
}

/// Asks for the refund under its number.
async fn tell(payments: &Payments, refund: &Refund, first: bool) -> Option<RefundWord> {
    let order = match list::find_order(&payments.db, refund.tenant, refund.order).await {
        Ok(Some(view)) => view.order,
        Ok(None) | Err(_) => return None,
    };
    let gateway = payments.gateways.of(refund.tenant);
    let call = RefundCall {
        refund_no: refund.no(),
        order_no: order.no(),
        shop: order.sub_mchid.clone(),
        amount: refund.amount,
        total: order.amount,
        reason: refund.reason.clone(),
        notify_path: format!("/api/v1/wechat/notify/{}/refunds", refund.tenant),
    };
    Some(match gateway.refund(call).await {
        Outcome::Done(said) => RefundWord::Channel(said),
        Outcome::Unknown(reason) => later("no_answer", &reason, true),
        Outcome::Refused(refusal) => match refusal.kind {
            RefusalKind::RateLimited => later("rate_limited", &refusal.code, true),
            RefusalKind::NotEnough => later("not_enough", &refusal.code, false),
            RefusalKind::AlreadyPaid
            | RefusalKind::Closed
            | RefusalKind::Absent
            | RefusalKind::Conflict
            | RefusalKind::Rejected => {
                doubt(&*gateway, (refund, first), &order.sub_mchid, refusal).await
            }
        },
    })
}

/// A refusal proves only that this attempt did nothing; an earlier one may have. The query decides.
async fn doubt(
    gateway: &dyn Gateway,
    (refund, first): (&Refund, bool),
    shop: &str,
    refusal: Refusal,
) -> RefundWord {
    tracing::warn!(refund.no = %refund.no(), code = refusal.code, message = refusal.message, "WeChat refuses a refund");
    match gateway.query_refund(refund.no(), shop).await {
        Outcome::Done(said) => RefundWord::Channel(said),
        Outcome::Refused(no) if no.kind == RefusalKind::Absent => RefundWord::Refused {
            code: refusal.code,
            seen: refund.version,
            // Who took it over does not know what the one before did.
            unsure: !first && refund.attempts.count == 0,
        },
        Outcome::Refused(no) => later("refused_and_unclear", &no.code, true),
        Outcome::Unknown(reason) => later("refused_and_unclear", &reason, true),
    }
}

/// Asks what became of it.
async fn ask(payments: &Payments, refund: &Refund) -> Option<RefundWord> {
    let order = match list::find_order(&payments.db, refund.tenant, refund.order).await {
        Ok(Some(view)) => view.order,
        Ok(None) | Err(_) => return None,
    };
    let gateway = payments.gateways.of(refund.tenant);
    let said = match refund.origin.foreign_no() {
        Some(number) => gateway.query_refund_of(number, &order.sub_mchid).await,
        None => gateway.query_refund(refund.no(), &order.sub_mchid).await,
    };
    Some(match said {
        Outcome::Done(said) => RefundWord::Channel(said),
        Outcome::Refused(refusal) => later("query_refused", &refusal.code, false),
        Outcome::Unknown(reason) => later("no_answer", &reason, false),
    })
}

fn later(problem: &str, why: &str, unsure: bool) -> RefundWord {
    tracing::info!(problem, why, "a refund is not further");
    RefundWord::Later {
        problem: problem.to_owned(),
        detail: why.to_owned(),
        unsure,
    }
}

/// Refunds that one process takes at a time, and for how long.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

const DUE: DueList = DueList {
    list: "/* payments.due_refunds */ SELECT id FROM refunds WHERE next_attempt_at <= ? AND state NOT IN (3, 10) ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    set: "UPDATE /* payments.claim_refunds */ refunds SET next_attempt_at = ",
    of: ", calling_until = next_attempt_at WHERE id IN (",
};

/// Takes one refund, unless somebody else has it or nothing is left to do.
#[derive(Debug)]
struct ClaimOne {
    id: RefundId,
    pace: Pace,
}

impl Work for ClaimOne {
    const NAME: &'static str = "payments.claim_refund";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let now = tx.now();
        let until = self.pace.after(now, LEASE_SECONDS);
        let claimed = sqlx::query(
            "/* payments.claim_refund */ UPDATE refunds SET next_attempt_at = ?, calling_until = ? \
             WHERE id = ? AND next_attempt_at IS NOT NULL AND state NOT IN (3, 10) AND (calling_until IS NULL OR calling_until <= ?)",
        )
        .bind(until)
        .bind(until)
        .bind(self.id)
        .bind(now)
        .execute(tx.conn())
        .await?;
        Ok(claimed.rows_affected() == 1)
    }
}

/// Refunds that are due, taken for a minute. Those that wait for shares are claimed by `sharing`.
pub async fn claim_refunds(payments: &Payments) -> Result<Vec<RefundId>, DbError> {
    let pace = payments.pace;
    payments.db.run(ClaimRefunds { pace }).await
}

#[derive(Debug)]
struct ClaimRefunds {
    pace: Pace,
}

impl Work for ClaimRefunds {
    const NAME: &'static str = "payments.claim_refunds";
    type Reply = Vec<RefundId>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let due: Vec<(RefundId,)> = DUE
            .claim(
                tx,
                (now, self.pace.after(now, LEASE_SECONDS)),
                CLAIM,
                |(refund,): &(RefundId,)| *refund.bytes(),
            )
            .await?;
        Ok(due.into_iter().map(|(refund,)| refund).collect())
    }
}
