//! Lines of actions that the group commit does.

use super::{Actor, AuditAction};
use crate::{
    db::{Change, Cx, RecordRows, Recorder, RowSet, WorkingSet},
    primitives::{Id, Lane, TenantId, Timestamp},
};

/// Writes down, in the commit of the action, that `actor` did `action` to `subject`.
pub fn note(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    tenant: TenantId,
    actor: &Actor,
    action: AuditAction,
    subject: &impl ToString,
) {
    let line = Line {
        tenant,
        actor: actor.clone(),
        action,
        subject: subject.to_string(),
        at: cx.now(),
    };
    set.put::<Lines>(cx.new_id(Lane(0)), line);
}

/// `audit_logs`: only ever written.
#[derive(Debug)]
pub struct Lines;

#[derive(Debug, Clone)]
pub struct Line {
    tenant: TenantId,
    actor: Actor,
    action: AuditAction,
    subject: String,
    at: Timestamp,
}

impl RowSet for Lines {
    type Key = Id;
    type Row = Line;
    const LOCK_ORDER: u8 = 39;
}

impl RecordRows for Lines {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let head = "INSERT /* audit.insert_lines */ INTO audit_logs";
        out.insert(head, changes, |row, change| {
            let line = change.after;
            row.set("id", change.key).set("tenant_id", line.tenant);
            row.set("actor", &line.actor);
            row.set("action", line.action.name());
            row.set("subject", &line.subject);
            row.set("detail", line.action.detail().to_string());
            row.set("at", line.at);
        });
    }
}
