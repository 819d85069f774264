//! For the platform's operators, within their tenant.

mod delivery;
mod merchant;

pub(super) mod audit_logs;
pub(super) mod callback_alarms;
pub(super) mod decide_merchant;
pub(super) mod delivery_settings;
pub(super) mod list_deliveries;
pub(super) mod list_merchants;
pub(super) mod points_rule;
pub(super) mod retry_delivery;
