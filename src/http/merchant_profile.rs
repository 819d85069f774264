//! A merchant as its own people see it, and operators too. Personal data is masked for both.

use serde::Serialize;

use crate::{
    merchants::{Merchant, MerchantStateKind},
    primitives::{MerchantId, Timestamp},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MerchantProfile {
    #[schema(value_type = String, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    id: MerchantId,
    #[schema(example = "老王面馆")]
    name: String,
    #[schema(example = "王**")]
    contact_name: String,
    #[schema(example = "138****1234")]
    contact_phone: String,
    business_license: String,
    address: String,
    state: MerchantStateKind,
    /// Why it was rejected or suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&Merchant> for MerchantProfile {
    fn from(merchant: &Merchant) -> Self {
        Self {
            id: merchant.id,
            name: merchant.name.clone(),
            contact_name: merchant.contact_name_masked(),
            contact_phone: merchant.contact_phone_masked(),
            business_license: merchant.business_license.clone(),
            address: merchant.address.clone(),
            state: merchant.state.kind(),
            state_reason: merchant.state.reason().map(str::to_owned),
            created_at: merchant.created_at,
        }
    }
}
