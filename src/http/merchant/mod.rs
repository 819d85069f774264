//! For the shops' mini-program. A shop sees only what is its own; another's does not exist for it.

mod code;
mod payment;
mod shop;

pub(super) mod code_picture;
pub(super) mod code_wxacode;
pub(super) mod create_code;
pub(super) mod disable_code;
pub(super) mod get_payment;
pub(super) mod list_codes;
pub(super) mod list_payments;
pub(super) mod profile;
pub(super) mod register;
pub(super) mod totals;
