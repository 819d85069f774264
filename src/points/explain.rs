//! Why a payment earns what it earns: the steps of [`RuleTerms`](super::RuleTerms), kept instead of
//! thrown away.
//!
//! The answer is the last step and nothing else, so what an explanation says and what is credited
//! cannot differ.

use rust_decimal::Decimal;

use crate::primitives::{Money, Points};

/// From the amount to whole points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earning {
    /// What was paid.
    pub amount: Money,
    /// Less than the smallest payment that earns.
    pub below_minimum: bool,
    /// What of it counts: nothing below the minimum, no more than the maximum.
    pub counted: Money,
    /// Yuan that count times the ratio, before rounding.
    pub exact: Decimal,
    /// The same in whole points.
    pub points: Points,
}

/// One cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapStep {
    pub cap: Points,
    /// Earned or handed out before.
    pub used: Points,
    /// What is left.
    pub room: Points,
}

/// What the caps leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capping {
    /// Per customer and business day, if the rule has such a cap.
    pub daily: Option<CapStep>,
    /// Of this version in all, if the rule has such a cap.
    pub total: Option<CapStep>,
    pub points: Points,
}

/// From the amount to what is credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    pub earning: Earning,
    pub capping: Capping,
}

impl CapStep {
    pub(super) fn new(cap: Points, used: Points) -> Self {
        Self {
            cap,
            used,
            room: cap.saturating_sub(used),
        }
    }
}

impl Explanation {
    /// What is credited.
    pub const fn points(&self) -> Points {
        self.capping.points
    }
}
