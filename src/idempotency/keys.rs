//! Keys of what the group commit does: claimed in the commit of their effect.

use sqlx::{Row as _, mysql::MySqlRow};

use crate::{
    db::{Change, Recorder, RowSet, Sql},
    primitives::{Id, TenantId, Timestamp},
};

/// `idempotency_keys`: the claim of a key, written with what it made.
#[derive(Debug)]
pub(crate) struct Keys;

#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRow {
    pub(crate) tenant: TenantId,
    pub(crate) request_hash: [u8; 16],
    pub(crate) effect: Id,
    pub(crate) at: Timestamp,
}

impl RowSet for Keys {
    type Key = [u8; 16];
    type Row = KeyRow;
    const LOCK_ORDER: u8 = 10;

    fn load(keys: &[[u8; 16]], sql: &mut Sql) {
        sql.push("SELECT /* idempotency.load_keys */ id, tenant_id, request_hash, effect_id, created_at FROM idempotency_keys WHERE id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key);
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<([u8; 16], KeyRow), sqlx::Error> {
        let bytes = |column: usize| -> Result<[u8; 16], sqlx::Error> {
            row.try_get::<&[u8], _>(column)?
                .try_into()
                .map_err(|_| sqlx::Error::Decode("idempotency_keys".into()))
        };
        let key = KeyRow {
            tenant: TenantId(row.try_get(1)?),
            request_hash: bytes(2)?,
            effect: Id::from_bytes(bytes(3)?),
            at: row.try_get(4)?,
        };
        Ok((bytes(0)?, key))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        out.rows(
            "INSERT /* idempotency.insert_keys */ INTO idempotency_keys (id, tenant_id, request_hash, effect_id, created_at) VALUES ",
            changes,
            "",
            true,
            |sql, change| {
                let key = change.after;
                sql.push("(").bytes(&change.key).push(",").int(key.tenant.0);
                sql.push(",").bytes(&key.request_hash).push(",").bytes(key.effect.bytes());
                sql.push(",").time(key.at).push(")");
            },
        );
    }
}
