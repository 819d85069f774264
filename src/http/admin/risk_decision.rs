//! `GET /api/v1/admin/risk/decisions/{id}`

use axum::{Json, extract::State};
use serde::Serialize;

use super::risk_decisions::DecisionItem;
use crate::{
    app::App,
    auth::Permission,
    db::{Db, DbError},
    facts::{Device, Facts, masked},
    http::{
        extract::{Auth, Operator, Path, parse},
        problem::{Problem, Problems},
    },
    primitives::ChallengeId,
    risk::{self, Action, Decision, Effect, FiredRule, Risk, RuleSet},
};

/// A decision with everything that went into it.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DecisionDetail {
    #[serde(flatten)]
    decision: DecisionItem,
    /// The first part of it.
    #[schema(example = "203.0.113.x")]
    address: Option<String>,
    /// The end of it.
    #[schema(example = "…c3d4")]
    device: Option<String>,
    /// The customer is on the staff of the merchant.
    own_merchant: bool,
    /// Which back end asked.
    source: Option<String>,
    /// The answered challenge that it relied on.
    #[schema(value_type = Option<String>)]
    answered: Option<ChallengeId>,
    /// What the counters said.
    measured: Vec<MeasuredCounter>,
    /// Every rule that fired, in the order of the file, and why.
    fired: Vec<FiredRuleItem>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MeasuredCounter {
    #[schema(example = "count of payment.create per customer within 1m")]
    counter: String,
    /// How many, fen or points; of what was met or not, 1 or 0. Absent: it could not be had.
    value: Option<i64>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct FiredRuleItem {
    rule: String,
    action: Action,
    effect: Effect,
    #[schema(
        example = "短时间内频繁付款 (12 payment.create per customer within 1m, more than 10)"
    )]
    reason: String,
}

impl From<&FiredRule> for FiredRuleItem {
    fn from(fired: &FiredRule) -> Self {
        Self {
            rule: fired.rule.clone(),
            action: fired.action,
            effect: fired.effect,
            reason: fired.reason.clone(),
        }
    }
}

/// The last four characters; nothing of a short one.
fn masked_device(device: &Device) -> String {
    let text = device.as_str();
    let end = text.len().checked_sub(4).filter(|rest| *rest >= 4);
    let end = end.and_then(|start| text.get(start..)).unwrap_or_default();
    format!("…{end}")
}

fn measured(decision: &Decision, set: &RuleSet) -> Vec<MeasuredCounter> {
    let usages = set.counter_usages(decision.facts.stage);
    let read = usages.iter().filter(|usage| usage.read);
    read.zip(&decision.measured.0)
        .map(|(usage, value)| MeasuredCounter {
            counter: risk::describe_counter(usage.counter),
            value: *value,
        })
        .collect()
}

/// By the rule set of that time, which need not be the one in force.
async fn measured_then(
    db: &Db,
    risk: &Risk,
    decision: &Decision,
) -> Result<Vec<MeasuredCounter>, DbError> {
    if let Some(now) = risk.in_force()
        && now.number == decision.rule_set
    {
        return Ok(measured(decision, &now.set));
    }
    let mut conn = db.pool().acquire().await?;
    let set = risk::find_rule_set(&mut conn, decision.rule_set).await?;
    Ok(set.map_or_else(Vec::new, |set| measured(decision, &set)))
}

/// A decision of risk, and why
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/decisions/{id}",
    operation_id = "admin_get_risk_decision",
    tag = "admin",
    security(("access_token" = ["risk:read"])),
    params(("id" = String, Path)),
    responses((status = 200, description = "The decision", body = DecisionDetail), Problems),
)]
pub(in crate::http) async fn get_decision(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(id): Path<String>,
) -> Result<Json<DecisionDetail>, Problem> {
    let operator = auth.may(Permission::ReadRisk)?;
    let found = risk::find_decision(app.db(), operator.tenant, parse(&id)?).await?;
    let found = found.ok_or_else(Problem::not_found)?;
    let decision = &found.decision;
    let Facts {
        origin,
        own_merchant,
        source,
        ..
    } = &decision.facts;
    Ok(Json(DecisionDetail {
        decision: DecisionItem::from(&found),
        address: origin.address.map(masked),
        device: origin.device.as_ref().map(masked_device),
        own_merchant: *own_merchant,
        source: source.clone(),
        answered: decision.answered,
        measured: measured_then(app.db(), app.risk(), decision).await?,
        fired: decision.fired.iter().map(FiredRuleItem::from).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_devices_are_distinguished_and_not_shown() {
        let address = |text: &str| masked(text.parse().unwrap());
        assert_eq!(address("203.0.113.7"), "203.0.113.x");
        assert_eq!(address("::ffff:203.0.113.7"), "203.0.113.x");
        assert_eq!(address("2001:db8:1:2:3::4"), "2001:db8:1:x");
        let device = |text: &str| masked_device(&Device::parse(text).unwrap());
        assert_eq!(device("a1b2c3d4"), "…c3d4");
        assert_eq!(device("a1b2c3d"), "…");
    }
}
