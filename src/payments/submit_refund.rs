//! Sending a refund to WeChat, and querying its status. The number is the same for every attempt.
//!
//! Only one attempt runs at a time, since what one attempt learns proves nothing while another may
//! still arrive (see `apply_refund.rs`). Whoever initiates a refund, the job that takes it over,
//! and an operator who retries it each claim it until an instant (`refunds.calling_until`) that no
//! other claim has. Just before the call the claim is extended by [`LEASE_SECONDS`], far longer
//! than the call and the query after it can take ([`begin_call`]). If the row has another claim by
//! then, because this process was too slow and somebody took over, no call is made. A repeated
//! request is answered with the refund as it stands.

use super::{
    ChannelOutcome, Order, PaymentChannel, Payments, Refund, RefundCall, RefundError, RefundState,
    RefundStateKind, RefundUpdateOutcome, Refusal, RefusalKind, TimeScale,
    apply_refund::{ABSENT_ONCE, apply},
    find::find_refund,
    list,
    query_order::look_for_others,
    refund_update::{ApplyRefund, RefundUpdate},
    store::calling_until,
};
use crate::{
    audit::SystemActor,
    db::{ClaimTime, DbError, DueClaim, Tx, Work},
    primitives::{RefundId, TenantId, Timestamp},
};

/// Does what is due for a refund: tells WeChat, or asks. What is learnt is noted; the refund as it
/// stands then is given back. Whatever fails is tried again by a job, so failing here is not an
/// error.
///
/// `until` is the claim under which it is done.
async fn submit_refund(payments: &Payments, refund: Refund, until: Timestamp) -> Refund {
    let update = match refund.state {
        RefundState::Accepted => {
            if !begin_call(payments, refund.id, until).await {
                return refund;
            }
            send_refund(payments, &refund).await
        }
        RefundState::Processing | RefundState::Abnormal => {
            query_refund_status(payments, &refund).await
        }
        RefundState::AwaitingApproval
        | RefundState::Rejected
        | RefundState::Returning
        | RefundState::Succeeded { .. }
        | RefundState::Closed
        | RefundState::Failed
        | RefundState::Withdrawn => return refund,
    };
    let Some(update) = update else { return refund };
    let operation = operation_for(payments, &refund, update);
    match apply(payments, operation).await {
        Ok(RefundUpdateOutcome::Now(moved)) => {
            if moved.state == RefundState::Failed {
                let looked = look_for_others(payments, moved.tenant, moved.order).await;
                if let Err(error) = looked {
                    tracing::warn!(refund.no = %moved.no(), reason = %error, "nobody looked why WeChat refuses a refund");
                }
            }
            *moved
        }
        // A callback was faster.
        Ok(RefundUpdateOutcome::Before) => {
            match find_refund(&payments.db, refund.tenant, refund.id).await {
                Ok(Some(moved)) => moved,
                Ok(None) => refund,
                Err(error) => {
                    tracing::warn!(refund.no = %refund.no(), reason = %error, "a refund that has moved is shown as it was");
                    refund
                }
            }
        }
        Ok(RefundUpdateOutcome::Unpaid(_)) => refund,
        Ok(RefundUpdateOutcome::Rejected(reason)) => {
            tracing::error!(refund.no = %refund.no(), reason, "WeChat's answer about a refund is wrong: {reason}");
            refund
        }
        Err(error) => {
            tracing::warn!(refund.no = %refund.no(), reason = %error, "what WeChat said of a refund was not noted; it will be asked again");
            if error.is_of_row() {
                note_refusal(payments, &refund).await;
            }
            refund
        }
    }
}

/// Submits a refund that was just initiated. One that was asked for again with the same key is left
/// to its time: somebody may be telling WeChat of it at this moment, and WeChat takes few calls
/// from somebody whose refunds fail (`docs/wechat-pay.md` §5).
pub(super) async fn submit_if_new(payments: &Payments, refund: Refund, is_new: bool) -> Refund {
    match calling_until(&refund) {
        Some(until) if is_new => submit_refund(payments, refund, until).await,
        _ => refund,
    }
}

/// The operation that applies an update to the refund as it stood when WeChat was asked.
fn operation_for(payments: &Payments, refund: &Refund, update: RefundUpdate) -> ApplyRefund {
    let about = (refund.tenant, Some(refund.id));
    ApplyRefund {
        seen: Some(refund.version),
        ..ApplyRefund::answer(
            about,
            update,
            SystemActor::WeChat.into(),
            payments.time_scale,
        )
    }
}

/// The books do not take what WeChat says. That is an attempt with a problem like others, so that
/// it is reported when it lasts.
async fn note_refusal(payments: &Payments, refund: &Refund) {
    let update = RefundUpdate::Later {
        problem: "books_refuse".to_owned(),
        detail: "the ledger refuses what WeChat says".to_owned(),
        unsure: true,
    };
    let operation = operation_for(payments, refund, update);
    if let Err(error) = apply(payments, operation).await {
        tracing::warn!(refund.no = %refund.no(), reason = %error, "that the books refuse it was not noted");
    }
}

/// A refund, taken by one who is to see to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedRefund {
    pub tenant: TenantId,
    pub id: RefundId,
    /// Nobody else sees to it before this instant, and nobody has another claim with the same.
    pub until: Timestamp,
}

/// A refund that is due, by a job that has claimed it.
pub async fn reconcile_refund(
    payments: &Payments,
    claimed: ClaimedRefund,
) -> Result<Refund, RefundError> {
    let refund = find_refund(&payments.db, claimed.tenant, claimed.id).await?;
    let refund = refund.ok_or(RefundError::NotFound)?;
    Ok(submit_refund(payments, refund, claimed.until).await)
}

/// What is due for a refund, now, because a person wants it. While somebody else may be at it, and
/// while an attempt may still arrive of which nothing was learnt, the refund is given back as it
/// stands.
pub async fn retry_refund(
    payments: &Payments,
    tenant: TenantId,
    id: RefundId,
) -> Result<Refund, RefundError> {
    let claim = ClaimRefund {
        tenant,
        id,
        time_scale: payments.time_scale,
    };
    if let Some(claimed) = payments.db.run(claim).await? {
        return reconcile_refund(payments, claimed).await;
    }
    let refund = find_refund(&payments.db, tenant, id).await?;
    refund.ok_or(RefundError::NotFound)
}

/// Says that a call begins, and that the claim is good for as long as it can live. False when none
/// may: the refund is somewhere else by now, somebody else has claimed it, or nobody knows. What a
/// call that began may have done, a withdrawal minds, and whoever calls next.
async fn begin_call(payments: &Payments, refund: RefundId, until: Timestamp) -> bool {
    let call = BeginCall {
        refund,
        until,
        time_scale: payments.time_scale,
    };
    match payments.db.run(call).await {
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
    until: Timestamp,
    time_scale: TimeScale,
}

impl Work for BeginCall {
    const NAME: &'static str = "payments.begin_call";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let now = tx.now();
        let longer = self.time_scale.after(now, LEASE_SECONDS).max(self.until);
        let begun = sqlx::query(
            "/* payments.begin_call */ UPDATE refunds \
             SET calls = calls + 1, called_at = ?, calling_until = ?, next_attempt_at = ? \
             WHERE id = ? AND state = ? AND calling_until = ?",
        )
        .bind(now)
        .bind(longer)
        .bind(longer)
        .bind(self.refund)
        .bind(RefundStateKind::Accepted.code())
        .bind(self.until)
        .execute(tx.conn())
        .await?;
        Ok(begun.rows_affected() == 1)
    }
}

/// The order that a refund is of. None when it cannot be read now: a job comes back to the refund.
async fn refunded_order(payments: &Payments, refund: &Refund) -> Option<Order> {
    match list::find_order(&payments.db, refund.tenant, refund.order).await {
        Ok(Some(view)) => Some(view.order),
        Ok(None) => {
            tracing::error!(refund.no = %refund.no(), "a refund without its order");
            None
        }
        Err(error) => {
            tracing::warn!(refund.no = %refund.no(), reason = %error, "the order of a refund was not read; a job asks again");
            None
        }
    }
}

/// Asks for the refund under its number.
async fn send_refund(payments: &Payments, refund: &Refund) -> Option<RefundUpdate> {
    let order = refunded_order(payments, refund).await?;
    let channel = payments.channels.of(refund.tenant);
    let call = RefundCall {
        refund_no: refund.no(),
        order_no: order.no(),
        sub_mchid: order.sub_mchid.clone(),
        amount: refund.amount,
        total: order.amount,
        reason: refund.reason.clone(),
        notify_path: format!("/api/v1/wechat/notify/{}/refunds", refund.tenant),
    };
    Some(match channel.refund(call).await {
        ChannelOutcome::Done(said) => RefundUpdate::Channel(said),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason, true),
        ChannelOutcome::Refused(refusal) => match refusal.kind {
            RefusalKind::RateLimited => later("rate_limited", &refusal.code, true),
            RefusalKind::NotEnough => later("not_enough", &refusal.code, false),
            RefusalKind::AlreadyPaid
            | RefusalKind::Closed
            | RefusalKind::Absent
            | RefusalKind::Conflict
            | RefusalKind::Rejected => {
                confirm_by_query(&*channel, refund, &order.sub_mchid, refusal).await
            }
        },
    })
}

/// A refusal proves only that this attempt did nothing; an earlier one may have. The query decides.
async fn confirm_by_query(
    channel: &dyn PaymentChannel,
    refund: &Refund,
    sub_mchid: &str,
    refusal: Refusal,
) -> RefundUpdate {
    tracing::warn!(refund.no = %refund.no(), code = refusal.code, message = refusal.message, "WeChat refuses a refund");
    match channel.query_refund(refund.no(), sub_mchid).await {
        ChannelOutcome::Done(said) => RefundUpdate::Channel(said),
        ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => RefundUpdate::Refused {
            code: refusal.code,
            message: refusal.message,
            seen: refund.version,
            // A call that began before and was counted as no attempt: its process died, or nobody
            // could note what it had learnt.
            unsure: refund.progress.calls > refund.attempts.count,
        },
        ChannelOutcome::Refused(no) => later("refused_and_unclear", &no.code, true),
        ChannelOutcome::Unknown(reason) => later("refused_and_unclear", &reason, true),
    }
}

/// Asks what became of it.
async fn query_refund_status(payments: &Payments, refund: &Refund) -> Option<RefundUpdate> {
    let order = refunded_order(payments, refund).await?;
    let channel = payments.channels.of(refund.tenant);
    let said = match refund.origin.foreign_no() {
        Some(number) => channel.query_refund_of(number, &order.sub_mchid).await,
        None => channel.query_refund(refund.no(), &order.sub_mchid).await,
    };
    Some(match said {
        ChannelOutcome::Done(said) => RefundUpdate::Channel(said),
        ChannelOutcome::Refused(refusal) => later("query_refused", &refusal.code, false),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason, false),
    })
}

fn later(problem: &str, why: &str, unsure: bool) -> RefundUpdate {
    tracing::info!(problem, why, "a refund is not further");
    RefundUpdate::Later {
        problem: problem.to_owned(),
        detail: why.to_owned(),
        unsure,
    }
}

/// Refunds that one process takes at a time, twice as many as it sees to at once, and for how long:
/// a call and the query behind it take 24 seconds at the most.
const CLAIM: u32 = 16;
const LEASE_SECONDS: i64 = 60;

const DUE: DueClaim = DueClaim {
    select: "/* payments.due_refunds */ SELECT id, tenant_id FROM refunds WHERE next_attempt_at <= ? AND state NOT IN (?, ?) ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[
        RefundStateKind::Returning.code(),
        RefundStateKind::Withdrawn.code(),
    ],
    update: "UPDATE /* payments.claim_refunds */ refunds SET next_attempt_at = ",
    where_id: ", calling_until = next_attempt_at WHERE id IN (",
};

/// Takes one refund, unless somebody else has it or nothing is left to do.
#[derive(Debug)]
struct ClaimRefund {
    tenant: TenantId,
    id: RefundId,
    time_scale: TimeScale,
}

impl Work for ClaimRefund {
    const NAME: &'static str = "payments.claim_refund";
    type Reply = Option<ClaimedRefund>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let until = self.time_scale.after(now, LEASE_SECONDS);
        let claimed = sqlx::query(
            "/* payments.claim_refund */ UPDATE refunds SET next_attempt_at = ?, calling_until = ? \
             WHERE id = ? AND tenant_id = ? AND next_attempt_at IS NOT NULL AND state NOT IN (?, ?) \
             AND (calling_until IS NULL OR calling_until <= ?) \
             AND NOT (problem <=> ? AND next_attempt_at > ?)",
        )
        .bind(until)
        .bind(until)
        .bind(self.id)
        .bind(self.tenant)
        .bind(RefundStateKind::Returning.code())
        .bind(RefundStateKind::Withdrawn.code())
        .bind(now)
        .bind(ABSENT_ONCE)
        .bind(now)
        .execute(tx.conn())
        .await?;
        Ok((claimed.rows_affected() == 1).then_some(ClaimedRefund {
            tenant: self.tenant,
            id: self.id,
            until,
        }))
    }
}

/// Refunds that are due, taken for a minute. Those that wait for shares are claimed by `sharing`.
pub async fn claim_refunds(payments: &Payments) -> Result<Vec<ClaimedRefund>, DbError> {
    let time_scale = payments.time_scale;
    payments.db.run(ClaimRefunds { time_scale }).await
}

#[derive(Debug)]
struct ClaimRefunds {
    time_scale: TimeScale,
}

impl Work for ClaimRefunds {
    const NAME: &'static str = "payments.claim_refunds";
    type Reply = Vec<ClaimedRefund>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let until = self.time_scale.after(now, LEASE_SECONDS);
        let due: Vec<(RefundId, TenantId)> = DUE
            .claim(
                tx,
                ClaimTime { now, until },
                CLAIM,
                |(id, _): &(RefundId, TenantId)| *id.bytes(),
            )
            .await?;
        let claimed = |(id, tenant)| ClaimedRefund { tenant, id, until };
        Ok(due.into_iter().map(claimed).collect())
    }
}
