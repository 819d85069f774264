//! Facts: what is known of an activity (who, what, where, how much, from where) before it is done.
//!
//! Points, risk and limits decide on the same activities and share these types. Whoever starts an
//! activity (an HTTP handler, a callback, a job) states its [`Facts`] once:
//!
//! - [`limits`](crate::limits) count the [`Subject`] of a request, before anything is read;
//! - [`points`](crate::points) read who, where and how much: what is earned, by which rule;
//! - [`risk`](crate::risk) reads all of it, counts the same [`Subject`]s over sliding windows, and
//!   stores the facts with its decision, so that the decision can be evaluated again later, by the
//!   same rules or by others.
//!
//! Facts are values. They hold personal data (an address, a device): they are stored with decisions
//! and nowhere else, and `Debug` does not print those parts.

mod origin;
mod stage;
mod subject;

use serde::{Deserialize, Serialize};

pub use origin::{Device, InvalidDevice, Origin, masked};
pub use stage::Stage;
pub use subject::{Network, Subject};

use crate::primitives::{CustomerId, MerchantId, Money, Points, TenantId, Timestamp};

/// What is known of one activity before it is done. Stored as a part of
/// [`risk::Decision`](crate::risk::Decision), which has to learn of another field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub stage: Stage,
    pub tenant: TenantId,
    pub at: Timestamp,
    /// Who. None while nobody is known: a login, or an order that any WeChat can pay.
    pub customer: Option<CustomerId>,
    /// At which merchant, if at one.
    pub merchant: Option<MerchantId>,
    /// How much money it is about.
    pub amount: Option<Money>,
    /// How many points it is about.
    pub points: Option<Points>,
    pub origin: Origin,
    /// The customer is on the staff of the merchant: a merchant that pays itself.
    pub own_merchant: bool,
    /// Which back end asks, for points that are not earned by a payment.
    pub source: Option<String>,
}

impl Facts {
    /// Facts with stage, tenant and time only; the caller fills in what else it knows.
    pub fn new(stage: Stage, tenant: TenantId, at: Timestamp) -> Self {
        Self {
            stage,
            tenant,
            at,
            customer: None,
            merchant: None,
            amount: None,
            points: None,
            origin: Origin::default(),
            own_merchant: false,
            source: None,
        }
    }
}
