//! Why a back end does not get its will.

use super::{DeedState, Unfit};
use crate::{
    db::{DbError, SubmitError},
    ledger::LedgerError,
    primitives::{DeedId, Points},
};

/// A deed that is not done.
#[derive(Debug, thiserror::Error)]
pub enum DeedError {
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
    /// The reference was used for another request, by the same back end: for this deed.
    #[error("the reference was used for another request, {0}")]
    ReferenceReused(DeedId),
    #[error("only {available} are available")]
    Insufficient { available: Points },
    /// Risk says no. The deed is kept, refused, with the decision.
    #[error("risk stopped it")]
    Blocked,
    #[error("the deed does not exist")]
    NotFound,
    #[error("the deed is {}", .0.name())]
    State(DeedState),
    #[error("between one and {held} can be captured")]
    CaptureTooMuch { held: Points },
    /// What a return names took nothing from the customer, or has not yet.
    #[error("points of such a deed are not returned")]
    NotReturnable,
    #[error("the deed to be returned is {}", .0.name())]
    NotDone(DeedState),
    #[error("only {left} are left to be returned")]
    ReturnTooMuch { left: Points },
    #[error("the ledger refused the deed")]
    Ledger(#[from] LedgerError),
    #[error("database failure")]
    Db(#[from] DbError),
}

impl From<Unfit> for DeedError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::State(state) => Self::State(state),
            Unfit::Amount(held) => Self::CaptureTooMuch { held },
            Unfit::Kind(_) => Self::NotReturnable,
            Unfit::Left(left) => Self::ReturnTooMuch { left },
        }
    }
}

impl From<SubmitError<Self>> for DeedError {
    fn from(error: SubmitError<Self>) -> Self {
        match error {
            SubmitError::Refused(refusal) => refusal,
            SubmitError::Db(error) => error.into(),
        }
    }
}
