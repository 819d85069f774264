//! `sharing_returns`.

use std::collections::BTreeMap;

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
    primitives::{SharingId, SharingReturnId},
    sharing::{Calls, PartReturn, ReturnState},
};

/// The returns of a sharing, all of them. Guarded by the version of the sharing, which every writer
/// of its returns rewrites.
#[derive(Debug)]
pub(in crate::sharing) struct ReturnsOf;

pub(in crate::sharing) const RETURN_COLUMNS: &str = "b.id, b.sharing_id, b.part_id, b.refund_id, b.amount_fen, b.state, b.wechat_return_id, b.fail_reason, b.attempts, b.calls, b.may_arrive_until";

/// Columns as in [`RETURN_COLUMNS`].
pub(in crate::sharing) fn read_return(
    row: &MySqlRow,
) -> Result<(SharingId, PartReturn), sqlx::Error> {
    let code = u8::try_from(row.try_get::<i8, _>(5)?).ok();
    let back = PartReturn {
        id: row.try_get(0)?,
        part: row.try_get(2)?,
        refund: row.try_get(3)?,
        amount: money(row.try_get(4)?)?,
        state: code
            .and_then(ReturnState::from_code)
            .ok_or(broken("sharing_returns.state"))?,
        wechat_return_id: row.try_get(6)?,
        fail_reason: row.try_get(7)?,
        attempts: row.try_get(8)?,
        calls: Calls {
            begun: row.try_get(9)?,
            may_arrive_until: row.try_get(10)?,
        },
    };
    Ok((row.try_get(1)?, back))
}

impl RowSet for ReturnsOf {
    type Key = SharingId;
    type Row = BTreeMap<SharingReturnId, PartReturn>;
    const LOCK_ORDER: u8 = 38;
}

impl LoadRows for ReturnsOf {
    fn load(keys: &[SharingId], sql: &mut Sql) {
        sql.push("SELECT /* sharing.load_returns */ ")
            .push(RETURN_COLUMNS)
            .push(" FROM sharing_returns b WHERE b.sharing_id IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(SharingId, Self::Row), sqlx::Error> {
        let (share, back) = read_return(row)?;
        Ok((share, BTreeMap::from([(back.id, back)])))
    }

    fn merge(known: &mut Option<Self::Row>, row: Self::Row) {
        known.get_or_insert_default().extend(row);
    }
}

impl RecordRows for ReturnsOf {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let known = |id| change.before.and_then(|before| before.get(id));
            let returns = change.after.values();
            let new = returns.filter(|back| known(&back.id).is_none());
            let head = "INSERT /* sharing.insert_returns */ INTO sharing_returns";
            out.insert(head, new, |row, back| {
                row.set("id", back.id).set("sharing_id", change.key);
                row.set("part_id", back.part);
                row.set("refund_id", back.refund);
                row.set("amount_fen", back.amount);
                mutable_columns(row, back);
            });
            for back in change.after.values() {
                if known(&back.id).is_some_and(|before| before != back) {
                    out.statement(&update(back), Some(1));
                }
            }
        }
    }
}

fn update(back: &PartReturn) -> Sql {
    let head = "UPDATE /* sharing.update_return */ sharing_returns SET ";
    let mut sql = Sql::update(head, |row| mutable_columns(row, back));
    sql.push(" WHERE id = ").value(back.id);
    sql
}

fn mutable_columns(row: &mut Columns<'_>, back: &PartReturn) {
    row.set("state", back.state.code());
    row.set("wechat_return_id", &back.wechat_return_id);
    row.set("fail_reason", back.fail_reason.as_deref().map(short));
    row.set("attempts", back.attempts);
    row.set("calls", back.calls.begun);
    row.set("may_arrive_until", back.calls.may_arrive_until);
}
