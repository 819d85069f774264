//! A transfer as it stands in the books.

use aws_lc_rs::digest::Context;

use crate::primitives::{AccountId, BusinessDay, TenantId, Timestamp, TransferId};

/// Where a transfer stands in the life of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Done at once.
    Posted,
    /// Held, to be resolved.
    Pending,
    /// Resolves a pending one: done.
    Post,
    /// Resolves a pending one: undone.
    Void,
}

impl Phase {
    pub const fn code(self) -> u8 {
        match self {
            Self::Posted => 0,
            Self::Pending => 1,
            Self::Post => 2,
            Self::Void => 3,
        }
    }

    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Pending => "pending",
            Self::Post => "post",
            Self::Void => "void",
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Posted),
            1 => Some(Self::Pending),
            2 => Some(Self::Post),
            3 => Some(Self::Void),
            _ => None,
        }
    }
}

/// Which side of a transfer may not go below zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstrainedSide {
    Neither,
    Debit,
    Credit,
}

impl ConstrainedSide {
    pub const fn code(self) -> u8 {
        match self {
            Self::Neither => 0,
            Self::Debit => 1,
            Self::Credit => 2,
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Neither),
            1 => Some(Self::Debit),
            2 => Some(Self::Credit),
            _ => None,
        }
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
    /// Points that reach a customer: the first day on which they can no longer be used. Points that leave one: the lot that is taken from before the others, if one is named.
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
