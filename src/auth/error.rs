//! Errors of authentication.

use super::LoginFailure;
use crate::db::DbError;

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the access token is not valid")]
    TokenInvalid,
    #[error("the access token has expired")]
    TokenExpired,
    /// Unknown, or revoked.
    #[error("the refresh token is not valid")]
    RefreshInvalid,
    #[error("the refresh token has expired")]
    RefreshExpired,
    /// Used before: everything that this login led to is revoked.
    #[error("the refresh token was used before")]
    RefreshReused,
    #[error("WeChat did not confirm the login")]
    Login(#[from] LoginFailure),
    #[error("database failure while authenticating")]
    Db(#[from] DbError),
}
