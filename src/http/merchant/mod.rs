//! For the merchants' mini-program. A merchant sees only what is its own; another's does not exist
//! for it.

mod code;
mod payment;
mod refund;

pub(super) mod close_payment;
pub(super) mod code_picture;
pub(super) mod code_wxacode;
pub(super) mod collect_payment;
pub(super) mod confirm_payment;
pub(super) mod create_code;
pub(super) mod decide_refund;
pub(super) mod disable_code;
pub(super) mod get_payment;
pub(super) mod get_refund;
pub(super) mod list_codes;
pub(super) mod list_payments;
pub(super) mod list_refunds;
pub(super) mod payment_code;
pub(super) mod payment_history;
pub(super) mod payment_refunds;
pub(super) mod points_rule;
pub(super) mod profile;
pub(super) mod register;
pub(super) mod request_refund;
pub(super) mod sharing;
pub(super) mod totals;
