//! Every statement on `audit_logs`.

use serde_json::Value;
use sqlx::types::Json;

use super::{Actor, AuditAction, AuditLog, AuditLogId};
use crate::{
    db::{Db, DbError, Tx},
    primitives::{Id, PageLimit, TenantId, Timestamp},
};

pub(super) async fn insert_log(
    tx: &mut Tx,
    id: AuditLogId,
    tenant: TenantId,
    actor: &Actor,
    action: &AuditAction,
    subject: &str,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* audit.insert_log */ INSERT INTO audit_logs \
         (id, tenant_id, actor, action, subject, detail, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.bytes().as_slice())
    .bind(tenant)
    .bind(actor)
    .bind(action.name())
    .bind(subject)
    .bind(Json(action.detail()))
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

type Row = (
    Vec<u8>,
    String,
    String,
    String,
    Option<Json<Value>>,
    Timestamp,
);

pub(super) async fn list_logs(
    db: &Db,
    tenant: TenantId,
    before: Option<AuditLogId>,
    limit: PageLimit,
) -> Result<Vec<AuditLog>, DbError> {
    // Above every id: the first page.
    let before = before.unwrap_or(AuditLogId::new(Id::from_bytes([0xff; 16])));
    let rows: Vec<Row> = sqlx::query_as(
        "/* audit.list_logs */ SELECT id, actor, action, subject, detail, at FROM audit_logs \
         WHERE tenant_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
    )
    .bind(tenant)
    .bind(before.bytes().as_slice())
    .bind(limit.probe())
    .fetch_all(db.pool())
    .await?;
    rows.into_iter().map(log).collect()
}

fn log((id, actor, action, subject, detail, at): Row) -> Result<AuditLog, DbError> {
    let id = id
        .as_slice()
        .try_into()
        .map_err(|_| DbError::Inconsistent("an audit log's id"))?;
    Ok(AuditLog {
        id: AuditLogId::new(Id::from_bytes(id)),
        actor,
        action,
        subject,
        detail: detail.map_or(Value::Null, |detail| detail.0),
        at,
    })
}
