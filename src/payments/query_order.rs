//! Asking WeChat about an order, and acting on what it says.

use super::{
    ChannelOrder, ChannelOutcome, Order, PaidNotice, PaymentError, Payments, SettleOutcome,
    list::{find_order, get_order},
    settle::settle,
};
use crate::{
    db::DbError,
    primitives::{OrderId, OrderNo, TenantId},
};

/// What a query found, after it was acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderQuery {
    Settled,
    /// At WeChat, not here.
    Closed,
    Open,
}

/// Asks WeChat, and settles what it says through the same operation as a callback would.
pub(super) async fn query_order(
    payments: &Payments,
    order: &Order,
) -> Result<OrderQuery, PaymentError> {
    let channel = payments.channels.of(order.tenant);
    let answer: (PaidNotice, bool) = match channel.query(order.no(), &order.sub_mchid).await {
        ChannelOutcome::Done(ChannelOrder::Paid { notice, refunded }) => (notice, refunded),
        ChannelOutcome::Done(ChannelOrder::NotPaid(_) | ChannelOrder::Absent) => {
            return Ok(OrderQuery::Open);
        }
        ChannelOutcome::Done(ChannelOrder::Closed) => return Ok(OrderQuery::Closed),
        ChannelOutcome::Refused(refusal) => return Err(PaymentError::ChannelRefused(refusal.code)),
        ChannelOutcome::Unknown(reason) => return Err(PaymentError::ChannelUnknown(reason)),
    };
    match settle(payments, order.tenant, answer, None).await? {
        SettleOutcome::Now { .. } | SettleOutcome::Before | SettleOutcome::PayerNeeded => {
            Ok(OrderQuery::Settled)
        }
        SettleOutcome::Rejected(reason) => {
            tracing::error!(order.no = %order.no(), reason, "WeChat's answer to a query is wrong: {reason}");
            Err(PaymentError::AnswerMismatch(reason))
        }
    }
}

/// WeChat refuses a refund of ours, or lets less be shared than is there: others may have refunded
/// the order. It is asked about, and what it says is noted. True when something of the order is
/// gone and nobody knows how much.
pub(crate) async fn look_for_others(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
) -> Result<bool, DbError> {
    let Some(view) = find_order(&payments.db, tenant, order).await? else {
        return Ok(false);
    };
    // One of ours explains it.
    if !view.order.refunds.asked.is_zero() || !view.order.state.kind().is_paid() {
        return Ok(view.order.refunds.unknown);
    }
    if let Err(error) = query_order(payments, &view.order).await {
        tracing::warn!(order.no = %view.order.no(), reason = %error, "an order of which others may have refunded something cannot be asked about now");
    }
    let now = find_order(&payments.db, tenant, order).await?;
    Ok(now.is_some_and(|view| view.order.refunds.unknown))
}

/// Their refund's notice came before our payment's: what WeChat says of the order, booked. True
/// when the order is paid now.
pub(super) async fn settle_payment_first(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
) -> bool {
    let asked = async {
        let known = get_order(&payments.db, tenant, order).await?;
        query_order(payments, &known).await
    };
    match asked.await {
        Ok(OrderQuery::Settled) => true,
        Ok(found @ (OrderQuery::Closed | OrderQuery::Open)) => {
            tracing::error!(order.no = %OrderNo::from(order), ?found, "WeChat tells of a refund of an order that it does not call paid");
            false
        }
        Err(error) => {
            tracing::warn!(order.no = %OrderNo::from(order), reason = %error, "an order whose refund was told cannot be asked about now");
            false
        }
    }
}
