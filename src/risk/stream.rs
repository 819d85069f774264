//! Reads stored decisions page by page, in the order of their time, for backtests.

use sqlx::Row as _;

use super::{Decision, decisions_on::read_decisions};
use crate::{
    db::{Db, DbError, Sql},
    primitives::{DecisionId, TenantId, Timestamp},
};

/// Those of one tenant, or all, made in this time: from the first instant to before the second.
fn within(sql: &mut Sql, tenant: Option<TenantId>, (from, to): (Timestamp, Timestamp)) {
    sql.push(" FROM risk_decisions WHERE decided_at >= ")
        .time(from);
    sql.push(" AND decided_at < ").time(to);
    if let Some(tenant) = tenant {
        sql.push(" AND tenant_id = ").int(tenant.0);
    }
}

/// How many decisions were made in this time.
pub async fn count_decisions(
    db: &Db,
    tenant: Option<TenantId>,
    time: (Timestamp, Timestamp),
) -> Result<u64, DbError> {
    let mut sql = Sql::new("SELECT /* risk.count_decisions */ COUNT(*)");
    within(&mut sql, tenant, time);
    let row = sqlx::raw_sql(sql.into_statement())
        .fetch_one(db.pool())
        .await?;
    let count: i64 = row.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Up to `limit` decisions of this time, the earliest first, after the one made then with this id.
pub async fn stream_decisions(
    db: &Db,
    tenant: Option<TenantId>,
    time: (Timestamp, Timestamp),
    after: Option<(Timestamp, DecisionId)>,
    limit: u32,
) -> Result<Vec<(DecisionId, Decision)>, DbError> {
    let mut sql = Sql::new("SELECT /* risk.stream_decisions */ id, decision");
    let from = after.map_or(time.0, |(at, _)| at);
    within(&mut sql, tenant, (from, time.1));
    if let Some((at, id)) = after {
        sql.push(" AND (decided_at > ").time(at);
        sql.push(" OR id > ").bytes(id.bytes()).push(")");
    }
    sql.push(" ORDER BY decided_at, id LIMIT ").int(limit);
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    read_decisions(&rows)
}
