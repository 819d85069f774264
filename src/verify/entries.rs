//! Journal entries and the orders that they settle: invariants 1, 5 and 6. Refunds and sharings are
//! read beside them: see `refunds`, `refunded`, `sharing` and `shared`; and so are points
//! transactions: see `points_transactions`.

use std::collections::HashMap;

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    arrivals::Arrivals,
    commits::is_settlement,
    decisions::DecisionPass,
    order_refunds::RefundedPass,
    order_sharings::SharedPass,
    pages::{ByEntry, Cursor, Orders},
    points_days::Moves,
    points_transactions::PointsTransactionPass,
    refunds::{RefundPass, is_of_refund},
    reviews::ReviewPass,
    rules::{CreditTimes, Rules},
    sharing::SharingPass,
    sums::Sums,
};
use crate::{
    db::DbError,
    ledger::{AccountKind, ConstrainedSide, Phase, Transfer},
    payments::{Late, Order, PointsReview},
    primitives::{AccountId, Points},
};

/// `moves` are the moves of points that were told. Returns what the transfers say of the
/// unconstrained accounts, which refunds arrived, and the rules by which points were earned.
pub(super) async fn check(
    conn: &mut MySqlConnection,
    moves: &Moves,
    report: &mut Report,
    progress: &mut dyn Progress,
) -> Result<(HashMap<AccountId, Sums>, Arrivals, Rules), DbError> {
    let mut transfers = Cursor::<ByEntry>::default();
    let mut orders = Cursor::<Orders>::default();
    let mut refunded = RefundedPass::default();
    let mut shared = SharedPass::default();
    let mut refunds = RefundPass::default();
    let mut sharing = SharingPass::default();
    let mut reviews = ReviewPass::default();
    let mut decisions = DecisionPass::default();
    let mut points_transactions = PointsTransactionPass::default();
    let mut sums: HashMap<AccountId, Sums> = HashMap::new();
    let mut rules = Rules::default();
    // The pending entries of one cause: its resolution has the same cause and comes later.
    let mut pending: Vec<Vec<Transfer>> = Vec::new();
    while let Some(entry) = next_entry(conn, &mut transfers, report).await? {
        progress.advance(transfers.rows_since_last());
        let id = entry[0].id.entry;
        pending.retain(|before| before[0].id.entry.cause() == id.cause());
        whole(&entry, &pending, report);
        for leg in &entry {
            if leg.constrained_side != ConstrainedSide::Debit {
                sums.entry(leg.debit)
                    .or_default()
                    .debit(leg.phase, leg.amount);
            }
            if leg.constrained_side != ConstrainedSide::Credit {
                sums.entry(leg.credit)
                    .or_default()
                    .credit(leg.phase, leg.amount);
            }
        }
        if is_settlement(id) {
            // Orders up to this one have no settlement, for the entries come in the same order.
            while let Some(order) = orders.peek(conn, report).await?
                && order.id.id() < id.cause()
            {
                unsettled(&order, report);
                reviews.take(conn, &order, report).await?;
                reviews.refunded(&refunded.take(conn, &order, report).await?);
                shared.take(conn, &order, report).await?;
                orders.next(conn, report).await?;
            }
            match orders.peek(conn, report).await? {
                Some(order) if order.id.id() == id.cause() => {
                    reviews.take(conn, &order, report).await?;
                    let blocked = reviews.is_blocked();
                    settled(conn, (&order, blocked), &entry, &mut rules, report).await?;
                    let sums = refunded.take(conn, &order, report).await?;
                    reviews.refunded(&sums);
                    rules.take_back(&order, &sums);
                    shared.take(conn, &order, report).await?;
                    orders.next(conn, report).await?;
                }
                Some(_) | None => report.violated(
                    Invariant::PaidOrdersAreSettledOnce,
                    format!("{id} settles an order that does not exist"),
                ),
            }
        }
        progress.advance(orders.rows_since_last());
        if is_of_refund(id) {
            refunds.take(conn, &entry, report).await?;
        }
        sharing.take(conn, &entry, report).await?;
        reviews.gather(conn, &entry, report).await?;
        decisions.take(conn, &entry, report).await?;
        points_transactions.take(conn, &entry, report).await?;
        if entry[0].phase == Phase::Pending {
            pending.push(entry);
        }
    }
    while let Some(order) = orders.next(conn, report).await? {
        unsettled(&order, report);
        reviews.take(conn, &order, report).await?;
        reviews.refunded(&refunded.take(conn, &order, report).await?);
        shared.take(conn, &order, report).await?;
        progress.advance(orders.rows_since_last());
    }
    refunded.finish(conn, report).await?;
    reviews.finish(conn, report, progress).await?;
    shared.finish(conn, report, progress).await?;
    sharing.finish(conn, &sums, report, progress).await?;
    decisions.finish(conn, report, progress).await?;
    points_transactions
        .finish(conn, moves, report, progress)
        .await?;
    let arrived = refunds.finish(conn, &sums, report, progress).await?;
    Ok((sums, arrived, rules))
}

/// The transfers of the next entry.
async fn next_entry(
    conn: &mut MySqlConnection,
    transfers: &mut Cursor<ByEntry>,
    report: &mut Report,
) -> Result<Option<Vec<Transfer>>, DbError> {
    let Some(first) = transfers.next(conn, report).await? else {
        return Ok(None);
    };
    let mut entry = vec![first];
    while let Some(leg) = transfers.peek(conn, report).await?
        && leg.id.entry == first.id.entry
    {
        entry.push(leg);
        transfers.next(conn, report).await?;
    }
    Ok(Some(entry))
}

/// Invariant 1. `pending` are the pending entries with the same cause.
fn whole(entry: &[Transfer], pending: &[Vec<Transfer>], report: &mut Report) {
    let id = entry[0].id.entry;
    let mut problem = None;
    for (index, leg) in entry.iter().enumerate() {
        let kinds = (leg.debit.kind(), leg.credit.kind());
        if usize::from(leg.id.leg) != index {
            problem = Some("a leg is missing");
        } else if leg.debit == leg.credit {
            problem = Some("a transfer from an account to itself");
        } else if leg.amount <= 0 {
            problem = Some("a transfer of nothing");
        }
        let (Some(debit), Some(credit)) = kinds else {
            problem = Some("an account of an unknown kind");
            continue;
        };
        if debit.asset() != credit.asset() {
            problem = Some("a transfer between two assets");
        }
        let side = match (debit.is_constrained(), credit.is_constrained()) {
            (false, false) => ConstrainedSide::Neither,
            (true, _) => ConstrainedSide::Debit,
            (false, true) => ConstrainedSide::Credit,
        };
        if side != leg.constrained_side {
            problem = Some("the constrained side is not the one that is checked");
        }
        if id.is_resolution() != matches!(leg.phase, Phase::Post | Phase::Void) {
            problem = Some("a resolution under the id of something else, or the other way round");
        }
    }
    if is_settlement(id) && !is_whole_settlement(entry) {
        problem = Some(
            "a settlement is money from the channel to the merchant, and points to the customer if any",
        );
    }
    if id.is_resolution() {
        let resolved = pending
            .iter()
            .find(|before| before[0].id.entry == id.resolved());
        if !resolved.is_some_and(|before| resolves(before, entry)) {
            problem = Some("a resolution of what was not pending, or of other amounts");
        }
    }
    report.expect(Invariant::EntriesAreWhole, problem.is_none(), || {
        format!("{id}: {}", problem.unwrap_or_default())
    });
}

fn is_whole_settlement(entry: &[Transfer]) -> bool {
    let kinds: Vec<_> = entry
        .iter()
        .map(|leg| (leg.debit.kind(), leg.credit.kind()))
        .collect();
    let money = (
        Some(AccountKind::ChannelReceivable),
        Some(AccountKind::MerchantPayable),
    );
    let points = (
        Some(AccountKind::PointsIssued),
        Some(AccountKind::CustomerPoints),
    );
    let repaid = (
        Some(AccountKind::CustomerPoints),
        Some(AccountKind::CustomerDebt),
    );
    kinds == [money] || kinds == [money, points] || kinds == [money, points, repaid]
}

fn resolves(pending: &[Transfer], resolution: &[Transfer]) -> bool {
    let terms = |leg: &Transfer| (leg.debit, leg.credit, leg.amount);
    pending.iter().map(terms).eq(resolution.iter().map(terms))
}

fn unsettled(order: &Order, report: &mut Report) {
    let paid = order.state.kind().is_paid();
    report.expect(Invariant::PaidOrdersAreSettledOnce, !paid, || {
        format!("{} is paid and not in the books", order.id)
    });
}

async fn settled(
    conn: &mut MySqlConnection,
    (order, blocked): (&Order, bool),
    entry: &[Transfer],
    rules: &mut Rules,
    report: &mut Report,
) -> Result<(), DbError> {
    let Some(payment) = order.state.payment() else {
        report.violated(
            Invariant::PaidOrdersAreSettledOnce,
            format!("{} is {} and in the books", order.id, order.state.name()),
        );
        return Ok(());
    };
    let (points, rule_version) = (&payment.points, &payment.rule_version);
    let money = entry
        .iter()
        .find(|leg| leg.credit == AccountId::merchant_payable(order.merchant));
    let right = money.is_some_and(|leg| {
        leg.amount == order.amount.get()
            && leg.debit == AccountId::of_tenant(order.tenant, AccountKind::ChannelReceivable)
            && leg.phase == Phase::Posted
    });
    report.expect(Invariant::PaidOrdersAreSettledOnce, right, || {
        format!(
            "{} of {:?} is settled by {:?}",
            order.id,
            order.amount,
            money.map(|leg| (leg.debit, leg.credit, leg.amount))
        )
    });
    let account = order.customer.map(AccountId::customer_points);
    let credited: i64 = entry
        .iter()
        .filter(|leg| Some(leg.credit) == account && leg.phase == Phase::Posted)
        .map(|leg| leg.amount)
        .sum();
    // What waits for a review, or waited, has an entry of its own: see `reviews`.
    let at_once = match order.review {
        PointsReview::No | PointsReview::Wanted => points.get(),
        PointsReview::Open | PointsReview::Credited | PointsReview::Voided => 0,
    };
    let debt = order.customer.map(AccountId::customer_debt);
    let elsewhere = entry.iter().any(|leg| {
        let repays = leg.credit.kind() == Some(AccountKind::CustomerDebt);
        (leg.constrained_account().is_some() && leg.constrained_account() != account)
            || (repays && (Some(leg.credit) != debt || leg.amount > points.get()))
    });
    report.expect(
        Invariant::PointsFollowTheRule,
        credited == at_once && !elsewhere,
        || {
            format!(
                "{}: {at_once} points are noted and {credited} were credited",
                order.id
            )
        },
    );
    let Some(rule) = rules.get(conn, order.tenant, *rule_version, report).await? else {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!(
                "{} names rule version {rule_version}, which does not exist",
                order.id
            ),
        );
        return Ok(());
    };
    let settled_at = entry[0].at;
    let earned_at = Order::earned_at(order.id, payment.paid_at, settled_at);
    let times = CreditTimes {
        earned_at,
        settled_at,
    };
    let was_in_force = rules
        .was_in_force(conn, order, *rule_version, times)
        .await?;
    report.expect(Invariant::PointsFollowTheRule, was_in_force, || {
        format!(
            "{} names rule version {rule_version}, which was not in force for {} at {earned_at}",
            order.id, order.merchant
        )
    });
    // Nobody to credit, or a payment that went back at once.
    let earns = order.customer.is_some() && payment.late != Late::Refunded;
    let said = if earns && !blocked {
        rule.terms.earn(order.amount)
    } else {
        Points::ZERO
    };
    let is_capped = rule.terms.daily_cap.is_some() || rule.terms.total_cap.is_some();
    let fits = *points == said || (*points < said && is_capped);
    report.expect(Invariant::PointsFollowTheRule, fits, || {
        format!(
            "{}: rule version {rule_version} says {said} and {points} were credited",
            order.id
        )
    });
    if *points < said && fits {
        rules
            .shortened(conn, order, times, *points, &rule, report)
            .await?;
    }
    rules.count(order.tenant, *rule_version, *points);
    Ok(())
}
