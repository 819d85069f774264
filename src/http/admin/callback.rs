//! A stored callback as operators see it.

use serde::Serialize;

use crate::{payments::StoredCallback, primitives::Timestamp};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CallbackItem {
    #[schema(example = "019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: String,
    /// `settled`, `refund`, `rejected`, `ignored`, `failed`, `unverified` or `duplicate`.
    #[schema(example = "settled")]
    outcome: &'static str,
    /// Why it was not taken: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "bad_signature")]
    reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
}

impl From<&StoredCallback> for CallbackItem {
    fn from(callback: &StoredCallback) -> Self {
        Self {
            id: callback.id.to_string(),
            outcome: callback.outcome.name(),
            reason: callback.reason.clone(),
            received_at: callback.received_at,
        }
    }
}
