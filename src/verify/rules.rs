//! What the rules allow to be credited: versions, caps and budgets. Part of invariant 6.

use std::collections::{HashMap, hash_map::Entry};

use sqlx::MySqlConnection;

use super::{Invariant, Report};
use crate::{
    db::DbError,
    payments::Order,
    points::{self, Rule},
    primitives::{AccountId, EntryId, Points, TenantId, Timestamp},
};

/// By how much the rules that credit may be outdated: a second in a process's memory, and twice the fifteen seconds for which a batch may try, since an operation
/// takes along what was known when it was asked, and waits for the batch before its own.
const OUTDATED_SECONDS_MAX: i64 = 31;

/// The versions of rules met so far, and what each handed out.
#[derive(Default)]
pub(super) struct Rules {
    known: HashMap<(TenantId, u32), Option<Rule>>,
    /// Every version of the tenants met so far.
    histories: HashMap<TenantId, Option<points::Rules>>,
    granted: HashMap<(TenantId, u32), i64>,
}

impl Rules {
    pub(super) async fn get(
        &mut self,
        conn: &mut MySqlConnection,
        tenant: TenantId,
        version: u32,
    ) -> Result<Option<Rule>, DbError> {
        if let Some(rule) = self.known.get(&(tenant, version)) {
            return Ok(*rule);
        }
        let rule = points::find_rule(conn, tenant, version).await?;
        self.known.insert((tenant, version), rule);
        Ok(rule)
    }

    /// Whether a version was the one to credit this order at the instant of its settlement, or a little earlier: what a process knows and what an operation
    /// carries while it waits may be that old.
    pub(super) async fn was_in_force(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        version: u32,
        at: Timestamp,
    ) -> Result<bool, DbError> {
        let history = match self.histories.entry(order.tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(points::find_all_rules(conn, order.tenant).await?)
            }
        };
        let from = at.plus_seconds(-OUTDATED_SECONDS_MAX);
        Ok(history.as_ref().is_some_and(|rules| {
            let versions = rules.in_force_between(order.merchant, from, at);
            versions.contains(&version)
        }))
    }

    pub(super) fn count(&mut self, tenant: TenantId, version: u32, points: Points) {
        let granted = self.granted.entry((tenant, version)).or_default();
        *granted = granted.saturating_add(points.get());
    }

    /// Less was credited than the rule said: then a cap must have been reached.
    pub(super) async fn shortened(
        &self,
        conn: &mut MySqlConnection,
        order: &Order,
        entry: EntryId,
        points: Points,
        rule: &Rule,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let budget: Option<i64> = sqlx::query_scalar("/* verify.budget */ SELECT granted FROM point_budgets WHERE tenant_id = ? AND rule_version = ?")
            .bind(order.tenant)
            .bind(rule.version)
            .fetch_optional(&mut *conn)
            .await?;
        if rule
            .terms
            .total_cap
            .is_some_and(|cap| budget.unwrap_or(0) >= cap.get())
        {
            return Ok(());
        }
        let Some(cap) = rule.terms.daily_cap else {
            report.violated(
                Invariant::PointsFollowTheRule,
                format!(
                    "{}: {points} points, and the total cap is not reached",
                    order.id
                ),
            );
            return Ok(());
        };
        // What the customer earned by payments on the day of this entry, whatever rule was in force: credited (entry 1), or held for a review (entry 9) whatever came of it.
        let (day,): (i64,) = sqlx::query_as(
            "/* verify.earned_that_day */ SELECT CAST(COALESCE(SUM(t.amount), 0) AS SIGNED) FROM transfers t \
             WHERE t.checked_account = ? AND t.checked_side = 2 AND (t.phase, ORD(SUBSTR(t.entry_id, 16, 1))) IN ((0, 1), (1, 9)) \
             AND DATE(t.created_at + INTERVAL 8 HOUR) = \
               (SELECT DATE(paid.paid_at + INTERVAL 8 HOUR) FROM (SELECT COALESCE(MAX(s.created_at), MAX(o.paid_at)) AS paid_at FROM payment_orders o \
                LEFT JOIN transfers s ON s.entry_id = ? WHERE o.id = ?) paid)",
        )
        .bind(order.customer.map(AccountId::customer_points))
        .bind(entry)
        .bind(order.id)
        .fetch_one(conn)
        .await?;
        if day < cap.get() {
            report.violated(
                Invariant::PointsFollowTheRule,
                format!(
                    "{}: {points} points, though the customer earned only {day} of {cap} that day",
                    order.id
                ),
            );
        }
        Ok(())
    }

    /// What a version with a total cap handed out is what its budget says, and within the cap.
    pub(super) async fn check_budgets(
        &self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let budgets: Vec<(TenantId, u32, i64)> = sqlx::query_as(
            "/* verify.budgets */ SELECT tenant_id, rule_version, granted FROM point_budgets",
        )
        .fetch_all(&mut *conn)
        .await?;
        let mut counted: HashMap<(TenantId, u32), i64> = budgets
            .into_iter()
            .map(|(tenant, version, granted)| ((tenant, version), granted))
            .collect();
        for ((tenant, version), rule) in &self.known {
            let Some(cap) = rule.and_then(|rule| rule.terms.total_cap) else {
                continue;
            };
            let key = (*tenant, *version);
            let credited = self.granted.get(&key).copied().unwrap_or(0);
            let granted = counted.remove(&key).unwrap_or(0);
            let holds = credited == granted && granted <= cap.get();
            report.expect(Invariant::PointsFollowTheRule, holds, || {
                format!("rule version {version} of tenant {tenant}: {credited} credited, {granted} counted, {cap} allowed")
            });
        }
        for ((tenant, version), granted) in counted {
            report.expect(Invariant::PointsFollowTheRule, granted == 0, || {
                format!("rule version {version} of tenant {tenant}: {granted} counted, and no order was credited by it")
            });
        }
        Ok(())
    }
}

/// On a day on which only rules with a daily cap credited a customer, payments gave no more than the highest of their caps, what was held for reviews included. Grouped by the database, since
/// the customers of a day come in no order here.
pub(super) async fn daily_caps(
    conn: &mut MySqlConnection,
    report: &mut Report,
) -> Result<(), DbError> {
    let overrun: Vec<(AccountId, time::Date, i64, i64)> = sqlx::query_as(
        "/* verify.daily_caps */ SELECT t.checked_account, DATE(t.created_at + INTERVAL 8 HOUR) AS day, \
         CAST(SUM(t.amount) AS SIGNED) AS earned, CAST(MAX(r.daily_cap) AS SIGNED) AS cap \
         FROM transfers t \
         JOIN payment_orders o ON o.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') \
         JOIN points_rules r ON r.tenant_id = o.tenant_id AND r.version = o.rule_version \
         WHERE t.checked_side = 2 AND (t.phase, ORD(SUBSTR(t.entry_id, 16, 1))) IN ((0, 1), (1, 9)) \
         GROUP BY t.checked_account, day \
         HAVING SUM(r.daily_cap IS NULL) = 0 AND earned > cap LIMIT 1000",
    )
    .fetch_all(conn)
    .await?;
    report.looked_at(Invariant::PointsFollowTheRule, 1);
    for (account, day, earned, cap) in overrun {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!("{account} earned {earned} points on {day}, of {cap} allowed"),
        );
    }
    Ok(())
}
