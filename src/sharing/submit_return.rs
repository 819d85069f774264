//! Brings shares back before a refund: requests and queries returns, and lets the refund continue.

use super::{
    ChannelReturn, PartReturn, PaymentShare, ReturnCall, ReturnResult, ReturnState, Sharing,
    SharingChannel,
    apply_return::{ApplyReturn, ReturnUpdate, apply},
    calls::Attempt,
    find::parts_of,
    start_return::{ReturnCallDue, ReturnRound, start_return},
};
use crate::{
    db::{ClaimTime, DbError, Tx, Work},
    payments::{
        ChannelOutcome, Payments, Refusal, RefusalKind, TimeScale, WaitingRefund,
        claim_waiting_refunds, find_order, find_refund, note_stuck_refund, pause_seconds,
        postpone_waiting_refund,
    },
    primitives::{RefundId, TenantId},
};

/// Attempts, over about three quarters of an hour, after which a return fails because the
/// receiver's account holds too little.
pub const RETURN_ATTEMPTS_MAX: u32 = 8;
/// Shown in the receiver's bill.
const DESCRIPTION: &str = "用户退款，分账回退";
/// Seconds after which a refund that must wait is tried again.
const WAIT_SECONDS: i64 = 15;
/// Most refunds that one claim takes, and the seconds of its lease.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

/// Does what is due for a refund that waits for shares. A job repeats what fails.
pub async fn reconcile_return(
    sharing: &Sharing,
    tenant: TenantId,
    id: RefundId,
) -> Result<(), DbError> {
    let db = &sharing.payments.db;
    let Some(refund) = find_refund(db, tenant, id).await? else {
        return Ok(());
    };
    let (share, round) = match start_return(sharing, &refund).await? {
        ReturnRound::Finished => return Ok(()),
        ReturnRound::Waiting => {
            note_stuck_refund(&sharing.payments, &refund).await?;
            return postpone(&sharing.payments, id, WAIT_SECONDS).await;
        }
        ReturnRound::InProgress(share, round) => (share, round),
    };
    let view = find_order(db, tenant, refund.order).await?;
    let Some(order) = view.map(|view| view.order) else {
        return Ok(());
    };
    let channel = sharing.channels.of(tenant);
    let parts = parts_of(db, tenant, share.id).await?;
    let mut over = false;
    let mut attempts = 0;
    for ReturnCallDue { back, attempt } in round {
        let Some(part) = parts.iter().find(|part| part.id == back.part) else {
            return Err(DbError::Inconsistent(
                "a return of a part that is not there",
            ));
        };
        let from = part.account.expose();
        let sub_mchid = &order.sub_mchid;
        let update = reconcile(&*channel, &share, (&back, attempt), sub_mchid, from).await;
        attempts = attempts.max(back.attempts.saturating_add(1));
        let operation = ApplyReturn {
            order: refund.order,
            refund: id,
            back: back.id,
            update,
        };
        over |= apply(sharing, operation).await?;
    }
    if over {
        return Ok(());
    }
    note_stuck_refund(&sharing.payments, &refund).await?;
    postpone(&sharing.payments, id, pause_seconds(attempts)).await
}

async fn reconcile(
    channel: &dyn SharingChannel,
    share: &PaymentShare,
    (back, attempt): (&PartReturn, Option<Attempt>),
    sub_mchid: &str,
    from: &str,
) -> ReturnUpdate {
    match (back.state, attempt) {
        (ReturnState::Asked, Some(attempt)) => {
            let call = ReturnCall {
                return_no: back.no(),
                sharing_no: share.no(),
                sub_mchid: sub_mchid.to_owned(),
                from: from.to_owned(),
                amount: back.amount,
                description: DESCRIPTION.to_owned(),
            };
            send(channel, call, (back.attempts, attempt)).await
        }
        (ReturnState::Processing, _) => {
            update_from(channel.query_return(back.no(), share.no(), sub_mchid).await)
        }
        (ReturnState::Asked, None) | (ReturnState::Succeeded | ReturnState::Failed, _) => {
            ReturnUpdate::Later { ended: None }
        }
    }
}

async fn send(
    channel: &dyn SharingChannel,
    call: ReturnCall,
    (attempts, attempt): (u32, Attempt),
) -> ReturnUpdate {
    match channel.return_share(call.clone()).await {
        ChannelOutcome::Done(said) => ReturnUpdate::Channel(said),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason),
        ChannelOutcome::Refused(refusal) => match refusal.kind {
            RefusalKind::RateLimited => later("rate_limited", &refusal.code),
            RefusalKind::NotEnough if attempts.saturating_add(1) < RETURN_ATTEMPTS_MAX => {
                tracing::info!(code = refusal.code, "a receiver's account holds too little");
                ReturnUpdate::Later {
                    ended: Some(attempt),
                }
            }
            RefusalKind::NotEnough
            | RefusalKind::AlreadyPaid
            | RefusalKind::Closed
            | RefusalKind::Absent
            | RefusalKind::Conflict
            | RefusalKind::Rejected => confirm_by_query(channel, &call, refusal, attempt).await,
        },
    }
}

/// Queries a refused return. A refusal proves only that this attempt did nothing; an earlier one
/// may have landed, which the query shows, or may still land ([`super::calls`]).
async fn confirm_by_query(
    channel: &dyn SharingChannel,
    call: &ReturnCall,
    refusal: Refusal,
    attempt: Attempt,
) -> ReturnUpdate {
    tracing::warn!(return.no = %call.return_no, code = refusal.code, message = refusal.message, "WeChat refuses a return");
    let asked = channel.query_return(call.return_no, call.sharing_no, &call.sub_mchid);
    match asked.await {
        ChannelOutcome::Done(said) => ReturnUpdate::Channel(said),
        ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => ReturnUpdate::Refused {
            code: refusal.code,
            attempt,
        },
        ChannelOutcome::Refused(no) => later("refused_and_unclear", &no.code),
        ChannelOutcome::Unknown(reason) => later("refused_and_unclear", &reason),
    }
}

fn update_from(outcome: ChannelOutcome<ChannelReturn>) -> ReturnUpdate {
    match outcome {
        ChannelOutcome::Done(said) => ReturnUpdate::Channel(said),
        ChannelOutcome::Refused(refusal) => later("query_refused", &refusal.code),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason),
    }
}

fn later(problem: &'static str, why: &str) -> ReturnUpdate {
    tracing::info!(problem, why, "a return is not further");
    ReturnUpdate::Later { ended: None }
}

/// Queries the returns that are marked failed. Returns false if WeChat is still processing one of
/// them, or does not answer.
pub(super) async fn query_lost_returns(
    sharing: &Sharing,
    share: &PaymentShare,
    returns: &[PartReturn],
) -> Result<bool, DbError> {
    let view = find_order(&sharing.payments.db, share.tenant, share.order).await?;
    let Some(order) = view.map(|view| view.order) else {
        return Ok(false);
    };
    let channel = sharing.channels.of(share.tenant);
    let mut settled = true;
    for back in returns {
        if back.state != ReturnState::Failed {
            continue;
        }
        let asked = channel.query_return(back.no(), share.no(), &order.sub_mchid);
        let said = match asked.await {
            ChannelOutcome::Done(said) => said,
            ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => continue,
            ChannelOutcome::Refused(_) | ChannelOutcome::Unknown(_) => {
                settled = false;
                continue;
            }
        };
        settled &= said.result != ReturnResult::Processing;
        let operation = ApplyReturn {
            order: share.order,
            refund: back.refund,
            back: back.id,
            update: ReturnUpdate::Channel(said),
        };
        apply(sharing, operation).await?;
    }
    Ok(settled)
}

/// Claims refunds that wait for shares and are due, for a minute.
pub async fn claim_returns(payments: &Payments) -> Result<Vec<WaitingRefund>, DbError> {
    let time_scale = payments.time_scale;
    payments.db.run(ClaimReturns { time_scale }).await
}

#[derive(Debug)]
struct ClaimReturns {
    time_scale: TimeScale,
}

impl Work for ClaimReturns {
    const NAME: &'static str = "sharing.claim_returns";
    type Reply = Vec<WaitingRefund>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let until = self.time_scale.after(now, LEASE_SECONDS);
        claim_waiting_refunds(tx, ClaimTime { now, until }, CLAIM).await
    }
}

/// Postpones a refund that must wait by so many seconds.
async fn postpone(payments: &Payments, refund: RefundId, seconds: i64) -> Result<(), DbError> {
    let time_scale = payments.time_scale;
    let postpone = Postpone {
        refund,
        seconds,
        time_scale,
    };
    payments.db.run(postpone).await
}

#[derive(Debug)]
struct Postpone {
    refund: RefundId,
    seconds: i64,
    time_scale: TimeScale,
}

impl Work for Postpone {
    const NAME: &'static str = "sharing.postpone";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let next = self.time_scale.after(tx.now(), self.seconds);
        postpone_waiting_refund(tx, self.refund, next).await
    }
}
