//! `POST /api/v1/admin/points-rule/dry-run`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    customers::{self, CustomerError},
    http::{
        extract::{self, Auth, Operator, needs},
        last_usable::last_usable_on,
        points_rule::{PointsRuleRequest, PointsTerms, of, withdrawn_by},
        problem::{Problem, Problems},
    },
    merchants,
    points::{self, CapStep, DryRun, Earning, NEVER, Tried, WouldEarn},
    primitives::{CustomerId, MerchantId, Money, TenantId, Timestamp},
};

/// As far ahead as a rule can be planned.
const AHEAD_SECONDS_MAX: i64 = 366 * 86_400;

/// A payment that nobody made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DryRunRequest {
    /// Where; absent: at a merchant without a rule of its own.
    #[schema(value_type = Option<String>, example = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    #[serde(default)]
    merchant_id: Option<MerchantId>,
    /// Whose; absent: somebody who has earned nothing on that day.
    #[schema(value_type = Option<String>, example = "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    #[serde(default)]
    customer_id: Option<CustomerId>,
    #[schema(minimum = 1, example = 1_280)]
    amount_fen: i64,
    /// When it is settled: now unless said, at most 366 days ahead.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    at: Option<Timestamp>,
    /// To try instead of the rule in force; without `effective_from`.
    #[serde(default)]
    terms: Option<PointsRuleRequest>,
}

/// What it would earn, and why.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DryRunAnswer {
    /// What would be credited.
    #[schema(example = 19)]
    points: i64,
    /// The last day (UTC+8) on which they can be used; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2027-11-21")]
    last_usable_on: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// On which the daily cap counts it.
    #[schema(example = "2026-11-21")]
    business_day: String,
    rule: DryRunRule,
    earning: DryRunEarning,
    /// Absent: the rule has no such cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_cap: Option<DryRunCap>,
    /// Absent: the rule has no such cap.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_cap: Option<DryRunCap>,
    /// All of it in sentences, in the order in which it is decided.
    why: Vec<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct DryRunRule {
    /// `merchant`: its own. `tenant`: the merchant has none of its own. `tried`: the terms of the
    /// question.
    #[schema(example = "merchant")]
    of: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// The version that withdrew the merchant's own rule, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn_by: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_from: Option<Timestamp>,
    terms: PointsTerms,
}

#[derive(Serialize, utoipa::ToSchema)]
struct DryRunEarning {
    amount_fen: i64,
    /// Less than the smallest payment that earns.
    below_minimum: bool,
    /// What of it counts.
    counted_fen: i64,
    /// Yuan that count times the ratio.
    #[schema(example = "19.2")]
    before_rounding: String,
    /// Before caps.
    #[schema(example = 19)]
    points: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
struct DryRunCap {
    cap: i64,
    /// By the customer on that day, or by everybody under this version.
    earned_before: i64,
    room: i64,
}

impl DryRunRequest {
    fn payment(self, tenant: TenantId, now: Timestamp) -> Result<DryRun, Problem> {
        let at = self.at.unwrap_or(now);
        if at < now || at > now.plus_seconds(AHEAD_SECONDS_MAX) {
            return Err(Problem::field("at", "now or up to 366 days ahead"));
        }
        let amount = Money::parse(self.amount_fen).ok();
        let amount = amount.filter(|amount| !amount.is_zero());
        let terms = match &self.terms {
            Some(terms) if terms.effective_from.is_some() => {
                return Err(Problem::field("terms.effective_from", "absent"));
            }
            Some(terms) => Some(terms.terms()?),
            None => None,
        };
        if let Some(terms) = &terms {
            terms.check()?;
        }
        Ok(DryRun {
            tenant,
            merchant: self.merchant_id,
            customer: self.customer_id,
            amount: amount.ok_or_else(|| Problem::field("amount_fen", "1 or more"))?,
            at,
            terms,
        })
    }
}

impl From<CapStep> for DryRunCap {
    fn from(step: CapStep) -> Self {
        Self {
            cap: step.cap.get(),
            earned_before: step.used.get(),
            room: step.room.get(),
        }
    }
}

impl DryRunAnswer {
    fn of(result: &WouldEarn, at: Timestamp) -> Self {
        let (earning, capping) = (&result.explanation.earning, &result.explanation.capping);
        let expired_from = Some(result.expired_from).filter(|day| *day != NEVER);
        let last_day = expired_from.map(last_usable_on);
        Self {
            points: result.explanation.points().get(),
            last_usable_on: last_day.map(|day| day.to_string()),
            at,
            business_day: result.day.to_string(),
            rule: DryRunRule::from(&result.tried),
            earning: DryRunEarning {
                amount_fen: earning.amount.get(),
                below_minimum: earning.below_minimum,
                counted_fen: earning.counted.get(),
                before_rounding: earning.exact.normalize().to_string(),
                points: earning.points.get(),
            },
            daily_cap: capping.daily.map(DryRunCap::from),
            total_cap: capping.total.map(DryRunCap::from),
            why: why(result),
        }
    }
}

impl From<&Tried> for DryRunRule {
    fn from(tried: &Tried) -> Self {
        let terms = PointsTerms::from(tried.terms());
        match tried {
            Tried::InForce(now) => Self {
                of: of(now.rule.merchant),
                version: Some(now.rule.version),
                withdrawn_by: withdrawn_by(now.because),
                effective_from: Some(now.rule.effective_from),
                terms,
            },
            Tried::Terms(_) => Self {
                of: "tried",
                version: None,
                withdrawn_by: None,
                effective_from: None,
                terms,
            },
        }
    }
}

fn why(result: &WouldEarn) -> Vec<String> {
    let capping = &result.explanation.capping;
    let mut why = vec![which(&result.tried)];
    why.extend(earning(&result.explanation.earning, &result.tried));
    if let Some(CapStep { cap, used, room }) = capping.daily {
        why.push(format!(
            "The customer may earn {cap} points a day and has earned {used} on {}: {room} are left.",
            result.day
        ));
    }
    if let Some(CapStep { cap, used, room }) = capping.total {
        why.push(format!(
            "The version may hand out {cap} points and has handed out {used}: {room} are left."
        ));
    }
    why.push(match result.expired_from {
        _ if capping.points.is_zero() => "Nothing is credited.".to_owned(),
        NEVER => format!("{} points are credited, for ever.", capping.points),
        day => format!(
            "{} points are credited, to be used until {}.",
            capping.points,
            last_usable_on(day)
        ),
    });
    why
}

fn which(tried: &Tried) -> String {
    let Tried::InForce(now) = tried else {
        return "The terms of the question are tried.".to_owned();
    };
    let (version, since) = (now.rule.version, now.rule.effective_from);
    match (now.rule.merchant, withdrawn_by(now.because)) {
        (Some(_), _) => format!("Version {version} is the merchant's own, in force from {since}."),
        (None, Some(withdrawn)) => format!(
            "Version {version} is the tenant's, in force from {since}: the merchant's own was withdrawn by version {withdrawn}."
        ),
        (None, None) => format!(
            "Version {version} is the tenant's, in force from {since}: there is none of a merchant's own."
        ),
    }
}

fn earning(earning: &Earning, tried: &Tried) -> Vec<String> {
    let terms = tried.terms();
    if earning.below_minimum {
        let (amount, min) = (earning.amount, terms.amount_min);
        return vec![format!("{amount} is less than {min}, and earns nothing.")];
    }
    let mut steps = Vec::new();
    if earning.counted < earning.amount {
        let (amount, counted) = (earning.amount, earning.counted);
        steps.push(format!("Of {amount} only {counted} counts."));
    }
    steps.push(format!(
        "{} times {} points per yuan is {}, rounded {}: {} points.",
        earning.counted,
        terms.ratio.normalize(),
        earning.exact.normalize(),
        terms.rounding.name(),
        earning.points
    ));
    steps
}

/// What a payment would earn, and why
///
/// By the code that credits, with what the customer has earned and the version has handed out so
/// far. Changes nothing; risk is not asked.
#[utoipa::path(
    post,
    path = "/api/v1/admin/points-rule/dry-run",
    operation_id = "admin_dry_run_points_rule",
    tag = "admin",
    security(("access_token" = ["points_rule:read"])),
    request_body(
        content = DryRunRequest,
        examples(
            ("any_merchant" = (summary = "By the tenant's rule", value = json!({"amount_fen": 1_280}))),
            ("one_customer" = (summary = "By a merchant's rule, for one of its customers", value = json!({"merchant_id": "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00", "amount_fen": 1_280}))),
            ("terms" = (summary = "By terms to try", value = json!({"amount_fen": 1_280, "terms": {"ratio": "1.5", "rounding": "half_up", "validity": {"kind": "days", "count": 365}}}))),
        ),
    ),
    responses((status = 200, description = "What it would earn", body = DryRunAnswer), Problems),
)]
pub(in crate::http) async fn dry_run(
    State(app): State<App>,
    auth: Auth<Operator, needs::ReadPointsRule>,
    extract::Json(request): extract::Json<DryRunRequest>,
) -> Result<Json<DryRunAnswer>, Problem> {
    let operator = auth.caller();
    let (db, tenant) = (app.db(), operator.tenant);
    let payment = request.payment(tenant, db.now())?;
    if let Some(merchant) = payment.merchant {
        merchants::get_merchant(db, tenant, merchant).await?;
    }
    if let Some(customer) = payment.customer {
        let known = customers::find_customer(db, tenant, customer).await?;
        known.ok_or(CustomerError::NotFound)?;
    }
    let rules = app.rules().current(tenant).await?;
    let result = points::dry_run(db, &rules, &payment).await?;
    Ok(Json(DryRunAnswer::of(&result, payment.at)))
}
