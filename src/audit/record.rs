//! Writes a line.

use super::{Actor, AuditAction, AuditLogId, store};
use crate::{
    db::{DbError, Tx},
    primitives::TenantId,
};

/// Writes down, in the transaction of the action, that `actor` did `action` to `subject`.
pub async fn record(
    tx: &mut Tx,
    tenant: TenantId,
    actor: &Actor,
    action: AuditAction,
    subject: impl ToString + Send,
) -> Result<(), DbError> {
    let id = AuditLogId::new(tx.new_id(tx.new_lane()));
    let subject = subject.to_string();
    store::insert_log(tx, id, tenant, actor, &action, &subject).await
}
