//! What can go wrong with merchants, staff and collection codes.

use super::{DrawingFailure, InvalidField, InvalidTransition, PictureError};
use crate::{
    auth::{AuthError, LoginFailure},
    customers::CustomerError,
    db::DbError,
    primitives::MerchantId,
};

#[derive(Debug, thiserror::Error)]
pub enum MerchantError {
    #[error("the merchant does not exist")]
    NotFound,
    /// The person is on the staff of no merchant.
    #[error("the person is not on the staff of a merchant")]
    NotStaff,
    /// The person is on the staff of a merchant already, or waits for one to be approved.
    #[error("the person has a merchant already")]
    AlreadyRegistered,
    #[error("the merchant is not approved")]
    NotApproved,
    /// With the merchant, if it is one of the same tenant.
    #[error("another merchant has this number at WeChat")]
    NumberTaken(Option<MerchantId>),
    #[error("the collection code does not exist")]
    CodeNotFound,
    #[error("the collection code is disabled")]
    CodeDisabled,
    #[error("a field is not what it should be")]
    Field(#[from] InvalidField),
    #[error("the merchant's state does not allow it")]
    Transition(#[from] InvalidTransition),
    #[error("the code's picture cannot be drawn")]
    Picture(#[from] PictureError),
    #[error("the code's mini-program code is not to be had")]
    Drawing(#[from] DrawingFailure),
    #[error("the customer may not do it")]
    Customer(#[from] CustomerError),
    #[error("the person may not log in")]
    Auth(#[from] AuthError),
    #[error("database failure around a merchant")]
    Db(#[from] DbError),
}

impl From<LoginFailure> for MerchantError {
    fn from(failure: LoginFailure) -> Self {
        Self::Auth(failure.into())
    }
}
