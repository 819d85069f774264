//! `GET /api/v1/merchant/profile`

use axum::{Json, extract::State};

use super::shop::Shop;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Staff},
        openapi::Problems,
        problem::Problem,
    },
    merchants,
};

/// One's own shop
#[utoipa::path(
    get,
    path = "/api/v1/merchant/profile",
    operation_id = "merchant_profile",
    tag = "merchant",
    security(("access_token" = [])),
    responses((status = 200, description = "The shop", body = Shop), Problems),
)]
pub(in crate::http) async fn profile(
    State(app): State<App>,
    auth: Auth<Staff>,
) -> Result<Json<Shop>, Problem> {
    let staff = auth.may(Permission::ReadShop)?;
    let merchant = merchants::get_merchant(app.db(), staff.tenant, staff.merchant).await?;
    Ok(Json(Shop::from(&merchant)))
}
