//! `GET /api/v1/admin/points-rule/versions`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        points_rule::{PointsTerms, of},
        problem::{Problem, Problems},
    },
    points::{self, PastRule, RuleTerms, Rules, Scope},
    primitives::{MerchantId, Page, Timestamp},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct VersionFilter {
    /// Only this merchant's own.
    #[param(value_type = Option<String>, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    #[serde(default)]
    merchant_id: Option<MerchantId>,
    /// Only the tenant's own. Not beside `merchant_id`.
    #[serde(default)]
    tenant_only: bool,
}

impl VersionFilter {
    fn scope(&self) -> Result<Scope, Problem> {
        match (self.merchant_id, self.tenant_only) {
            (Some(merchant), false) => Ok(Scope::Merchant(merchant)),
            (None, true) => Ok(Scope::Tenant),
            (None, false) => Ok(Scope::All),
            (Some(_), true) => Err(Problem::field("tenant_only", "absent beside merchant_id")),
        }
    }
}

/// One version, who made it, and what it changed.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RuleVersionItem {
    #[schema(example = 3)]
    version: u32,
    /// `merchant` or `tenant`.
    #[schema(example = "tenant")]
    of: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    merchant_id: Option<MerchantId>,
    /// `scheduled`, `in_force`, `replaced` (by a later one, whether or not it was ever in force).
    #[schema(example = "in_force")]
    standing: &'static str,
    #[schema(value_type = String, format = DateTime)]
    effective_from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// As in the audit log.
    #[schema(example = "operator:lin")]
    created_by: String,
    /// Absent: the merchant's own rule was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    terms: Option<PointsTerms>,
    /// The version before it for the same merchant, or of the tenant's own; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_before: Option<u32>,
    /// What differs from the version before: the names of the terms that changed.
    changes: Vec<TermChange>,
}

#[derive(Debug, PartialEq, Serialize, utoipa::ToSchema)]
struct TermChange {
    /// A field of `terms`.
    #[schema(example = "ratio")]
    field: String,
    /// Null: there was none, or no version with terms before.
    before: Value,
    /// Null: there is none any more, or the rule was withdrawn.
    after: Value,
}

impl RuleVersionItem {
    fn of(past: &PastRule, rules: &Rules, now: Timestamp) -> Self {
        let version = &past.version;
        let before = past.before.as_ref();
        Self {
            version: version.version,
            of: of(version.merchant),
            merchant_id: version.merchant,
            standing: rules.stands(version, now).name(),
            effective_from: version.effective_from,
            created_at: version.created_at,
            terms: version.terms.as_ref().map(PointsTerms::from),
            version_before: before.map(|before| before.version),
            changes: changes(
                before.and_then(|before| before.terms.as_ref()),
                version.terms.as_ref(),
            ),
            created_by: past.created_by.to_string(),
        }
    }
}

fn changes(before: Option<&RuleTerms>, after: Option<&RuleTerms>) -> Vec<TermChange> {
    let fields = |terms: Option<&RuleTerms>| {
        let json = terms.map(|terms| serde_json::to_value(PointsTerms::from(terms)));
        let mut fields = match json {
            Some(Ok(Value::Object(fields))) => fields,
            Some(_) | None => Map::new(),
        };
        // It repeats the validity.
        fields.remove("expiry_days");
        fields
    };
    let (before, after) = (fields(before), fields(after));
    let names = if after.is_empty() { &before } else { &after };
    let value = |of: &Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or(Value::Null);
    let all = names.keys().map(|name| TermChange {
        field: name.clone(),
        before: value(&before, name),
        after: value(&after, name),
    });
    all.filter(|change| change.before != change.after).collect()
}

/// Who changed the points rules, when and how, newest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/points-rule/versions",
    operation_id = "admin_list_points_rule_versions",
    tag = "admin",
    security(("access_token" = ["points_rule:read"])),
    params(VersionFilter, PageParams),
    responses((status = 200, description = "A page", body = Page<RuleVersionItem>), Problems),
)]
pub(in crate::http) async fn list_versions(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(filter): Query<VersionFilter>,
    page: PageQuery,
) -> Result<Json<Page<RuleVersionItem>>, Problem> {
    let operator = auth.may(Permission::ReadPointsRule)?;
    let (tenant, scope, before) = (operator.tenant, filter.scope()?, page.before()?);
    let past = points::list_versions(app.db(), tenant, scope, before, page.limit).await?;
    // A version that another process made a moment ago is on the page: what stands beside it must
    // know of it too.
    app.rules().forget(tenant);
    let (rules, now) = (app.rules().current(tenant).await?, app.db().now());
    let page = Page::cut(past, page.limit, |past| past.version.version.to_string());
    Ok(Json(
        page.map(|past| RuleVersionItem::of(&past, &rules, now)),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        points::{Rounding, Validity},
        primitives::Points,
    };

    #[test]
    fn only_differences_are_shown() {
        let before = RuleTerms::default();
        let after = RuleTerms {
            daily_cap: Points::parse(100).ok(),
            rounding: Rounding::Up,
            ..before
        };
        let change = |field: &str, before: Value, after: Value| TermChange {
            field: field.to_owned(),
            before,
            after,
        };
        assert_eq!(
            changes(Some(&before), Some(&after)),
            [
                change("daily_cap", Value::Null, json!(100)),
                change("rounding", json!("down"), json!("up")),
            ]
        );
        assert_eq!(changes(Some(&before), Some(&before)), []);
        let gone = changes(Some(&after), None);
        assert!(gone.contains(&change("daily_cap", json!(100), Value::Null)));
        let until = RuleTerms {
            validity: Validity::EndOfYear { count: 0 },
            ..after
        };
        let kind = |validity: Validity| serde_json::to_value(validity).unwrap();
        assert_eq!(
            changes(Some(&after), Some(&until)),
            [change(
                "validity",
                kind(after.validity),
                kind(until.validity)
            )]
        );
        let new = changes(None, Some(&after));
        assert!(new.contains(&change("ratio", Value::Null, json!("1"))));
        assert_eq!(changes(None, None), []);
    }
}
