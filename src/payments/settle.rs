//! Settling: order paid + money to the shop + points to the customer, in one commit, exactly once.

use super::{
    Applied, Order, OrderState, PaidNotice, Payments,
    store::{AlarmRow, Alarms, CallbackRow, Callbacks, Orders},
};
use crate::{
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    ledger::{self, Account, Accounts, Draft, LedgerError},
    outbox::{self, Event},
    points::{Budget, Budgets, Rule},
    primitives::{
        AccountId, AccountKind, EntryId, EntryKind, Id, Lane, Money, OrderId, OrderNo, Points,
        TenantId,
    },
};
use std::sync::Arc;

/// The channel says that an order is paid, by callback or by query.
#[derive(Debug)]
pub struct SettlePayment {
    tenant: TenantId,
    notice: PaidNotice,
    order: Option<OrderId>,
    /// Whether the notice speaks of our own merchant number and mini-program.
    ours: bool,
    rule: Arc<Rule>,
    /// The callback as received; none for a query.
    callback: Option<(Id, bytes::Bytes)>,
}

/// What became of the channel's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Money and points are in the books, now.
    Now { points: Points },
    /// They were before.
    Before,
    /// Soundly signed and still wrong: stored with an alarm, nothing credited. The word is stable.
    Rejected(&'static str),
}

/// Settles what the channel says, by callback or by query, under the rule in force.
pub(super) async fn settle(
    payments: &Payments,
    tenant: TenantId,
    notice: PaidNotice,
    callback: Option<(Id, bytes::Bytes)>,
) -> Result<Settled, DbError> {
    let rule = payments.rules.current(tenant).await?;
    let ours = payments.gateway.is_ours(&notice);
    let operation = SettlePayment::new(tenant, notice, ours, rule, callback);
    payments
        .db
        .submit(operation)
        .await
        .map_err(|error| match error {
            SubmitError::Db(error) => error,
            SubmitError::Refused(refusal) => {
                tracing::error!(reason = %refusal, "the ledger refused a settlement");
                DbError::Inconsistent("the ledger refused a settlement")
            }
        })
}

impl SettlePayment {
    pub fn new(
        tenant: TenantId,
        notice: PaidNotice,
        ours: bool,
        rule: Arc<Rule>,
        callback: Option<(Id, bytes::Bytes)>,
    ) -> Self {
        let order = notice
            .out_trade_no
            .parse::<OrderNo>()
            .ok()
            .map(OrderNo::order_id);
        Self {
            tenant,
            notice,
            order,
            ours,
            rule,
            callback,
        }
    }

    /// Everything of `wechatpay-facts` 12.7 that the order can tell.
    fn objection(&self, order: Option<&Order>) -> Option<&'static str> {
        let Some(order) = order.filter(|order| order.tenant == self.tenant) else {
            return Some("unknown_order");
        };
        if !self.ours {
            return Some("wrong_platform");
        }
        if order.sub_mchid != self.notice.sub_mchid {
            return Some("wrong_merchant");
        }
        if !is_plain(&self.notice.wechat_transaction_id, 32) {
            return Some("strange_transaction_id");
        }
        if self.notice.currency != "CNY" {
            return Some("wrong_currency");
        }
        if order.amount != self.notice.amount {
            return Some("wrong_amount");
        }
        match &order.state {
            OrderState::Closed { .. } => Some("paid_after_close"),
            OrderState::Paid {
                wechat_transaction_id,
                ..
            } if *wechat_transaction_id != self.notice.wechat_transaction_id => Some("paid_twice"),
            OrderState::Created | OrderState::Prepaid { .. } | OrderState::Paid { .. } => None,
        }
    }

    fn points_account(order: &Order) -> AccountId {
        AccountId::customer_points(order.customer)
    }

    fn budget(&self) -> Option<(TenantId, u32)> {
        self.rule
            .terms
            .total_cap
            .map(|_| (self.tenant, self.rule.version))
    }

    /// What the customer is credited, after caps; counts it on the account and the budget.
    fn earn(
        &self,
        set: &mut WorkingSet,
        cx: &Cx<'_>,
        order: &Order,
    ) -> Result<Points, LedgerError> {
        let overflow = |_| LedgerError::Overflow;
        let terms = &self.rule.terms;
        let id = Self::points_account(order);
        let account = set
            .get::<Accounts>(id)
            .copied()
            .unwrap_or(Account::empty(self.tenant));
        let today = account.earned_on.map_or(cx.now().business_day(), |day| {
            day.max(cx.now().business_day())
        });
        let earned_today = if account.earned_on == Some(today) {
            account.earned_points
        } else {
            Points::ZERO
        };
        let budget = self.budget().map(|key| {
            (
                key,
                set.get::<Budgets>(key).copied().unwrap_or(Budget {
                    granted: Points::ZERO,
                    version: 0,
                }),
            )
        });
        let granted = budget.map_or(Points::ZERO, |(_, budget)| budget.granted);
        let credited = terms.capped(terms.earn(order.amount), earned_today, granted);
        if credited.is_zero() {
            return Ok(credited);
        }
        let earned_points = earned_today.checked_add(credited).map_err(overflow)?;
        set.put::<Accounts>(
            id,
            Account {
                earned_on: Some(today),
                earned_points,
                ..account
            },
        );
        if let Some((key, budget)) = budget {
            let granted = budget.granted.checked_add(credited).map_err(overflow)?;
            set.put::<Budgets>(
                key,
                Budget {
                    granted,
                    version: budget.version.saturating_add(1),
                },
            );
        }
        Ok(credited)
    }

    fn settle(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
    ) -> Result<Settled, LedgerError> {
        let points = self.earn(set, cx, order)?;
        let PaidNotice {
            wechat_transaction_id,
            paid_at,
            ..
        } = &self.notice;
        let paid = match order.pay(wechat_transaction_id, *paid_at, points, self.rule.version) {
            Ok(Applied::Now(paid)) => paid,
            Ok(Applied::Before) | Err(_) => return Ok(Settled::Before),
        };
        let drafts = settlement(&paid, points, &self.rule, cx);
        let entry = EntryId::of(paid.id.id(), EntryKind::Settlement);
        let legs = if points.is_zero() {
            &drafts[..1]
        } else {
            &drafts[..]
        };
        ledger::post(set, self.tenant, entry, legs, cx.now())?;
        let event = Event::PaymentSettled {
            order: paid.id,
            tenant: paid.tenant,
            version: paid.version,
            merchant: paid.merchant,
            amount: paid.amount,
            points,
            paid_at: *paid_at,
        };
        outbox::tell(cx, &event);
        set.put::<Orders>(paid.id, paid);
        self.store_callback(set, cx, 1);
        Ok(Settled::Now { points })
    }

    fn store_callback(&self, set: &mut WorkingSet, cx: &Cx<'_>, outcome: u8) {
        if let Some((id, body)) = &self.callback {
            let row = CallbackRow {
                tenant: self.tenant,
                outcome,
                received_at: cx.now(),
                body: body.clone(),
            };
            set.put::<Callbacks>(*id, row);
        }
    }
}

/// WeChat's numbers are short and plain; anything else is not one.
pub(super) fn is_plain(text: &str, length_max: usize) -> bool {
    let plain = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
    (1..=length_max).contains(&text.len()) && text.bytes().all(plain)
}

/// Dr channel receivable / Cr merchant payable; Dr points issued / Cr customer points.
fn settlement(order: &Order, points: Points, rule: &Rule, cx: &Cx<'_>) -> [Draft; 2] {
    let tenant_account = |kind| AccountId::of_tenant(order.tenant, kind);
    [
        Draft::posted(
            tenant_account(AccountKind::ChannelReceivable),
            AccountId::merchant_payable(order.merchant),
            Money::get(order.amount),
        ),
        Draft::posted(
            tenant_account(AccountKind::PointsIssued),
            AccountId::customer_points(order.customer),
            points.get(),
        )
        .expiring(rule.terms.expires_on(cx.now().business_day())),
    ]
}

impl Operation for SettlePayment {
    type Reply = Settled;
    type Refusal = LedgerError;
    const NAME: &'static str = "payments.settle";
    const URGENT: bool = true;

    fn lane(&self) -> Lane {
        self.order.map_or(Lane(0), |order| order.lane())
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(id) = self.order {
            want.row::<Orders>(id);
            if set.has_loaded::<Orders>(id)
                && let Some(order) = set.get::<Orders>(id)
            {
                want.row::<Accounts>(Self::points_account(order));
            }
        }
        if let Some(budget) = self.budget() {
            want.row::<Budgets>(budget);
        }
        // An alarm is raised once however often WeChat repeats itself. Rare, but known only after the order is.
        if let Some((id, _)) = &self.callback
            && self
                .order
                .is_none_or(|order| set.has_loaded::<Orders>(order))
            && self
                .objection(self.order.and_then(|order| set.get::<Orders>(order)))
                .is_some()
        {
            want.row::<Alarms>(*id);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Settled, LedgerError> {
        let order = self.order.and_then(|id| set.get::<Orders>(id)).cloned();
        if let Some(reason) = self.objection(order.as_ref()) {
            if let Some((id, _)) = &self.callback
                && set.get::<Alarms>(*id).is_none()
            {
                set.put::<Alarms>(
                    *id,
                    AlarmRow::new(self.tenant, reason, &self.notice, cx.now()),
                );
                self.store_callback(set, cx, 3);
            }
            return Ok(Settled::Rejected(reason));
        }
        match order {
            Some(order)
                if matches!(
                    order.state,
                    OrderState::Created | OrderState::Prepaid { .. }
                ) =>
            {
                self.settle(set, cx, &order)
            }
            Some(_) | None => Ok(Settled::Before),
        }
    }
}
