//! Every statement on `points_rules`, and reads of `points_budgets`.

use rust_decimal::Decimal;
use sqlx::{FromRow, MySqlConnection, QueryBuilder};

use super::{Rounding, RuleTerms, RuleVersion, Rules, Validity};
use crate::{
    audit::Actor,
    db::{Db, DbError, Tx},
    primitives::{MerchantId, Money, PageLimit, Points, TenantId, Timestamp},
};

const COLUMNS: &str = "tenant_id, version, merchant_id, withdrawn, ratio, amount_min_fen, amount_max_fen, daily_cap, total_cap, rounding, validity, validity_count, \
     effective_from, created_at, created_by";

#[derive(Debug, FromRow)]
struct RuleRow {
    tenant_id: TenantId,
    version: u32,
    merchant_id: Option<MerchantId>,
    withdrawn: bool,
    ratio: Decimal,
    amount_min_fen: i64,
    amount_max_fen: Option<i64>,
    daily_cap: Option<i64>,
    total_cap: Option<i64>,
    rounding: String,
    validity: String,
    validity_count: Option<u32>,
    effective_from: Timestamp,
    created_at: Timestamp,
    created_by: Actor,
}

impl RuleRow {
    fn terms(&self) -> Result<RuleTerms, DbError> {
        let negative = |_| DbError::Inconsistent("a points rule with a negative amount");
        let points = |units: Option<i64>| units.map(Points::parse).transpose().map_err(negative);
        let validity = Validity::from_name(&self.validity, self.validity_count);
        let strange = DbError::Inconsistent("a points rule with a word that nobody knows");
        let Some((rounding, validity)) = Rounding::from_name(&self.rounding).zip(validity) else {
            return Err(strange);
        };
        let amount_max = self.amount_max_fen.map(Money::parse);
        Ok(RuleTerms {
            ratio: self.ratio,
            amount_min: Money::parse(self.amount_min_fen).map_err(negative)?,
            amount_max: amount_max.transpose().map_err(negative)?,
            daily_cap: points(self.daily_cap)?,
            total_cap: points(self.total_cap)?,
            rounding,
            validity,
        })
    }

    fn version(&self) -> Result<RuleVersion, DbError> {
        Ok(RuleVersion {
            tenant: self.tenant_id,
            version: self.version,
            merchant: self.merchant_id,
            terms: if self.withdrawn {
                None
            } else {
                Some(self.terms()?)
            },
            effective_from: self.effective_from,
            created_at: self.created_at,
        })
    }
}

/// Returns every version above `newest`, in order.
pub(super) async fn list_after(
    db: &Db,
    tenant: TenantId,
    newest: u32,
) -> Result<Vec<RuleVersion>, DbError> {
    let sql = format!(
        "/* points.list_rules_after */ SELECT {COLUMNS} FROM points_rules WHERE tenant_id = ? AND version > ? ORDER BY version"
    );
    let rows: Vec<RuleRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant)
        .bind(newest)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(RuleRow::version).collect()
}

/// Returns one version, in force or not; none also for a version that says "as the tenant".
pub async fn find_rule(
    conn: &mut MySqlConnection,
    tenant: TenantId,
    version: u32,
) -> Result<Option<super::Rule>, DbError> {
    let sql = format!(
        "/* points.find_rule */ SELECT {COLUMNS} FROM points_rules WHERE tenant_id = ? AND version = ?"
    );
    let row: Option<RuleRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant)
        .bind(version)
        .fetch_optional(conn)
        .await?;
    let version = row.as_ref().map(RuleRow::version).transpose()?;
    Ok(version.and_then(|version| version.rule()))
}

/// Returns every version of a tenant; none if the tenant has no version of its own.
pub async fn find_all_rules(
    conn: &mut MySqlConnection,
    tenant: TenantId,
) -> Result<Option<Rules>, DbError> {
    let sql = format!(
        "/* points.find_all_rules */ SELECT {COLUMNS} FROM points_rules WHERE tenant_id = ?"
    );
    let rows: Vec<RuleRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant)
        .fetch_all(conn)
        .await?;
    let versions: Result<Vec<_>, DbError> = rows.iter().map(RuleRow::version).collect();
    Ok(Rules::new(versions?))
}

/// The newest version of a tenant's rules, whoever it is for.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct Newest {
    pub(super) version: u32,
    pub(super) created_at: Timestamp,
}

/// Returns the newest version, none for a new tenant. Until the transaction ends nobody else can
/// insert one.
pub(super) async fn lock_newest(tx: &mut Tx, tenant: TenantId) -> Result<Option<Newest>, DbError> {
    // The tenant's row stands for the list of its rules: two admins at once queue here.
    sqlx::query("/* points.lock_rules */ SELECT id FROM tenants WHERE id = ? FOR UPDATE")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?;
    Ok(sqlx::query_as("/* points.newest_rule */ SELECT version, created_at FROM points_rules WHERE tenant_id = ? ORDER BY version DESC LIMIT 1")
        .bind(tenant)
        .fetch_optional(tx.conn())
        .await?)
}

/// Returns whether a merchant has a rule of its own at an instant.
pub(super) async fn is_overridden(
    tx: &mut Tx,
    tenant: TenantId,
    merchant: MerchantId,
    at: Timestamp,
) -> Result<bool, DbError> {
    let withdrawn: Option<bool> = sqlx::query_scalar(
        "/* points.is_overridden */ SELECT withdrawn FROM points_rules WHERE tenant_id = ? AND merchant_id = ? AND effective_from <= ? \
         ORDER BY effective_from DESC, version DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(merchant)
    .bind(at)
    .fetch_optional(tx.conn())
    .await?;
    Ok(withdrawn == Some(false))
}

pub(super) async fn insert_version(
    tx: &mut Tx,
    version: &RuleVersion,
    by: &Actor,
) -> Result<(), DbError> {
    // A row that says "as the tenant" has unused terms, by which a payment would earn nothing.
    let nothing = RuleTerms {
        ratio: Decimal::ZERO,
        validity: Validity::Never,
        ..RuleTerms::default()
    };
    let terms = version.terms.unwrap_or(nothing);
    sqlx::query(
        "/* points.insert_rule */ INSERT INTO points_rules (tenant_id, version, merchant_id, withdrawn, ratio, amount_min_fen, amount_max_fen, daily_cap, total_cap, \
         rounding, validity, validity_count, effective_from, created_at, created_by) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(version.tenant)
    .bind(version.version)
    .bind(version.merchant)
    .bind(version.terms.is_none())
    .bind(terms.ratio)
    .bind(terms.amount_min.get())
    .bind(terms.amount_max.map(Money::get))
    .bind(terms.daily_cap.map(Points::get))
    .bind(terms.total_cap.map(Points::get))
    .bind(terms.rounding.name())
    .bind(terms.validity.kind().name())
    .bind(terms.validity.count())
    .bind(version.effective_from)
    .bind(version.created_at)
    .bind(by)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Inserts the first version of a new tenant's rule.
pub(super) async fn insert_first(
    tx: &mut Tx,
    tenant: TenantId,
    terms: &RuleTerms,
    by: Actor,
) -> Result<(), DbError> {
    let first = RuleVersion {
        tenant,
        version: 1,
        merchant: None,
        terms: Some(*terms),
        effective_from: tx.now(),
        created_at: tx.now(),
    };
    insert_version(tx, &first, &by).await
}

/// Whose versions to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All versions.
    All,
    /// The tenant's own.
    Tenant,
    /// One merchant's.
    Merchant(MerchantId),
}

/// A version, its author, and the version before it for the same merchant or tenant.
#[derive(Debug, Clone)]
pub struct PastRule {
    pub version: RuleVersion,
    pub created_by: Actor,
    pub before: Option<RuleVersion>,
}

/// Returns up to `limit.probe()` versions, newest first, older than `before`.
pub async fn list_versions(
    db: &Db,
    tenant: TenantId,
    scope: Scope,
    before: Option<u32>,
    limit: PageLimit,
) -> Result<Vec<PastRule>, DbError> {
    let mut sql = QueryBuilder::new("/* points.list_rule_versions */ SELECT ");
    sql.push(COLUMNS).push(
        ", (SELECT MAX(b.version) FROM points_rules b WHERE b.tenant_id = r.tenant_id AND b.merchant_id <=> r.merchant_id AND b.version < r.version) AS version_before \
         FROM points_rules r WHERE tenant_id = ",
    );
    sql.push_bind(tenant).push(" AND version < ");
    sql.push_bind(before.unwrap_or(u32::MAX));
    match scope {
        Scope::All => {}
        Scope::Tenant => _ = sql.push(" AND merchant_id IS NULL"),
        Scope::Merchant(merchant) => _ = sql.push(" AND merchant_id = ").push_bind(merchant),
    }
    sql.push(" ORDER BY version DESC LIMIT ");
    sql.push_bind(limit.probe());
    let rows: Vec<PastRow> = sql.build_query_as().fetch_all(db.pool()).await?;
    let named: Vec<u32> = rows.iter().filter_map(|row| row.version_before).collect();
    let earlier = list_named(db, tenant, &named).await?;
    let past = rows.into_iter().map(|row| {
        let before = row.version_before;
        let before = before.and_then(|before| earlier.iter().find(|rule| rule.version == before));
        Ok(PastRule {
            version: row.rule.version()?,
            created_by: row.rule.created_by,
            before: before.copied(),
        })
    });
    past.collect()
}

#[derive(Debug, FromRow)]
struct PastRow {
    #[sqlx(flatten)]
    rule: RuleRow,
    version_before: Option<u32>,
}

async fn list_named(
    db: &Db,
    tenant: TenantId,
    versions: &[u32],
) -> Result<Vec<RuleVersion>, DbError> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::new("/* points.list_named_rules */ SELECT ");
    sql.push(COLUMNS)
        .push(" FROM points_rules WHERE tenant_id = ");
    sql.push_bind(tenant).push(" AND version IN (");
    let mut list = sql.separated(", ");
    for version in versions {
        list.push_bind(*version);
    }
    sql.push(")");
    let rows: Vec<RuleRow> = sql.build_query_as().fetch_all(db.pool()).await?;
    rows.iter().map(RuleRow::version).collect()
}

/// Returns the points that a version with a total cap has handed out.
pub(super) async fn find_granted(
    db: &Db,
    tenant: TenantId,
    version: u32,
) -> Result<Points, DbError> {
    let granted: Option<i64> = sqlx::query_scalar("/* points.find_granted */ SELECT granted FROM points_budgets WHERE tenant_id = ? AND rule_version = ?")
        .bind(tenant)
        .bind(version)
        .fetch_optional(db.pool())
        .await?;
    Points::parse(granted.unwrap_or(0)).map_err(|_| DbError::Inconsistent("a budget below zero"))
}
