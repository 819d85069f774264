//! `sharing_returns`.

use std::collections::BTreeMap;

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, LoadRows, RecordRows, Recorder, RowSet, Sql},
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
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
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
            out.rows(
                "INSERT /* sharing.insert_returns */ INTO sharing_returns (id, sharing_id, part_id, refund_id, amount_fen, state, wechat_return_id, fail_reason, attempts, calls, may_arrive_until) VALUES ",
                change.after.values().filter(|back| known(&back.id).is_none()),
                "",
                true,
                |sql, back| {
                    sql.push("(").bytes(back.id.bytes()).push(",").bytes(change.key.bytes());
                    sql.push(",").bytes(back.part.bytes()).push(",").bytes(back.refund.bytes());
                    sql.push(",").int(back.amount.get()).push(",").int(back.state.code()).push(",");
                    sql.option(back.wechat_return_id.as_deref(), |sql, text| { sql.text(text); });
                    sql.push(",");
                    sql.option(back.fail_reason.as_deref(), |sql, text| { sql.text(&short(text)); });
                    sql.push(",").int(back.attempts).push(",").int(back.calls.begun).push(",");
                    sql.option(back.calls.may_arrive_until, |sql, at| { sql.time(at); });
                    sql.push(")");
                },
            );
            for back in change.after.values() {
                if known(&back.id).is_some_and(|before| before != back) {
                    out.statement(&update(back), Some(1));
                }
            }
        }
    }
}

fn update(back: &PartReturn) -> Sql {
    let mut sql = Sql::new("UPDATE /* sharing.update_return */ sharing_returns SET state = ");
    sql.int(back.state.code())
        .push(", wechat_return_id = ")
        .option(back.wechat_return_id.as_deref(), |sql, text| {
            sql.text(text);
        })
        .push(", fail_reason = ")
        .option(back.fail_reason.as_deref(), |sql, text| {
            sql.text(&short(text));
        })
        .push(", attempts = ")
        .int(back.attempts)
        .push(", calls = ")
        .int(back.calls.begun)
        .push(", may_arrive_until = ")
        .option(back.calls.may_arrive_until, |sql, at| {
            sql.time(at);
        })
        .push(" WHERE id = ")
        .bytes(back.id.bytes());
    sql
}
