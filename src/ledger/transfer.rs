//! A transfer as it stands in the books.

use aws_lc_rs::digest::Context;

use crate::primitives::{AccountId, BusinessDay, TenantId, Timestamp, TransferId, coded};

coded! {
    /// Where a transfer stands in the life of an amount.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Phase {
        /// Done at once.
        Posted = 0 => "posted",
        /// Held, to be resolved.
        Pending = 1 => "pending",
        /// Resolves a pending one: done.
        Post = 2 => "post",
        /// Resolves a pending one: undone.
        Void = 3 => "void",
    }
}

coded! {
    /// Which side of a transfer may not go below zero.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ConstrainedSide {
        Neither = 0,
        Debit = 1,
        Credit = 2,
    }
}

/// An immutable fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    pub id: TransferId,
    pub tenant: TenantId,
    pub phase: Phase,
    pub debit: AccountId,
    pub credit: AccountId,
    /// Fen or points, more than zero.
    pub amount: i64,
    pub constrained_side: ConstrainedSide,
    /// Of the constrained account, after this transfer: its version and its posted balance.
    pub account_version: Option<u32>,
    pub balance_after: Option<i64>,
    pub at: Timestamp,
    /// Points that reach a customer: the first day on which they can no longer be used. Points that
    /// leave one: the lot that is taken from before the others, if one is named.
    pub lot: Option<BusinessDay>,
}

impl Transfer {
    /// The account whose version and balance the transfer states.
    pub const fn constrained_account(&self) -> Option<AccountId> {
        match self.constrained_side {
            ConstrainedSide::Neither => None,
            ConstrainedSide::Debit => Some(self.debit),
            ConstrainedSide::Credit => Some(self.credit),
        }
    }

    /// Every column, in one fixed form: what a commit's seal covers.
    pub fn seal(&self, seal: &mut Context) {
        seal.update(self.id.entry.bytes());
        seal.update(&[self.id.leg, self.phase.code(), self.constrained_side.code()]);
        seal.update(&self.tenant.0.to_be_bytes());
        seal.update(self.debit.bytes());
        seal.update(self.credit.bytes());
        seal.update(&self.amount.to_be_bytes());
        seal.update(&self.account_version.unwrap_or(0).to_be_bytes());
        seal.update(&self.balance_after.unwrap_or(-1).to_be_bytes());
        seal.update(&self.at.micros().to_be_bytes());
        // Only points have one.
        if let Some(lot) = self.lot {
            seal.update(lot.to_string().as_bytes());
        }
    }
}
