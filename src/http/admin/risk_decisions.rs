//! `GET /api/v1/admin/risk/decisions`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    facts::Stage,
    http::{
        extract::{Auth, Operator, PageParams, PageQuery, Query},
        problem::{Problem, Problems},
    },
    primitives::{CustomerId, DecisionId, MerchantId, Money, Page, Points, Timestamp},
    risk::{self, Action, DecisionCursor, DecisionFilter, StoredDecision},
};

/// Unless the query says since when, and is not about one customer.
const USUAL_SECONDS: i64 = 7 * 86_400;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DecisionQuery {
    /// Only those of this stage.
    #[param(inline)]
    stage: Option<Stage>,
    /// Only those with this outcome.
    #[param(inline)]
    action: Option<Action>,
    /// Only those about this customer.
    #[param(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    /// Only those at this merchant.
    #[param(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    /// Only those in which this rule fired, also in shadow.
    #[param(example = "many-payments", max_length = 64)]
    rule: Option<String>,
    /// Made then or later. Absent: seven days before `to`, or before now; for one customer, ever.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Made before then.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

impl DecisionQuery {
    fn filter(self, now: Timestamp) -> Result<DecisionFilter, Problem> {
        let rule_fits = |rule: &String| (1..=64).contains(&rule.len());
        if !self.rule.as_ref().is_none_or(rule_fits) {
            return Err(Problem::field("rule", "the id of a rule"));
        }
        let usual = || {
            let until = self.to.unwrap_or(now);
            let everything = self.customer_id.is_some();
            (!everything).then(|| until.plus_seconds(-USUAL_SECONDS))
        };
        Ok(DecisionFilter {
            from: self.from.or_else(usual),
            stage: self.stage,
            action: self.action,
            customer: self.customer_id,
            merchant: self.merchant_id,
            rule: self.rule,
            to: self.to,
        })
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DecisionItem {
    #[schema(value_type = String, example = "rd_019a8b3e5c5f7a0e8b6f1d2c3e4f2a02")]
    pub(super) id: DecisionId,
    stage: Stage,
    action: Action,
    /// The most that rules in shadow would have done.
    shadow: Action,
    #[schema(example = 7)]
    rule_set: u32,
    #[schema(value_type = String, format = DateTime)]
    decided_at: Timestamp,
    #[schema(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    #[schema(value_type = Option<String>)]
    merchant_id: Option<MerchantId>,
    #[schema(value_type = Option<i64>)]
    amount_fen: Option<Money>,
    #[schema(value_type = Option<i64>)]
    points: Option<Points>,
    /// The rules that fired, in the order of the file.
    rules: Vec<String>,
}

impl From<&StoredDecision> for DecisionItem {
    fn from(stored: &StoredDecision) -> Self {
        let (decision, facts) = (&stored.decision, &stored.decision.facts);
        Self {
            id: stored.id,
            stage: facts.stage,
            action: decision.action,
            shadow: stored.shadow,
            rule_set: decision.rule_set,
            decided_at: facts.at,
            customer_id: facts.customer,
            merchant_id: facts.merchant,
            amount_fen: facts.amount,
            points: facts.points,
            rules: decision
                .fired
                .iter()
                .map(|fired| fired.rule.clone())
                .collect(),
        }
    }
}

/// What risk decided, the latest first
#[utoipa::path(
    get,
    path = "/api/v1/admin/risk/decisions",
    operation_id = "admin_list_risk_decisions",
    tag = "admin",
    security(("access_token" = ["risk:read"])),
    params(DecisionQuery, PageParams),
    responses((status = 200, description = "A page", body = Page<DecisionItem>), Problems),
)]
pub(in crate::http) async fn list_decisions(
    State(app): State<App>,
    auth: Auth<Operator>,
    Query(query): Query<DecisionQuery>,
    page: PageQuery,
) -> Result<Json<Page<DecisionItem>>, Problem> {
    let operator = auth.may(Permission::ReadRisk)?;
    let filter = query.filter(app.now())?;
    let before = page.before::<DecisionCursor>()?;
    let found =
        risk::list_decisions(app.db(), operator.tenant, &filter, before, page.limit).await?;
    let page = Page::cut(found, page.limit, |stored| {
        DecisionCursor::of(stored).to_string()
    });
    Ok(Json(page.map(|stored| DecisionItem::from(&stored))))
}
