//! A payment as the shop sees it.

use serde::Serialize;

use crate::{
    payments::{OrderState, OrderView},
    primitives::{OrderNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ShopPayment {
    #[schema(value_type = String, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: OrderNo,
    /// `created`, `prepaid`, `paid` or `closed`.
    #[schema(example = "paid")]
    state: &'static str,
    #[schema(example = 1200)]
    amount_fen: i64,
    /// The collection code that was scanned.
    #[schema(example = "7ZK3M9Q2W8XA")]
    code: String,
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
}

impl From<OrderView> for ShopPayment {
    fn from(OrderView { order, .. }: OrderView) -> Self {
        let payment = Self {
            order_no: order.no(),
            state: order.state.name(),
            amount_fen: order.amount.get(),
            created_at: order.created_at(),
            code: order.code,
            points: None,
            wechat_transaction_id: None,
            paid_at: None,
            closed_at: None,
        };
        match order.state {
            OrderState::Created | OrderState::Prepaid { .. } => payment,
            OrderState::Closed { closed_at } => Self {
                closed_at: Some(closed_at),
                ..payment
            },
            OrderState::Paid {
                paid_at,
                wechat_transaction_id,
                points,
                rule_version: _,
            } => Self {
                points: Some(points.get()),
                wechat_transaction_id: Some(wechat_transaction_id),
                paid_at: Some(paid_at),
                ..payment
            },
        }
    }
}
