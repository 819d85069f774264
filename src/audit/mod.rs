//! Who did what: an append-only record of every action of a merchant's staff or of an operator.
//!
//! A line is written in the transaction of the action itself ([`record()`], and [`note()`] for what
//! the group commit does), so there is no action without a line and no line without its action. It
//! names the actor, the action, its subject and, where the subject alone does not tell, a few plain
//! facts. It never holds personal data: a line is kept for years and read by many.
//!
//! Tables owned: `audit_logs`. Rows are inserted and read, never changed.

mod action;
mod actor;
mod lines;
mod list;
mod record;
mod store;

pub use action::AuditAction;
pub use actor::{Actor, OperatorName, SystemActor, UnknownActor};
pub use lines::{Lines, note};
pub use list::{AuditLog, AuditLogId, list_logs};
pub use record::record;
