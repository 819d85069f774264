//! `GET` and `PUT /api/v1/admin/points-rule`

use axum::{Json, extract::State};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{self, Auth, Operator, needs},
        points_rule::{PointsRuleAnswer, PointsRuleRequest, TenantPointsRule},
        problem::{Problem, Problems},
    },
    points::SetRule,
};

/// The tenant's rule in force
///
/// What a payment earns at every merchant without a rule of its own, and what will replace it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/points-rule",
    operation_id = "admin_get_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:read"])),
    responses((status = 200, description = "The rule", body = TenantPointsRule), Problems),
)]
pub(in crate::http) async fn get_points_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<TenantPointsRule>, Problem> {
    let operator = auth.may(Permission::ReadPointsRule)?;
    let rules = app.rules().current(operator.tenant).await?;
    Ok(Json(TenantPointsRule::at(&rules, app.db().now())))
}

/// Put a new rule in force
///
/// Takes effect as the next version, everywhere within a second, or from an instant that is
/// planned. Payments that are settled already keep theirs. Of two versions for one instant the
/// later one holds: that is how a planned change is changed. A version for now leaves what is
/// planned as it is.
#[utoipa::path(
    put,
    path = "/api/v1/admin/points-rule",
    operation_id = "admin_set_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:write"])),
    request_body(
        content = PointsRuleRequest,
        examples(
            ("days" = (summary = "For a year", value = json!({"ratio": "1", "expiry_days": 365}))),
            ("end_of_year" = (summary = "To the end of next year, with caps", value = json!({"ratio": "1.5", "amount_min_fen": 100, "amount_max_fen": 100_000, "daily_cap": 500, "total_cap": 1_000_000, "rounding": "half_up", "validity": {"kind": "end_of_year", "count": 1}}))),
            ("for_ever" = (summary = "For ever", value = json!({"ratio": "0.1"}))),
        ),
    ),
    responses((status = 200, description = "In force, or planned", body = PointsRuleAnswer), Problems),
)]
pub(in crate::http) async fn set_points_rule(
    State(app): State<App>,
    auth: Auth<Operator, needs::WritePointsRule>,
    extract::Json(request): extract::Json<PointsRuleRequest>,
) -> Result<Json<PointsRuleAnswer>, Problem> {
    let operator = auth.caller();
    let rule = app
        .db()
        .run(SetRule {
            tenant: operator.tenant,
            merchant: None,
            terms: request.terms()?,
            effective_from: request.effective_from,
            by: auth.principal().actor(),
        })
        .await?;
    app.rules().forget(operator.tenant);
    Ok(Json(PointsRuleAnswer::from(&rule)))
}
