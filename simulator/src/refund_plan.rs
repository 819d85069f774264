//! How one refund is to end and how its callbacks are to be, decided beforehand by a test.

use serde::Deserialize;

use super::faults::Fault;
use super::keys::KeyKind;
use super::refunds::RefundFate;

/// What is to become of one refund, instead of what the switches would draw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefundPlan {
    /// How it ends, the next time that it ends.
    pub fate: Option<RefundFate>,
    /// Exactly these faults of its callbacks.
    pub faults: Option<Vec<Fault>>,
    /// The key of its callbacks.
    pub callback_key: Option<KeyKind>,
}

impl RefundPlan {
    /// It ends so; its callbacks are as the switches say.
    pub fn ending(fate: RefundFate) -> Self {
        Self {
            fate: Some(fate),
            ..Self::default()
        }
    }

    /// Exactly these faults of its callbacks.
    #[must_use]
    pub fn with(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = Some(faults.into_iter().collect());
        self
    }
}

/// Why there is nothing to say about a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefundError {
    /// No refund was accepted under that number.
    #[error("no such refund")]
    Unknown,
    /// It is being processed, so there is no callback.
    #[error("the refund is being processed")]
    Processing,
    /// It has ended before.
    #[error("the refund has ended")]
    Ended,
}

/// A plan as the control API takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRequest {
    pub(super) out_refund_no: String,
    fate: Option<RefundFate>,
    faults: Option<Vec<Fault>>,
}

impl PlanRequest {
    pub(super) fn plan(self) -> (String, RefundPlan) {
        let plan = RefundPlan {
            fate: self.fate,
            faults: self.faults,
            callback_key: None,
        };
        (self.out_refund_no, plan)
    }
}
