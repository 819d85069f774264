//! Accounts and what a transfer does to them.

use super::LedgerError;
use crate::primitives::{BusinessDay, Points, TenantId};

/// A constrained account's row. Amounts are whole units of its asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub tenant: TenantId,
    pub debits_posted: i64,
    pub credits_posted: i64,
    pub debits_pending: i64,
    pub credits_pending: i64,
    /// Transfers that touched this account so far.
    pub version: u32,
    /// Points that the customer owes: what stands on the customer's debt account, kept here because
    /// whoever decides on the points needs it.
    pub debt: Points,
    /// The day that `earned_points` counts: the latest that was counted.
    pub earned_on: Option<BusinessDay>,
    pub earned_points: Points,
    /// The first of the days up to that one that were counted without a gap.
    pub earned_from: Option<BusinessDay>,
    /// The day that was counted before the gap, and what was earned on it.
    pub earned_before: Option<(BusinessDay, Points)>,
}

/// What a customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// All posted points.
    pub posted: Points,
    /// Of these, held.
    pub held: Points,
    /// What can be spent. Posted less held, as far as the account's row alone can tell; no more
    /// than that, and less when points have expired
    /// ([`PointHoldings::free`](super::PointHoldings::free)).
    pub available: Points,
    /// On their way in, not yet decided.
    pub pending: Points,
    /// Owed: taken back by a refund after they had been spent. The next points that come in or
    /// become free repay it.
    pub debt: Points,
}

/// Which way an amount moves through an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    PostDebit,
    PostCredit,
    HoldDebit,
    HoldCredit,
    /// A pending amount becomes posted.
    PostHeldDebit,
    PostHeldCredit,
    /// A pending amount goes away.
    DropHeldDebit,
    DropHeldCredit,
}

impl Account {
    pub const fn empty(tenant: TenantId) -> Self {
        Self {
            tenant,
            debits_posted: 0,
            credits_posted: 0,
            debits_pending: 0,
            credits_pending: 0,
            version: 0,
            debt: Points::ZERO,
            earned_on: None,
            earned_points: Points::ZERO,
            earned_from: None,
            earned_before: None,
        }
    }

    /// The day on which points of `day` are counted, and what payments earned on it so far.
    ///
    /// Clocks may disagree. Around midnight an earlier day counts on the later one, and so does any
    /// day of which what was counted is not known any more: a cap is never given twice. But one
    /// clock that is far ahead must not freeze a day that the others still have: days that were
    /// skipped were never counted, and the one before them is remembered.
    ///
    /// ```text
    ///              earned_before            earned_from ...... earned_on
    ///   days:  ──────────┤  never counted  ├───────────────────────┤  new days
    ///   count on:  before │  themselves     │      earned_on        │  themselves
    /// ```
    ///
    /// (The day just before `earned_from` counts on `earned_on`, as around midnight.) A second gap
    /// forgets what was before the first: those days count on the day before the second.
    pub fn earned_by(&self, day: BusinessDay) -> (BusinessDay, Points) {
        let Some(on) = self.earned_on.filter(|on| day <= *on) else {
            return (day, Points::ZERO);
        };
        match self.earned_from {
            Some(from) if day.plus_days(1) < from => match self.earned_before {
                Some((before, points)) if day <= before => (before, points),
                Some(_) | None => (day, Points::ZERO),
            },
            Some(_) | None => (on, self.earned_points),
        }
    }

    /// The account when `points` were earned in all on `day`, as [`Self::earned_by`] named it.
    #[must_use]
    pub fn with_earned(self, day: BusinessDay, points: Points) -> Self {
        let follows = |on: BusinessDay| on.plus_days(1) >= day;
        match self.earned_on {
            Some(on) if day < on => Self {
                earned_before: Some((day, points)),
                ..self
            },
            Some(on) if follows(on) => Self {
                earned_on: Some(day),
                earned_points: points,
                ..self
            },
            Some(_) | None => Self {
                earned_on: Some(day),
                earned_points: points,
                earned_from: Some(day),
                earned_before: self.earned_on.map(|on| (on, self.earned_points)),
                ..self
            },
        }
    }

    /// Posted credits less posted debits: what a constrained account holds.
    pub const fn posted(&self) -> i64 {
        self.credits_posted.saturating_sub(self.debits_posted)
    }

    pub const fn available(&self) -> i64 {
        self.posted().saturating_sub(self.debits_pending)
    }

    /// Fails only for a row that breaks the invariants.
    pub fn balance(&self) -> Result<Balance, LedgerError> {
        let points = |units| Points::parse(units).map_err(|_| LedgerError::BelowZero);
        Ok(Balance {
            posted: points(self.posted())?,
            held: points(self.debits_pending)?,
            available: points(self.available())?,
            pending: points(self.credits_pending)?,
            debt: self.debt,
        })
    }

    /// The account after one more transfer of `amount`; refused when less than nothing would be
    /// available.
    pub(super) fn apply(&self, effect: Effect, amount: i64) -> Result<Self, LedgerError> {
        let mut next = *self;
        let Self {
            debits_posted,
            credits_posted,
            debits_pending,
            credits_pending,
            ..
        } = &mut next;
        match effect {
            Effect::PostDebit => add(debits_posted, amount)?,
            Effect::PostCredit => add(credits_posted, amount)?,
            Effect::HoldDebit => add(debits_pending, amount)?,
            Effect::HoldCredit => add(credits_pending, amount)?,
            Effect::PostHeldDebit => {
                take(debits_pending, amount)?;
                add(debits_posted, amount)?;
            }
            Effect::PostHeldCredit => {
                take(credits_pending, amount)?;
                add(credits_posted, amount)?;
            }
            Effect::DropHeldDebit => take(debits_pending, amount)?,
            Effect::DropHeldCredit => take(credits_pending, amount)?,
        }
        if next.available() < 0 {
            return Err(LedgerError::Insufficient);
        }
        next.version = next.version.checked_add(1).ok_or(LedgerError::Overflow)?;
        Ok(next)
    }
}

fn add(sum: &mut i64, amount: i64) -> Result<(), LedgerError> {
    *sum = sum.checked_add(amount).ok_or(LedgerError::Overflow)?;
    Ok(())
}

fn take(sum: &mut i64, amount: i64) -> Result<(), LedgerError> {
    let left = sum.checked_sub(amount).filter(|left| *left >= 0);
    *sum = left.ok_or(LedgerError::NothingPending)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EFFECTS: [Effect; 8] = [
        Effect::PostDebit,
        Effect::PostCredit,
        Effect::HoldDebit,
        Effect::HoldCredit,
        Effect::PostHeldDebit,
        Effect::PostHeldCredit,
        Effect::DropHeldDebit,
        Effect::DropHeldCredit,
    ];

    proptest! {
        /// Whatever is asked of an account, it is never below zero and counts exactly what it
        /// accepted.
        #[test]
        fn an_account_never_goes_below_zero(steps in prop::collection::vec((0_usize..8, 1_i64..100), 0..200)) {
            let mut account = Account::empty(TenantId(1));
            let mut accepted = 0;
            for (effect, amount) in steps {
                if let Ok(next) = account.apply(EFFECTS[effect], amount) {
                    account = next;
                    accepted = u32::saturating_add(accepted, 1);
                }
                prop_assert!(account.available() >= 0 && account.debits_pending >= 0 && account.credits_pending >= 0);
                prop_assert_eq!(account.version, accepted);
                prop_assert!(account.balance().is_ok());
            }
        }
    }

    #[test]
    fn held_points_cannot_be_spent_twice() {
        let account = Account::empty(TenantId(1))
            .apply(Effect::PostCredit, 10)
            .unwrap();
        let held = account.apply(Effect::HoldDebit, 8).unwrap();
        assert_eq!(
            held.apply(Effect::PostDebit, 3),
            Err(LedgerError::Insufficient)
        );
        let spent = held.apply(Effect::PostHeldDebit, 8).unwrap();
        assert_eq!((spent.posted(), spent.available()), (2, 2));
        assert_eq!(
            spent.apply(Effect::DropHeldDebit, 1),
            Err(LedgerError::NothingPending)
        );
    }

    fn day(number: u32) -> BusinessDay {
        BusinessDay::parse("2026-11-01").unwrap().plus_days(number)
    }

    /// Credits up to a cap of ten, as settlement does; what was credited.
    fn earn(account: &mut Account, number: u32) -> i64 {
        let (on, earned) = account.earned_by(day(number));
        let left = i64::saturating_sub(10, earned.get());
        *account = account.with_earned(on, Points::parse(10).unwrap());
        left
    }

    #[test]
    fn a_clock_that_is_a_month_ahead_takes_no_day_from_the_customer_and_gives_none_twice() {
        let mut account = Account::empty(TenantId(1));
        assert_eq!(earn(&mut account, 1), 10);
        assert_eq!(earn(&mut account, 31), 10, "somebody's clock is ahead");
        assert_eq!(earn(&mut account, 1), 0, "today is used up");
        assert_eq!(earn(&mut account, 31), 0);
        assert_eq!(earn(&mut account, 2), 10, "and tomorrow is not");
        assert_eq!(earn(&mut account, 2), 0);
        assert_eq!(
            earn(&mut account, 1),
            0,
            "a clock that is behind: yesterday counts on today"
        );
        assert_eq!(earn(&mut account, 32), 10, "the other's midnight");
        assert_eq!(earn(&mut account, 31), 0);
        assert_eq!(earn(&mut account, 3), 10);
        assert_eq!(
            earn(&mut account, 30),
            0,
            "within a day of what was counted"
        );
        // When that month has come.
        assert_eq!(earn(&mut account, 32), 0);
        assert_eq!(earn(&mut account, 33), 10);
    }

    proptest! {
        /// Whatever clocks say, no day that points are counted on gives more than its cap, ever.
        #[test]
        fn no_day_is_given_twice(days in prop::collection::vec(0_u32..40, 1..200)) {
            let mut account = Account::empty(TenantId(1));
            let mut given = std::collections::BTreeMap::<BusinessDay, i64>::new();
            for number in days {
                let (on, _) = account.earned_by(day(number));
                let credited = earn(&mut account, number);
                let sum = given.entry(on).or_default();
                *sum = sum.saturating_add(credited);
                prop_assert!(*sum <= 10, "{on} gives {sum}");
            }
        }
    }
}
