//! What can go wrong with a customer.

use crate::{
    auth::{AuthError, LoginFailure},
    db::DbError,
    risk::Stop,
};

#[derive(Debug, thiserror::Error)]
pub enum CustomerError {
    #[error("the customer does not exist")]
    NotFound,
    #[error("the customer is blocked")]
    Blocked,
    #[error("risk stops the customer")]
    Stopped(#[from] Stop),
    #[error("the customer may not log in")]
    Auth(#[from] AuthError),
    #[error("database failure around a customer")]
    Db(#[from] DbError),
}

impl From<LoginFailure> for CustomerError {
    fn from(failure: LoginFailure) -> Self {
        Self::Auth(failure.into())
    }
}
