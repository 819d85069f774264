//! Stored callbacks: looking at them, and playing one again.

use bytes::Bytes;
use serde::Deserialize;
use sqlx::{Row as _, mysql::MySqlRow};

use super::{HandledCallback, handle};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Db, DbError, Tx, Work},
    payments::{CallbackOutcome, NoticeBody, NoticeError, NoticeHeaders, Payments},
    primitives::{Id, PageLimit, TenantId, Timestamp},
};

/// A callback as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCallback {
    pub id: Id,
    pub tenant: TenantId,
    pub outcome: CallbackOutcome,
    /// Why it was not taken, as a stable code.
    pub reason: Option<String>,
    pub received_at: Timestamp,
    /// As received. The part that says something is encrypted.
    pub body: Vec<u8>,
    headers: Option<Vec<u8>>,
}

const COLUMNS: &str = "id, tenant_id, outcome, reason, received_at, body, headers";

fn read(row: &MySqlRow) -> Result<StoredCallback, DbError> {
    let id: &[u8] = row.try_get(0)?;
    let outcome: i8 = row.try_get(2)?;
    Ok(StoredCallback {
        id: id
            .try_into()
            .map(Id::from_bytes)
            .map_err(|_| DbError::Inconsistent("an id of a strange length"))?,
        tenant: TenantId(row.try_get(1)?),
        outcome: u8::try_from(outcome)
            .ok()
            .and_then(CallbackOutcome::from_code)
            .ok_or(DbError::Inconsistent("callback_events.outcome"))?,
        reason: row.try_get(3)?,
        received_at: row.try_get(4)?,
        body: row.try_get(5)?,
        headers: row.try_get(6)?,
    })
}

/// Up to `limit.probe()` callbacks, newest first, older than `before`.
pub async fn list_callbacks(
    db: &Db,
    tenant: TenantId,
    outcome: Option<CallbackOutcome>,
    before: Option<Id>,
    limit: PageLimit,
) -> Result<Vec<StoredCallback>, DbError> {
    let statement = format!(
        "SELECT /* payments.list_callbacks */ {COLUMNS} FROM callback_events \
         WHERE id < ? AND tenant_id = ? AND (? = 0 OR outcome = ?) ORDER BY id DESC LIMIT ?"
    );
    let outcome = outcome.map_or(0, CallbackOutcome::code);
    let before = before.map_or([0xff; 16], |id| *id.bytes());
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(before.as_slice())
        .bind(tenant)
        .bind(outcome)
        .bind(outcome)
        .bind(limit.probe())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(read).collect()
}

/// One callback of a tenant.
pub async fn find_callback(
    db: &Db,
    tenant: TenantId,
    id: Id,
) -> Result<Option<StoredCallback>, DbError> {
    let statement = format!(
        "SELECT /* payments.find_callback */ {COLUMNS} FROM callback_events WHERE id = ? AND tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id.bytes().as_slice())
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    row.as_ref().map(read).transpose()
}

/// Why a callback was not played again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("callback not found")]
    NotFound,
    #[error("the callback is unverified: {0}")]
    Unverified(#[source] NoticeError),
    #[error("database failure")]
    Db(#[from] DbError),
}

/// Plays a stored callback again, as if it came now. One that was verified when it came is not
/// verified again; one that was not is, with the keys of today and the time of its arrival. Playing
/// one that was taken changes nothing.
pub async fn replay_callback(
    payments: &Payments,
    tenant: TenantId,
    id: Id,
    by: Actor,
) -> Result<HandledCallback, ReplayError> {
    let stored = find_callback(&payments.db, tenant, id).await?;
    let stored = stored.ok_or(ReplayError::NotFound)?;
    let channel = payments.channels.of(tenant);
    let (notice, event) = if stored.outcome == CallbackOutcome::Unverified {
        let kept: StoredHeaders = stored
            .headers
            .as_deref()
            .and_then(|headers| serde_json::from_slice(headers).ok())
            .unwrap_or_default();
        let notice = channel
            .read_notice(kept.headers(), &stored.body, stored.received_at)
            .map_err(ReplayError::Unverified)?;
        let event = handle::event_id(tenant, &notice.id, notice.created_at);
        (notice, event)
    } else {
        let notice = channel.reread_notice(&stored.body);
        (notice.map_err(ReplayError::Unverified)?, stored.id)
    };
    let paid = match &notice.body {
        NoticeBody::Paid(paid) => Some(paid.clone()),
        NoticeBody::Refund(_) | NoticeBody::Other { .. } => None,
    };
    let taken =
        handle::handle_notice(payments, tenant, notice, event, Bytes::from(stored.body)).await?;
    if let Some(paid) = paid {
        handle::name_alarm(payments, tenant, event, paid).await?;
    }
    metrics::counter!("callbacks_replayed_total", "outcome" => taken.outcome().name()).increment(1);
    let note = NoteReplay {
        tenant,
        id,
        taken,
        by,
    };
    payments.db.run(note).await?;
    Ok(taken)
}

#[derive(Debug, Default, Deserialize)]
struct StoredHeaders {
    timestamp: Option<String>,
    nonce: Option<String>,
    signature: Option<String>,
    serial: Option<String>,
    signature_type: Option<String>,
}

impl StoredHeaders {
    fn headers(&self) -> NoticeHeaders<'_> {
        NoticeHeaders {
            timestamp: self.timestamp.as_deref(),
            nonce: self.nonce.as_deref(),
            signature: self.signature.as_deref(),
            serial: self.serial.as_deref(),
            signature_type: self.signature_type.as_deref(),
        }
    }
}

#[derive(Debug)]
struct NoteReplay {
    tenant: TenantId,
    id: Id,
    taken: HandledCallback,
    by: Actor,
}

impl Work for NoteReplay {
    const NAME: &'static str = "payments.note_replay";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        let outcome = match self.taken {
            HandledCallback::Rejected(reason) => reason,
            HandledCallback::Settled
            | HandledCallback::Refund
            | HandledCallback::Duplicate
            | HandledCallback::Ignored => self.taken.outcome().name(),
        };
        // What was unverified then, and is now, stands under WeChat's own id from here on.
        sqlx::query("/* payments.note_replay */ UPDATE callback_events SET outcome = ? WHERE id = ? AND outcome = ?")
            .bind(CallbackOutcome::Duplicate.code())
            .bind(self.id.bytes().as_slice())
            .bind(CallbackOutcome::Unverified.code())
            .execute(tx.conn())
            .await?;
        let action = AuditAction::CallbackReplayed {
            outcome: outcome.to_owned(),
        };
        audit::record(tx, self.tenant, &self.by, action, self.id).await
    }
}
