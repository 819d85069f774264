//! A collection code as its merchant sees it.

use serde::Serialize;

use crate::{
    merchants::{CodeState, CollectionCodeRow},
    primitives::{Money, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CollectionCodeItem {
    #[schema(example = "7ZK3M9Q2W8XA")]
    code: String,
    /// The counter or store.
    #[schema(example = "一号柜台")]
    label: String,
    /// `null`: the customer types the amount.
    #[schema(example = 1200)]
    amount_fen: Option<i64>,
    /// `active` or `disabled`.
    #[schema(example = "active")]
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
}

impl From<&CollectionCodeRow> for CollectionCodeItem {
    fn from(row: &CollectionCodeRow) -> Self {
        Self {
            code: row.code.to_string(),
            label: row.label.clone(),
            amount_fen: row.amount.map(Money::get),
            state: row.state.kind().name(),
            created_at: row.created_at,
            disabled_at: match row.state {
                CodeState::Active => None,
                CodeState::Disabled { disabled_at } => Some(disabled_at),
            },
        }
    }
}
