//! A payment as operators read it.

use serde::Serialize;

use crate::{
    payments::{Late, OrderWithMerchant},
    primitives::{CustomerId, MerchantId, OrderNo, Timestamp},
};

/// A payment with everything that its row knows.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = AdminPayment)]
pub struct PaymentView {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    pub order_no: OrderNo,
    /// `created`, `prepaid`, `paid`, `partly_refunded`, `refunded`, `closed` or `expired`.
    #[schema(example = "paid")]
    pub state: &'static str,
    #[schema(example = 1200)]
    pub amount_fen: i64,
    /// By every refund that counts against the order: awaiting approval, on its way, arrived.
    #[schema(example = 0)]
    pub refund_asked_fen: i64,
    /// What of it has come back to the customer.
    #[schema(example = 0)]
    pub refunded_fen: i64,
    /// What can still be asked back.
    #[schema(example = 1200)]
    pub refundable_fen: i64,
    /// WeChat says that somebody else refunded something, and not how much: nothing can be asked
    /// back before the number of that refund is stated.
    #[schema(example = false)]
    pub refund_unknown: bool,
    #[schema(value_type = String, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub merchant_id: MerchantId,
    #[schema(example = "老王面馆")]
    pub merchant_name: String,
    /// `null` while nobody has paid what the merchant shows.
    #[schema(value_type = Option<String>, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    pub customer_id: Option<CustomerId>,
    /// `mini_program` or `native`.
    #[schema(example = "mini_program")]
    pub method: &'static str,
    /// The collection code that was scanned, if one was.
    pub code: Option<String>,
    /// WeChat's number of the merchant when the order was made.
    #[schema(example = "1900000109")]
    pub sub_mchid: String,
    /// Whether others get something of it: `no`, `wanted`, `in_progress` or `done`.
    #[schema(example = "no")]
    pub sharing: &'static str,
    /// What it earned; `null` until it is paid. Credited unless `review` says otherwise.
    #[schema(example = 12)]
    pub points: Option<i64>,
    /// Of the points: `no`, `wanted` when it is paid, `open` (they are pending), `credited` or
    /// `voided`.
    #[schema(example = "no")]
    pub review: &'static str,
    /// The points rule that credited them.
    pub rule_version: Option<u32>,
    pub wechat_transaction_id: Option<String>,
    /// The callback that told of the payment; `null` when WeChat was asked.
    pub settled_by: Option<String>,
    /// When it was paid after it had been closed, what the policy did: `refunded` or `reopened`.
    pub late: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// After this it cannot be paid.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// By WeChat's clock.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// Counts the changes of the row.
    #[schema(example = 3)]
    pub version: u32,
}

impl From<&OrderWithMerchant> for PaymentView {
    fn from(view: &OrderWithMerchant) -> Self {
        let order = &view.order;
        let payment = order.state.payment();
        Self {
            order_no: order.no(),
            state: order.state.name(),
            amount_fen: order.amount.get(),
            refund_asked_fen: order.refunds.asked.get(),
            refunded_fen: order.refunds.done.get(),
            refundable_fen: order.refundable().get(),
            refund_unknown: order.refunds.unknown,
            merchant_id: order.merchant,
            merchant_name: view.merchant_name.clone(),
            customer_id: order.customer,
            method: order.method.name(),
            code: order.code.clone(),
            sub_mchid: order.sub_mchid.clone(),
            sharing: order.sharing.name(),
            points: payment.map(|payment| payment.points.get()),
            review: order.review.name(),
            rule_version: payment.map(|payment| payment.rule_version),
            wechat_transaction_id: payment.map(|payment| payment.wechat_transaction_id.clone()),
            settled_by: payment.and_then(|payment| payment.settled_by.map(|id| id.to_string())),
            late: payment.and_then(|payment| match payment.late {
                Late::No => None,
                Late::Refunded => Some("refunded"),
                Late::Reopened => Some("reopened"),
            }),
            created_at: order.created_at(),
            expires_at: order.expires_at,
            paid_at: payment.map(|payment| payment.paid_at),
            closed_at: order.state.closed_at(),
            version: order.version,
        }
    }
}
