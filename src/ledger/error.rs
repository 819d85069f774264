//! What the ledger refuses.

use crate::db::Inconsistent;

/// A transfer that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("the account does not hold that much")]
    Insufficient,
    #[error("the entry is in the books already")]
    AlreadyPosted,
    /// No transfer of this entry is pending; what was resolved before is [`Self::AlreadyPosted`].
    #[error("there is no such pending entry")]
    NotPending,
    #[error("a transfer is between two different accounts")]
    SameAccount,
    #[error("a transfer is of one asset")]
    MixedAssets,
    #[error("a transfer is of more than nothing")]
    NothingToMove,
    #[error("a transfer touches at most one account that may not go below zero")]
    TwoConstrainedAccounts,
    #[error("an account of a kind that this program does not know")]
    UnknownAccountKind,
    #[error("less is pending than is to be resolved")]
    NothingPending,
    #[error("an account is below zero")]
    BelowZero,
    #[error("the lots of an account hold less than the account")]
    LotsShort,
    #[error("less is owed than is to be repaid")]
    NothingOwed,
    #[error("a sum does not fit")]
    Overflow,
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
}
