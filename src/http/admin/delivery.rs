//! A delivery as operators see it.

use serde::Serialize;

use crate::{
    deliveries::{Delivery, DeliveryKind, DeliveryState, DeliverySubject},
    http::last_usable::last_usable_on,
    primitives::{CustomerId, Money, OrderNo, RefundNo, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DeliveryItem {
    #[schema(example = "dl_019a8b3e5c5f7a0e8b6f1d2c3e4f2a01")]
    id: String,
    #[schema(inline)]
    kind: DeliveryKind,
    #[schema(inline)]
    state: DeliveryState,
    /// Of what is about an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "06D8PFJWBXX0X2VFRT4SWKSA")]
    order_no: Option<OrderNo>,
    /// Of a refund message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    refund_no: Option<RefundNo>,
    /// Paid or refunded. Of what is about an order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1280)]
    amount_fen: Option<i64>,
    /// Of an expiry message: what will expire, as it was when the notice was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    expiring: Option<ExpiringItem>,
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

/// Points of a customer that expire on a day.
#[derive(Serialize, utoipa::ToSchema)]
struct ExpiringItem {
    #[schema(value_type = String)]
    customer_id: CustomerId,
    points: i64,
    /// The last day on which they can be used (UTC+8).
    #[schema(value_type = String, format = Date, example = "2026-11-22")]
    last_usable_on: String,
}

impl From<Delivery> for DeliveryItem {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            kind: delivery.kind,
            state: delivery.state,
            order_no: delivery.about.order().map(Into::into),
            refund_no: delivery.about.refund().map(Into::into),
            amount_fen: delivery.about.amount().map(Money::get),
            expiring: match delivery.about {
                DeliverySubject::Order { .. } => None,
                DeliverySubject::Expiry {
                    customer,
                    on,
                    points,
                } => Some(ExpiringItem {
                    customer_id: customer,
                    points: points.get(),
                    last_usable_on: last_usable_on(on).to_string(),
                }),
            },
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            last_error: delivery.last_error,
            created_at: delivery.created_at,
            updated_at: delivery.updated_at,
        }
    }
}
