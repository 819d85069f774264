//! How points moved per day, source and rule: what the relay adds to `point_days`, in the
//! transaction in which it notes how far it read.

use std::collections::BTreeMap;

use crate::{
    db::{DbError, Sql, Tx},
    outbox::Event,
    primitives::{BusinessDay, TenantId},
};

/// Tenant, day, source, version of the rule, and what happened.
type Key = (TenantId, BusinessDay, String, u32, u8);

/// Sums of one projection, in the order of the table's key, so that two relays take the rows in one
/// order.
#[derive(Debug, Default)]
pub(crate) struct PointDays(BTreeMap<Key, Sums>);

#[derive(Debug, Default)]
struct Sums {
    points: i64,
    times: i64,
}

impl PointDays {
    pub(crate) fn add(&mut self, event: &Event) {
        let Event::PointsMoved {
            tenant,
            what,
            source,
            rule_version,
            points,
            at,
            ..
        } = event
        else {
            return;
        };
        let key = (
            *tenant,
            at.business_day(),
            source.clone(),
            *rule_version,
            *what,
        );
        let sums = self.0.entry(key).or_default();
        sums.points = sums.points.saturating_add(points.get());
        sums.times += 1;
    }

    pub(crate) async fn write(&self, tx: &mut Tx) -> Result<(), DbError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new(
            "INSERT /* relay.point_days */ INTO point_days (tenant_id, day, source, rule_version, what, points, times) VALUES ",
        );
        sql.list(
            &self.0,
            |sql, ((tenant, day, source, version, what), sums)| {
                sql.push("(").int(tenant.0).push(",").day(*day);
                sql.push(",")
                    .text(source)
                    .push(",")
                    .int(*version)
                    .push(",")
                    .int(*what);
                sql.push(",").int(sums.points).push(",").int(sums.times);
                sql.push(")");
            },
        );
        sql.push(
            " ON DUPLICATE KEY UPDATE points = points + VALUES(points), times = times + VALUES(times)",
        );
        sqlx::raw_sql(sql.into_statement())
            .execute(tx.conn())
            .await?;
        Ok(())
    }
}
