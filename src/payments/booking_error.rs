//! What the books refuse of an order or a refund.

use super::{InvalidRefundTransition, InvalidTransition};
use crate::{db::Inconsistent, ledger::LedgerError};

/// Why something that has happened, or was agreed to, cannot be booked. Whoever decides has looked
/// at the states before, so none of it is an answer to anybody: it pages somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BookingError {
    #[error(transparent)]
    Order(#[from] InvalidTransition),
    #[error(transparent)]
    Refund(#[from] InvalidRefundTransition),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<Inconsistent> for BookingError {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Ledger(inconsistent.into())
    }
}
