//! Rules and budgets.

use rust_decimal::Decimal;
use sqlx::{FromRow, Row as _, mysql::MySqlRow};

use super::{Rule, RuleTerms};
use crate::{
    db::{Change, Db, DbError, Recorder, RowSet, Sql, Tx},
    primitives::{Money, Points, TenantId, Timestamp},
};

#[derive(Debug, FromRow)]
struct RuleRow {
    tenant_id: TenantId,
    version: u32,
    ratio: Decimal,
    amount_min_fen: i64,
    amount_max_fen: Option<i64>,
    daily_cap: Option<i64>,
    total_cap: Option<i64>,
    expiry_days: Option<u32>,
    created_at: Timestamp,
}

impl TryFrom<RuleRow> for Rule {
    type Error = DbError;

    fn try_from(row: RuleRow) -> Result<Self, DbError> {
        let negative = |_| DbError::Inconsistent("a points rule with a negative amount");
        Ok(Self {
            tenant: row.tenant_id,
            version: row.version,
            terms: RuleTerms {
                ratio: row.ratio,
                amount_min: Money::parse(row.amount_min_fen).map_err(negative)?,
                amount_max: row
                    .amount_max_fen
                    .map(Money::parse)
                    .transpose()
                    .map_err(negative)?,
                daily_cap: row
                    .daily_cap
                    .map(Points::parse)
                    .transpose()
                    .map_err(negative)?,
                total_cap: row
                    .total_cap
                    .map(Points::parse)
                    .transpose()
                    .map_err(negative)?,
                expiry_days: row.expiry_days,
            },
            created_at: row.created_at,
        })
    }
}

/// The version in force: the newest.
pub(super) async fn find_current(db: &Db, tenant: TenantId) -> Result<Option<Rule>, DbError> {
    let row: Option<RuleRow> = sqlx::query_as(
        "/* points.find_current_rule */ SELECT tenant_id, version, ratio, amount_min_fen, amount_max_fen, daily_cap, total_cap, expiry_days, created_at \
         FROM points_rules WHERE tenant_id = ? ORDER BY version DESC LIMIT 1",
    )
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    row.map(Rule::try_from).transpose()
}

/// A certain version, whether in force or not.
pub async fn find_rule(
    conn: &mut sqlx::MySqlConnection,
    tenant: TenantId,
    version: u32,
) -> Result<Option<Rule>, DbError> {
    let row: Option<RuleRow> = sqlx::query_as(
        "/* points.find_rule */ SELECT tenant_id, version, ratio, amount_min_fen, amount_max_fen, daily_cap, total_cap, expiry_days, created_at \
         FROM points_rules WHERE tenant_id = ? AND version = ?",
    )
    .bind(tenant)
    .bind(version)
    .fetch_optional(conn)
    .await?;
    row.map(Rule::try_from).transpose()
}

pub(super) async fn lock_newest_version(
    tx: &mut Tx,
    tenant: TenantId,
) -> Result<Option<u32>, DbError> {
    // The tenant's row stands for the list of its rules: two admins at once queue here.
    sqlx::query("/* points.lock_rules */ SELECT id FROM tenants WHERE id = ? FOR UPDATE")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?;
    Ok(sqlx::query_scalar("/* points.newest_rule */ SELECT version FROM points_rules WHERE tenant_id = ? ORDER BY version DESC LIMIT 1")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?)
}

pub(super) async fn insert_rule(
    tx: &mut Tx,
    tenant: TenantId,
    version: u32,
    terms: &RuleTerms,
    by: &str,
) -> Result<(), DbError> {
    let now = tx.now();
    sqlx::query(
        "/* points.insert_rule */ INSERT INTO points_rules (tenant_id, version, ratio, amount_min_fen, amount_max_fen, daily_cap, total_cap, expiry_days, created_at, created_by) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(tenant)
    .bind(version)
    .bind(terms.ratio)
    .bind(terms.amount_min.get())
    .bind(terms.amount_max.map(Money::get))
    .bind(terms.daily_cap.map(Points::get))
    .bind(terms.total_cap.map(Points::get))
    .bind(terms.expiry_days)
    .bind(now)
    .bind(by)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The first version of a new tenant's rule.
pub async fn insert_first_rule(
    tx: &mut Tx,
    tenant: TenantId,
    terms: &RuleTerms,
    by: &str,
) -> Result<(), DbError> {
    insert_rule(tx, tenant, 1, terms, by).await
}

/// `point_budgets`: what a version with a total cap has handed out.
#[derive(Debug)]
pub struct Budgets;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub granted: Points,
    pub version: u32,
}

impl RowSet for Budgets {
    /// Tenant and version of the rule.
    type Key = (TenantId, u32);
    type Row = Budget;
    const PLACE: u8 = 70;

    fn load(keys: &[Self::Key], sql: &mut Sql) {
        sql.push("SELECT /* points.load_budgets */ tenant_id, rule_version, granted, version FROM point_budgets WHERE (tenant_id, rule_version) IN (");
        sql.list(keys, |sql, (tenant, version)| {
            sql.push("(")
                .int(tenant.0)
                .push(",")
                .int(*version)
                .push(")");
        });
        sql.push(")");
    }

    fn read(row: &MySqlRow) -> Result<(Self::Key, Budget), sqlx::Error> {
        let granted = Points::parse(row.try_get(2)?)
            .map_err(|_| sqlx::Error::Decode("point_budgets.granted".into()))?;
        Ok((
            (TenantId(row.try_get(0)?), row.try_get(1)?),
            Budget {
                granted,
                version: row.try_get(3)?,
            },
        ))
    }

    fn record(changes: &[Change<'_, Self>], out: &mut Recorder) {
        for change in changes {
            let (tenant, version) = change.key;
            let mut sql = Sql::default();
            match change.before {
                None => {
                    sql.push("INSERT /* points.insert_budget */ INTO point_budgets (tenant_id, rule_version, granted, version) VALUES (")
                        .int(tenant.0).push(",").int(version).push(",")
                        .int(change.after.granted.get()).push(",").int(change.after.version).push(")");
                }
                Some(before) => {
                    sql.push("UPDATE /* points.update_budget */ point_budgets SET granted = ")
                        .int(change.after.granted.get())
                        .push(", version = ")
                        .int(change.after.version)
                        .push(" WHERE tenant_id = ")
                        .int(tenant.0)
                        .push(" AND rule_version = ")
                        .int(version)
                        .push(" AND version = ")
                        .int(before.version);
                }
            }
            out.statement(&sql, Some(1));
        }
    }
}
