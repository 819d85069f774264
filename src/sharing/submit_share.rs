//! Requests shares and releases at the channel, and queries them. All attempts use the same number.

use std::convert::Infallible;

use sqlx::FromRow;

use super::{
    Part, PartState, PaymentShare, ShareCall, SharePart, ShareState, Sharing, SharingChannel,
    apply_share::{ApplyShare, ShareUpdate, apply},
    calls::Attempt,
    find::find_by_order,
    store::Shares,
};
use crate::{
    db::{ClaimTime, Cx, DbError, DueClaim, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    payments::{
        ATTEMPTS_MAX, ChannelOutcome, Payments, Refusal, RefusalKind, TimeScale, find_order,
        note_stuck_sharing, resolve_stuck_sharing,
    },
    primitives::{Lane, OrderId, SharingId, TenantId},
};

/// Attempts, over about three quarters of an hour, after which a share fails because WeChat says
/// that too little is left. What is left does not grow, and refunds wait.
pub const SHARE_ATTEMPTS_MAX: u32 = 8;
/// Attempts, over about a day, after which a share that WeChat is processing counts as stuck.
const PROCESSING_ATTEMPTS_MAX: u32 = 32;
/// Shown in the channel's bill beside a release.
const RELEASE: &str = "解冻剩余资金";
/// Most sharings that one claim takes, and the seconds of its lease.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

/// Does what is due for the sharing of an order: calls or queries the channel, and applies the
/// answer. A job repeats what fails.
///
/// Returns the sharing afterwards; none if the order has none.
pub async fn reconcile_sharing(
    sharing: &Sharing,
    tenant: TenantId,
    order: OrderId,
) -> Result<Option<PaymentShare>, DbError> {
    reconcile_begun(sharing, tenant, order, None).await
}

/// Reconciles a sharing whose first call is recorded already.
pub(super) async fn reconcile_begun(
    sharing: &Sharing,
    tenant: TenantId,
    order: OrderId,
    begun: Option<Attempt>,
) -> Result<Option<PaymentShare>, DbError> {
    let Some((share, parts)) = find_by_order(&sharing.payments.db, tenant, order).await? else {
        return Ok(None);
    };
    let Some(payment) = find_payment(sharing, &share).await? else {
        return Ok(Some(share));
    };
    let call = |number: SharingId, parts: Vec<SharePart>| ShareCall {
        sharing_no: number.into(),
        sub_mchid: payment.sub_mchid.clone(),
        wechat_transaction_id: payment.wechat_transaction_id.clone(),
        parts,
        release_rest: true,
        description: RELEASE.to_owned(),
    };
    let channel = sharing.channels.of(share.tenant);
    let (number, update) = match share.state {
        ShareState::Asked => {
            let attempt = match begun {
                Some(attempt) => Some(attempt),
                None => begin(sharing, &share).await?,
            };
            // Another process is at it.
            let Some(attempt) = attempt else {
                return Ok(Some(share));
            };
            let parts = parts.iter().map(to_share).collect();
            let call = call(share.id, parts);
            let update = send(&*channel, call, (share.attempts.count, attempt)).await;
            (share.id, update)
        }
        ShareState::Processing => (share.id, query(&*channel, &share, &payment).await),
        ShareState::Releasing { release } => {
            // A share that was certainly refused is queried once more before the rest is released.
            let known = if parts.is_empty() {
                None
            } else {
                let asked = query_late(&*channel, &share, &payment).await;
                asked.map(|update| (share.id, update))
            };
            if let Some(known) = known {
                known
            } else {
                let call = call(release, Vec::new());
                (release, release_frozen(&*channel, call).await)
            }
        }
        ShareState::Done { .. } => return Ok(Some(share)),
    };
    note(sharing, &share, number, update).await
}

/// Queries a share of which parts are marked failed. Returns false if WeChat is still processing
/// one of them, or does not answer.
pub(super) async fn query_failed_parts(
    sharing: &Sharing,
    share: &PaymentShare,
    parts: &[Part],
) -> Result<bool, DbError> {
    let failed = parts.iter().any(|part| part.state == PartState::Failed);
    let payment = find_payment(sharing, share).await?;
    let Some(payment) = payment.filter(|_| failed) else {
        return Ok(true);
    };
    let channel = sharing.channels.of(share.tenant);
    match query_late(&*channel, share, &payment).await {
        None => Ok(true),
        Some(ShareUpdate::Channel(said)) => {
            let settled = said.finished;
            note(sharing, share, share.id, ShareUpdate::Channel(said)).await?;
            Ok(settled)
        }
        Some(ShareUpdate::Refused { .. } | ShareUpdate::Later { .. }) => Ok(false),
    }
}

async fn note(
    sharing: &Sharing,
    share: &PaymentShare,
    number: SharingId,
    update: ShareUpdate,
) -> Result<Option<PaymentShare>, DbError> {
    let operation = ApplyShare {
        order: share.order,
        number,
        update,
        time_scale: sharing.payments.time_scale,
    };
    let after = apply(sharing, operation).await?;
    if let Some(after) = &after {
        raise_if_stuck(sharing, after).await?;
    }
    Ok(after)
}

/// Raises an exception for a sharing that makes no progress, once until a person has resolved it.
/// Resolves it when the sharing is done.
///
/// Whether it was raised cannot be seen from the attempts: their count is reset when WeChat takes
/// or refuses the share, and an exception may be raised before there is a sharing. So a done
/// sharing always resolves its exception, if there is one, which an index finds by the order.
async fn raise_if_stuck(sharing: &Sharing, share: &PaymentShare) -> Result<(), DbError> {
    let payments = &sharing.payments;
    let problem = share.attempts.problem.as_deref().unwrap_or_default();
    // WeChat may take a day to process a share.
    let most = if problem == "processing" {
        PROCESSING_ATTEMPTS_MAX
    } else {
        ATTEMPTS_MAX
    };
    if matches!(share.state, ShareState::Done { .. }) {
        resolve_stuck_sharing(payments, share.order).await?;
    } else if share.attempts.count >= most {
        let state = share.state.kind().name();
        let detail = format!(
            "sharing {} is {state} and does not get on: {problem}",
            share.no()
        );
        note_stuck_sharing(payments, share.tenant, share.order, detail).await?;
    }
    Ok(())
}

/// The data of the payment that calls need.
struct Paid {
    sub_mchid: String,
    wechat_transaction_id: String,
}

async fn find_payment(sharing: &Sharing, share: &PaymentShare) -> Result<Option<Paid>, DbError> {
    let view = find_order(&sharing.payments.db, share.tenant, share.order).await?;
    Ok(view.and_then(|view| {
        let payment = view.order.state.payment()?;
        Some(Paid {
            wechat_transaction_id: payment.wechat_transaction_id.clone(),
            sub_mchid: view.order.sub_mchid.clone(),
        })
    }))
}

fn to_share(part: &Part) -> SharePart {
    SharePart {
        kind: part.kind,
        account: part.account.clone(),
        amount: part.amount,
        description: part.description.clone(),
    }
}

async fn send(
    channel: &dyn SharingChannel,
    call: ShareCall,
    (attempts, attempt): (u32, Attempt),
) -> ShareUpdate {
    match channel.share(call.clone()).await {
        ChannelOutcome::Done(said) => ShareUpdate::Channel(said),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason, true),
        ChannelOutcome::Refused(refusal) => match refusal.kind {
            RefusalKind::RateLimited => later("rate_limited", &refusal.code, true),
            RefusalKind::NotEnough if attempts.saturating_add(1) < SHARE_ATTEMPTS_MAX => {
                tracing::info!(code = refusal.code, "too little is left to share");
                ShareUpdate::Later {
                    problem: "not_enough",
                    unsure: false,
                    ended: Some(attempt),
                }
            }
            RefusalKind::NotEnough
            | RefusalKind::AlreadyPaid
            | RefusalKind::Closed
            | RefusalKind::Absent
            | RefusalKind::Conflict
            | RefusalKind::Rejected => {
                confirm_by_query(channel, &call, refusal, Some(attempt)).await
            }
        },
    }
}

/// Releases the frozen money. A concurrent release does no harm, since both release the same money.
async fn release_frozen(channel: &dyn SharingChannel, call: ShareCall) -> ShareUpdate {
    match channel.share(call.clone()).await {
        ChannelOutcome::Done(said) => ShareUpdate::Channel(said),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason, true),
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::RateLimited => {
            later("rate_limited", &refusal.code, false)
        }
        ChannelOutcome::Refused(refusal) => confirm_by_query(channel, &call, refusal, None).await,
    }
}

/// Queries a refused share. A refusal proves only that this attempt did nothing; an earlier one may
/// have landed, which the query shows, or may still land ([`super::calls`]).
async fn confirm_by_query(
    channel: &dyn SharingChannel,
    call: &ShareCall,
    refusal: Refusal,
    attempt: Option<Attempt>,
) -> ShareUpdate {
    tracing::warn!(sharing.no = %call.sharing_no, code = refusal.code, message = refusal.message, "WeChat refuses a share");
    let asked = channel.query_share(
        call.sharing_no,
        &call.wechat_transaction_id,
        &call.sub_mchid,
    );
    match asked.await {
        ChannelOutcome::Done(said) => ShareUpdate::Channel(said),
        ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => ShareUpdate::Refused {
            kind: refusal.kind,
            code: refusal.code,
            attempt,
        },
        ChannelOutcome::Refused(no) => later("refused_and_unclear", &no.code, true),
        ChannelOutcome::Unknown(reason) => later("refused_and_unclear", &reason, true),
    }
}

/// Queries a share that the channel has.
async fn query(channel: &dyn SharingChannel, share: &PaymentShare, payment: &Paid) -> ShareUpdate {
    let asked = channel.query_share(
        share.no(),
        &payment.wechat_transaction_id,
        &payment.sub_mchid,
    );
    match asked.await {
        ChannelOutcome::Done(said) => ShareUpdate::Channel(said),
        ChannelOutcome::Refused(refusal) => later("query_refused", &refusal.code, false),
        ChannelOutcome::Unknown(reason) => later("no_answer", &reason, false),
    }
}

/// Queries a share that the channel does not have according to our books. Returns none if it does
/// not have it.
async fn query_late(
    channel: &dyn SharingChannel,
    share: &PaymentShare,
    payment: &Paid,
) -> Option<ShareUpdate> {
    let asked = channel.query_share(
        share.no(),
        &payment.wechat_transaction_id,
        &payment.sub_mchid,
    );
    match asked.await {
        ChannelOutcome::Done(said) => Some(ShareUpdate::Channel(said)),
        ChannelOutcome::Refused(no) if no.kind == RefusalKind::Absent => None,
        ChannelOutcome::Refused(no) => Some(later("query_refused", &no.code, false)),
        ChannelOutcome::Unknown(reason) => Some(later("no_answer", &reason, false)),
    }
}

fn later(problem: &'static str, why: &str, unsure: bool) -> ShareUpdate {
    tracing::info!(problem, why, "a sharing is not further");
    ShareUpdate::Later {
        problem,
        unsure,
        ended: None,
    }
}

/// Records a call of the share. Returns none if another process has begun one since, or if the
/// share is settled.
async fn begin(sharing: &Sharing, share: &PaymentShare) -> Result<Option<Attempt>, DbError> {
    let operation = BeginShare {
        order: share.order,
        known: share.calls.begun,
        time_scale: sharing.payments.time_scale,
    };
    let submitted = sharing.payments.db.submit(operation).await;
    submitted.map_err(|error| match error {
        SubmitError::Db(error) => error,
        SubmitError::Refused(never) => match never {},
    })
}

#[derive(Debug)]
struct BeginShare {
    order: OrderId,
    /// The number of calls when this one was decided on.
    known: u32,
    time_scale: TimeScale,
}

impl Operation for BeginShare {
    type Reply = Option<Attempt>;
    type Refusal = Infallible;
    const NAME: &'static str = "sharing.begin_share";

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Shares>(self.order);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Option<Attempt>, Infallible> {
        let share = set.get::<Shares>(self.order);
        let Some(share) = share
            .filter(|share| share.state == ShareState::Asked && share.calls.begun == self.known)
        else {
            return Ok(None);
        };
        let mut next = share.next();
        let attempt = next.calls.begin(cx.now(), self.time_scale);
        next.attempts.next_at = Some(self.time_scale.after(cx.now(), LEASE_SECONDS));
        set.put::<Shares>(self.order, next);
        Ok(Some(attempt))
    }
}

const DUE: DueClaim = DueClaim {
    select: "/* sharing.due_sharings */ SELECT id, order_id, tenant_id FROM sharings WHERE next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* sharing.claim_sharings */ sharings SET next_attempt_at = ",
    where_id: " WHERE id IN (",
};

/// A sharing that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct DueSharing {
    pub id: SharingId,
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    #[sqlx(rename = "tenant_id")]
    pub tenant: TenantId,
}

/// Claims sharings that are due, for a minute.
pub async fn claim_sharings(payments: &Payments) -> Result<Vec<DueSharing>, DbError> {
    let time_scale = payments.time_scale;
    payments.db.run(ClaimSharings { time_scale }).await
}

#[derive(Debug)]
struct ClaimSharings {
    time_scale: TimeScale,
}

impl Work for ClaimSharings {
    const NAME: &'static str = "sharing.claim_sharings";
    type Reply = Vec<DueSharing>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let until = self.time_scale.after(now, LEASE_SECONDS);
        DUE.claim(tx, ClaimTime { now, until }, CLAIM, |due: &DueSharing| {
            *due.id.bytes()
        })
        .await
    }
}

/// Begins a call in memory, for tests without a database.
#[cfg(test)]
pub(super) fn begin_in_memory(
    memory: &mut crate::db::batch::memory::Memory,
    now: crate::primitives::Timestamp,
    (order, known): (OrderId, u32),
) -> Option<Attempt> {
    let operation = BeginShare {
        order,
        known,
        time_scale: TimeScale::default(),
    };
    let Ok(attempt) = memory.decide(now, &operation);
    attempt
}
