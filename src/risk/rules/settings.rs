//! Settings of the whole file.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{facts::Stage, primitives::Points, risk::Action};

/// What a rule file says beside its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Settings {
    /// How long an answered challenge counts, in seconds.
    pub verify_valid_seconds: u32,
    pub review: ReviewSettings,
}

/// The most seconds that a rule file may give a review.
pub const REVIEW_TIMEOUT_MAX: u32 = 30 * 86_400;

/// How reviews end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReviewSettings {
    /// After so many seconds without a person's word the review ends by itself.
    pub timeout_seconds: u32,
    /// How it ends by itself.
    pub on_timeout: TimeoutDecision,
    /// Letting in more points than this takes two people.
    #[schema(value_type = i64, minimum = 0)]
    pub second_person_above_points: Points,
}

/// How a review ends when nobody decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutDecision {
    /// The points are the customer's.
    Approve,
    /// The points are not given.
    Reject,
}

impl Default for Settings {
    /// What nobody looked at is not given: forgetting to look must not hand out points.
    fn default() -> Self {
        Self {
            verify_valid_seconds: 15 * 60,
            review: ReviewSettings {
                timeout_seconds: 72 * 3_600,
                on_timeout: TimeoutDecision::Reject,
                second_person_above_points: Points::constant(10_000),
            },
        }
    }
}

/// What a rule may do at a stage. A challenge needs somebody who answers and then asks again:
/// whoever logs in or pays, but not the job that credits points nor the back end that spends them
/// or sends money back. A login gives nothing that could be held for a review.
pub const fn actions_at(stage: Stage) -> &'static [Action] {
    match stage {
        Stage::Login => &[Action::Allow, Action::Verify, Action::Block],
        Stage::PaymentCreate => &[Action::Allow, Action::Verify, Action::Review, Action::Block],
        Stage::PointsCredit | Stage::Redeem | Stage::Refund => {
            &[Action::Allow, Action::Review, Action::Block]
        }
    }
}

/// A length of time in seconds; people read `15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Window(pub(crate) u32);

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        for (length, unit) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
            if seconds >= length && seconds.is_multiple_of(length) {
                return write!(f, "{}{unit}", seconds / length);
            }
        }
        write!(f, "{seconds}s")
    }
}
