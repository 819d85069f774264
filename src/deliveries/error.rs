//! What can go wrong with deliveries, as an operator sees it.

use crate::db::DbError;

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the delivery does not exist")]
    NotFound,
    #[error("it has been delivered already")]
    Delivered,
    #[error("database failure around a delivery")]
    Db(#[from] DbError),
}

/// A setting that is not what it should be. Both texts are the program's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}")]
pub struct InvalidSetting {
    /// The name in the request, such as `payment_message.fields.merchant`.
    pub field: String,
    pub expected: &'static str,
}
