//! For the platform's operators, within their tenant.

mod callback;
mod delivery;
mod merchant;
mod payment;
mod refund;

pub(super) mod audit_logs;
pub(super) mod callback_alarms;
pub(super) mod close_payment;
pub(super) mod confirm_payment;
pub(super) mod decide_merchant;
pub(super) mod decide_refund;
pub(super) mod delivery_settings;
pub(super) mod get_callback;
pub(super) mod get_payment;
pub(super) mod list_callbacks;
pub(super) mod list_deliveries;
pub(super) mod list_exceptions;
pub(super) mod list_merchants;
pub(super) mod list_payments;
pub(super) mod list_refunds;
pub(super) mod payment_history;
pub(super) mod payment_policy;
pub(super) mod points_rule;
pub(super) mod redirect_refund;
pub(super) mod replay_callback;
pub(super) mod request_refund;
pub(super) mod resolve_exception;
pub(super) mod retry_delivery;
pub(super) mod retry_refund;
pub(super) mod sharing_receivers;
pub(super) mod sharing_rule;
pub(super) mod sharings;
pub(super) mod show_refund;
