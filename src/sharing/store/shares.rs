//! `sharings`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, LoadRows, RecordRows, Recorder, RowSet, Sql},
    payments::Attempts,
    primitives::OrderId,
    sharing::{Calls, PaymentShare, ShareState, ShareStateKind},
};

/// `sharings` by order: loaded, inserted, and changed only if the version is still the one that was
/// loaded.
#[derive(Debug)]
pub(in crate::sharing) struct Shares;

pub(in crate::sharing) const SHARE_COLUMNS: &str = "s.id, s.tenant_id, s.order_id, s.merchant_id, s.rule_version, s.base_fen, s.asked_before_fen, s.state, s.version, \
     s.release_id, s.wechat_order_id, s.refund_id, s.attempts, s.unsure, s.problem, s.next_attempt_at, s.calls, s.may_arrive_until, s.stopped";

/// Columns as in [`SHARE_COLUMNS`].
pub(in crate::sharing) fn read_share(row: &MySqlRow) -> Result<PaymentShare, sqlx::Error> {
    let code = u8::try_from(row.try_get::<i8, _>(7)?).ok();
    let kind = code.and_then(ShareStateKind::from_code);
    let state = match kind.ok_or(broken("sharings.state"))? {
        ShareStateKind::Asked => ShareState::Asked,
        ShareStateKind::Processing => ShareState::Processing,
        ShareStateKind::Releasing => ShareState::Releasing {
            release: row.try_get(9)?,
        },
        ShareStateKind::Done => ShareState::Done {
            release: row.try_get(9)?,
        },
    };
    Ok(PaymentShare {
        id: row.try_get(0)?,
        tenant: row.try_get(1)?,
        order: row.try_get(2)?,
        merchant: row.try_get(3)?,
        rule_version: row.try_get(4)?,
        base: money(row.try_get(5)?)?,
        asked_before: money(row.try_get(6)?)?,
        version: row.try_get(8)?,
        state,
        wechat_order_id: row.try_get(10)?,
        returning: row.try_get(11)?,
        attempts: Attempts {
            count: row.try_get(12)?,
            unsure: row.try_get::<i8, _>(13)? != 0,
            problem: row.try_get(14)?,
            // Only the code is stored for a sharing.
            detail: None,
            next_at: row.try_get(15)?,
        },
        calls: Calls {
            begun: row.try_get(16)?,
            may_arrive_until: row.try_get(17)?,
        },
        stopped: row.try_get::<i8, _>(18)? != 0,
    })
}

impl RowSet for Shares {
    type Key = OrderId;
    type Row = PaymentShare;
    const LOCK_ORDER: u8 = 36;
}

impl LoadRows for Shares {
    fn load(keys: &[OrderId], sql: &mut Sql) {
        sql.push("SELECT /* sharing.load_shares */ ")
            .push(SHARE_COLUMNS)
            .push(" FROM sharings s WHERE s.order_id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(OrderId, PaymentShare), sqlx::Error> {
        let share = read_share(row)?;
        Ok((share.order, share))
    }
}

impl RecordRows for Shares {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let sql = match change.before {
                None => insert(change.after),
                Some(before) => update(change.after, before.version),
            };
            out.statement(&sql, Some(1));
        }
    }
}

fn insert(share: &PaymentShare) -> Sql {
    let mut sql = Sql::new(
        "INSERT /* sharing.insert_share */ INTO sharings (id, tenant_id, order_id, merchant_id, rule_version, base_fen, asked_before_fen, state, version, \
         release_id, wechat_order_id, refund_id, attempts, unsure, problem, next_attempt_at, calls, may_arrive_until, stopped) VALUES (",
    );
    sql.bytes(share.id.bytes())
        .push(",")
        .int(share.tenant.0)
        .push(",")
        .bytes(share.order.bytes())
        .push(",")
        .bytes(share.merchant.bytes())
        .push(",")
        .option(share.rule_version, |sql, version| {
            sql.int(version);
        })
        .push(",")
        .int(share.base.get())
        .push(",")
        .int(share.asked_before.get())
        .push(",")
        .int(share.state.kind().code())
        .push(",")
        .int(share.version)
        .push(",");
    may_change(&mut sql, share, |sql, _| {
        sql.push(",");
    });
    sql.push(")");
    sql
}

fn update(share: &PaymentShare, expected: u32) -> Sql {
    const NAMES: [&str; 9] = [
        ", wechat_order_id = ",
        ", refund_id = ",
        ", attempts = ",
        ", unsure = ",
        ", problem = ",
        ", next_attempt_at = ",
        ", calls = ",
        ", may_arrive_until = ",
        ", stopped = ",
    ];
    let mut sql = Sql::new("UPDATE /* sharing.update_share */ sharings SET state = ");
    sql.int(share.state.kind().code())
        .push(", version = ")
        .int(share.version)
        .push(", release_id = ");
    may_change(&mut sql, share, |sql, index| {
        sql.push(NAMES[index]);
    });
    sql.push(" WHERE id = ")
        .bytes(share.id.bytes())
        .push(" AND version = ")
        .int(expected);
    sql
}

/// Writes the last ten columns; `between` writes what stands before each but the first.
fn may_change(sql: &mut Sql, share: &PaymentShare, between: impl Fn(&mut Sql, usize)) {
    sql.option(share.state.release(), |sql, id| {
        sql.bytes(id.bytes());
    });
    between(sql, 0);
    sql.option(share.wechat_order_id.as_deref(), |sql, text| {
        sql.text(text);
    });
    between(sql, 1);
    sql.option(share.returning, |sql, id| {
        sql.bytes(id.bytes());
    });
    between(sql, 2);
    sql.int(share.attempts.count);
    between(sql, 3);
    sql.int(u8::from(share.attempts.unsure));
    between(sql, 4);
    sql.option(share.attempts.problem.as_deref(), |sql, text| {
        sql.text(&short(text));
    });
    between(sql, 5);
    sql.option(share.attempts.next_at, |sql, at| {
        sql.time(at);
    });
    between(sql, 6);
    sql.int(share.calls.begun);
    between(sql, 7);
    sql.option(share.calls.may_arrive_until, |sql, at| {
        sql.time(at);
    });
    between(sql, 8);
    sql.int(u8::from(share.stopped));
}
