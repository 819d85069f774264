//! A merchant as operators see it.

use serde::Serialize;

use crate::{http::merchant_profile::MerchantProfile, merchants::Merchant, primitives::Timestamp};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AdminMerchant {
    #[serde(flatten)]
    profile: MerchantProfile,
    /// WeChat's number of the merchant, from its approval on.
    #[schema(example = "1900000109")]
    sub_mchid: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Merchant> for AdminMerchant {
    fn from(merchant: &Merchant) -> Self {
        Self {
            profile: MerchantProfile::from(merchant),
            sub_mchid: merchant.state.sub_mchid().map(ToString::to_string),
            updated_at: merchant.updated_at,
        }
    }
}
