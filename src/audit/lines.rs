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
        out.rows(
            "INSERT /* audit.insert_lines */ INTO audit_logs (id, tenant_id, actor, action, subject, detail, at) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let line = change.after;
                sql.push("(").bytes(change.key.bytes()).push(",").int(line.tenant.0);
                sql.push(",").text(&line.actor.to_string()).push(",").text(line.action.name());
                sql.push(",").text(&line.subject);
                sql.push(",").text(&line.action.detail().to_string()).push(",").time(line.at).push(")");
            },
        );
    }
}
