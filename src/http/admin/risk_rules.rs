//! `GET /api/v1/admin/risk/rules`, `POST /api/v1/admin/risk/rules/reload`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator},
        problem::{Problem, Problems},
    },
    primitives::Timestamp,
    risk::{ActiveRules, Firings, ReloadError, ReloadedBy, RuleSummary, Settings},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RiskRules {
    /// Decisions name the rule set by which they were made.
    #[schema(example = 7)]
    rule_set: u32,
    /// SHA-256 of the file's text, in hex.
    hash: String,
    /// When this process put it in force.
    #[schema(value_type = String, format = DateTime)]
    loaded_at: Timestamp,
    settings: Settings,
    /// In the order of the file.
    rules: Vec<RiskRule>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RiskRule {
    #[serde(flatten)]
    rule: RuleSummary,
    fired: RuleFirings,
}

/// How often it fired in this process since its start, or since it began to know the rule.
#[derive(Serialize, utoipa::ToSchema)]
struct RuleFirings {
    /// It took part in the decision.
    live: u64,
    /// It only counted what it would have done.
    shadow: u64,
    /// A rule that allows came first.
    overruled: u64,
    /// The customer had answered a challenge.
    answered: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RulesReloaded {
    /// The number in force.
    #[schema(example = 8)]
    rule_set: u32,
    /// False when the file says what was in force already.
    changed: bool,
}

impl From<Firings> for RuleFirings {
    fn from(firings: Firings) -> Self {
        Self {
            live: firings.live,
            shadow: firings.shadow,
            overruled: firings.overruled,
            answered: firings.answered,
        }
    }
}

impl From<&ActiveRules> for RiskRules {
    fn from(in_force: &ActiveRules) -> Self {
        Self {
            rule_set: in_force.number,
            hash: hex::encode(in_force.set.hash()),
            loaded_at: in_force.since,
            settings: in_force.set.settings().clone(),
            rules: in_force
                .set
                .rules()
                .into_iter()
                .map(|rule| RiskRule {
                    fired: in_force.firings(&rule.id).into(),
                    rule,
                })
                .collect(),
        }
    }
}

/// The risk rules in force
///
/// In the process that answers, with how often each fired there. Another process may be half a
/// second behind after a change; `risk_rules_total` of all processes together is in the metrics.
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/rules",
    operation_id = "admin_get_risk_rules",
    tag = "admin",
    security(("access_token" = ["risk:read"])),
    responses((status = 200, description = "The rules", body = RiskRules), Problems),
)]
pub(in crate::http) async fn get_rules(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<RiskRules>, Problem> {
    auth.may(Permission::ReadRisk)?;
    let in_force = app.risk().in_force().ok_or(ReloadError::Off)?;
    Ok(Json(RiskRules::from(&*in_force)))
}

/// Put the file of risk rules in force now
///
/// A changed file is noticed within about a second anyway; this says at once what is wrong with it.
/// `risk_rules_invalid` (422) lists every mistake with its line and column, and the old rules stay
/// in force. Only the process that answers reads it at once.
#[utoipa::path(
    post,
    path = "/api/v1/admin/risk/rules/reload",
    operation_id = "admin_reload_risk_rules",
    tag = "admin",
    security(("access_token" = ["risk:reload"])),
    responses((status = 200, description = "In force", body = RulesReloaded), Problems),
)]
pub(in crate::http) async fn reload_rules(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<RulesReloaded>, Problem> {
    let operator = auth.may(Permission::ReloadRisk)?;
    let by = ReloadedBy {
        tenant: operator.tenant,
        actor: auth.principal().actor(),
    };
    // To its end, also when the caller goes away: a file is taken or it is not.
    let risk = app.risk().clone();
    let loading = tokio::spawn(async move { risk.reload(by).await });
    let loaded = loading
        .await
        .map_err(|error| super::super::error::broken(&error))??;
    Ok(Json(RulesReloaded {
        rule_set: loaded.number,
        changed: loaded.changed,
    }))
}
