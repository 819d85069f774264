//! The versions of rules, and whether a payment that earned less than its rule says met a cap. Part of invariant 6; that caps hold is invariant 8 ([`super::caps`]).

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
        // What the customer was credited by payments on the day of this entry, at once or held for a review, whatever rule was in force.
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

    /// The versions met so far that have a total cap: each with its cap, and what orders were credited by it, in points.
    pub(super) fn capped(&self) -> Vec<((TenantId, u32), Points, i64)> {
        let capped = self.known.iter().filter_map(|(key, rule)| {
            let cap = rule.as_ref()?.terms.total_cap?;
            Some((*key, cap, self.granted.get(key).copied().unwrap_or(0)))
        });
        capped.collect()
    }
}
