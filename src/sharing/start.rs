//! Starts the sharing of a payment: computes its parts and books them before the channel is called.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Calls, Due, Part, PartState, PaymentShare, ShareState, Sharing, SharingRule,
    amounts::allot,
    booking::book_sent,
    calls::Attempt,
    due::{drop_due, postpone_due},
    find_rule,
    rule::RulePart,
    store::{PartsOf, Shares},
    submit_share::reconcile_begun,
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::LedgerError,
    payments::{
        Attempts, ChangeReason, ChannelOutcome, Order, OrderSharing, Orders, Policy, RefusalKind,
        TimeScale, booking::put_order, find_order, look_for_others, note_short_sharing,
        note_stuck_sharing,
    },
    primitives::{Lane, Money, OrderId, SharingId, SharingPartId, TenantId},
};

/// Seconds after which a job takes over if this process has died before the call: longer than a
/// call and the query after it take.
const TAKE_OVER_SECONDS: i64 = 60;
/// Seconds that a paid order may wait to be shared before an exception is raised.
const DUE_SECONDS_MAX: i64 = 86_400;
/// Bounds of the seconds until the next try, which are a tenth of the time waited.
const LATER_MIN: i64 = 30;
const LATER_MAX: i64 = 3_600;

/// Starts a due sharing, and calls the channel. One that cannot be started now is tried again when
/// its claim runs out.
pub async fn start_sharing(sharing: &Sharing, due: Due) -> Result<(), DbError> {
    let payments = &sharing.payments;
    let view = find_order(&payments.db, due.tenant, due.order).await?;
    let Some(order) = view.map(|view| view.order) else {
        return drop_due(&payments.db, due.order).await;
    };
    let Some(payment) = order.state.payment() else {
        return drop_due(&payments.db, due.order).await;
    };
    if order.refunds.unknown {
        // Nothing is shared until it is known how much was refunded elsewhere.
        tracing::info!(order.no = %order.no(), "a payment is not shared while nobody knows what was refunded elsewhere");
        return Ok(());
    }
    let channel = sharing.channels.of(due.tenant);
    let left = match channel.left_to_share(&payment.wechat_transaction_id).await {
        ChannelOutcome::Done(left) => left,
        ChannelOutcome::Refused(refusal) if refusal.kind == RefusalKind::RateLimited => {
            return later(sharing, due, &order, &refusal.code).await;
        }
        // The channel does not know the payment, or will not say; the share itself brings that to
        // light.
        ChannelOutcome::Refused(refusal) => {
            tracing::warn!(order.no = %order.no(), code = refusal.code, "WeChat does not say what can be shared");
            order.amount
        }
        ChannelOutcome::Unknown(reason) => {
            return later(sharing, due, &order, &reason).await;
        }
    };
    let operation = StartSharing {
        tenant: due.tenant,
        order: due.order,
        rule: find_rule(&payments.db, due.tenant, order.merchant).await?,
        policy: payments.policies.current(due.tenant).await?,
        left,
        time_scale: payments.time_scale,
    };
    let wanted = operation.wanted(&order);
    if left < wanted {
        if look_for_others(payments, due.tenant, due.order).await? {
            tracing::warn!(order.no = %order.no(), "a payment is not shared: others refunded it");
            return Ok(());
        }
        let detail = format!(
            "WeChat lets {} fen be shared of it where {} are due to the receivers",
            left.get(),
            wanted.get()
        );
        note_short_sharing(payments, &order, detail).await?;
    }
    match payments.db.submit(operation).await {
        Ok(Started::Now(attempt)) => {
            reconcile_begun(sharing, due.tenant, due.order, attempt).await?;
        }
        Ok(Started::Before | Started::NotWanted) => {}
        Err(SubmitError::Db(error)) => return Err(error),
        Err(SubmitError::Refused(refusal)) => {
            tracing::error!(order.no = %order.no(), reason = %refusal, "the ledger refused a sharing");
            return Err(DbError::Inconsistent("the ledger refused a sharing"));
        }
    }
    drop_due(&payments.db, due.order).await
}

/// Postpones the start. The pause grows with the time waited, and after a day an exception is
/// raised.
async fn later(sharing: &Sharing, due: Due, order: &Order, reason: &str) -> Result<(), DbError> {
    tracing::info!(order.no = %order.no(), reason, "a payment cannot be shared now");
    let payments = &sharing.payments;
    let paid_at = order.state.payment().map(|payment| payment.paid_at);
    let now = payments.db.now();
    let waits = paid_at.map_or(0, |at| now.seconds().saturating_sub(at.seconds()));
    if waits >= DUE_SECONDS_MAX {
        let detail = format!("it is not known what of it can be shared: {reason}");
        note_stuck_sharing(payments, order.tenant, order.id, detail).await?;
    }
    postpone_due(
        payments,
        due.order,
        (waits / 10).clamp(LATER_MIN, LATER_MAX),
    )
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Started {
    /// The first call, which is recorded in the same commit; none if nothing is shared.
    Now(Option<Attempt>),
    Before,
    NotWanted,
}

#[derive(Debug, Clone)]
struct StartSharing {
    tenant: TenantId,
    order: OrderId,
    /// The rule in force, if any.
    rule: Option<SharingRule>,
    policy: Arc<Policy>,
    /// What the channel allows to be shared.
    left: Money,
    time_scale: TimeScale,
}

impl StartSharing {
    /// Returns what the receivers are to get, going by the refunds in the books.
    fn wanted(&self, order: &Order) -> Money {
        let base = order.amount.saturating_sub(order.refunds.asked);
        let net = base.saturating_sub(self.policy.fee(base));
        let ratios: Vec<u32> = self.shares().map(|share| share.ratio_ppm).collect();
        allot(net, net, &ratios)
            .into_iter()
            .fold(Money::ZERO, |sum, part| {
                sum.checked_add(part).unwrap_or(sum)
            })
    }

    fn shares(&self) -> impl Iterator<Item = &RulePart> {
        let active = self.rule.iter().filter(|rule| rule.active);
        active.flat_map(|rule| &rule.parts)
    }

    /// Returns the parts of the base.
    fn parts(&self, cx: &Cx<'_>, lane: Lane, base: Money) -> BTreeMap<SharingPartId, Part> {
        let shares: Vec<&RulePart> = self.shares().collect();
        let ratios: Vec<u32> = shares.iter().map(|share| share.ratio_ppm).collect();
        let net = base.saturating_sub(self.policy.fee(base));
        shares
            .into_iter()
            .zip(allot(net, self.left, &ratios))
            .filter(|(_, amount)| !amount.is_zero())
            .map(|(share, amount)| {
                let part = Part {
                    id: SharingPartId::new(cx.new_id(lane)),
                    receiver: share.receiver,
                    kind: share.kind,
                    account: share.account.clone(),
                    name_masked: share.name_masked.clone(),
                    amount,
                    description: share.description.clone(),
                    state: PartState::Pending,
                    fail_reason: None,
                    returned: Money::ZERO,
                    late: false,
                };
                (part.id, part)
            })
            .collect()
    }

    fn start(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
    ) -> Result<Option<Attempt>, LedgerError> {
        let lane = order.id.lane();
        let base = order.amount.saturating_sub(order.refunds.asked);
        let parts = self.parts(cx, lane, base);
        let state = if parts.is_empty() {
            ShareState::Releasing {
                release: SharingId::new(cx.new_id(lane)),
            }
        } else {
            ShareState::Asked
        };
        let mut calls = Calls::default();
        let attempt = (state == ShareState::Asked).then(|| calls.begin(cx.now(), self.time_scale));
        let active = self.rule.as_ref().filter(|rule| rule.active);
        let share = PaymentShare {
            id: SharingId::new(cx.new_id(lane)),
            tenant: order.tenant,
            order: order.id,
            merchant: order.merchant,
            rule_version: active.map(|rule| rule.version),
            base,
            asked_before: order.refunds.asked,
            version: 1,
            state,
            wechat_order_id: None,
            returning: None,
            attempts: Attempts {
                count: 0,
                unsure: false,
                problem: None,
                detail: None,
                next_at: Some(self.time_scale.after(cx.now(), TAKE_OVER_SECONDS)),
            },
            calls,
            stopped: false,
        };
        if !parts.is_empty() {
            book_sent(set, cx, &share, parts.values())?;
            set.put::<PartsOf>(share.id, parts);
        }
        set.put::<Shares>(order.id, share);
        put_order(
            set,
            cx,
            order.share(OrderSharing::InProgress),
            ChangeReason::Sharing,
            None,
        );
        Ok(attempt)
    }
}

impl Operation for StartSharing {
    type Reply = Started;
    type Refusal = LedgerError;
    const NAME: &'static str = "sharing.start";

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Orders>(self.order);
        want.row::<Shares>(self.order);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Started, LedgerError> {
        if set.get::<Shares>(self.order).is_some() {
            return Ok(Started::Before);
        }
        let order = set.get::<Orders>(self.order).cloned();
        let Some(order) = order.filter(|order| {
            order.tenant == self.tenant
                && order.sharing == OrderSharing::Wanted
                && order.state.payment().is_some()
        }) else {
            return Ok(Started::NotWanted);
        };
        self.start(set, cx, &order).map(Started::Now)
    }
}

/// Starts a sharing in memory, for tests without a database.
#[cfg(test)]
pub(super) fn start_in_memory(
    memory: &mut crate::db::batch::memory::Memory,
    now: crate::primitives::Timestamp,
    (tenant, order, left): (TenantId, OrderId, Money),
    (rule, policy): (Option<SharingRule>, Arc<Policy>),
) -> Option<Attempt> {
    let operation = StartSharing {
        tenant,
        order,
        rule,
        policy,
        left,
        time_scale: TimeScale::default(),
    };
    match memory.decide(now, &operation) {
        Ok(Started::Now(attempt)) => attempt,
        other => panic!("{order} is not shared: {other:?}"),
    }
}
