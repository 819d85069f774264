//! Why a payment is not settled.

use super::BookingError;
use crate::ledger::LedgerError;

/// Why a payment is not settled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Booking(#[from] BookingError),
    /// Risk is on and was not asked, or was asked about fewer points than are to be credited: the
    /// order was not found then, or its caps left less. It will be the next time.
    #[error("risk was not asked")]
    NotEvaluated,
}

impl From<LedgerError> for SettleError {
    fn from(error: LedgerError) -> Self {
        Self::Booking(error.into())
    }
}
