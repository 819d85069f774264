//! `sharing_parts`.

use std::collections::BTreeMap;

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, LoadRows, RecordRows, Recorder, RowSet, Sql},
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
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
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
            out.rows(
                "INSERT /* sharing.insert_parts */ INTO sharing_parts (id, sharing_id, receiver_id, amount_fen, description, state, fail_reason, returned_fen, late) VALUES ",
                change.after.values().filter(|part| known(&part.id).is_none()),
                "",
                true,
                |sql, part| {
                    sql.push("(").bytes(part.id.bytes()).push(",").bytes(change.key.bytes());
                    sql.push(",").bytes(part.receiver.bytes()).push(",").int(part.amount.get());
                    sql.push(",").text(&part.description).push(",").int(part.state.code()).push(",");
                    sql.option(part.fail_reason.as_deref(), |sql, text| { sql.text(&short(text)); });
                    sql.push(",").int(part.returned.get());
                    sql.push(",").int(u8::from(part.late)).push(")");
                },
            );
            for part in change.after.values() {
                if known(&part.id).is_some_and(|before| before != part) {
                    out.statement(&update(part), Some(1));
                }
            }
        }
    }
}

fn update(part: &Part) -> Sql {
    let mut sql = Sql::new("UPDATE /* sharing.update_part */ sharing_parts SET state = ");
    sql.int(part.state.code())
        .push(", fail_reason = ")
        .option(part.fail_reason.as_deref(), |sql, text| {
            sql.text(&short(text));
        })
        .push(", returned_fen = ")
        .int(part.returned.get())
        .push(", late = ")
        .int(u8::from(part.late))
        .push(" WHERE id = ")
        .bytes(part.id.bytes());
    sql
}
