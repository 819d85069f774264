//! Errors of points commands, and of the use cases that read points transactions.

use super::{PointsTransactionState, TransitionError};
use crate::{
    db::{DbError, SubmitError},
    ledger::LedgerError,
    primitives::{Points, PointsTransactionId},
};

/// A points command was refused, or a points transaction was not found.
#[derive(Debug, thiserror::Error)]
pub enum PointsError {
    #[error("{field} is {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
    #[error("the customer does not exist")]
    CustomerUnknown,
    #[error("the customer is blocked")]
    CustomerBlocked,
    #[error("the merchant does not exist, or is not that of the order")]
    MerchantUnknown,
    #[error("the order does not exist, or is another customer's")]
    OrderNotTheirs,
    /// The back end used the reference for another request, which made this points transaction.
    #[error("the reference was used for another request, {0}")]
    ReferenceReused(PointsTransactionId),
    #[error("only {available} are available")]
    Insufficient { available: Points },
    /// Risk blocks it. The points transaction is stored as refused, with the decision.
    #[error("risk stopped it")]
    Blocked,
    #[error("the points transaction does not exist")]
    NotFound,
    #[error("the points transaction is {}", .0.name())]
    State(PointsTransactionState),
    #[error("between one and {held} can be captured")]
    CaptureTooMuch { held: Points },
    /// The points transaction to be returned did not take points from the customer.
    #[error("points are returned of deductions and redemptions only")]
    NotReturnable,
    #[error("the points transaction to be returned is {}", .0.name())]
    NotDone(PointsTransactionState),
    #[error("only {left} are left to be returned")]
    ReturnTooMuch { left: Points },
    #[error("the ledger refused the points transaction")]
    Ledger(#[from] LedgerError),
    #[error("database failure")]
    Db(#[from] DbError),
}

impl From<TransitionError> for PointsError {
    fn from(unfit: TransitionError) -> Self {
        match unfit {
            TransitionError::State(state) => Self::State(state),
            TransitionError::Amount(held) => Self::CaptureTooMuch { held },
            TransitionError::Kind(_) => Self::NotReturnable,
            TransitionError::Left(left) => Self::ReturnTooMuch { left },
        }
    }
}

impl From<SubmitError<Self>> for PointsError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal,
            SubmitError::Db(error) => error.into(),
        }
    }
}
