//! What rules hand out at most: invariant 8.
//!
//! - **Daily.** A customer's credits by payments are counted again, one after the other in the
//!   order of the account's versions, as settlement counted them: each belongs to the business day
//!   (UTC+8) on which the customer paid, or, when a later day was counted before it (the payment
//!   was told late, or clocks disagreed), to the day on which [`Account::earned_by`] counts it;
//!   points that are held for a review count on the day on which they were held, whatever is
//!   decided. After each credit the day's sum is within the cap of the version that the order
//!   names, and a credit that is less than the payment earned leaves no room under the cap: the cap
//!   is exact at its edge. Because the order of versions is the order in which committers won the
//!   account, this holds for payments at once too.
//! - **The count itself.** `accounts.earned_on` and `earned_points` are the latest day counted and
//!   its sum, and the columns beside them what was counted before a gap: what settlement reads is
//!   what happened.
//! - **Total.** What a version with a total cap handed out and did not get back (from refunds that
//!   arrived, or from a review that voided it), summed over the orders that name it, is what its
//!   budget says, and within the cap; a budget belongs to a version that has a cap.
//!
//! That a payment which earned nothing at all met a cap is part of invariant 6 ([`super::rules`]).
//! Points that back ends give count against no cap.

use sqlx::MySqlConnection;

use super::{
    Invariant, Report,
    pages::{EarnedBy, Posting},
    readable::{RowKey, readable_as},
    rules::Rules,
};
use crate::{
    db::DbError,
    ledger::{Account, ConstrainedSide, Phase, Transfer},
    payments::Order,
    points::Rule,
    primitives::{AccountId, BusinessDay, EntryKind, OrderId, Points, TenantId},
};

/// What payments gave one customer, counted again.
#[derive(Debug)]
pub(super) struct DayCount(Account);

impl Default for DayCount {
    fn default() -> Self {
        Self(Account::empty(TenantId(0)))
    }
}

impl DayCount {
    /// Counts the account's next transfer, if a payment earned it.
    pub(super) async fn play(
        &mut self,
        conn: &mut MySqlConnection,
        posting: &Posting,
        rules: &mut Rules,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let transfer = &posting.transfer;
        if !is_earned(transfer) {
            return Ok(());
        }
        let before = self.count(transfer, posting.earned);
        let rule = match posting.earned {
            Some(EarnedBy {
                rule_version: Some(version),
                ..
            }) => rules.get(conn, transfer.tenant, version, report).await?,
            Some(_) | None => None,
        };
        // A credit without its order or its rule is named by invariants 5 and 6.
        if let (Some(rule), Some(earned)) = (rule, posting.earned) {
            let problem = objection(transfer, before, earned, &rule);
            report.expect(Invariant::CapsHold, problem.is_none(), || {
                format!(
                    "{:?} by rule version {}: {}",
                    transfer.id,
                    rule.version,
                    problem.unwrap_or_default()
                )
            });
        }
        Ok(())
    }

    /// Returns what was counted before on the same day.
    fn count(&mut self, transfer: &Transfer, earned: Option<EarnedBy>) -> i64 {
        let paid_at = earned.and_then(|earned| earned.paid_at);
        let order = OrderId::new(transfer.id.entry.cause());
        let at = paid_at.map_or(transfer.at, |paid_at| {
            Order::earned_at(order, paid_at, transfer.at)
        });
        let (day, before) = self.0.earned_by(at.business_day());
        let sum = before.get().saturating_add(transfer.amount);
        let sum = Points::parse(sum).unwrap_or(before);
        self.0 = self.0.with_earned(day, sum);
        before.get()
    }

    /// After the account's last transfer.
    pub(super) fn finish(&self, id: AccountId, account: &Account, report: &mut Report) {
        let noted = (account.earned_on, account.earned_points);
        let counted = (self.0.earned_on, self.0.earned_points);
        report.expect(Invariant::CapsHold, noted == counted, || {
            let day = |on: Option<BusinessDay>| on.map(|day| day.to_string());
            format!(
                "{id} notes {} points earned on {:?}, and its payments say {} on {:?}",
                noted.1,
                day(noted.0),
                counted.1,
                day(counted.0)
            )
        });
        let gap = |account: &Account| (account.earned_from, account.earned_before);
        let same = gap(account) == gap(&self.0);
        report.expect(Invariant::CapsHold, same, || {
            format!(
                "{id} notes {:?} of the days before, and its payments say {:?}",
                gap(account),
                gap(&self.0)
            )
        });
    }
}

/// Points that a payment credits: at once, or pending until a review credits them.
fn is_earned(transfer: &Transfer) -> bool {
    let entry = transfer.id.entry;
    let by_payment = match transfer.phase {
        Phase::Posted => entry.kind() == Some(EntryKind::Settlement),
        Phase::Pending => entry.kind() == Some(EntryKind::PointsHeld),
        Phase::Post | Phase::Void => false,
    };
    by_payment && transfer.constrained_side == ConstrainedSide::Credit
}

/// `before` is what was counted on that day before this credit, in points.
fn objection(transfer: &Transfer, before: i64, earned: EarnedBy, rule: &Rule) -> Option<String> {
    let credited = transfer.amount;
    let after = before.saturating_add(credited);
    let cap = rule.terms.daily_cap.map(Points::get);
    if let Some(cap) = cap.filter(|cap| after > *cap) {
        return Some(format!(
            "{credited} points make {after} on that day, of {cap} allowed"
        ));
    }
    let said = rule.terms.earn(earned.amount).get();
    let at_the_edge = cap == Some(after);
    if credited < said && !at_the_edge && rule.terms.total_cap.is_none() {
        return Some(format!(
            "{credited} points of {said} earned, though only {after} of {} were given on that day",
            cap.map_or("unlimited".to_owned(), |cap| cap.to_string())
        ));
    }
    None
}

/// What a version with a total cap handed out is what its budget says, and within the cap; no
/// budget is without such a version.
pub(super) async fn check_budgets(
    conn: &mut MySqlConnection,
    rules: &mut Rules,
    report: &mut Report,
) -> Result<(), DbError> {
    let rows = sqlx::raw_sql(
        "/* verify.budgets */ SELECT tenant_id, rule_version, granted FROM points_budgets ORDER BY tenant_id, rule_version",
    )
    .fetch_all(&mut *conn)
    .await?;
    let of = RowKey("points_budgets", 2);
    let budgets: Vec<(TenantId, u32, i64)> = readable_as(&rows, of, report);
    report.looked_at(Invariant::CapsHold, 1);
    for (tenant, version, granted) in &budgets {
        let rule = rules.get(conn, *tenant, *version, report).await?;
        if rule.and_then(|rule| rule.terms.total_cap).is_none() {
            report.violated(
                Invariant::CapsHold,
                format!("rule version {version} of tenant {tenant}: {granted} counted, and there is no such version with a total cap"),
            );
        }
    }
    for ((tenant, version), cap, credited) in rules.capped() {
        let granted = budgets
            .iter()
            .find(|budget| (budget.0, budget.1) == (tenant, version))
            .map_or(0, |budget| budget.2);
        let holds = credited == granted && granted <= cap.get();
        report.expect(Invariant::CapsHold, holds, || {
            format!("rule version {version} of tenant {tenant}: {credited} credited, {granted} counted, {cap} allowed")
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        points::RuleTerms,
        primitives::{CustomerId, EntryId, Id, Lane, Money, Timestamp, TransferId},
    };

    const NOON: i64 = 1_795_000_000;

    fn credit(amount: i64, seconds: i64, kind: EntryKind, phase: Phase) -> Transfer {
        let points = AccountId::customer_points(CustomerId::new(Id::mint(1, 1, Lane(1))));
        Transfer {
            id: TransferId {
                entry: EntryId::of(Id::mint(1, 0, Lane(1)), kind),
                leg: 1,
            },
            tenant: TenantId(1),
            phase,
            debit: AccountId::of_tenant(TenantId(1), crate::ledger::AccountKind::PointsIssued),
            credit: points,
            amount,
            constrained_side: ConstrainedSide::Credit,
            account_version: Some(1),
            balance_after: Some(0),
            at: Timestamp::from_micros(NOON * 1_000_000).plus_seconds(seconds),
            lot: None,
        }
    }

    /// At this second.
    fn paid(at: Option<i64>) -> EarnedBy {
        EarnedBy {
            amount: Money::constant(1_000),
            rule_version: Some(1),
            paid_at: at.map(|seconds| Timestamp::from_micros(seconds * 1_000_000)),
        }
    }

    fn rule(daily: Option<i64>, total: Option<i64>) -> Rule {
        let cap = |cap: Option<i64>| cap.map(|cap| Points::parse(cap).unwrap());
        Rule {
            tenant: TenantId(1),
            version: 1,
            merchant: None,
            effective_from: Timestamp::from_micros(0),
            terms: RuleTerms {
                daily_cap: cap(daily),
                total_cap: cap(total),
                ..RuleTerms::default()
            },
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn a_day_is_counted_as_settlement_counts_it() {
        let mut count = DayCount::default();
        let settled = |amount, at| credit(amount, at, EntryKind::Settlement, Phase::Posted);
        let mut counts =
            |amount, at| count.count(&settled(amount, at), Some(paid(Some(NOON + at - 60))));
        assert_eq!(counts(5, 0), 0);
        assert_eq!(counts(6, 1), 5);
        assert_eq!(counts(7, 86_400), 0, "another day");
        // A clock that is behind: the day that was counted last goes on.
        assert_eq!(counts(1, 3), 7);
        assert_eq!(count.0.earned_points.get(), 8);
        // Told three days later, and still of the day of the payment; or of the day that was
        // counted since.
        let late_event = settled(2, 4 * 86_400);
        let late = |at| Some(paid(Some(NOON + at)));
        assert_eq!(count.count(&late_event, late(86_400)), 8);
        assert_eq!(count.count(&late_event, late(2 * 86_400)), 0);
        assert_eq!(count.count(&late_event, late(86_400)), 2);
    }

    #[test]
    fn payments_count_once_and_back_ends_do_not() {
        let counts = |kind, phase| is_earned(&credit(1, 0, kind, phase));
        assert!(counts(EntryKind::Settlement, Phase::Posted));
        assert!(counts(EntryKind::PointsHeld, Phase::Pending));
        assert!(!counts(EntryKind::PointsHeld, Phase::Post));
        assert!(!counts(EntryKind::PointsHeld, Phase::Void));
        assert!(!counts(EntryKind::PointsAwarded, Phase::Posted));
        assert!(!counts(EntryKind::Adjustment, Phase::Posted));
    }

    #[test]
    fn a_cap_is_exact_at_its_edge() {
        let earned = paid(None);
        let settled = |amount| credit(amount, 0, EntryKind::Settlement, Phase::Posted);
        let fails = |credited, before, daily, total| {
            objection(&settled(credited), before, earned, &rule(daily, total)).is_some()
        };
        assert!(!fails(10, 15, Some(25), None), "up to the cap");
        assert!(fails(10, 16, Some(25), None), "one above");
        assert!(!fails(9, 16, Some(25), None), "cut to the cap");
        assert!(fails(8, 16, Some(25), None), "cut by too much");
        assert!(fails(9, 0, None, None), "cut without a cap");
        assert!(!fails(9, 0, None, Some(100)), "a total cap may cut");
        assert!(fails(10, 16, Some(25), Some(100)));
    }
}
