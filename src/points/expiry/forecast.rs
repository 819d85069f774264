//! The points of a tenant's customers that will expire, by day. Read-only; nothing is decided by
//! it.

use sqlx::FromRow;

use crate::{
    db::{Db, DbError},
    primitives::{BusinessDay, TenantId},
};

/// Days that one query covers at most, since it reads every lot of them.
pub const FORECAST_DAYS_MAX: u16 = 92;

/// Points that expire on a day, unless they are spent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct ExpiringDay {
    /// The first day on which they can no longer be used (UTC+8).
    #[sqlx(try_from = "time::Date")]
    pub expired_from: BusinessDay,
    pub points: i64,
    pub customers: i64,
}

/// Returns each day from `from` to `to`, both included, on which points expire, the earliest first.
pub async fn expiring_by_day(
    db: &Db,
    tenant: TenantId,
    from: BusinessDay,
    to: BusinessDay,
) -> Result<Vec<ExpiringDay>, DbError> {
    Ok(sqlx::query_as(
        "/* points.expiring_by_day */ SELECT expired_from, CAST(SUM(remaining) AS SIGNED) AS points, \
         CAST(SUM(remaining > 0) AS SIGNED) AS customers FROM points_lots \
         WHERE tenant_id = ? AND expired_from >= ? AND expired_from <= ? GROUP BY expired_from HAVING customers > 0 ORDER BY expired_from",
    )
    .bind(tenant)
    .bind(from.0)
    .bind(to.0)
    .fetch_all(db.pool())
    .await?)
}
