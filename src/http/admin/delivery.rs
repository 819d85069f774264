//! A delivery as operators see it.

use serde::Serialize;

use crate::{
    deliveries::{Delivery, DeliveryKind, DeliveryState},
    primitives::{OrderNo, RefundNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DeliveryItem {
    #[schema(example = "dl_019a8b3e5c5f7a0e8b6f1d2c3e4f2a01")]
    id: String,
    #[schema(inline)]
    kind: DeliveryKind,
    #[schema(inline)]
    state: DeliveryState,
    #[schema(value_type = String, example = "06D8PFJWBXX0X2VFRT4SWKSA")]
    order_no: OrderNo,
    /// Of a refund message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    refund_no: Option<RefundNo>,
    /// Paid or refunded.
    #[schema(example = 1280)]
    amount_fen: i64,
    /// Since it was planned or retried.
    #[schema(example = 1)]
    attempts: u32,
    /// Of a pending one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// WeChat's code and words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "47003 argument invalid! data.thing1.value invalid")]
    last_error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Delivery> for DeliveryItem {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            kind: delivery.kind,
            state: delivery.state,
            order_no: delivery.order.into(),
            refund_no: delivery.refund.map(Into::into),
            amount_fen: delivery.amount.get(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
        }
    }
}
