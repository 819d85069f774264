//! `GET` and `PUT /api/v1/admin/payment-policy`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{self, Auth, Operator, needs},
        problem::{Problem, Problems},
    },
    payments::{LatePayment, PointsShortfall, Policy, PolicyTerms, SetPolicy},
    primitives::Money,
};

/// Every term is stated: one that is left out would be a choice that nobody made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PaymentPolicyRequest {
    /// How long an order can be paid.
    #[schema(minimum = 1, maximum = 1_440, example = 30)]
    order_minutes: u32,
    /// A payment of an order that was closed: `refund` sends the money back at once, `reopen` takes
    /// it as if nothing had been.
    #[schema(example = "refund")]
    late_payment: String,
    /// A refund that takes back points that were spent: `debt` shows what is owed apart, `negative`
    /// shows a balance below zero, `refuse` refuses the refund.
    #[schema(example = "debt")]
    points_shortfall: String,
    /// What a clerk gives back of one order alone: a refund that brings the sum of the order's
    /// refunds, whoever asked for the others, above this waits for the owner or an operator.
    #[schema(minimum = 0, example = 20_000)]
    clerk_refund_max_fen: i64,
    /// What a clerk gives back alone in a day (UTC+8), of all orders together: a refund that brings
    /// it above this waits for the owner or an operator.
    #[schema(minimum = 0, example = 100_000)]
    clerk_refund_day_max_fen: i64,
    /// A refund that brings the sum of the order's refunds above this waits for an operator, and
    /// for a second one if an operator asked for it.
    #[schema(minimum = 0, example = 500_000)]
    refund_review_above_fen: i64,
    /// What WeChat is expected to keep of a payment, in millionths: 6000 is 0.60 %.
    #[schema(minimum = 0, maximum = 100_000, example = 6_000)]
    fee_ppm: u32,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct PaymentPolicyAnswer {
    /// 0: nobody has set one, and these are the defaults.
    #[schema(example = 1)]
    version: u32,
    #[schema(example = 30)]
    order_minutes: u32,
    /// `refund` or `reopen`.
    #[schema(example = "refund")]
    late_payment: &'static str,
    /// `debt`, `negative` or `refuse`.
    #[schema(example = "debt")]
    points_shortfall: &'static str,
    #[schema(example = 20_000)]
    clerk_refund_max_fen: i64,
    #[schema(example = 100_000)]
    clerk_refund_day_max_fen: i64,
    #[schema(example = 500_000)]
    refund_review_above_fen: i64,
    #[schema(example = 6_000)]
    fee_ppm: u32,
}

impl PaymentPolicyRequest {
    fn terms(&self) -> Result<PolicyTerms, Problem> {
        let money = |name, fen| Money::parse(fen).map_err(|_| Problem::field(name, "0 or more"));
        let late = LatePayment::from_name(&self.late_payment);
        let shortfall = PointsShortfall::from_name(&self.points_shortfall);
        Ok(PolicyTerms {
            order_minutes: self.order_minutes,
            late_payment: late.ok_or_else(|| Problem::field("late_payment", "refund or reopen"))?,
            points_shortfall: shortfall
                .ok_or_else(|| Problem::field("points_shortfall", "debt, negative or refuse"))?,
            clerk_refund_max: money("clerk_refund_max_fen", self.clerk_refund_max_fen)?,
            clerk_refund_day_max: money("clerk_refund_day_max_fen", self.clerk_refund_day_max_fen)?,
            refund_review_above: money("refund_review_above_fen", self.refund_review_above_fen)?,
            fee_ppm: self.fee_ppm,
        })
    }
}

impl From<&Policy> for PaymentPolicyAnswer {
    fn from(policy: &Policy) -> Self {
        let terms = &policy.terms;
        Self {
            version: policy.version,
            order_minutes: terms.order_minutes,
            late_payment: terms.late_payment.name(),
            points_shortfall: terms.points_shortfall.name(),
            clerk_refund_max_fen: terms.clerk_refund_max.get(),
            clerk_refund_day_max_fen: terms.clerk_refund_day_max.get(),
            refund_review_above_fen: terms.refund_review_above.get(),
            fee_ppm: terms.fee_ppm,
        }
    }
}

/// The policy in force
///
/// What is done where the business has a choice.
#[utoipa::path(
    get,
    path = "/api/v1/admin/payment-policy",
    operation_id = "admin_get_payment_policy",
    tag = "admin",
    security(("access_token" = ["payment_policy:read"])),
    responses((status = 200, description = "The policy", body = PaymentPolicyAnswer), Problems),
)]
pub(in crate::http) async fn get_payment_policy(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<PaymentPolicyAnswer>, Problem> {
    let operator = auth.may(Permission::ReadPaymentPolicy)?;
    let policy = app.payments().policies.current(operator.tenant).await?;
    Ok(Json(PaymentPolicyAnswer::from(&*policy)))
}

/// Put a new policy in force
///
/// Takes effect as the next version, everywhere within a second. Orders keep the time that they
/// were made with; refunds are judged by the policy of the moment.
#[utoipa::path(
    put,
    path = "/api/v1/admin/payment-policy",
    operation_id = "admin_set_payment_policy",
    tag = "admin",
    security(("access_token" = ["payment_policy:write"])),
    request_body = PaymentPolicyRequest,
    responses((status = 200, description = "In force", body = PaymentPolicyAnswer), Problems),
)]
pub(in crate::http) async fn set_payment_policy(
    State(app): State<App>,
    auth: Auth<Operator, needs::WritePaymentPolicy>,
    extract::Json(request): extract::Json<PaymentPolicyRequest>,
) -> Result<Json<PaymentPolicyAnswer>, Problem> {
    let operator = auth.caller();
    let set = SetPolicy {
        tenant: operator.tenant,
        terms: request.terms()?,
        by: auth.principal().actor(),
    };
    let policy = app.db().run(set).await?;
    app.payments().policies.forget(operator.tenant);
    Ok(Json(PaymentPolicyAnswer::from(&policy)))
}
