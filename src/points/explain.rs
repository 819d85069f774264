//! The steps by which a payment earns points. [`RuleTerms`](super::RuleTerms) computes credits by
//! the same steps, so an explanation cannot differ from what is credited.

use rust_decimal::Decimal;

use crate::primitives::{Money, Points};

/// From the amount to whole points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earning {
    /// What was paid.
    pub amount: Money,
    /// The amount is less than the smallest payment that earns.
    pub below_minimum: bool,
    /// The part of the amount that earns: zero below the minimum, at most the maximum.
    pub counted: Money,
    /// `counted` in yuan times the ratio, before rounding.
    pub exact: Decimal,
    /// `exact`, rounded to whole points.
    pub points: Points,
}

/// One cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapStep {
    pub cap: Points,
    /// Points earned or handed out before.
    pub used: Points,
    /// Points left under the cap.
    pub room: Points,
}

/// The points that the caps leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capping {
    /// Per customer and business day, if the rule has such a cap.
    pub daily: Option<CapStep>,
    /// Per version, if the rule has such a cap.
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
    /// Returns the points that are credited.
    pub const fn points(&self) -> Points {
        self.capping.points
    }
}
