//! Closing an order: never before WeChat was asked, because somebody may be paying it at this
//! moment.
//!
//! ```text
//! query ── paid ──────────────▶ settle
//!   │
//!   └─ not paid ▶ close at WeChat ── done, or closed before ─▶ closed here
//!                        │
//!                        ├─ paid after all ─▶ query ▶ settle
//!                        └─ no answer, or somebody is entering the password ─▶ later
//! ```
//!
//! The one exception is a person's: WeChat refuses to say anything of an order whose time is over,
//! an exception says so (`order_stuck`), and an operator who has looked at WeChat closes it. At
//! WeChat it cannot be paid any more, since its time was sent there with the order; was it paid
//! before, the money comes to light as a late payment.

use super::{
    Applied, ChangeReason, ChannelOutcome, ExceptionKind, Order, PaymentError, Payments,
    RefusalKind,
    booking::put_order,
    exception::exceptions_of,
    list::get_order,
    query_order::{OrderQuery, query_order},
    query_problem::note_order_answer,
    store::Orders,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Cx, Operation, Wanted, WorkingSet},
    primitives::{Lane, OrderId, TenantId},
};

/// Who closes it.
#[derive(Debug, Clone)]
pub enum CloseBy {
    Customer,
    Merchant(Actor),
    Operator(Actor),
    /// Its time is over.
    Time,
    /// Its merchant collects nothing any more.
    Suspension,
}

/// Closes an order, or finds it paid. Either way the order as it stands then is the answer.
pub async fn close_payment(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
    by: CloseBy,
) -> Result<Order, PaymentError> {
    let closed = close(payments, tenant, order, by).await;
    note_order_answer(payments, (tenant, order), &closed).await;
    closed
}

/// Closes an order for the job, which records the result of the query itself.
pub(super) async fn close(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
    by: CloseBy,
) -> Result<Order, PaymentError> {
    let known = get_order(&payments.db, tenant, order).await?;
    if !known.is_open() {
        return Ok(known);
    }
    let found = match query_order(payments, &known).await {
        Err(PaymentError::ChannelRefused(code)) => {
            if let CloseBy::Operator(actor) = by
                && may_close_unconfirmed(payments, &known).await?
            {
                tracing::warn!(order.no = %known.no(), code, "an order is closed of which WeChat says nothing");
                return close_locally(payments, &known, ChangeReason::Operator, Some(actor)).await;
            }
            return Err(PaymentError::ChannelRefused(code));
        }
        found => found?,
    };
    match found {
        OrderQuery::Settled => return get_order(&payments.db, tenant, order).await,
        OrderQuery::Closed => {
            return close_locally(payments, &known, ChangeReason::ClosedAtWechat, None).await;
        }
        OrderQuery::Open => {}
    }
    let channel = payments.channels.of(tenant);
    match channel.close(known.no(), &known.sub_mchid).await {
        ChannelOutcome::Done(()) => {}
        ChannelOutcome::Refused(refusal) => match refusal.kind {
            // WeChat never heard of it, or has closed it: it cannot be paid there.
            RefusalKind::Closed | RefusalKind::Absent => {}
            RefusalKind::AlreadyPaid => {
                return match query_order(payments, &known).await? {
                    OrderQuery::Settled => get_order(&payments.db, tenant, order).await,
                    OrderQuery::Closed | OrderQuery::Open => Err(PaymentError::ChannelUnknown(
                        "it calls the order paid, and not paid when it is asked".to_owned(),
                    )),
                };
            }
            RefusalKind::RateLimited => return Err(PaymentError::PaymentInProgress(known.no())),
            RefusalKind::NotEnough | RefusalKind::Conflict | RefusalKind::Rejected => {
                return Err(PaymentError::ChannelRefused(refusal.code));
            }
        },
        ChannelOutcome::Unknown(reason) => return Err(PaymentError::ChannelUnknown(reason)),
    }
    let (why, actor) = match by {
        CloseBy::Customer => (ChangeReason::Customer, None),
        CloseBy::Merchant(actor) => (ChangeReason::Merchant, Some(actor)),
        CloseBy::Operator(actor) => (ChangeReason::Operator, Some(actor)),
        CloseBy::Time => (ChangeReason::Expiry, None),
        CloseBy::Suspension => (ChangeReason::MerchantSuspended, None),
    };
    close_locally(payments, &known, why, actor).await
}

/// Whether an operator may close the order although WeChat refuses to state its status.
async fn may_close_unconfirmed(payments: &Payments, order: &Order) -> Result<bool, PaymentError> {
    if order.expires_at > payments.db.now() {
        return Ok(false);
    }
    let exceptions = exceptions_of(&payments.db, order.tenant, order.id).await?;
    let stuck = ExceptionKind::OrderStuck.name();
    Ok(exceptions.iter().any(|exception| exception.kind == stuck))
}

/// Closed here, whatever for. An order that was paid in the meantime stays paid.
pub(super) async fn close_locally(
    payments: &Payments,
    order: &Order,
    why: ChangeReason,
    actor: Option<Actor>,
) -> Result<Order, PaymentError> {
    let operation = CloseOrder {
        order: order.id,
        why,
        actor,
    };
    Ok(payments.db.submit(operation).await?)
}

#[derive(Debug)]
struct CloseOrder {
    order: OrderId,
    why: ChangeReason,
    actor: Option<Actor>,
}

impl Operation for CloseOrder {
    type Reply = Order;
    type Refusal = PaymentError;
    const NAME: &'static str = "payments.close";

    fn lane(&self) -> Lane {
        self.order.lane()
    }

    fn rows(&self, want: &mut Wanted, _set: &WorkingSet) {
        want.row::<Orders>(self.order);
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Order, PaymentError> {
        let order = set
            .get::<Orders>(self.order)
            .cloned()
            .ok_or(PaymentError::OrderNotFound)?;
        let outcome = if self.why == ChangeReason::Expiry {
            order.expire(cx.now())
        } else {
            order.close(cx.now())
        };
        match outcome {
            Ok(Applied::Now(closed)) => {
                if let Some(actor) = &self.actor {
                    let (tenant, action) = (closed.tenant, AuditAction::PaymentClosed);
                    audit::note(set, cx, tenant, actor, action, &closed.no());
                }
                put_order(set, cx, closed.clone(), self.why, self.actor.as_ref());
                Ok(closed)
            }
            Ok(Applied::Before) => Ok(order),
            // It was paid in the meantime.
            Err(refused) if refused.from.is_paid() => Ok(order),
            Err(refused) => Err(refused.into()),
        }
    }
}
