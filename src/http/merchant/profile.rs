//! `GET /api/v1/merchant/profile`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Staff},
        merchant_profile::MerchantProfile,
        problem::{Problem, Problems},
    },
    merchants,
};

/// One's own merchant
#[utoipa::path(
    get,
    path = "/api/v1/merchant/profile",
    operation_id = "merchant_profile",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    responses((status = 200, description = "The merchant", body = MerchantProfile), Problems),
)]
pub(in crate::http) async fn profile(
    State(app): State<App>,
    auth: Auth<Staff>,
) -> Result<Json<MerchantProfile>, Problem> {
    let staff = auth.may(Permission::ReadOwnMerchant)?;
    let merchant = merchants::get_merchant(app.db(), staff.tenant, staff.merchant).await?;
    Ok(Json(MerchantProfile::from(&merchant)))
}
