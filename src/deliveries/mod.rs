//! Deliveries: the reports to WeChat and the messages to customers that follow a payment, a refund
//! or a coming expiry.
//!
//! | kind | recipient | when |
//! |---|---|---|
//! | `shipping_info` | WeChat: how the goods reached the customer (发货信息管理), or the merchant's money stays frozen | a payment is settled |
//! | `payment_message` | the customer, by a subscribe message | a payment is settled |
//! | `refund_message` | the customer, by a subscribe message | refunded money has arrived |
//! | `expiry_message` | the customer, by a subscribe message | points will expire in so many days |
//!
//! A tenant's [`DeliverySettings`] switch each kind on; by default all are off.
//!
//! # The life of a delivery
//!
//! The relay plans ([`plan()`]) in the transaction in which it moves past the event, so a delivery
//! is planned exactly once; the nightly expiry plans notices ([`PlanNotices`]); the job
//! `jobs/deliver.rs` delivers.
//!
//! ```text
//!             ┌── again (while attempts are left)
//!             ▼ │
//!  (planned) ─▶ pending ──told──────────────────▶ delivered
//!               ▲  │ └────nobody wants it───────▶ dropped ──┐
//!               │  └─────refused, or exhausted──▶ parked ───┤
//!               └───────────────── retry, by hand ──────────┘
//! ```
//!
//! | state \ event | delivered | not wanted | not yet | failed | retry |
//! |---|---|---|---|---|---|
//! | pending | delivered | dropped | pending; parked after the last attempt | parked | nothing changes |
//! | delivered | – | – | – | – | refused |
//! | dropped, parked | – | – | – | – | pending, with all attempts again |
//!
//! *Dropped* is a normal end of a message that needs nobody's attention: the customer has not
//! subscribed (a consent is good for one message), or the tenant has switched the kind off.
//! *Parked* needs a person: the settings are wrong, or WeChat did not answer in [`ATTEMPTS_MAX`]
//! attempts over some hours.
//!
//! # Crash safety
//!
//! To claim is to count an attempt and to move the time at which the delivery is due by a lease
//! ([`LEASE_SECONDS`]), in a transaction of its own; then WeChat is called with no transaction
//! open; then the outcome is recorded. Killed in between, the delivery falls due again when the
//! lease ends, and is delivered *at least once*: WeChat answers a second shipping report with
//! "reported already", which counts as told, and a second message with "not subscribed", since the
//! first used the consent up. A delivery that makes its process crash each time runs out of
//! attempts like any other.
//!
//! # Invariants
//!
//! - The id is derived from the order or the refund and the kind ([`DeliveryId::of`]), or from the
//!   customer and the day on which points expire ([`DeliveryId::of_expiry`]): there is one row per
//!   subject and kind, whoever plans it.
//! - A row has a due time if and only if it is pending.
//! - No row and no log has an openid, a name or a token; `last_error` is WeChat's code and words
//!   with the openid cut out.
//!
//! Tables owned: `deliveries`, `delivery_settings`, in this order.

mod claim;
mod delivery;
mod dispatch;
mod error;
mod list;
mod message;
mod notice;
mod notifier;
mod plan;
mod retry;
mod settings;
mod settings_cache;
mod settings_store;
mod store;

use std::sync::Arc;

pub use claim::{ClaimDue, RecordAttempt};
pub use delivery::{
    ATTEMPTS_MAX, Attempt, AttemptResult, Delivery, DeliveryId, DeliveryKind, DeliveryState,
    DeliverySubject, LEASE_SECONDS,
};
pub use dispatch::deliver;
pub use error::{DeliveryError, InvalidSetting};
pub use list::{DeliveryFilter, list_deliveries};
pub use message::{Fact, MessageKind, MessageTemplate};
pub use notice::{ExpiringPoints, PlanNotices};
pub use notifier::{CustomerMessage, Handover, MessageOutcome, Notifier, ShippingReport};
pub use plan::{DeliveryCause, plan};
pub use retry::Retry;
pub use settings::{DeliverySettings, ExpiryNotice, PagePath, SetDeliverySettings};
pub use settings_cache::SettingsCache;

/// What the use cases of this slice work with.
#[derive(Debug, Clone)]
pub struct Deliveries {
    pub notifier: Arc<dyn Notifier>,
    pub settings: SettingsCache,
}
