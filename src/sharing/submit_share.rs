//! Telling the channel of a share or a release, and asking what became of it. The number is the
//! same for every attempt, for ever.

use std::convert::Infallible;

use super::{
    Part, PartState, PaymentShare, ShareCall, SharePart, ShareState, Sharing, SharingChannel,
    apply_share::{ApplyShare, ShareUpdate, apply},
    calls::Attempt,
    find::find_by_order,
    store::Shares,
};
use crate::{
    db::{Cx, DbError, DueClaim, Operation, SubmitError, Tx, Wanted, Work, WorkingSet},
    payments::{
        ATTEMPTS_MAX, ChannelOutcome, Payments, Refusal, RefusalKind, TimeScale, find_order,
        note_stuck_sharing, resolve_stuck_sharing,
    },
    primitives::{Lane, OrderId, SharingId},
};

/// Attempts, about three quarters of an hour, after which a share of which WeChat says that too
/// little is left has failed. What is left grows no more, and refunds wait.
pub const SHARE_ATTEMPTS_MAX: u32 = 8;
/// Attempts, about a day, for a share that WeChat says it is processing.
const PROCESSING_ATTEMPTS_MAX: u32 = 32;
/// Stands in the channel's bill beside a release.
const RELEASE: &str = "解冻剩余资金";
/// Sharings that one process takes at a time, and for how long.
const CLAIM: u32 = 32;
const LEASE_SECONDS: i64 = 60;

/// Does what is due for the sharing of an order: tells the channel, or asks. What is learnt is
/// noted. Whatever fails is tried again by a job.
///
/// Returns the sharing as it stands then; none when the order has none.
pub async fn reconcile_sharing(
    sharing: &Sharing,
    order: OrderId,
) -> Result<Option<PaymentShare>, DbError> {
    reconcile_begun(sharing, order, None).await
}

/// Reconciles a sharing whose first call is written down already.
pub(super) async fn reconcile_begun(
    sharing: &Sharing,
    order: OrderId,
    begun: Option<Attempt>,
) -> Result<Option<PaymentShare>, DbError> {
    let Some((share, parts)) = find_by_order(&sharing.payments.db, order).await? else {
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
            // Somebody else is at it.
            let Some(attempt) = attempt else {
                return Ok(Some(share));
            };
            let parts = parts.iter().map(to_share).collect();
            let call = call(share.id, parts);
            let told = send(&*channel, call, (share.attempts.count, attempt)).await;
            (share.id, told)
        }
        ShareState::Processing => (share.id, query(&*channel, &share, &payment).await),
        ShareState::Releasing { release } => {
            // What was refused for certain is asked about once more before the rest is released.
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

/// Asks again about a share of which parts are called failed. False: WeChat is still at one of
/// them, or does not say.
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

/// People are told of a sharing of which nothing comes, once until they have seen to it; and no
/// longer when it is done.
///
/// Whether they were told cannot be seen from the attempts: their count begins anew when WeChat
/// takes the share or refuses it, and before a sharing there is none, though that it does not begin
/// is told too. So whatever is done resolves the exception, if there is one: an index finds it by
/// the order.
async fn raise_if_stuck(sharing: &Sharing, share: &PaymentShare) -> Result<(), DbError> {
    let payments = &sharing.payments;
    let problem = share.attempts.problem.as_deref().unwrap_or_default();
    // That WeChat is still at it is no trouble for a day.
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

/// What the channel must be told of the payment.
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

/// Releases what is frozen. Another release under way does no harm: both let go of the same money.
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

/// A refusal proves only that this attempt did nothing; an earlier one may have. The query tells
/// what has landed by now, and [`super::calls`] what still may.
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

/// What became of a share that the channel has.
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

/// Queries a share that the channel does not have by our books. None: it does not have it.
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

/// Writes down that a share is asked for now. None: somebody else has since, or it is settled.
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
    /// Calls that were begun when this one was decided on.
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
    select: "/* sharing.due_sharings */ SELECT id, order_id FROM sharings WHERE next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ? FOR UPDATE SKIP LOCKED",
    codes: &[],
    update: "UPDATE /* sharing.claim_sharings */ sharings SET next_attempt_at = ",
    where_id: " WHERE id IN (",
};

/// Orders whose sharing is due, taken for a minute.
pub async fn claim_sharings(payments: &Payments) -> Result<Vec<OrderId>, DbError> {
    let time_scale = payments.time_scale;
    payments.db.run(ClaimSharings { time_scale }).await
}

#[derive(Debug)]
struct ClaimSharings {
    time_scale: TimeScale,
}

impl Work for ClaimSharings {
    const NAME: &'static str = "sharing.claim_sharings";
    type Reply = Vec<OrderId>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Self::Reply, DbError> {
        let now = tx.now();
        let due: Vec<(SharingId, OrderId)> = DUE
            .claim(
                tx,
                (now, self.time_scale.after(now, LEASE_SECONDS)),
                CLAIM,
                |(sharing, _): &(SharingId, OrderId)| *sharing.bytes(),
            )
            .await?;
        Ok(due.into_iter().map(|(_, order)| order).collect())
    }
}

/// The operation by itself, for tests that need no database.
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
