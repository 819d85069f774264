//! What became of a callback.

use crate::primitives::coded;

coded! {
    /// What became of a stored callback.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum CallbackOutcome: Serde {
        Settled = 1 => "settled",
        Refund = 2 => "refund",
        Rejected = 3 => "rejected",
        Ignored = 4 => "ignored",
        /// It could not be taken, through no fault of its own.
        Failed = 5 => "failed",
        Unverified = 6 => "unverified",
        /// It changed nothing.
        Duplicate = 7 => "duplicate",
    }
}
