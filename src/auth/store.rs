//! Every statement on `sessions`.

use super::refresh_token::{Session, Subject, SubjectKind};
use crate::{
    db::{DbError, Tx},
    primitives::{CustomerId, StaffId, TenantId, Timestamp},
};

pub(super) async fn insert_session(
    tx: &mut Tx,
    session: &Session,
    token_hash: [u8; 32],
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* auth.insert_session */ INSERT INTO sessions \
         (id, tenant_id, family, token_hash, subject_kind, subject_id, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(session.id.as_slice())
    .bind(session.tenant)
    .bind(session.family.as_slice())
    .bind(token_hash.as_slice())
    .bind(session.subject.kind().name())
    .bind(session.subject.id().bytes().as_slice())
    .bind(now)
    .bind(session.expires_at)
    .execute(tx.conn())
    .await?;
    Ok(())
}

type Row = (
    Vec<u8>,
    TenantId,
    Vec<u8>,
    String,
    Vec<u8>,
    Timestamp,
    Option<Timestamp>,
    Option<Timestamp>,
);

pub(super) async fn lock_session(
    tx: &mut Tx,
    token_hash: [u8; 32],
) -> Result<Option<Session>, DbError> {
    let row: Option<Row> = sqlx::query_as(
        "/* auth.lock_session */ SELECT id, tenant_id, family, subject_kind, subject_id, expires_at, \
         used_at, revoked_at FROM sessions WHERE token_hash = ? FOR UPDATE",
    )
    .bind(token_hash.as_slice())
    .fetch_optional(tx.conn())
    .await?;
    row.map(session).transpose()
}

fn session(row: Row) -> Result<Session, DbError> {
    const BROKEN: DbError = DbError::Inconsistent("a session's row");
    let (id, tenant, family, kind, subject, expires_at, used_at, revoked_at) = row;
    let subject = match SubjectKind::from_name(&kind).ok_or(BROKEN)? {
        SubjectKind::Customer => {
            Subject::Customer(CustomerId::try_from(subject.as_slice()).map_err(|_| BROKEN)?)
        }
        SubjectKind::Staff => {
            Subject::Staff(StaffId::try_from(subject.as_slice()).map_err(|_| BROKEN)?)
        }
    };
    Ok(Session {
        id: id.try_into().map_err(|_| BROKEN)?,
        tenant,
        family: family.try_into().map_err(|_| BROKEN)?,
        subject,
        expires_at,
        used_at,
        revoked_at,
    })
}

pub(super) async fn use_session(tx: &mut Tx, id: [u8; 16]) -> Result<(), DbError> {
    let now = tx.now();
    let used = sqlx::query(
        "/* auth.use_session */ UPDATE sessions SET used_at = ? \
         WHERE id = ? AND used_at IS NULL AND revoked_at IS NULL",
    )
    .bind(now)
    .bind(id.as_slice())
    .execute(tx.conn())
    .await?;
    if used.rows_affected() == 1 {
        Ok(())
    } else {
        Err(DbError::Inconsistent("a locked session changed"))
    }
}

pub(super) async fn revoke_family(tx: &mut Tx, family: [u8; 16]) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* auth.revoke_family */ UPDATE sessions SET revoked_at = ? \
         WHERE family = ? AND revoked_at IS NULL",
    )
    .bind(now)
    .bind(family.as_slice())
    .execute(tx.conn())
    .await?;
    Ok(())
}
