//! The port to those who know customers, merchants and orders, in our words. `payments/` implements
//! it.

use std::fmt;

use futures_util::future::BoxFuture;

use super::PointsCommand;
use crate::{
    db::{Db, DbError},
    primitives::{CustomerId, MerchantId},
};

/// What a command names and this slice does not own, of the command's tenant. It is read once,
/// since none of it changes later (but whether a customer is blocked, which need not be sure to the
/// instant).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties {
    /// Whether the customer is active; none for one that does not exist.
    pub customer_active: Option<bool>,
    pub merchant_exists: bool,
    /// None for an order that does not exist.
    pub order: Option<OrderParties>,
}

/// Whose an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderParties {
    /// None until somebody has paid.
    pub customer: Option<CustomerId>,
    pub merchant: MerchantId,
}

/// Finds what commands name.
pub trait PartyLookup: fmt::Debug + Send + Sync + 'static {
    fn find<'a>(
        &'a self,
        db: &'a Db,
        command: &'a PointsCommand,
    ) -> BoxFuture<'a, Result<Parties, DbError>>;
}
