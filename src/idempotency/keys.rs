//! Keys of what the group commit does: claimed in the commit of their effect.

use sqlx::{Row as _, mysql::MySqlRow};

use super::Claim;
use crate::{
    db::{Change, Cx, LoadRows, RecordRows, Recorder, RowSet, Sql, Wanted, WorkingSet},
    primitives::{Id, TenantId, Timestamp},
};

/// What a key says of a command that comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// Nothing was done with it yet.
    New,
    /// This command was carried out before, with this effect: it is the answer.
    Repeated(Id),
    /// Another command was carried out with it, with this effect: a conflict.
    Taken(Id),
}

impl Claim {
    /// Wants the key's row. Returns the effect of whatever used the key, as soon as it is loaded.
    pub(crate) fn want(&self, want: &mut Wanted, set: &WorkingSet) -> Option<Id> {
        want.row::<Keys>(self.id);
        set.get_loaded::<Keys>(self.id).map(|used| used.effect)
    }

    /// Says what the key was used for.
    pub(crate) fn check(&self, set: &WorkingSet) -> KeyUse {
        match set.get::<Keys>(self.id) {
            None => KeyUse::New,
            Some(used) if used.request_hash == self.request_hash => KeyUse::Repeated(used.effect),
            Some(used) => KeyUse::Taken(used.effect),
        }
    }

    /// Uses the key, in the commit of the effect.
    pub(crate) fn use_for(&self, set: &mut WorkingSet, cx: &Cx<'_>, effect: Id) {
        let used = KeyRow {
            tenant: self.tenant,
            request_hash: self.request_hash,
            effect,
            at: cx.now(),
        };
        set.put::<Keys>(self.id, used);
    }
}

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
}

impl LoadRows for Keys {
    fn load(keys: &[[u8; 16]], sql: &mut Sql) {
        sql.push("SELECT /* idempotency.load_keys */ id, tenant_id, request_hash, effect_id, created_at FROM idempotency_keys WHERE id IN (");
        sql.values(keys).push(")");
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
}

impl RecordRows for Keys {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let head = "INSERT /* idempotency.insert_keys */ INTO idempotency_keys";
        out.insert(head, changes, |row, change| {
            let key = change.after;
            row.set("id", change.key).set("tenant_id", key.tenant);
            row.set("request_hash", key.request_hash);
            row.set("effect_id", key.effect);
            row.set("created_at", key.at);
        });
    }
}
