//! What can go wrong with shops, staff and collection codes.

use super::{DrawingFailure, InvalidField, InvalidTransition, PictureError};
use crate::{
    auth::{AuthError, LoginFailure},
    customers::CustomerError,
    db::DbError,
    primitives::MerchantId,
};

#[derive(Debug, thiserror::Error)]
pub enum MerchantError {
    #[error("the shop does not exist")]
    NotFound,
    /// The person works in no shop.
    #[error("the person is not on the staff of a shop")]
    NotStaff,
    /// The person works in a shop already, or waits for one to be approved.
    #[error("the person has a shop already")]
    AlreadyRegistered,
    #[error("the shop is not approved")]
    NotApproved,
    /// With the shop, if it is one of the same tenant.
    #[error("another shop has this number at WeChat")]
    NumberTaken(Option<MerchantId>),
    #[error("the collection code does not exist")]
    CodeNotFound,
    #[error("the collection code is disabled")]
    CodeDisabled,
    #[error("a field is not what it should be")]
    Field(#[from] InvalidField),
    #[error("the shop's state does not allow it")]
    Transition(#[from] InvalidTransition),
    #[error("the code's picture cannot be drawn")]
    Picture(#[from] PictureError),
    #[error("the code's mini-program code is not to be had")]
    Drawing(#[from] DrawingFailure),
    #[error("the customer may not do it")]
    Customer(#[from] CustomerError),
    #[error("the person is not let in")]
    Auth(#[from] AuthError),
    #[error("database failure around a shop")]
    Db(#[from] DbError),
}

impl From<LoginFailure> for MerchantError {
    fn from(failure: LoginFailure) -> Self {
        Self::Auth(failure.into())
    }
}
