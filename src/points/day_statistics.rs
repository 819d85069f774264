//! Points moved, by day, source and version of the rule. A projection of the events
//! ([`Event::PointsMoved`](crate::outbox::Event::PointsMoved)), which lags by a moment.

use sqlx::Row as _;

use super::PointsMove;
use crate::{
    db::{Db, DbError, Sql},
    primitives::{BusinessDay, TenantId},
};

/// What the figures are grouped by, besides the kind of move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grouping {
    pub day: bool,
    pub source: bool,
    pub rule: bool,
}

/// A range of days, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayQuery {
    pub from: BusinessDay,
    pub to: BusinessDay,
    pub group: Grouping,
}

/// The points of one kind of move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFigures {
    /// None unless grouped by it. This holds for the next two fields too.
    pub day: Option<BusinessDay>,
    /// `payment`, `expiry`, or the name of a back end.
    pub source: Option<String>,
    /// 0 if the points were not computed by a rule.
    pub rule_version: Option<u32>,
    pub what: PointsMove,
    pub points: i64,
    /// The number of moves.
    pub times: i64,
}

/// Returns the figures of a tenant, ordered by day, source, rule and kind of move.
pub async fn day_statistics(
    db: &Db,
    tenant: TenantId,
    query: &DayQuery,
) -> Result<Vec<DayFigures>, DbError> {
    let Grouping { day, source, rule } = query.group;
    let mut sql = Sql::new("SELECT /* points.day_statistics */ ");
    sql.push(if day { "day" } else { "NULL" })
        .push(", ")
        .push(if source { "source" } else { "NULL" })
        .push(", ")
        .push(if rule { "rule_version" } else { "NULL" })
        .push(", what, CAST(SUM(points) AS SIGNED), CAST(SUM(times) AS SIGNED) FROM points_days WHERE tenant_id = ")
        .int(tenant.0)
        .push(" AND day >= ")
        .day(query.from)
        .push(" AND day <= ")
        .day(query.to)
        .push(" GROUP BY 1, 2, 3, what ORDER BY 1, 2, 3, what");
    let rows = sqlx::raw_sql(sql.into_statement())
        .fetch_all(db.pool())
        .await?;
    let figures = rows.iter().map(|row| {
        let what = u8::try_from(row.try_get::<i8, _>(3)?).ok();
        let what = what.and_then(PointsMove::from_code);
        Ok(DayFigures {
            day: optional(day, || row.try_get(0).map(BusinessDay))?,
            source: optional(source, || row.try_get(1))?,
            rule_version: optional(rule, || row.try_get(2))?,
            what: what.ok_or(DbError::Inconsistent("an unknown move of points"))?,
            points: row.try_get(4)?,
            times: row.try_get(5)?,
        })
    });
    figures.collect()
}

fn optional<T>(
    wanted: bool,
    read: impl FnOnce() -> Result<T, sqlx::Error>,
) -> Result<Option<T>, sqlx::Error> {
    wanted.then(read).transpose()
}
