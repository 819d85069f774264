//! `GET`, `PUT` and `DELETE /api/v1/admin/merchants/{id}/points-rule`

use axum::{Json, extract::State};
use serde::Deserialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{self, Auth, Operator, Path, Query, needs},
        points_rule::{MerchantPointsRule, PointsRuleAnswer, PointsRuleRequest},
        problem::{Problem, Problems},
    },
    merchants,
    points::{SetRule, WithdrawRule},
    primitives::{MerchantId, Timestamp},
};

/// What a merchant's payments earn
///
/// Its own rule or the tenant's, why this one, and what will replace it.
#[utoipa::path(
    get,
    path = "/api/v1/admin/merchants/{id}/points-rule",
    operation_id = "admin_get_merchant_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The rule", body = MerchantPointsRule), Problems),
)]
pub(in crate::http) async fn get_points_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<MerchantId>,
) -> Result<Json<MerchantPointsRule>, Problem> {
    let operator = auth.may(Permission::ReadPointsRule)?;
    merchants::get_merchant(app.db(), operator.tenant, id).await?;
    let rules = app.rules().current(operator.tenant).await?;
    Ok(Json(MerchantPointsRule::at(&rules, id, app.db().now())))
}

/// Give a merchant a rule of its own
///
/// Takes effect as the tenant's next version, everywhere within a second, or from an instant that
/// is planned. It alone decides on the merchant's payments: nothing of the tenant's rule is added.
#[utoipa::path(
    put,
    path = "/api/v1/admin/merchants/{id}/points-rule",
    operation_id = "admin_set_merchant_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:write"])),
    params(("id" = String, Path)),
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
    Path(id): Path<MerchantId>,
    extract::Json(request): extract::Json<PointsRuleRequest>,
) -> Result<Json<PointsRuleAnswer>, Problem> {
    let operator = auth.caller();
    merchants::get_merchant(app.db(), operator.tenant, id).await?;
    let rule = app
        .db()
        .run(SetRule {
            tenant: operator.tenant,
            merchant: Some(id),
            terms: request.terms()?,
            effective_from: request.effective_from,
            by: auth.principal().actor(),
        })
        .await?;
    app.rules().forget(operator.tenant);
    Ok(Json(PointsRuleAnswer::from(&rule)))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WithdrawFrom {
    /// When it ends: now unless said, at most 366 days ahead.
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    effective_from: Option<Timestamp>,
}

/// Withdraw a merchant's own rule
///
/// Takes effect as the tenant's next version: from then on the merchant has what the tenant has.
/// What is planned for the merchant later stays planned.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/merchants/{id}/points-rule",
    operation_id = "admin_withdraw_merchant_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:write"])),
    params(("id" = String, Path), WithdrawFrom),
    responses((status = 200, description = "What the merchant has now", body = MerchantPointsRule), Problems),
)]
pub(in crate::http) async fn withdraw_points_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<MerchantId>,
    Query(from): Query<WithdrawFrom>,
) -> Result<Json<MerchantPointsRule>, Problem> {
    let operator = auth.may(Permission::WritePointsRule)?;
    merchants::get_merchant(app.db(), operator.tenant, id).await?;
    app.db()
        .run(WithdrawRule {
            tenant: operator.tenant,
            merchant: id,
            effective_from: from.effective_from,
            by: auth.principal().actor(),
        })
        .await?;
    app.rules().forget(operator.tenant);
    let rules = app.rules().current(operator.tenant).await?;
    Ok(Json(MerchantPointsRule::at(&rules, id, app.db().now())))
}
