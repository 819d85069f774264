//! What a payment earns. Pure.

use crate::primitives::{BusinessDay, Money, Points, TenantId, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy, prelude::ToPrimitive as _};

/// The last day of points that last for ever.
pub const NEVER: BusinessDay = BusinessDay::NEVER;

/// The terms of a rule, as an admin states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTerms {
    /// Points per yuan, up to four decimals; the product is rounded down.
    pub ratio: Decimal,
    /// A smaller payment earns nothing.
    pub amount_min: Money,
    /// Of a larger payment only this much earns.
    pub amount_max: Option<Money>,
    /// Points per customer and business day.
    pub daily_cap: Option<Points>,
    /// Points that this version hands out in all.
    pub total_cap: Option<Points>,
    /// Whole days that points last, the day of the credit not counted; none: for ever.
    pub expiry_days: Option<u32>,
}

impl Default for RuleTerms {
    /// One point per yuan, for a year.
    fn default() -> Self {
        Self {
            ratio: Decimal::ONE,
            amount_min: Money::ZERO,
            amount_max: None,
            daily_cap: None,
            total_cap: None,
            expiry_days: Some(365),
        }
    }
}

/// Terms that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("the ratio is between 0 and 10000 with at most four decimals")]
    BadRatio,
    #[error("the largest amount is below the smallest")]
    MaxBelowMin,
    #[error("points last between 1 and 36500 days")]
    BadExpiry,
}

/// One version of a tenant's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub tenant: TenantId,
    pub version: u32,
    pub terms: RuleTerms,
    pub created_at: Timestamp,
}

impl RuleTerms {
    pub fn check(&self) -> Result<(), RuleError> {
        let most = Decimal::from(10_000);
        if self.ratio < Decimal::ZERO || self.ratio > most || self.ratio.normalize().scale() > 4 {
            return Err(RuleError::BadRatio);
        }
        if self.amount_max.is_some_and(|max| max < self.amount_min) {
            return Err(RuleError::MaxBelowMin);
        }
        if self
            .expiry_days
            .is_some_and(|days| !(1..=36_500).contains(&days))
        {
            return Err(RuleError::BadExpiry);
        }
        Ok(())
    }

    /// What a payment of `amount` earns before caps, rounded down.
    pub fn earn(&self, amount: Money) -> Points {
        if amount < self.amount_min {
            return Points::ZERO;
        }
        let counted = self.amount_max.map_or(amount, |max| max.min(amount));
        let points = Decimal::new(counted.get(), 2)
            .checked_mul(self.ratio)
            .map(|points| points.round_dp_with_strategy(0, RoundingStrategy::ToZero))
            .and_then(|points| points.to_i64())
            .unwrap_or(i64::MAX);
        Points::parse(points).unwrap_or(Points::ZERO)
    }

    /// The first day on which points credited on `day` are gone.
    pub fn expires_on(&self, day: BusinessDay) -> BusinessDay {
        self.expiry_days
            .map_or(NEVER, |days| day.plus_days(days.saturating_add(1)))
    }

    /// What of `earned` the caps leave, when the customer had `earned_today` and the version had handed out `granted`.
    pub fn capped(&self, earned: Points, earned_today: Points, granted: Points) -> Points {
        let room = |cap: Option<Points>, used: Points| cap.map(|cap| cap.saturating_sub(used));
        [
            room(self.daily_cap, earned_today),
            room(self.total_cap, granted),
        ]
        .into_iter()
        .flatten()
        .fold(earned, Points::min)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    fn fen(units: i64) -> Money {
        Money::parse(units).unwrap()
    }

    fn points(units: i64) -> Points {
        Points::parse(units).unwrap()
    }

    #[test]
    fn points_are_rounded_down() {
        let terms = RuleTerms {
            ratio: Decimal::new(15, 1),
            ..RuleTerms::default()
        };
        assert_eq!(terms.earn(fen(199)), points(2)); // 1.99 yuan * 1.5 = 2.985
        assert_eq!(terms.earn(fen(1)), points(0));
    }

    #[test]
    fn a_payment_below_the_smallest_earns_nothing_and_above_the_largest_no_more() {
        let terms = RuleTerms {
            amount_min: fen(500),
            amount_max: Some(fen(10_000)),
            ..RuleTerms::default()
        };
        assert_eq!(terms.earn(fen(499)), points(0));
        assert_eq!(terms.earn(fen(500)), points(5));
        assert_eq!(terms.earn(fen(99_999_999)), points(100));
    }

    #[test]
    fn the_tighter_cap_counts() {
        let terms = RuleTerms {
            daily_cap: Some(points(100)),
            total_cap: Some(points(1_000)),
            ..RuleTerms::default()
        };
        assert_eq!(terms.capped(points(50), points(80), points(0)), points(20));
        assert_eq!(terms.capped(points(50), points(0), points(990)), points(10));
        assert_eq!(terms.capped(points(50), points(200), points(0)), points(0));
    }

    #[test]
    fn points_of_a_day_last_whole_days() {
        let day = BusinessDay(date!(2026 - 11 - 21));
        let terms = RuleTerms {
            expiry_days: Some(1),
            ..RuleTerms::default()
        };
        assert_eq!(terms.expires_on(day).to_string(), "2026-11-23");
        assert_eq!(
            RuleTerms {
                expiry_days: None,
                ..terms
            }
            .expires_on(day),
            NEVER
        );
    }

    #[test]
    fn terms_that_make_no_sense_are_refused() {
        let bad = |change: fn(&mut RuleTerms)| {
            let mut terms = RuleTerms::default();
            change(&mut terms);
            terms.check()
        };
        assert_eq!(
            bad(|t| t.ratio = Decimal::new(-1, 0)),
            Err(RuleError::BadRatio)
        );
        assert_eq!(
            bad(|t| t.ratio = Decimal::new(12_345, 5)),
            Err(RuleError::BadRatio)
        );
        assert_eq!(bad(|t| t.amount_max = Some(Money::ZERO)), Ok(()));
        assert_eq!(bad(|t| t.expiry_days = Some(0)), Err(RuleError::BadExpiry));
    }

    proptest! {
        #[test]
        fn caps_hold_whatever_comes(payments in prop::collection::vec(1_i64..100_000, 1..50), cap in 0_i64..500) {
            let terms = RuleTerms { daily_cap: Some(points(cap)), ..RuleTerms::default() };
            let mut today = Points::ZERO;
            for payment in payments {
                let credited = terms.capped(terms.earn(fen(payment)), today, Points::ZERO);
                today = today.checked_add(credited).unwrap();
                prop_assert!(today <= points(cap));
            }
        }
    }
}
