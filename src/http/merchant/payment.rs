//! A payment as the merchant sees it.

use serde::Serialize;

use crate::{
    app::App,
    http::{extract::Staff, problem::Problem},
    payments::{self, OrderWithMerchant, PaymentError},
    primitives::{OrderNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct MerchantPayment {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    /// `created`, `prepaid`, `paid`, `partly_refunded`, `refunded`, `closed` or `expired`.
    #[schema(example = "paid")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    /// What of it has come back to the customer.
    #[schema(example = 0)]
    refunded_fen: i64,
    /// What can still be refunded, less what was asked for already.
    #[schema(example = 1200)]
    refundable_fen: i64,
    /// Something was refunded elsewhere, and how much is not known yet: nothing can be refunded
    /// before it is.
    #[schema(example = false)]
    refund_unknown: bool,
    /// `mini_program` or `native`.
    #[schema(example = "mini_program")]
    method: &'static str,
    /// The collection code that was scanned, if one was.
    #[schema(example = "7ZK3M9Q2W8XA")]
    code: Option<String>,
    /// What the customer was credited; `null` until it is paid.
    #[schema(example = 12)]
    points: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wechat_transaction_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    paid_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    /// After this it cannot be paid.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<OrderWithMerchant> for MerchantPayment {
    fn from(OrderWithMerchant { order, .. }: OrderWithMerchant) -> Self {
        let payment = order.state.payment();
        Self {
            order_no: order.no(),
            state: order.state.name(),
            method: order.method.name(),
            amount_fen: order.amount.get(),
            refunded_fen: order.refunds.done.get(),
            refundable_fen: order.refundable().get(),
            refund_unknown: order.refunds.unknown,
            created_at: order.created_at(),
            points: payment.map(|_| order.credited_points().get()),
            wechat_transaction_id: payment.map(|payment| payment.wechat_transaction_id.clone()),
            paid_at: payment.map(|payment| payment.paid_at),
            closed_at: order.state.closed_at(),
            expires_at: order.expires_at,
            code: order.code,
        }
    }
}

/// The order, if it is the merchant's: another's does not exist.
pub(super) async fn own_order(
    app: &App,
    staff: Staff,
    order_no: OrderNo,
) -> Result<OrderWithMerchant, Problem> {
    let view = payments::find_order(app.db(), staff.tenant, order_no.id()).await?;
    let own = view.filter(|view| view.order.merchant == staff.merchant);
    Ok(own.ok_or(PaymentError::OrderNotFound)?)
}
