//! For the platform's operators, within their tenant.

mod merchant;

pub(super) mod audit_logs;
pub(super) mod callback_alarms;
pub(super) mod decide_merchant;
pub(super) mod list_merchants;
pub(super) mod points_rule;
