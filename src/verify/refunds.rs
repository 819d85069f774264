//! Refunds against their journal and their history: invariants 5, 6 and 9.
//!
//! An entry's id is its refund's with another last byte, so entries and refunds come in one order
//! and are merged as they are read: what is kept in memory is the entries of one refund, four at
//! most.
//!
//! | refund | `RefundAccepted` | `RefundClawback`, if points are due | `RefundOutcome` |
//! |---|---|---|---|
//! | awaiting approval, rejected | none | none | none |
//! | returning, accepted, processing, abnormal | merchant → in transit, and the shortfall | pending | none |
//! | succeeded | the same | posted | in transit → channel |
//! | closed, failed, withdrawn | the same | voided | in transit → merchant, and what of the points repays a debt: no more than were held |
//!
//! Points of those due that expired before, or were under review and are withheld from it, are in
//! none of these. A refund that failed after the review had credited the other points has a
//! `WithheldCredited` besides, which credits what it had withheld.
//!
//! A refund that was not made here (its `origin` is not 0) has one entry once it succeeded,
//! `RefundedElsewhere` (merchant → channel, the shortfall, what was taken back), and none before,
//! nor when it is closed (but for the `WithheldCredited`); its number is invariant 17
//! (`channel_reports.rs`).
//!
//! Money is invariant 5, points are 6. That money in transit is the sum of the refunds on their way
//! counts as 5 too: accounts and transfers may agree with each other (2) while a refund is in
//! another state than the books think.

use std::collections::HashMap;

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    arrivals::Arrivals,
    pages::{Cursor, OrderOfRefund, RefundItem, RefundSteps, Refunds},
    sums::Sums,
};
use crate::{
    db::DbError,
    ledger::{AccountKind, Phase, Transfer},
    payments::{PointsReview, Refund, RefundStateKind},
    primitives::{AccountId, EntryCause, EntryId, EntryKind, Id, TenantId},
};

/// Whether an entry belongs to a refund.
pub(super) fn is_of_refund(entry: EntryId) -> bool {
    entry
        .kind()
        .is_some_and(|kind| kind.cause() == EntryCause::Refund)
}

/// Refunds and their histories, read beside the entries.
#[derive(Default)]
pub(super) struct RefundPass {
    refunds: Cursor<Refunds>,
    steps: Cursor<RefundSteps>,
    /// The entries of one refund, until those of the next come.
    gathered: Vec<Vec<Transfer>>,
    /// Money of booked refunds whose outcome is not known, in fen.
    on_the_way: HashMap<TenantId, i64>,
    arrived: Arrivals,
}

impl RefundPass {
    /// Takes the next entry of a refund, in the order of the entries' ids.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let cause = entry[0].id.entry.cause();
        if self.cause().is_some_and(|gathered| gathered != cause) {
            self.flush(conn, report).await?;
        }
        self.gathered.push(entry.to_vec());
        Ok(())
    }

    /// After the last entry: the refunds that have none, and what all of them come to. Returns the
    /// refunds that arrived.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        sums: &HashMap<AccountId, Sums>,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<Arrivals, DbError> {
        self.flush(conn, report).await?;
        while let Some(item) = self.refunds.next(conn, report).await? {
            self.check(conn, &item, &[], report).await?;
        }
        while let Some(step) = self.steps.next(conn, report).await? {
            report.violated(
                Invariant::HistoryIsAllowed,
                format!("history of {}, which does not exist", step.refund),
            );
        }
        progress.advance(self.refunds.rows_since_last() + self.steps.rows_since_last());
        in_transit(
            AccountKind::RefundsInTransit,
            &self.on_the_way,
            sums,
            report,
        );
        Ok(self.arrived)
    }

    fn cause(&self) -> Option<Id> {
        self.gathered.first().map(|entry| entry[0].id.entry.cause())
    }

    async fn flush(
        &mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let Some(cause) = self.cause() else {
            return Ok(());
        };
        let entries = std::mem::take(&mut self.gathered);
        while let Some(item) = self.refunds.peek(conn, report).await? {
            if item.refund.id.id() > cause {
                break;
            }
            self.refunds.next(conn, report).await?;
            if item.refund.id.id() == cause {
                return self.check(conn, &item, &entries, report).await;
            }
            self.check(conn, &item, &[], report).await?;
        }
        for entry in entries {
            report.violated(
                Invariant::PaidOrdersAreSettledOnce,
                format!("{} is of a refund that does not exist", entry[0].id.entry),
            );
        }
        Ok(())
    }

    async fn check(
        &mut self,
        conn: &mut MySqlConnection,
        item: &RefundItem,
        entries: &[Vec<Transfer>],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let refund = &item.refund;
        match &item.order {
            Some(order) => journal(refund, order, entries, report),
            None => report.violated(
                Invariant::PaidOrdersAreSettledOnce,
                format!("{} is of {}, which does not exist", refund.id, refund.order),
            ),
        }
        let kind = refund.state.kind();
        if kind.is_booked() && !kind.is_final() && !refund.is_foreign() {
            let sum = self.on_the_way.entry(refund.tenant).or_default();
            *sum = sum.saturating_add(refund.amount.get());
        }
        if kind == RefundStateKind::Succeeded {
            self.arrived.add(refund.id);
        }
        self.history(conn, refund, report).await
    }

    /// Every history begins where a refund may begin, has no gap, moves only as refunds may, and
    /// ends where the refund is. It is written with the refund, so it is never behind.
    async fn history(
        &mut self,
        conn: &mut MySqlConnection,
        refund: &Refund,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let mut at: Option<(u32, RefundStateKind)> = None;
        while let Some(step) = self.steps.peek(conn, report).await?
            && step.refund <= refund.id
        {
            self.steps.next(conn, report).await?;
            if step.refund < refund.id {
                report.violated(
                    Invariant::HistoryIsAllowed,
                    format!("history of {}, which does not exist", step.refund),
                );
                continue;
            }
            let state = u8::try_from(step.state)
                .ok()
                .and_then(RefundStateKind::from_code);
            let Some(state) = state else {
                report.violated(
                    Invariant::HistoryIsAllowed,
                    format!("{}: unknown state {}", refund.id, step.state),
                );
                continue;
            };
            let follows = match at {
                None => step.version == 1 && may_begin(refund, state),
                Some((version, before)) => step.version == version + 1 && before.may_become(state),
            };
            report.expect(Invariant::HistoryIsAllowed, follows, || {
                format!(
                    "{}: version {} is {} after {at:?}",
                    refund.id,
                    step.version,
                    state.name()
                )
            });
            at = Some((step.version, state));
        }
        let ends = at == Some((refund.version, refund.state.kind()));
        report.expect(Invariant::HistoryIsAllowed, ends, || {
            format!(
                "{} is {} at version {}, its history ends at {at:?}",
                refund.id,
                refund.state.kind().name(),
                refund.version
            )
        });
        Ok(())
    }
}

/// Each tenant's account of this kind holds what is on its way, in fen. That the account is what
/// its transfers say is invariant 2.
pub(super) fn in_transit(
    kind: AccountKind,
    on_the_way: &HashMap<TenantId, i64>,
    sums: &HashMap<AccountId, Sums>,
    report: &mut Report,
) {
    let mut due: HashMap<AccountId, i64> = on_the_way
        .iter()
        .map(|(tenant, fen)| (AccountId::of_tenant(*tenant, kind), *fen))
        .collect();
    for account in sums.keys() {
        if account.kind() == Some(kind) {
            due.entry(*account).or_default();
        }
    }
    for (account, due) in due {
        let sums = sums.get(&account).copied().unwrap_or_default();
        let held = sums.credits_posted.saturating_sub(sums.debits_posted);
        report.expect(Invariant::PaidOrdersAreSettledOnce, held == due, || {
            format!("{account} holds {held} fen in transit, and {due} are on their way")
        });
    }
}

const fn may_begin(refund: &Refund, state: RefundStateKind) -> bool {
    if refund.is_foreign() {
        return matches!(state, RefundStateKind::Processing);
    }
    matches!(
        state,
        RefundStateKind::AwaitingApproval | RefundStateKind::Returning | RefundStateKind::Accepted
    )
}

fn in_transit_of(tenant: TenantId) -> AccountId {
    AccountId::of_tenant(tenant, AccountKind::RefundsInTransit)
}

/// What a transfer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) phase: Phase,
    pub(super) debit: AccountId,
    pub(super) credit: AccountId,
    pub(super) amount: i64,
}

impl Leg {
    pub(super) fn of(transfer: &Transfer) -> Self {
        Self {
            phase: transfer.phase,
            debit: transfer.debit,
            credit: transfer.credit,
            amount: transfer.amount,
        }
    }
}

/// How a refund stands in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotBooked,
    OnItsWay,
    Arrived,
    Undone,
}

const fn stage(state: RefundStateKind) -> Stage {
    match state {
        RefundStateKind::AwaitingApproval | RefundStateKind::Rejected => Stage::NotBooked,
        RefundStateKind::Returning
        | RefundStateKind::Accepted
        | RefundStateKind::Processing
        | RefundStateKind::Abnormal => Stage::OnItsWay,
        RefundStateKind::Succeeded => Stage::Arrived,
        RefundStateKind::Closed | RefundStateKind::Failed | RefundStateKind::Withdrawn => {
            Stage::Undone
        }
    }
}

/// An entry as it must be: its legs; and how much more its last leg may repay of a debt, in points.
struct Due {
    entry: EntryId,
    legs: Vec<Leg>,
    repays_max: i64,
}

/// The entries of a refund, each with its legs, and no other.
fn journal(refund: &Refund, order: &OrderOfRefund, entries: &[Vec<Transfer>], report: &mut Report) {
    let same_merchant = refund.merchant == order.merchant && refund.tenant == order.tenant;
    report.expect(Invariant::PaidOrdersAreSettledOnce, same_merchant, || {
        format!("{} is of another merchant than its order", refund.id)
    });
    // What is withheld was under review; what expired went into a lot that has expired.
    let expired = refund.points.expired;
    let initiated = entries
        .iter()
        .find(|entry| {
            matches!(
                entry[0].id.entry.kind(),
                Some(EntryKind::RefundAccepted | EntryKind::RefundedElsewhere)
            )
        })
        .map(|entry| entry[0].at.business_day());
    let over = order
        .points_expired_from
        .zip(initiated)
        .is_some_and(|(lot, day)| lot <= day);
    let held = match order.review {
        Some(PointsReview::Open | PointsReview::Credited | PointsReview::Voided) => true,
        Some(PointsReview::No | PointsReview::Wanted) | None => false,
    };
    let right = (expired.is_zero() || over) && (refund.points.withheld.is_zero() || held);
    report.expect(Invariant::PointsFollowTheRule, right, || {
        format!(
            "{} counts {expired} points as expired in the lot of {:?} and withholds {} of a review that is {:?}",
            refund.id, order.points_expired_from, refund.points.withheld, order.review
        )
    });
    let due = entries_due(refund, order);
    for due in &due {
        let found = entries
            .iter()
            .find(|entry| entry[0].id.entry == due.entry)
            .map_or(&[][..], Vec::as_slice);
        compare(refund, order, due, found, report);
    }
    for entry in entries {
        let id = entry[0].id.entry;
        if due.iter().all(|due| due.entry != id) {
            report.violated(
                invariant_of(id),
                format!(
                    "{id} does not follow from {}, which is {}",
                    refund.id,
                    refund.state.kind().name()
                ),
            );
        }
    }
}

/// What is wrong with an entry without regard to its legs: money or points.
fn invariant_of(entry: EntryId) -> Invariant {
    if matches!(
        entry.kind(),
        Some(EntryKind::RefundClawback | EntryKind::WithheldCredited)
    ) {
        Invariant::PointsFollowTheRule
    } else {
        Invariant::PaidOrdersAreSettledOnce
    }
}

fn entries_due(refund: &Refund, order: &OrderOfRefund) -> Vec<Due> {
    let stage = stage(refund.state.kind());
    if stage == Stage::NotBooked {
        return Vec::new();
    }
    let entry = |kind| EntryId::of(refund.id.id(), kind);
    let of_tenant = |kind| AccountId::of_tenant(order.tenant, kind);
    let merchant = AccountId::merchant_payable(order.merchant);
    let transit = in_transit_of(order.tenant);
    let (back, shortfall) = (refund.points.taken().get(), refund.points.shortfall.get());
    if refund.is_foreign() {
        return foreign_entries_due(refund, order, stage);
    }
    let mut accepted = vec![posted(merchant, transit, refund.amount.get())];
    let mut due = Vec::new();
    if let Some(customer) = order.customer {
        let theirs = AccountId::customer_points(customer);
        due.extend(withheld_credited(refund, order, stage));
        if shortfall > 0 {
            accepted.push(posted(
                AccountId::customer_debt(customer),
                theirs,
                shortfall,
            ));
        }
        if back > 0 {
            let clawback = Leg {
                phase: Phase::Pending,
                ..posted(theirs, of_tenant(AccountKind::PointsIssued), back)
            };
            let pending = entry(EntryKind::RefundClawback);
            due.push(Due {
                entry: pending,
                legs: vec![clawback],
                repays_max: 0,
            });
            let phase = match stage {
                Stage::Arrived => Some(Phase::Post),
                Stage::Undone => Some(Phase::Void),
                Stage::NotBooked | Stage::OnItsWay => None,
            };
            if let Some(phase) = phase {
                due.push(Due {
                    entry: pending.resolution(),
                    legs: vec![Leg { phase, ..clawback }],
                    repays_max: 0,
                });
            }
        }
    }
    due.push(Due {
        entry: entry(EntryKind::RefundAccepted),
        legs: accepted,
        repays_max: 0,
    });
    let outcome = match stage {
        Stage::Arrived => Some((of_tenant(AccountKind::ChannelReceivable), 0)),
        Stage::Undone => Some((merchant, back)),
        Stage::NotBooked | Stage::OnItsWay => None,
    };
    if let Some((to, repays_max)) = outcome {
        due.push(Due {
            entry: entry(EntryKind::RefundOutcome),
            legs: vec![posted(transit, to, refund.amount.get())],
            repays_max,
        });
    }
    due
}

/// Of what others made nothing is in the books before it has arrived; then all of it is one entry.
fn foreign_entries_due(refund: &Refund, order: &OrderOfRefund, stage: Stage) -> Vec<Due> {
    if stage != Stage::Arrived {
        return withheld_credited(refund, order, stage)
            .into_iter()
            .collect();
    }
    let of_tenant = |kind| AccountId::of_tenant(order.tenant, kind);
    let merchant = AccountId::merchant_payable(order.merchant);
    let channel = of_tenant(AccountKind::ChannelReceivable);
    let (back, shortfall) = (refund.points.taken().get(), refund.points.shortfall.get());
    let mut legs = vec![posted(merchant, channel, refund.amount.get())];
    if let Some(customer) = order.customer {
        let theirs = AccountId::customer_points(customer);
        if shortfall > 0 {
            legs.push(posted(
                AccountId::customer_debt(customer),
                theirs,
                shortfall,
            ));
        }
        if back > 0 {
            legs.push(posted(theirs, of_tenant(AccountKind::PointsIssued), back));
        }
    }
    vec![Due {
        entry: EntryId::of(refund.id.id(), EntryKind::RefundedElsewhere),
        legs,
        repays_max: 0,
    }]
}

/// What a refund had withheld from a review that has credited the other points, if it will not
/// happen.
fn withheld_credited(refund: &Refund, order: &OrderOfRefund, stage: Stage) -> Option<Due> {
    let withheld = refund.points.withheld.get();
    let released = order.review == Some(PointsReview::Credited);
    let customer = order.customer.filter(|_| released && withheld > 0)?;
    let issued = AccountId::of_tenant(order.tenant, AccountKind::PointsIssued);
    let theirs = AccountId::customer_points(customer);
    (stage == Stage::Undone).then(|| Due {
        entry: EntryId::of(refund.id.id(), EntryKind::WithheldCredited),
        legs: vec![posted(issued, theirs, withheld)],
        repays_max: withheld,
    })
}

const fn posted(debit: AccountId, credit: AccountId, amount: i64) -> Leg {
    Leg {
        phase: Phase::Posted,
        debit,
        credit,
        amount,
    }
}

/// The first leg is what the entry is about; the others of a money entry are points.
fn compare(
    refund: &Refund,
    order: &OrderOfRefund,
    due: &Due,
    found: &[Transfer],
    report: &mut Report,
) {
    let legs: Vec<Leg> = found.iter().map(Leg::of).collect();
    let first =
        legs.first() == due.legs.first() && found.iter().all(|leg| leg.tenant == refund.tenant);
    report.expect(invariant_of(due.entry), first, || {
        format!(
            "{} is {}: {} is {legs:?} where {:?} is due",
            refund.id,
            refund.state.kind().name(),
            due.entry,
            due.legs
        )
    });
    let rest = legs.get(1..).unwrap_or_default();
    let rest_due = due.legs.get(1..).unwrap_or_default();
    let repays = |leg: &Leg| {
        order.customer.is_some_and(|customer| {
            leg.phase == Phase::Posted
                && leg.debit == AccountId::customer_points(customer)
                && leg.credit == AccountId::customer_debt(customer)
                && leg.amount <= due.repays_max
        })
    };
    let right = rest == rest_due || matches!(rest, [leg] if rest_due.is_empty() && repays(leg));
    report.expect(Invariant::PointsFollowTheRule, right, || {
        format!(
            "{} of {} moves the points {rest:?} where {rest_due:?} are due",
            due.entry, refund.id
        )
    });
}
