//! `sharings`.

use sqlx::{Row as _, mysql::MySqlRow};

use super::{broken, money, short};
use crate::{
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
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
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(OrderId, PaymentShare), sqlx::Error> {
        let share = read_share(row)?;
        Ok((share.order, share))
    }
}

impl RecordRows for Shares {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let share = change.after;
            let Some(before) = change.before else {
                let head = "INSERT /* sharing.insert_share */ INTO sharings";
                out.insert(head, [share], |row, share| {
                    row.set("id", share.id).set("tenant_id", share.tenant);
                    row.set("order_id", share.order);
                    row.set("merchant_id", share.merchant);
                    row.set("rule_version", share.rule_version);
                    row.set("base_fen", share.base);
                    row.set("asked_before_fen", share.asked_before);
                    mutable_columns(row, share);
                });
                continue;
            };
            let head = "UPDATE /* sharing.update_share */ sharings SET ";
            let mut sql = Sql::update(head, |row| mutable_columns(row, share));
            sql.push(" WHERE id = ").value(share.id);
            sql.push(" AND version = ").value(before.version);
            out.statement(&sql, Some(1));
        }
    }
}

fn mutable_columns(row: &mut Columns<'_>, share: &PaymentShare) {
    let Attempts {
        count,
        unsure,
        problem,
        detail: _,
        next_at,
    } = &share.attempts;
    row.set("state", share.state.kind().code());
    row.set("version", share.version);
    row.set("release_id", share.state.release());
    row.set("wechat_order_id", &share.wechat_order_id);
    row.set("refund_id", share.returning);
    row.set("attempts", count).set("unsure", unsure);
    row.set("problem", problem.as_deref().map(short));
    row.set("next_attempt_at", next_at);
    row.set("calls", share.calls.begun);
    row.set("may_arrive_until", share.calls.may_arrive_until);
    row.set("stopped", share.stopped);
}
