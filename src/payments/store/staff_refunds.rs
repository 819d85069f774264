//! What people of merchants gave back alone.

use sqlx::{Row as _, mysql::MySqlRow};

use super::read_id;
use crate::{
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql},
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
        sql.values(keys).push(")");
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
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        let head = "INSERT /* payments.insert_staff_refunds */ INTO staff_refunds";
        out.insert(head, new, |row, change| {
            row.set("staff_id", change.key);
            row.set("tenant_id", change.after.tenant);
            mutable_columns(row, change.after);
        });
        for change in known {
            let head = "UPDATE /* payments.update_staff_refunds */ staff_refunds SET ";
            let mut sql = Sql::update(head, |row| mutable_columns(row, change.after));
            sql.push(" WHERE staff_id = ").value(change.key);
            sql.push(" AND version = ")
                .value(change.before.map_or(0, |before| before.version));
            out.statement(&sql, Some(1));
        }
    }
}

fn mutable_columns(row: &mut Columns<'_>, day: &StaffRefundDay) {
    row.set("day", day.day);
    row.set("alone_fen", day.alone);
    row.set("version", day.version);
}
