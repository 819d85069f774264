//! What risk decided and what people made of it, as operators read it.

use serde::Serialize;

use crate::{
    primitives::{
        CustomerId, DecisionId, MerchantId, OrderId, OrderNo, PointsTransactionId, ReviewId,
        Timestamp,
    },
    risk::{Action, Decision, Effect, FiredRule, ReviewKind, ReviewRow, ReviewState},
};

/// A rule that fired.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RiskRuleFired)]
pub struct FiredRuleView {
    #[schema(example = "payments-in-a-minute")]
    pub rule: String,
    pub action: Action,
    pub effect: Effect,
    pub reason: String,
}

/// What risk decided at one stage. Where it came from is not told here.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RiskDecision)]
pub struct DecisionView {
    #[schema(value_type = String, example = "rd_019a8b3e5c5f7a0e8b6f1d2c3e4f2a03")]
    pub id: DecisionId,
    #[schema(example = "points.credit")]
    pub stage: &'static str,
    pub action: Action,
    /// The number of the rule set.
    pub rule_set: u32,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Every rule that fired, in the order of the file.
    pub fired: Vec<FiredRuleView>,
}

/// A person's look at points that risk holds back.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = RiskReview)]
pub struct ReviewView {
    #[schema(value_type = String, example = "rv_019a8b3e5c5f7a0e8b6f1d2c3e4f2a01")]
    pub id: ReviewId,
    /// `order` or `points_transaction`.
    #[schema(example = "order")]
    pub kind: &'static str,
    /// `open`, `claimed`, `approved`, `rejected`, `timed_out` (the time-out decided) or
    /// `superseded` (a refund came first).
    #[schema(example = "open")]
    pub state: &'static str,
    /// Whether the points were credited; `null` while it is not decided.
    pub released: Option<bool>,
    /// The stage at which risk wanted it.
    #[schema(example = "points.credit")]
    pub stage: &'static str,
    /// The ids of the rules that wanted it, with commas.
    #[schema(example = "new-device-large-amount")]
    pub rules: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub order_no: Option<OrderNo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub points_transaction_id: Option<PointsTransactionId>,
    #[schema(value_type = String)]
    pub customer_id: CustomerId,
    #[schema(value_type = Option<String>)]
    pub merchant_id: Option<MerchantId>,
    /// `payment`, or what a back end calls itself.
    #[schema(example = "payment")]
    pub source: String,
    /// How many points wait.
    #[schema(example = 12)]
    pub points: i64,
    #[schema(example = 1200)]
    pub amount_fen: Option<i64>,
    /// Who has claimed it, for half an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claimed_at: Option<Timestamp>,
    /// Who approved first, where two must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_approver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub decided_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When the time-out decides; absent once it is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Counts the changes.
    #[schema(example = 1)]
    pub version: u32,
}

impl From<&FiredRule> for FiredRuleView {
    fn from(fired: &FiredRule) -> Self {
        Self {
            rule: fired.rule.clone(),
            action: fired.action,
            effect: fired.effect,
            reason: fired.reason.clone(),
        }
    }
}

impl From<&(DecisionId, Decision)> for DecisionView {
    fn from((id, decision): &(DecisionId, Decision)) -> Self {
        Self {
            id: *id,
            stage: decision.facts.stage.name(),
            action: decision.action,
            rule_set: decision.rule_set,
            at: decision.facts.at,
            fired: decision.fired.iter().map(FiredRuleView::from).collect(),
        }
    }
}

impl ReviewView {
    /// As it stands at `now`: a claim that is over is none.
    pub fn at(review: &ReviewRow, now: Timestamp) -> Self {
        let claim = match (&review.state, review.holder(now)) {
            (ReviewState::Claimed { by, at }, Some(_)) => Some((by.to_string(), *at)),
            (_, Some(_) | None) => None,
        };
        let state = match (&review.state, &claim) {
            (ReviewState::Claimed { .. }, None) => ReviewState::Open.name(),
            (state, Some(_) | None) => state.name(),
        };
        let (claimed_by, claimed_at) = claim.unzip();
        let decided = review.decided.as_ref();
        Self {
            id: review.id,
            kind: review.kind.name(),
            state,
            released: review.state.released(),
            stage: review.stage.name(),
            rules: review.rules.clone(),
            order_no: match review.kind {
                ReviewKind::Order => Some(OrderNo::from(OrderId::new(review.id.cause()))),
                ReviewKind::PointsTransaction => None,
            },
            points_transaction_id: match review.kind {
                ReviewKind::Order => None,
                ReviewKind::PointsTransaction => Some(PointsTransactionId::new(review.id.cause())),
            },
            customer_id: review.customer,
            merchant_id: review.merchant,
            source: review.source.clone(),
            points: review.points.get(),
            amount_fen: review.amount.map(crate::primitives::Money::get),
            claimed_by,
            claimed_at,
            first_approver: review.first_approver.as_ref().map(ToString::to_string),
            decided_by: decided.map(|decided| decided.by.to_string()),
            decided_at: decided.map(|decided| decided.at),
            note: review.note.clone(),
            due_at: review.due_at,
            created_at: review.created_at,
            version: review.version,
        }
    }
}
