//! What people of merchants gave back alone.

use sqlx::{Row as _, mysql::MySqlRow};

use super::read_id;
use crate::{
    db::{Change, LoadRows, RecordRows, Recorder, RowSet, Sql},
    primitives::{BusinessDay, Money, StaffId, TenantId},
};

/// `staff_refunds`: one row a person, guarded by its version.
#[derive(Debug)]
pub(crate) struct StaffRefunds;

/// What somebody gave back without anybody else's approval, on the last day on which they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StaffRefundDay {
    pub(crate) tenant: TenantId,
    pub(crate) day: BusinessDay,
    pub(crate) alone: Money,
    pub(crate) version: i64,
}

impl StaffRefundDay {
    /// The day that counts, and what was given back on it. A clock that was set back does not begin
    /// an earlier day anew.
    pub(crate) fn on(known: Option<&Self>, today: BusinessDay) -> (BusinessDay, Money) {
        match known {
            Some(known) if known.day >= today => (known.day, known.alone),
            Some(_) | None => (today, Money::ZERO),
        }
    }
}

impl RowSet for StaffRefunds {
    type Key = StaffId;
    type Row = StaffRefundDay;
    const LOCK_ORDER: u8 = 71;
}

impl LoadRows for StaffRefunds {
    fn load(keys: &[StaffId], sql: &mut Sql) {
        sql.push("SELECT /* payments.load_staff_refunds */ staff_id, tenant_id, day, alone_fen, CAST(version AS SIGNED) FROM staff_refunds WHERE staff_id IN (");
        sql.list(keys, |sql, key| {
            sql.bytes(key.bytes());
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(StaffId, StaffRefundDay), sqlx::Error> {
        let alone = Money::parse(row.try_get(3)?)
            .map_err(|_| sqlx::Error::Decode("staff_refunds.alone_fen".into()))?;
        let given = StaffRefundDay {
            tenant: TenantId(row.try_get(1)?),
            day: BusinessDay(row.try_get(2)?),
            alone,
            version: row.try_get(4)?,
        };
        Ok((StaffId::new(read_id(row, 0)?), given))
    }
}

impl RecordRows for StaffRefunds {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let after = change.after;
            let mut sql = Sql::default();
            match change.before {
                None => {
                    sql.push("INSERT /* payments.insert_staff_refunds */ INTO staff_refunds (staff_id, tenant_id, day, alone_fen, version) VALUES (")
                        .bytes(change.key.bytes()).push(",").int(after.tenant.0).push(",").day(after.day);
                    sql.push(",")
                        .int(after.alone.get())
                        .push(",")
                        .int(after.version)
                        .push(")");
                }
                Some(before) => {
                    sql.push("UPDATE /* payments.update_staff_refunds */ staff_refunds SET day = ")
                        .day(after.day)
                        .push(", alone_fen = ")
                        .int(after.alone.get())
                        .push(", version = ")
                        .int(after.version)
                        .push(" WHERE staff_id = ")
                        .bytes(change.key.bytes())
                        .push(" AND version = ")
                        .int(before.version);
                }
            }
            out.statement(&sql, Some(1));
        }
    }
}
