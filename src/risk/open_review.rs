//! Opens reviews.

use super::{
    Action, Decision, Effect, ReviewKind, ReviewPolicy, ReviewRow, ReviewState,
    review_store::Reviews,
};
use crate::{
    db::WorkingSet,
    facts::Stage,
    primitives::{
        CustomerId, EntryId, Id, MerchantId, Money, Points, ReviewId, TenantId, Timestamp,
    },
};

/// What is to be reviewed, for [`open_review`].
#[derive(Debug, Clone)]
pub struct NewReview {
    pub tenant: TenantId,
    pub kind: ReviewKind,
    /// The order or the points transaction.
    pub cause: Id,
    pub stage: Stage,
    /// The pending entry, of one leg.
    pub entry: EntryId,
    pub customer: CustomerId,
    pub merchant: Option<MerchantId>,
    pub points: Points,
    pub amount: Option<Money>,
    /// At most 64 characters.
    pub source: String,
    /// See [`rules_wanting_review`]; longer text is cut.
    pub rules: String,
}

/// Opens a review in the commit of the activity whose points are pending. Its time-out is counted
/// from `now`.
pub fn open_review(set: &mut WorkingSet, new: NewReview, policy: &ReviewPolicy, now: Timestamp) {
    let cut = |text: String, length: usize| text.chars().take(length).collect();
    let row = ReviewRow {
        id: ReviewId::of(new.cause),
        tenant: new.tenant,
        kind: new.kind,
        stage: new.stage,
        entry: new.entry,
        customer: new.customer,
        merchant: new.merchant,
        points: new.points,
        amount: new.amount,
        source: cut(new.source, 64),
        rules: cut(new.rules, 255),
        state: ReviewState::Open,
        first_approver: None,
        decided: None,
        note: None,
        due_at: Some(now.plus_seconds(policy.timeout_seconds)),
        version: 1,
        created_at: now,
    };
    metrics::counter!("risk_reviews_opened_total", "stage" => row.stage.name()).increment(1);
    set.put::<Reviews>(row.id, row);
}

/// Returns the ids of the live rules that do not allow, separated by commas.
pub fn rules_wanting_review(decision: &Decision) -> String {
    let live: Vec<&str> = decision
        .fired
        .iter()
        .filter(|fired| fired.effect == Effect::Live && fired.action != Action::Allow)
        .map(|fired| fired.rule.as_str())
        .collect();
    live.join(", ")
}
