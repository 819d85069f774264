//! Budgets: points that rule versions with a total cap have handed out.

use sqlx::{Row as _, mysql::MySqlRow};

use crate::{
    db::{Change, Columns, LoadRows, RecordRows, Recorder, RowSet, Sql, Wanted, WorkingSet},
    primitives::{Points, TenantId},
};

/// `points_budgets`: points that a version with a total cap has handed out and not got back.
#[derive(Debug)]
pub struct Budgets;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub granted: Points,
    /// 64 bits: every credited payment of the tenant counts here, which at a thousand a second
    /// would exhaust 32 bits within two months.
    pub version: u64,
}

impl Budget {
    fn version(&self) -> i64 {
        i64::try_from(self.version).unwrap_or(i64::MAX)
    }
}

/// Asks for the rows that [`return_to_budget`] reads.
pub(crate) fn want_budget(want: &mut Wanted, tenant: TenantId, rule_version: u32) {
    want.row::<Budgets>((tenant, rule_version));
}

/// Makes points available again that a refund has taken back or a review has voided. Does nothing
/// for a version without a total cap, which has no budget.
pub(crate) fn return_to_budget(
    set: &mut WorkingSet,
    tenant: TenantId,
    rule_version: u32,
    points: Points,
) {
    if points.is_zero() {
        return;
    }
    let key = (tenant, rule_version);
    if let Some(budget) = set.get::<Budgets>(key).copied() {
        let returned = Budget {
            granted: budget.granted.saturating_sub(points),
            version: budget.version.saturating_add(1),
        };
        set.put::<Budgets>(key, returned);
    }
}

impl RowSet for Budgets {
    /// Tenant and version of the rule.
    type Key = (TenantId, u32);
    type Row = Budget;
    const LOCK_ORDER: u8 = 70;
}

impl LoadRows for Budgets {
    fn load(keys: &[Self::Key], sql: &mut Sql) {
        sql.push("SELECT /* points.load_budgets */ tenant_id, rule_version, granted, version FROM points_budgets WHERE (tenant_id, rule_version) IN (");
        sql.values(keys).push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Self::Key, Budget), sqlx::Error> {
        let granted = Points::parse(row.try_get(2)?)
            .map_err(|_| sqlx::Error::Decode("points_budgets.granted".into()))?;
        Ok((
            (TenantId(row.try_get(0)?), row.try_get(1)?),
            Budget {
                granted,
                version: row.try_get(3)?,
            },
        ))
    }
}

impl RecordRows for Budgets {
    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        let (new, known): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.before.is_none());
        let head = "INSERT /* points.insert_budget */ INTO points_budgets";
        out.insert(head, new, |row, change| {
            let (tenant, rule_version) = change.key;
            row.set("tenant_id", tenant);
            row.set("rule_version", rule_version);
            mutable_columns(row, change.after);
        });
        for change in known {
            let (tenant, rule_version) = change.key;
            let head = "UPDATE /* points.update_budget */ points_budgets SET ";
            let mut sql = Sql::update(head, |row| mutable_columns(row, change.after));
            sql.push(" WHERE tenant_id = ").value(tenant);
            sql.push(" AND rule_version = ").value(rule_version);
            sql.push(" AND version = ")
                .value(change.before.map_or(0, Budget::version));
            out.statement(&sql, Some(1));
        }
    }
}

fn mutable_columns(row: &mut Columns<'_>, budget: &Budget) {
    row.set("granted", budget.granted);
    row.set("version", budget.version());
}
