//! Finding refunds. Reads that decide nothing.

use super::{
    Refund, RefundStateKind, Search,
    search::IdRange,
    store::{ForeignRefunds, REFUND_COLUMNS, read_refund},
};
use crate::{
    audit::Actor,
    db::{Db, DbError, Sql},
    primitives::{MerchantId, OrderId, PageLimit, RefundId, RefundNo, TenantId, Timestamp},
};

/// One refund of a tenant. Who of the tenant may see it is for the caller to check.
pub async fn find_refund(
    db: &Db,
    tenant: TenantId,
    id: RefundId,
) -> Result<Option<Refund>, DbError> {
    let statement = format!(
        "SELECT /* payments.find_refund */ {REFUND_COLUMNS} FROM refunds r WHERE r.id = ? AND r.tenant_id = ?"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(id)
        .bind(tenant)
        .fetch_optional(db.pool())
        .await?;
    Ok(row.as_ref().map(read_refund).transpose()?)
}

/// The refund that the channel knows under this number: made here or elsewhere.
pub(super) async fn find_by_number(
    db: &Db,
    tenant: TenantId,
    out_refund_no: &str,
) -> Result<Option<Refund>, DbError> {
    let key = ForeignRefunds::key_of(tenant, out_refund_no);
    let foreign: Option<RefundId> = sqlx::query_scalar(
        "/* payments.find_foreign_refund */ SELECT refund_id FROM foreign_refunds WHERE number_hash = ? AND tenant_id = ?",
    )
    .bind(key.as_slice())
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    let own = out_refund_no.parse::<RefundNo>().ok().map(RefundNo::id);
    match foreign.or(own) {
        Some(id) => find_refund(db, tenant, id).await,
        None => Ok(None),
    }
}

/// An order's refunds, oldest first. There are at most fifty, and those that were rejected.
pub async fn refunds_of(db: &Db, tenant: TenantId, order: OrderId) -> Result<Vec<Refund>, DbError> {
    let statement = format!(
        "SELECT /* payments.refunds_of */ {REFUND_COLUMNS} FROM refunds r WHERE r.order_id = ? AND r.tenant_id = ? ORDER BY r.id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(order)
        .bind(tenant)
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_refund(row)?)).collect()
}

/// Up to `limit.probe()` refunds of a tenant, or of one of its merchants, newest first, older than
/// `before`.
pub async fn list_refunds(
    db: &Db,
    tenant: TenantId,
    merchant: Option<MerchantId>,
    state: Option<RefundStateKind>,
    search: &Search,
    before: Option<RefundId>,
    limit: PageLimit,
) -> Result<Vec<Refund>, DbError> {
    let IdRange { from, end } = search.range(before.map(|id| id.id()));
    let mut sql = Sql::new("SELECT /* payments.list_refunds */ ");
    sql.push(REFUND_COLUMNS)
        .push(" FROM refunds r WHERE r.tenant_id = ");
    sql.int(tenant.0);
    if let Some(merchant) = merchant {
        sql.push(" AND r.merchant_id = ").bytes(merchant.bytes());
    }
    sql.push(" AND r.id >= ").bytes(from.bytes());
    sql.push(" AND r.id < ").bytes(end.bytes());
    if let Some(state) = state {
        sql.push(" AND r.state = ").int(state.code());
    }
    search.of_refunds(tenant, &mut sql);
    sql.push(" ORDER BY r.id DESC LIMIT ").int(limit.probe());
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    rows.iter().map(|row| Ok(read_refund(row)?)).collect()
}

/// One state that a refund was in, with who and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundStep {
    pub version: u32,
    pub state: RefundStateKind,
    pub actor: Actor,
    pub why: String,
    pub at: Timestamp,
}

/// A refund's states in order.
pub async fn refund_history(
    db: &Db,
    tenant: TenantId,
    refund: RefundId,
) -> Result<Vec<RefundStep>, DbError> {
    let rows: Vec<(u32, i8, Actor, String, Timestamp)> = sqlx::query_as(
        "/* payments.refund_history */ SELECT version, state, actor, why, at FROM refund_history WHERE refund_id = ? AND tenant_id = ? ORDER BY version",
    )
    .bind(refund)
    .bind(tenant)
    .fetch_all(db.pool())
    .await?;
    rows.into_iter()
        .map(|(version, state, actor, why, at)| {
            let state = u8::try_from(state)
                .ok()
                .and_then(RefundStateKind::from_code);
            let state = state.ok_or(DbError::Inconsistent(
                "an unknown state in a refund's history",
            ))?;
            Ok(RefundStep {
                version,
                state,
                actor,
                why,
                at,
            })
        })
        .collect()
}
