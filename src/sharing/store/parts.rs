//! `sharing_parts`.

use std::collections::BTreeMap;

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
    primitives::{Secret, SharingId, SharingPartId},
    sharing::{Part, PartState, ReceiverKind},
};

/// The parts of a sharing, all of them. Guarded by the version of the sharing, which every writer
/// of its parts rewrites.
#[derive(Debug)]
pub(in crate::sharing) struct PartsOf;

pub(in crate::sharing) const PART_COLUMNS: &str = "p.id, p.sharing_id, p.receiver_id, p.amount_fen, p.description, p.state, p.fail_reason, p.returned_fen, \
     r.kind, r.account, r.name_masked, p.late";

/// Columns as in [`PART_COLUMNS`], where `r` is `sharing_receivers`.
pub(in crate::sharing) fn read_part(row: &MySqlRow) -> Result<(SharingId, Part), sqlx::Error> {
    let code = u8::try_from(row.try_get::<i8, _>(5)?).ok();
    let kind: String = row.try_get(8)?;
    let part = Part {
        id: row.try_get(0)?,
        receiver: row.try_get(2)?,
        kind: ReceiverKind::from_name(&kind).ok_or(broken("sharing_receivers.kind"))?,
        account: Secret::new(row.try_get(9)?),
        name_masked: row.try_get(10)?,
        amount: money(row.try_get(3)?)?,
        description: row.try_get(4)?,
        state: code
            .and_then(PartState::from_code)
            .ok_or(broken("sharing_parts.state"))?,
        fail_reason: row.try_get(6)?,
        returned: money(row.try_get(7)?)?,
        late: row.try_get::<i8, _>(11)? != 0,
    };
    Ok((row.try_get(1)?, part))
}

impl RowSet for PartsOf {
    type Key = SharingId;
    type Row = BTreeMap<SharingPartId, Part>;
    const LOCK_ORDER: u8 = 37;
}

impl LoadRows for PartsOf {
    fn load(keys: &[SharingId], sql: &mut Sql) {
        sql.push("SELECT /* sharing.load_parts */ ")
            .push(PART_COLUMNS)
            .push(" FROM sharing_parts p JOIN sharing_receivers r ON r.id = p.receiver_id WHERE p.sharing_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(SharingId, Self::Row), sqlx::Error> {
        let (share, part) = read_part(row)?;
        Ok((share, BTreeMap::from([(part.id, part)])))
    }

    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        known.get_or_insert_default().extend(row);
    }
}

impl RecordRows for PartsOf {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let known = |id| change.before.and_then(|before| before.get(id));
            let parts = change.after.values();
            let new = parts.filter(|part| known(&part.id).is_none());
            let head = "INSERT /* sharing.insert_parts */ INTO sharing_parts";
            out.insert(head, new, |row, part| {
                row.set("id", part.id).set("sharing_id", change.key);
                row.set("receiver_id", part.receiver);
                row.set("amount_fen", part.amount);
                row.set("description", &part.description);
                mutable_columns(row, part);
            });
            for part in change.after.values() {
                if known(&part.id).is_some_and(|before| before != part) {
                    out.statement(&update(part), Some(1));
                }
            }
        }
    }
}

fn update(part: &Part) -> Sql {
    let head = "UPDATE /* sharing.update_part */ sharing_parts SET ";
    let mut sql = Sql::update(head, |row| mutable_columns(row, part));
    sql.push(" WHERE id = ").value(part.id);
    sql
}

fn mutable_columns(row: &mut Columns<'_>, part: &Part) {
    row.set("state", part.state.code());
    row.set("fail_reason", part.fail_reason.as_deref().map(short));
    row.set("returned_fen", part.returned);
    row.set("late", part.late);
}
