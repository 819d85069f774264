//! For the customers' mini-program. A customer sees only what is theirs; another's does not exist
//! for them.

mod challenge;
mod payment;

pub(super) mod answer_challenge;
pub(super) mod close_payment;
pub(super) mod confirm_payment;
pub(super) mod create_payment;
pub(super) mod get_challenge;
pub(super) mod get_payment;
pub(super) mod list_payments;
pub(super) mod list_refunds;
pub(super) mod me;
pub(super) mod points;
pub(super) mod points_expiring;
pub(super) mod points_records;
pub(super) mod points_statistics;
