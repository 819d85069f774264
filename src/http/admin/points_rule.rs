//! `GET` and `PUT /api/v1/admin/points-rule`

use std::str::FromStr as _;

use axum::{Json, extract::State};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{self, Auth, Operator},
        openapi::Problems,
        problem::Problem,
    },
    points::{Rule, RuleTerms, SetRule},
    primitives::{Money, Points, Timestamp},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PointsRuleRequest {
    /// Points per yuan, a decimal as text; the product is rounded down.
    #[schema(example = "1.5", pattern = r"^[0-9]{1,5}(\.[0-9]{1,4})?$")]
    ratio: String,
    /// A smaller payment earns nothing.
    #[schema(minimum = 0, example = 0)]
    #[serde(default)]
    amount_min_fen: i64,
    /// Of a larger payment only this much earns.
    #[schema(minimum = 0)]
    #[serde(default)]
    amount_max_fen: Option<i64>,
    /// Points per customer and day at UTC+8.
    #[schema(minimum = 0)]
    #[serde(default)]
    daily_cap: Option<i64>,
    /// Points that this version hands out in all.
    #[schema(minimum = 0)]
    #[serde(default)]
    total_cap: Option<i64>,
    /// Whole days that points last; absent: for ever.
    #[schema(minimum = 1, maximum = 36_500, example = 365)]
    #[serde(default)]
    expiry_days: Option<u32>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PointsRuleAnswer {
    /// Orders name the version that they were credited by.
    #[schema(example = 3)]
    version: u32,
    #[schema(example = "1.5")]
    ratio: String,
    amount_min_fen: i64,
    amount_max_fen: Option<i64>,
    daily_cap: Option<i64>,
    total_cap: Option<i64>,
    expiry_days: Option<u32>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl PointsRuleRequest {
    fn terms(&self) -> Result<RuleTerms, Problem> {
        let negative = |name| move |_| Problem::field(name, "0 or more");
        let points =
            |name, units: Option<i64>| units.map(Points::parse).transpose().map_err(negative(name));
        let ratio = Decimal::from_str(&self.ratio)
            .ok()
            .filter(|_| self.ratio.len() <= 10);
        Ok(RuleTerms {
            ratio: ratio.ok_or_else(|| Problem::field("ratio", "a decimal such as 1.5"))?,
            amount_min: Money::parse(self.amount_min_fen).map_err(negative("amount_min_fen"))?,
            amount_max: self
                .amount_max_fen
                .map(Money::parse)
                .transpose()
                .map_err(negative("amount_max_fen"))?,
            daily_cap: points("daily_cap", self.daily_cap)?,
            total_cap: points("total_cap", self.total_cap)?,
            expiry_days: self.expiry_days,
        })
    }
}

impl From<&Rule> for PointsRuleAnswer {
    fn from(rule: &Rule) -> Self {
        let terms = &rule.terms;
        Self {
            version: rule.version,
            ratio: terms.ratio.normalize().to_string(),
            amount_min_fen: terms.amount_min.get(),
            amount_max_fen: terms.amount_max.map(Money::get),
            daily_cap: terms.daily_cap.map(Points::get),
            total_cap: terms.total_cap.map(Points::get),
            expiry_days: terms.expiry_days,
            created_at: rule.created_at,
        }
    }
}

/// The rule in force
///
/// What a payment earns.
#[utoipa::path(
    get,
    path = "/api/v1/admin/points-rule",
    operation_id = "admin_get_points_rule",
    tag = "admin",
    security(("access_token" = [])),
    responses((status = 200, description = "The rule", body = PointsRuleAnswer), Problems),
)]
pub(in crate::http) async fn get_points_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<PointsRuleAnswer>, Problem> {
    let operator = auth.may(Permission::ReadPointsRule)?;
    let rule = app.rules().current(operator.tenant).await?;
    Ok(Json(PointsRuleAnswer::from(&*rule)))
}

/// Put a new rule in force
///
/// As the next version, everywhere within a second. Payments that are settled already keep theirs.
#[utoipa::path(
    put,
    path = "/api/v1/admin/points-rule",
    operation_id = "admin_set_points_rule",
    tag = "admin",
    security(("access_token" = [])),
    request_body = PointsRuleRequest,
    responses((status = 200, description = "In force", body = PointsRuleAnswer), Problems),
)]
pub(in crate::http) async fn set_points_rule(
    State(app): State<App>,
    auth: Auth<Operator>,
    extract::Json(request): extract::Json<PointsRuleRequest>,
) -> Result<Json<PointsRuleAnswer>, Problem> {
    let operator = auth.may(Permission::WritePointsRule)?;
    let by = auth.principal().actor().to_string();
    let rule = app
        .db()
        .run(SetRule {
            tenant: operator.tenant,
            terms: request.terms()?,
            by,
        })
        .await?;
    app.rules().forget(operator.tenant);
    Ok(Json(PointsRuleAnswer::from(&rule)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_without_floats_and_name_the_wrong_field() {
        let request = |json: &str| serde_json::from_str::<PointsRuleRequest>(json);
        let terms = request(r#"{"ratio":"1.25","daily_cap":100}"#)
            .unwrap()
            .terms()
            .unwrap();
        assert_eq!(terms.ratio, Decimal::new(125, 2));
        assert_eq!(terms.expiry_days, None);
        assert!(request(r#"{"ratio":1.25}"#).is_err());
        let problem = request(r#"{"ratio":"1","daily_cap":-1}"#)
            .unwrap()
            .terms()
            .unwrap_err();
        assert!(format!("{problem:?}").contains("daily_cap"));
        assert!(request(r#"{"ratio":"one"}"#).unwrap().terms().is_err());
    }
}
