//! `GET /api/v1/merchant/points-rule`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Staff},
        openapi::Problems,
        points_rule::ShopPointsRule,
        problem::Problem,
    },
};

/// What the shop's payments earn
#[utoipa::path(
    get,
    path = "/api/v1/merchant/points-rule",
    operation_id = "merchant_get_points_rule",
    tag = "merchant",
    security(("access_token" = [])),
    responses((status = 200, description = "The rule in force, and what will replace it", body = ShopPointsRule), Problems),
)]
pub(in crate::http) async fn points_rule(
    State(app): State<App>,
    auth: Auth<Staff>,
) -> Result<Json<ShopPointsRule>, Problem> {
    let staff = auth.may(Permission::ReadShop)?;
    let rules = app.rules().current(staff.tenant).await?;
    let now = app.db().now();
    Ok(Json(ShopPointsRule::at(&rules, staff.merchant, now)))
}
