//! `GET /api/v1/merchant/sharing-rule`, `GET /api/v1/merchant/payments/{order_no}/sharing`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
        sharing::{SharingAnswer, SharingRuleAnswer},
    },
    primitives::OrderNo,
    sharing::{self, SharingError},
};

/// What of the merchant's payments goes to whom
#[utoipa::path(
    get,
    path = "/api/v1/merchant/sharing-rule",
    operation_id = "merchant_get_sharing_rule",
    tag = "merchant",
    security(("access_token" = ["merchant_sharing:read"])),
    responses((status = 200, description = "The rule in force", body = SharingRuleAnswer), Problems),
)]
pub(in crate::http) async fn sharing_rule(
    State(app): State<App>,
    auth: Auth<Staff>,
) -> Result<Json<SharingRuleAnswer>, Problem> {
    let staff = auth.may(Permission::ReadMerchantSharing)?;
    let rule = sharing::find_rule(app.db(), staff.tenant, staff.merchant).await?;
    Ok(Json(rule.into()))
}

/// How one of the merchant's payments was shared
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}/sharing",
    operation_id = "merchant_get_payment_sharing",
    tag = "merchant",
    security(("access_token" = ["merchant_sharing:read"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The sharing", body = SharingAnswer), Problems),
)]
pub(in crate::http) async fn payment_sharing(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<Json<SharingAnswer>, Problem> {
    let staff = auth.may(Permission::ReadMerchantSharing)?;
    let view = sharing::find_sharing(app.db(), staff.tenant, order_no.id()).await?;
    let own = view.filter(|view| view.share.merchant == staff.merchant);
    Ok(Json(SharingAnswer::from(
        &own.ok_or(SharingError::NotFound)?,
    )))
}
