//! Accounts and what a transfer does to them.

use super::LedgerError;
use crate::primitives::{BusinessDay, Points, TenantId};

/// A checked account's row. Amounts are whole units of its asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub tenant: TenantId,
    pub debits_posted: i64,
    pub credits_posted: i64,
    pub debits_pending: i64,
    pub credits_pending: i64,
    /// Transfers that touched this account so far.
    pub version: u32,
    /// Points that the customer owes: what stands on the customer's debt account, kept here because whoever decides on the points needs it.
    pub debt: Points,
    /// The day that `earned_points` counts.
    pub earned_on: Option<BusinessDay>,
    pub earned_points: Points,
}

/// What a customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// All posted points.
    pub posted: Points,
    /// Of these, set aside.
    pub held: Points,
    /// Posted less held: what can be spent.
    pub available: Points,
    /// On their way in, not yet decided.
    pub pending: Points,
    /// Owed: taken back by a refund after they had been spent. The next points that come in repay it.
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
        }
    }

    /// The day on which points of `day` are counted, and what payments earned on it so far. Never an earlier day than the one already counted, should clocks disagree.
    pub fn earned_by(&self, day: BusinessDay) -> (BusinessDay, Points) {
        match self.earned_on {
            Some(counted) if counted >= day => (counted, self.earned_points),
            Some(_) | None => (day, Points::ZERO),
        }
    }

    /// Posted credits less posted debits: what a checked account holds.
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

    /// The account after one more transfer of `amount`; refused when less than nothing would be available.
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
        /// Whatever is asked of an account, it is never below zero and counts exactly what it accepted.
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
}
