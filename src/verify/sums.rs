//! The sums of an account over its transfers.

use crate::ledger::Phase;

/// What the transfers say of an unconstrained account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) debits_posted: i64,
    pub(super) credits_posted: i64,
    pub(super) debits_pending: i64,
    pub(super) credits_pending: i64,
}

impl Sums {
    pub(super) fn debit(&mut self, phase: Phase, amount: i64) {
        add(
            &mut self.debits_posted,
            &mut self.debits_pending,
            phase,
            amount,
        );
    }

    pub(super) fn credit(&mut self, phase: Phase, amount: i64) {
        add(
            &mut self.credits_posted,
            &mut self.credits_pending,
            phase,
            amount,
        );
    }
}

fn add(posted: &mut i64, pending: &mut i64, phase: Phase, amount: i64) {
    let (more_posted, more_pending) = match phase {
        Phase::Posted => (amount, 0),
        Phase::Pending => (0, amount),
        Phase::Post => (amount, -amount),
        Phase::Void => (0, -amount),
    };
    *posted = posted.saturating_add(more_posted);
    *pending = pending.saturating_add(more_pending);
}
