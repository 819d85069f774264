//! The terms of a points rule and what a payment earns by them. Pure.

use super::{
    Rounding, Validity,
    explain::{CapStep, Capping, Earning, Explanation},
};
use crate::primitives::{BusinessDay, MerchantId, Money, Points, TenantId, Timestamp};
use rust_decimal::Decimal;

/// `expired_from` of points that never expire.
pub const NEVER: BusinessDay = BusinessDay::NEVER;

/// The terms of a rule, as an admin states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTerms {
    /// Points per yuan, up to four decimals.
    pub ratio: Decimal,
    /// Smaller payments earn nothing.
    pub amount_min: Money,
    /// The part of a payment above this amount earns nothing.
    pub amount_max: Option<Money>,
    /// Points per customer and business day.
    pub daily_cap: Option<Points>,
    /// Points that this version hands out in total.
    pub total_cap: Option<Points>,
    /// How yuan times ratio becomes whole points.
    pub rounding: Rounding,
    /// How long points last.
    pub validity: Validity,
}

impl Default for RuleTerms {
    /// One point per yuan, rounded down, for a year.
    fn default() -> Self {
        Self {
            ratio: Decimal::ONE,
            amount_min: Money::ZERO,
            amount_max: None,
            daily_cap: None,
            total_cap: None,
            rounding: Rounding::Down,
            validity: Validity::Days { count: 365 },
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
    #[error("points last between 1 and 36500 days, 0 and 1200 months, or 0 and 100 years")]
    BadValidity,
}

/// One version of a rule, with terms that can credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub tenant: TenantId,
    /// 1, 2, .. per tenant, whoever the version is for.
    pub version: u32,
    /// The merchant whose payments it decides on; none: every merchant of the tenant without a rule
    /// of its own.
    pub merchant: Option<MerchantId>,
    pub terms: RuleTerms,
    pub effective_from: Timestamp,
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
        if !self.validity.is_sane() {
            return Err(RuleError::BadValidity);
        }
        Ok(())
    }

    /// Returns what a payment of `amount` earns before caps.
    pub fn earn(&self, amount: Money) -> Points {
        self.earn_explained(amount).points
    }

    /// Returns the steps of [`Self::earn`].
    pub fn earn_explained(&self, amount: Money) -> Earning {
        let below_minimum = amount < self.amount_min;
        let counted = match self.amount_max {
            _ if below_minimum => Money::ZERO,
            Some(max) => max.min(amount),
            None => amount,
        };
        // At most 63 bits of fen times 27 bits of ratio: the product always fits.
        let exact = Decimal::new(counted.get(), 2)
            .checked_mul(self.ratio)
            .unwrap_or(Decimal::MAX);
        Earning {
            amount,
            below_minimum,
            counted,
            exact,
            points: self.rounding.round(exact),
        }
    }

    /// Returns the first day on which points credited on `day` can no longer be used.
    pub fn expired_from(&self, day: BusinessDay) -> BusinessDay {
        self.validity.expired_from(day)
    }

    /// Returns how much of `earned` the caps leave if the customer has earned `earned_today` and
    /// the version has handed out `granted`.
    pub fn capped(&self, earned: Points, earned_today: Points, granted: Points) -> Points {
        self.capped_explained(earned, earned_today, granted).points
    }

    /// Returns the steps of [`Self::capped`].
    pub fn capped_explained(
        &self,
        earned: Points,
        earned_today: Points,
        granted: Points,
    ) -> Capping {
        let daily = self.daily_cap.map(|cap| CapStep::new(cap, earned_today));
        let total = self.total_cap.map(|cap| CapStep::new(cap, granted));
        let room = [daily, total].into_iter().flatten().map(|step| step.room);
        Capping {
            daily,
            total,
            points: room.fold(earned, Points::min),
        }
    }

    /// Returns what a payment is credited, with every step.
    pub fn explain(&self, amount: Money, earned_today: Points, granted: Points) -> Explanation {
        let earning = self.earn_explained(amount);
        Explanation {
            earning,
            capping: self.capped_explained(earning.points, earned_today, granted),
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "an overflow fails the test, as it should"
)]
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
    fn points_are_rounded_down_unless_the_rule_says_otherwise() {
        let terms = RuleTerms {
            ratio: Decimal::new(15, 1),
            ..RuleTerms::default()
        };
        assert_eq!(terms.earn(fen(199)), points(2)); // 1.99 yuan * 1.5 = 2.985
        assert_eq!(terms.earn(fen(1)), points(0));
        let up = RuleTerms {
            rounding: Rounding::Up,
            ..terms
        };
        assert_eq!(up.earn(fen(1)), points(1));
        assert_eq!(up.earn(fen(0)), points(0));
        let half_up = RuleTerms {
            rounding: Rounding::HalfUp,
            ..terms
        };
        assert_eq!(half_up.earn(fen(33)), points(0)); // 0.495
        assert_eq!(half_up.earn(fen(34)), points(1)); // 0.51
    }

    #[test]
    fn rounding_up_gives_nothing_for_a_payment_below_the_smallest() {
        let terms = RuleTerms {
            amount_min: fen(500),
            rounding: Rounding::Up,
            ..RuleTerms::default()
        };
        assert_eq!(terms.earn(fen(499)), points(0));
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
            validity: Validity::Days { count: 1 },
            ..RuleTerms::default()
        };
        assert_eq!(terms.expired_from(day).to_string(), "2026-11-23");
        assert_eq!(
            RuleTerms {
                validity: Validity::Never,
                ..terms
            }
            .expired_from(day),
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
        for bad_validity in [
            Validity::Days { count: 0 },
            Validity::Days { count: 36_501 },
            Validity::EndOfMonth { count: 1_201 },
            Validity::EndOfYear { count: 101 },
        ] {
            let terms = RuleTerms {
                validity: bad_validity,
                ..RuleTerms::default()
            };
            assert_eq!(terms.check(), Err(RuleError::BadValidity));
        }
    }

    prop_compose! {
        fn any_terms()(
            ratio in 0_i64..=100_000_000,
            (amount_min, spread) in (0_i64..20_000, prop::option::of(0_i64..20_000)),
            daily_cap in prop::option::of(0_i64..5_000),
            total_cap in prop::option::of(0_i64..50_000),
            rounding in prop::sample::select(Rounding::ALL.to_vec()),
        ) -> RuleTerms {
            RuleTerms {
                ratio: Decimal::new(ratio, 4),
                amount_min: fen(amount_min),
                amount_max: spread.map(|spread| fen(amount_min + spread)),
                daily_cap: daily_cap.map(points),
                total_cap: total_cap.map(points),
                rounding,
                validity: Validity::Never,
            }
        }
    }

    proptest! {
        /// Beside integers of ten-thousandths of points per hundred fen, written without looking at
        /// the code above.
        #[test]
        fn an_order_earns_what_integers_say(terms in any_terms(), amount in 0_i64..5_000_000) {
            let min = terms.amount_min.get();
            let counted = if amount < min { 0 } else { terms.amount_max.map_or(amount, |max| amount.min(max.get())) };
            let millionths = i128::from(counted) * terms.ratio.mantissa(); // of four decimals
            let whole = millionths / 1_000_000;
            let rest = millionths % 1_000_000;
            let expected = whole + match terms.rounding {
                Rounding::Down => 0,
                Rounding::HalfUp => i128::from(rest * 2 >= 1_000_000),
                Rounding::Up => i128::from(rest > 0),
            };
            prop_assert_eq!(i128::from(terms.earn(fen(amount)).get()), expected);
            prop_assert!(terms.check().is_ok());
        }

        /// Whatever is earned when and however, the sums stay within the caps, and what the caps
        /// leave is used up to the last point.
        #[test]
        fn caps_hold_and_waste_nothing(terms in any_terms(), days in prop::collection::vec(prop::collection::vec(0_i64..50_000, 0..10), 1..5)) {
            let mut granted = Points::ZERO;
            for day in days {
                let mut today = Points::ZERO;
                for amount in day {
                    let explanation = terms.explain(fen(amount), today, granted);
                    let credited = terms.capped(terms.earn(fen(amount)), today, granted);
                    prop_assert_eq!(explanation.points(), credited);
                    today = today.checked_add(credited).unwrap();
                    granted = granted.checked_add(credited).unwrap();
                    prop_assert!(terms.daily_cap.is_none_or(|cap| today <= cap));
                    prop_assert!(terms.total_cap.is_none_or(|cap| granted <= cap));
                    let is_full = terms.daily_cap == Some(today) || terms.total_cap == Some(granted);
                    prop_assert!(credited == terms.earn(fen(amount)) || is_full);
                }
            }
        }

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
