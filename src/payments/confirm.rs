//! Asking WeChat what became of an order: when the customer's phone says "paid" and no callback has come.

use super::{
    ChannelOrder, Order, OrderState, Outcome, PaymentError, Payments, Settled, list, settle::settle,
};
use crate::primitives::{OrderId, TenantId};

/// The order as WeChat knows it. Settles it through the same operation as a callback would.
pub async fn confirm(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
) -> Result<Order, PaymentError> {
    let found = list::find_order(&payments.db, tenant, order).await?;
    let known = found.ok_or(PaymentError::OrderNotFound)?.order;
    if matches!(
        known.state,
        OrderState::Paid { .. } | OrderState::Closed { .. }
    ) {
        return Ok(known);
    }
    let notice = match payments.gateway.query(known.no(), &known.sub_mchid).await {
        Outcome::Done(ChannelOrder::Paid(notice)) => notice,
        Outcome::Done(ChannelOrder::NotPaid(_) | ChannelOrder::Absent) => return Ok(known),
        Outcome::Refused(refusal) => return Err(PaymentError::ChannelRefused(refusal.code)),
        Outcome::Unknown(_) => return Err(PaymentError::ChannelUnknown),
    };
    match settle(payments, tenant, notice, None).await? {
        Settled::Now { .. } | Settled::Before => {}
        Settled::Rejected(reason) => {
            tracing::error!(order.no = %known.no(), reason, "WeChat's answer to a query is wrong: {reason}");
            return Err(PaymentError::ChannelRefused(reason.to_owned()));
        }
    }
    let settled = list::find_order(&payments.db, tenant, order).await?;
    Ok(settled.ok_or(PaymentError::OrderNotFound)?.order)
}
