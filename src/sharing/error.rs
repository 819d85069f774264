//! Errors of the use cases of sharing.

use crate::db::DbError;

#[derive(Debug, thiserror::Error)]
pub enum SharingError {
    #[error("the merchant does not exist")]
    MerchantNotFound,
    /// A merchant without a `sub_mchid`.
    #[error("the merchant is not approved")]
    MerchantNotApproved,
    #[error("the receiver does not exist")]
    ReceiverNotFound,
    #[error("the rule in force names the receiver")]
    ReceiverInUse,
    /// WeChat has not confirmed it, or it was removed.
    #[error("the receiver is not active")]
    ReceiverNotActive,
    #[error("at most {ratio_max_ppm} millionths may be shared")]
    TooMuch { ratio_max_ppm: u32 },
    /// A field of the request is invalid.
    #[error("{field}: {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
    #[error("the order does not exist, or nothing of it is shared")]
    NotFound,
    #[error("nothing waits to be tried again")]
    NothingToRetry,
    /// WeChat's refusal; its code is for logs.
    #[error("WeChat refuses: {0}")]
    ChannelRefused(String),
    #[error("WeChat does not answer")]
    ChannelUnknown,
    #[error("database failure")]
    Db(#[from] DbError),
}
