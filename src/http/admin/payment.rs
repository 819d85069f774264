//! Payments as operators see them: [`PaymentView`](crate::payments::PaymentView), and whose they
//! are.

use crate::{
    app::App,
    http::{extract::Operator, problem::Problem},
    payments::{self, OrderWithMerchant, PaymentError},
    primitives::OrderNo,
};

/// The order, if it is of the operator's tenant: another's does not exist.
pub(super) async fn get_order(
    app: &App,
    operator: Operator,
    order_no: OrderNo,
) -> Result<OrderWithMerchant, Problem> {
    let view = payments::find_order(app.db(), operator.tenant, order_no.id()).await?;
    Ok(view.ok_or(PaymentError::OrderNotFound)?)
}
