//! How points moved per day, source and rule: what events add to `points_days`.

use std::collections::BTreeMap;

use crate::{
    db::{DbError, Sql, Tx},
    outbox::{CommittedEvent, Event},
    primitives::{BusinessDay, TenantId},
};

/// Tenant, day, source, version of the rule, and what happened.
type Key = (TenantId, BusinessDay, String, u32, u8);

#[derive(Debug, Default)]
struct Sums {
    points: i64,
    times: i64,
}

/// Adds the moves of points among `events` to their days. For the relay, in the transaction in
/// which it notes how far it read: what is added twice counts twice.
pub async fn project_points(tx: &mut Tx, events: &[CommittedEvent]) -> Result<(), DbError> {
    // In the order of the table's key, so that two relays take the rows in one order.
    let mut days = BTreeMap::<Key, Sums>::new();
    for committed in events {
        let Event::PointsMoved {
            tenant,
            what,
            source,
            rule_version,
            points,
            at,
            ..
        } = &committed.event
        else {
            continue;
        };
        let key = (
            *tenant,
            at.business_day(),
            source.clone(),
            *rule_version,
            *what,
        );
        let sums = days.entry(key).or_default();
        sums.points = sums.points.saturating_add(points.get());
        sums.times = sums.times.saturating_add(1);
    }
    if days.is_empty() {
        return Ok(());
    }
    let head = "INSERT /* points.project_days */ INTO points_days";
    let mut sql = Sql::insert(head, &days, |row, (key, sums)| {
        let (tenant, day, source, version, what) = key;
        row.set("tenant_id", tenant).set("day", day);
        row.set("source", source);
        row.set("rule_version", version);
        row.set("what", what);
        row.set("points", sums.points).set("times", sums.times);
    });
    sql.push(
        " ON DUPLICATE KEY UPDATE points = points + VALUES(points), times = times + VALUES(times)",
    );
    sqlx::raw_sql(sql.into_statement())
        .execute(tx.conn())
        .await?;
    Ok(())
}
