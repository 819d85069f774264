//! The versions of rules, and whether a payment that earned less than its rule says met a cap. Part
//! of invariant 6; that caps hold is invariant 8 ([`super::caps`]).

use std::collections::{HashMap, hash_map::Entry};

use sqlx::MySqlConnection;

use super::{Invariant, Report, pages::RefundsOfOrder};
use crate::{
    db::DbError,
    ledger::{ConstrainedSide, Phase},
    payments::{Order, PointsReview},
    points::{self, Rule},
    primitives::{AccountId, EntryKind, Points, TenantId, Timestamp, WithCauses},
};

/// By how much the rules that credit may be outdated: a second in a process's memory, and twice the
/// fifteen seconds for which a batch may try, since an operation takes along what was known when it
/// was asked, and waits for the batch before its own.
const OUTDATED_SECONDS_MAX: i64 = 31;

/// The instants of a payment that decide on its points.
#[derive(Debug, Clone, Copy)]
pub(super) struct CreditTimes {
    /// When the customer paid.
    pub(super) earned_at: Timestamp,
    /// When it was settled.
    pub(super) settled_at: Timestamp,
}

/// The versions of rules met so far, and what each handed out.
#[derive(Default)]
pub(super) struct Rules {
    known: HashMap<(TenantId, u32), Option<Rule>>,
    /// Every version of the tenants met so far.
    histories: HashMap<TenantId, Option<points::Rules>>,
    granted: HashMap<(TenantId, u32), i64>,
    /// What versions with a total cap ever handed out, whatever came back: of those that were asked
    /// about.
    ever: HashMap<(TenantId, u32), i64>,
}

impl Rules {
    pub(super) async fn get(
        &mut self,
        conn: &mut MySqlConnection,
        tenant: TenantId,
        version: u32,
        report: &mut Report,
    ) -> Result<Option<Rule>, DbError> {
        if let Some(rule) = self.known.get(&(tenant, version)) {
            return Ok(*rule);
        }
        let rule = match points::find_rule(conn, tenant, version).await {
            Err(error) if error.is_of_row() => {
                let row = format!("points_rules {tenant} {version}");
                report.unreadable(row, WithCauses(&error));
                None
            }
            rule => rule?,
        };
        self.known.insert((tenant, version), rule);
        Ok(rule)
    }

    /// Whether a version was the one to credit this order when the customer paid (`earned_at`); or,
    /// as far as that was just before the settlement, a little earlier: what a process knows and
    /// what an operation carries while it waits may be that old. What is told late leaves no such
    /// doubt.
    pub(super) async fn was_in_force(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        version: u32,
        CreditTimes {
            earned_at,
            settled_at,
        }: CreditTimes,
    ) -> Result<bool, DbError> {
        let history = match self.histories.entry(order.tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let rules = points::find_all_rules(conn, order.tenant).await;
                unknown.insert(match rules {
                    // Each version is named when it is asked for.
                    Err(error) if error.is_of_row() => None,
                    rules => rules?,
                })
            }
        };
        let known = settled_at.plus_seconds(-OUTDATED_SECONDS_MAX);
        let from = earned_at.min(known);
        Ok(history.as_ref().is_some_and(|rules| {
            let versions = rules.in_force_between(order.merchant, from, earned_at);
            versions.contains(&version)
        }))
    }

    pub(super) fn count(&mut self, tenant: TenantId, version: u32, points: Points) {
        let granted = self.granted.entry((tenant, version)).or_default();
        *granted = granted.saturating_add(points.get());
    }

    /// What refunds took back of an order's points, and what a review voided: it was not handed
    /// out.
    pub(super) fn take_back(&mut self, order: &Order, refunds: &RefundsOfOrder) {
        let Some(payment) = order.state.payment() else {
            return;
        };
        let returned = match order.review {
            // What refunds withhold is decided when they end. Beside what others made it may be
            // more than was earned.
            PointsReview::Voided => {
                let rest = payment.points.get().saturating_sub(refunds.withheld);
                rest.max(0).saturating_add(refunds.withheld_done)
            }
            PointsReview::No
            | PointsReview::Wanted
            | PointsReview::Open
            | PointsReview::Credited => refunds.returned,
        };
        if let Some(granted) = self.granted.get_mut(&(order.tenant, payment.rule_version)) {
            *granted = granted.saturating_sub(returned);
        }
    }

    /// Less was credited than the rule said: then a cap must have been reached.
    pub(super) async fn shortened(
        &mut self,
        conn: &mut MySqlConnection,
        order: &Order,
        CreditTimes {
            earned_at,
            settled_at,
        }: CreditTimes,
        points: Points,
        rule: &Rule,
        report: &mut Report,
    ) -> Result<(), DbError> {
        // What came back since may have made room that was not there when this payment was made.
        if let Some(cap) = rule.terms.total_cap
            && self.ever(conn, order.tenant, rule.version).await? >= cap.get()
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
        // What the customer was credited by payments that may have counted on the day on which this
        // one did, at once or held for a review, whatever rule was in force: a payment counts on
        // its day, or on a later one up to that of its settlement.
        let [credit, posted, pending] = [
            ConstrainedSide::Credit.code(),
            Phase::Posted.code(),
            Phase::Pending.code(),
        ];
        let (at_once, held) = (EntryKind::Settlement.code(), EntryKind::PointsHeld.code());
        let earned_that_day = format!(
            "/* verify.earned_that_day */ SELECT CAST(COALESCE(SUM(t.amount), 0) AS SIGNED) FROM transfers t \
             JOIN payment_orders o ON o.id = CONCAT(SUBSTR(t.entry_id, 1, 15), x'00') \
             WHERE t.constrained_account = ? AND t.constrained_side = {credit} AND (t.phase, t.entry_kind) IN (({posted}, {at_once}), ({pending}, {held})) \
             AND t.created_at >= ? AND (o.paid_at IS NULL OR o.paid_at < ?)",
        );
        let (day,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(earned_that_day))
            .bind(order.customer.map(AccountId::customer_points))
            .bind(earned_at.business_day().start())
            .bind(settled_at.business_day().plus_days(1).start())
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

    async fn ever(
        &mut self,
        conn: &mut MySqlConnection,
        tenant: TenantId,
        version: u32,
    ) -> Result<i64, DbError> {
        if let Some(ever) = self.ever.get(&(tenant, version)) {
            return Ok(*ever);
        }
        let ever: i64 = sqlx::query_scalar("/* verify.handed_out */ SELECT CAST(COALESCE(SUM(points), 0) AS SIGNED) FROM payment_orders WHERE tenant_id = ? AND rule_version = ?")
            .bind(tenant)
            .bind(version)
            .fetch_one(conn)
            .await?;
        self.ever.insert((tenant, version), ever);
        Ok(ever)
    }

    /// The versions met so far that have a total cap: each with its cap, and what orders were
    /// credited by it and kept, in points.
    pub(super) fn capped(&self) -> Vec<((TenantId, u32), Points, i64)> {
        let capped = self.known.iter().filter_map(|(key, rule)| {
            let cap = rule.as_ref()?.terms.total_cap?;
            Some((*key, cap, self.granted.get(key).copied().unwrap_or(0)))
        });
        capped.collect()
    }
}
