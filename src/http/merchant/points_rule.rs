//! `GET /api/v1/merchant/points-rule`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Staff},
        points_rule::MerchantPointsRule,
        problem::{Problem, Problems},
    },
};

/// What the merchant's payments earn
#[utoipa::path(
    get,
    path = "/api/v1/merchant/points-rule",
    operation_id = "merchant_get_points_rule",
    tag = "merchant",
    security(("access_token" = ["own_merchant:read"])),
    responses((status = 200, description = "The rule in force, and what will replace it", body = MerchantPointsRule), Problems),
)]
pub(in crate::http) async fn points_rule(
    State(app): State<App>,
    auth: Auth<Staff>,
) -> Result<Json<MerchantPointsRule>, Problem> {
    let staff = auth.may(Permission::ReadOwnMerchant)?;
    let rules = app.rules().current(staff.tenant).await?;
    let now = app.db().now();
    Ok(Json(MerchantPointsRule::at(&rules, staff.merchant, now)))
}
