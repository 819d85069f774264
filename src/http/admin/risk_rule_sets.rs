//! `GET /api/v1/admin/risk/rule-sets`, `GET /api/v1/admin/risk/rule-sets/{number}`

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Path, parse},
        problem::{Problem, Problems},
    },
    primitives::{Page, Timestamp},
    risk::{self, StoredRuleSet},
};

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RiskRuleSet {
    /// Decisions name it.
    #[schema(example = 7)]
    number: u32,
    /// SHA-256 of the text, in hex.
    hash: String,
    /// When it was loaded for the first time.
    #[schema(value_type = String, format = DateTime)]
    loaded_at: Timestamp,
    length_bytes: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RiskRuleSetWithText {
    #[serde(flatten)]
    rule_set: RiskRuleSet,
    /// The file as it was.
    text: String,
}

impl From<StoredRuleSet> for RiskRuleSet {
    fn from(stored: StoredRuleSet) -> Self {
        Self {
            number: stored.number,
            hash: hex::encode(&stored.hash),
            loaded_at: stored.loaded_at,
            length_bytes: stored.length,
        }
    }
}

/// Every set of risk rules that was ever in force, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/rule-sets",
    operation_id = "admin_list_risk_rule_sets",
    tag = "admin",
    security(("access_token" = ["risk:read"])),
    params(PageParams),
    responses((status = 200, description = "A page", body = Page<RiskRuleSet>), Problems),
)]
pub(in crate::http) async fn list_rule_sets(
    State(app): State<App>,
    auth: Auth<Operator>,
    page: PageQuery,
) -> Result<Json<Page<RiskRuleSet>>, Problem> {
    auth.may(Permission::ReadRisk)?;
    let found = risk::list_rule_sets(app.db(), page.before()?, page.limit).await?;
    let page = Page::cut(found, page.limit, |set| set.number.to_string());
    Ok(Json(page.map(RiskRuleSet::from)))
}

/// A set of risk rules as it was in the file
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/rule-sets/{number}",
    operation_id = "admin_get_risk_rule_set",
    tag = "admin",
    security(("access_token" = ["risk:read"])),
    params(("number" = u32, Path, example = 1)),
    responses((status = 200, description = "The rule set", body = RiskRuleSetWithText), Problems),
)]
pub(in crate::http) async fn get_rule_set(
    State(app): State<App>,
    auth: Auth<Operator>,
    Path(number): Path<String>,
) -> Result<Json<RiskRuleSetWithText>, Problem> {
    auth.may(Permission::ReadRisk)?;
    let found = risk::find_rule_set_text(app.db(), parse(&number)?).await?;
    let (rule_set, text) = found.ok_or_else(Problem::not_found)?;
    Ok(Json(RiskRuleSetWithText {
        rule_set: rule_set.into(),
        text,
    }))
}
