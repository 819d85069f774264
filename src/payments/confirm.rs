//! Asking WeChat what became of an order: when the customer's phone says "paid" and no callback has
//! come.

use super::{
    ChangeReason, Order, PaymentError, Payments,
    close::close_locally,
    list::get_order,
    query_order::{OrderQuery, query_order},
    query_problem::note_order_answer,
};
use crate::primitives::{OrderId, TenantId};

/// The order as WeChat knows it. Settles it through the same operation as a callback would; closes
/// it if WeChat did.
pub async fn confirm(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
) -> Result<Order, PaymentError> {
    let known = get_order(&payments.db, tenant, order).await?;
    if known.state.kind().is_paid() {
        return Ok(known);
    }
    ask_about(payments, known).await
}

/// Confirms an order for an operator, who may ask about a paid order, too: others may have refunded
/// it.
pub async fn confirm_for_operator(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
) -> Result<Order, PaymentError> {
    let known = get_order(&payments.db, tenant, order).await?;
    ask_about(payments, known).await
}

async fn ask_about(payments: &Payments, known: Order) -> Result<Order, PaymentError> {
    let (tenant, order) = (known.tenant, known.id);
    let found = match query_order(payments, &known).await {
        Ok(OrderQuery::Settled) => get_order(&payments.db, tenant, order).await,
        Ok(OrderQuery::Closed) if known.is_open() => {
            close_locally(payments, &known, ChangeReason::ClosedAtWechat, None).await
        }
        Ok(OrderQuery::Closed | OrderQuery::Open) => Ok(known),
        Err(error) => Err(error),
    };
    note_order_answer(payments, (tenant, order), &found).await;
    found
}
