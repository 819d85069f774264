//! What back ends did with points, against their journal: invariants 6 and 9; and what they must
//! have told, for 10.
//!
//! An entry's id is its cause's with another last byte, so the entries of one points transaction
//! come together, and in the order of the points transactions. What is kept in memory is the
//! entries of one points transaction.
//!
//! | points transaction | state | its entries |
//! |---|---|---|
//! | award | done | `PointsAwarded`, which may repay a debt |
//! | | done after a review | the same pending and posted; what repays a debt is a `DebtRepaid` |
//! | deduct | done | `PointsDeducted` |
//! | redeem | done at once | `PointsCaptured` |
//! | | held | `PointsReserved`, pending |
//! | | done after that | posted; of a part voided, and `PointsCaptured` for the part |
//! | | released, expired | voided |
//! | award, redeem | under review | pending |
//! | | refused by the review | voided |
//! | | refused by risk | none |
//! | return | done | `PointsReturned`, a leg for each lot, which may repay a debt; and the lots of the points transaction that it returns say so |
//!
//! What was held and is free again may repay a debt, by a `DebtRepaid` of no more than that: beside
//! a part that is spent, a release, a time-out and a review that refuses.
//!
//! That the right entries are there, in the right phases, is invariant 9; that they are of the
//! right points, customer and day is 6.

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report, codes,
    pages::{Cursor, PointsTransactions},
    points_days::Moves,
    readable::{RowKey, readable_as},
    refunds::Leg,
};
use crate::{
    db::DbError,
    ledger::{AccountKind, ConstrainedSide, Phase, Transfer},
    points::{PointsMove, PointsTransaction, PointsTransactionKind, PointsTransactionState},
    primitives::{AccountId, EntryCause, EntryId, EntryKind, Id, Points, PointsTransactionId},
};

/// Points transactions, read beside the entries.
#[derive(Default)]
pub(super) struct PointsTransactionPass {
    transactions: Cursor<PointsTransactions>,
    /// The transfers of one cause so far.
    legs: Vec<Transfer>,
    /// What the points transactions must have told.
    moves: Moves,
}

impl PointsTransactionPass {
    /// Takes the next entry, in the order of the entries' ids, if it may be of a points
    /// transaction.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let id = entry[0].id.entry;
        if !may_be_of_points_transaction(id) {
            return Ok(());
        }
        if self.cause().is_some_and(|cause| cause != id.cause()) {
            self.flush(conn, report).await?;
        }
        self.legs.extend_from_slice(entry);
        Ok(())
    }

    /// After the last entry.
    pub(super) async fn finish(
        mut self,
        conn: &mut MySqlConnection,
        reported: &Moves,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        self.flush(conn, report).await?;
        while let Some(transaction) = self.transactions.next(conn, report).await? {
            self.compare(&transaction, &[], report);
        }
        progress.advance(self.transactions.rows_since_last());
        reported.compare_transactions(&self.moves, report);
        lots_of_points_transactions(conn, report).await
    }

    fn cause(&self) -> Option<Id> {
        self.legs.first().map(|leg| leg.id.entry.cause())
    }

    async fn flush(
        &mut self,
        conn: &mut MySqlConnection,
        report: &mut Report,
    ) -> Result<(), DbError> {
        let Some(cause) = self.cause() else {
            return Ok(());
        };
        let legs = std::mem::take(&mut self.legs);
        while let Some(transaction) = self.transactions.peek(conn, report).await?
            && transaction.id.id() <= cause
        {
            self.transactions.next(conn, report).await?;
            if transaction.id.id() == cause {
                self.compare(&transaction, &legs, report);
                return Ok(());
            }
            self.compare(&transaction, &[], report);
        }
        // What repays a debt may be of an order, whose points a review credited.
        let of_transaction = legs
            .iter()
            .find(|leg| leg.id.entry.kind() != Some(EntryKind::DebtRepaid));
        if let Some(leg) = of_transaction {
            report.violated(
                Invariant::HistoryIsAllowed,
                format!(
                    "{} is of a points transaction that does not exist",
                    leg.id.entry
                ),
            );
        }
        Ok(())
    }

    fn compare(&mut self, transaction: &PointsTransaction, legs: &[Transfer], report: &mut Report) {
        tell(transaction, &mut self.moves);
        if transaction.kind == PointsTransactionKind::Return {
            returned(transaction, legs, report);
            return;
        }
        let repaid = legs
            .iter()
            .find(|leg| leg.credit.kind() == Some(AccountKind::CustomerDebt))
            .map(|leg| leg.amount)
            .filter(|amount| (1..=freed(transaction)).contains(amount));
        let due = due(transaction, repaid);
        let booked: Vec<_> = legs
            .iter()
            .map(|leg| (leg.id.entry, Leg::of(leg)))
            .collect();
        let shape = |legs: &[(EntryId, Leg)]| -> Vec<(EntryId, Phase)> {
            legs.iter()
                .map(|(entry, leg)| (*entry, leg.phase))
                .collect()
        };
        let as_due = due.as_ref().is_some_and(|due| shape(due) == shape(&booked));
        report.expect(Invariant::HistoryIsAllowed, as_due, || {
            format!(
                "{} ({}) is {} at version {}: booked is {:?} where {:?} is due",
                transaction.id,
                transaction.kind.name(),
                transaction.state.name(),
                transaction.version,
                shape(&booked),
                due.as_deref().map(shape)
            )
        });
        let Some(due) = due.filter(|_| as_due) else {
            return;
        };
        let lots = legs
            .iter()
            .filter(|leg| leg.credit == AccountId::customer_points(transaction.customer))
            .all(|leg| leg.lot == transaction.expired_from);
        let tenants = legs.iter().all(|leg| leg.tenant == transaction.tenant);
        let right = due == booked && lots && tenants;
        report.expect(Invariant::PointsFollowTheRule, right, || {
            format!(
                "{} of {} for {}, expired from {:?}: booked is {booked:?} where {due:?} is due",
                transaction.id, transaction.points, transaction.customer, transaction.expired_from
            )
        });
    }
}

/// How many points the points transaction can have made free, or brought.
fn freed(transaction: &PointsTransaction) -> i64 {
    match transaction.kind {
        PointsTransactionKind::Award => transaction.points.get(),
        PointsTransactionKind::Deduct | PointsTransactionKind::Return => 0,
        PointsTransactionKind::Redeem => transaction
            .points
            .saturating_sub(transaction.captured)
            .get(),
    }
}

fn may_be_of_points_transaction(entry: EntryId) -> bool {
    matches!(
        entry.kind().map(EntryKind::cause),
        Some(EntryCause::PointsTransaction | EntryCause::OrderOrPointsTransaction)
    )
}

/// The legs that a points transaction calls for, in the order of the entries' ids; none where the
/// points transaction cannot be what it says it is. `repaid` is what of its points repaid a debt.
fn due(transaction: &PointsTransaction, repaid: Option<i64>) -> Option<Vec<(EntryId, Leg)>> {
    let customer = AccountId::customer_points(transaction.customer);
    let tenant = |kind| AccountId::of_tenant(transaction.tenant, kind);
    let entry = |kind| EntryId::of(transaction.id.id(), kind);
    let (debit, credit) = match transaction.kind {
        PointsTransactionKind::Award => (tenant(AccountKind::PointsIssued), customer),
        PointsTransactionKind::Deduct | PointsTransactionKind::Redeem => {
            (customer, tenant(AccountKind::PointsRedeemed))
        }
        PointsTransactionKind::Return => return None,
    };
    let leg = |phase, points: Points| Leg {
        phase,
        debit,
        credit,
        amount: points.get(),
    };
    let repayment = repaid.map(|amount| Leg {
        phase: Phase::Posted,
        debit: customer,
        credit: AccountId::customer_debt(transaction.customer),
        amount,
    });
    let pending = transaction.pending_entry();
    let held = (pending, leg(Phase::Pending, transaction.points));
    let resolved = |phase| (pending.resolution(), leg(phase, transaction.points));
    let captured = || {
        let spent = leg(Phase::Posted, transaction.captured);
        (entry(EntryKind::PointsCaptured), spent)
    };
    let repaid = || repayment.map(|leg| (entry(EntryKind::DebtRepaid), leg));
    let voided = || {
        let mut legs = vec![held, resolved(Phase::Void)];
        legs.extend(repaid());
        legs
    };
    let is_hold = transaction.hold_until.is_some();
    // What was given back since moved the version on, and nothing else.
    let version = transaction.version.saturating_sub(transaction.returns);
    let mut legs = match (transaction.kind, transaction.state, version) {
        (PointsTransactionKind::Award, PointsTransactionState::Done, 1) => {
            let mut legs = vec![(pending, leg(Phase::Posted, transaction.points))];
            legs.extend(repayment.map(|leg| (pending, leg)));
            legs
        }
        (PointsTransactionKind::Award, PointsTransactionState::Done, 2) => {
            let mut legs = vec![held, resolved(Phase::Post)];
            legs.extend(repayment.map(|leg| (entry(EntryKind::DebtRepaid), leg)));
            legs
        }
        (PointsTransactionKind::Deduct, PointsTransactionState::Done, 1) => {
            let taken = leg(Phase::Posted, transaction.points);
            vec![(entry(EntryKind::PointsDeducted), taken)]
        }
        (PointsTransactionKind::Redeem, PointsTransactionState::Done, 1)
            if !is_hold && transaction.captured == transaction.points =>
        {
            vec![captured()]
        }
        (PointsTransactionKind::Redeem, PointsTransactionState::Done, 2)
            if !is_hold && transaction.captured == transaction.points =>
        {
            vec![held, resolved(Phase::Post)]
        }
        (PointsTransactionKind::Redeem, PointsTransactionState::Done, 2 | 3) if is_hold => {
            if transaction.captured == transaction.points {
                vec![held, resolved(Phase::Post)]
            } else {
                let mut legs = voided();
                legs.push(captured());
                legs
            }
        }
        (PointsTransactionKind::Redeem, PointsTransactionState::Held, 1 | 2) if is_hold => {
            vec![held]
        }
        (
            PointsTransactionKind::Redeem,
            PointsTransactionState::Released | PointsTransactionState::Expired,
            2 | 3,
        ) if is_hold => voided(),
        (
            PointsTransactionKind::Award | PointsTransactionKind::Redeem,
            PointsTransactionState::UnderReview,
            1,
        ) => vec![held],
        (
            PointsTransactionKind::Award | PointsTransactionKind::Redeem,
            PointsTransactionState::Refused,
            1,
        ) => Vec::new(),
        (PointsTransactionKind::Award, PointsTransactionState::Refused, 2) => {
            vec![held, resolved(Phase::Void)]
        }
        (PointsTransactionKind::Redeem, PointsTransactionState::Refused, 2) => voided(),
        (
            PointsTransactionKind::Award
            | PointsTransactionKind::Deduct
            | PointsTransactionKind::Redeem
            | PointsTransactionKind::Return,
            PointsTransactionState::Held
            | PointsTransactionState::Done
            | PointsTransactionState::Released
            | PointsTransactionState::Expired
            | PointsTransactionState::UnderReview
            | PointsTransactionState::Refused,
            _,
        ) => return None,
    };
    legs.sort_by_key(|(entry, _)| *entry);
    Some(legs)
}

/// A return is done, gives back all its points to its customer, and repays no more than these.
fn returned(transaction: &PointsTransaction, legs: &[Transfer], report: &mut Report) {
    let entry = EntryId::of(transaction.id.id(), EntryKind::PointsReturned);
    let customer = AccountId::customer_points(transaction.customer);
    let redeemed = AccountId::of_tenant(transaction.tenant, AccountKind::PointsRedeemed);
    let debt = AccountId::customer_debt(transaction.customer);
    let sum = |debit: AccountId, credit: AccountId| {
        let legs = legs
            .iter()
            .filter(|leg| leg.debit == debit && leg.credit == credit);
        legs.fold(0_i64, |sum, leg| sum.saturating_add(leg.amount))
    };
    let (back, repaid) = (sum(redeemed, customer), sum(customer, debt));
    let all = legs
        .iter()
        .fold(0_i64, |sum, leg| sum.saturating_add(leg.amount));
    let shape = transaction.state == PointsTransactionState::Done
        && transaction.version == 1
        && legs.iter().all(|leg| {
            leg.id.entry == entry && leg.phase == Phase::Posted && leg.tenant == transaction.tenant
        });
    report.expect(Invariant::HistoryIsAllowed, shape, || {
        format!(
            "{} (return) is {} at version {}: booked is {legs:?}",
            transaction.id,
            transaction.state.name(),
            transaction.version
        )
    });
    let right =
        back == transaction.points.get() && repaid <= back && all == back.saturating_add(repaid);
    report.expect(Invariant::PointsFollowTheRule, right, || {
        format!(
            "{} returns {} to {}, and {back} are booked of which {repaid} repay a debt",
            transaction.id, transaction.points, transaction.customer
        )
    });
}

/// Of which lots points transactions took points, and what of that was returned: the lots of a
/// points transaction add up to what it took and to what it says was returned, and the returns that
/// name it say the same, lot by lot. The database adds up. That the lots are those from which its
/// entry took is found when a return puts points into them ([`super::lots`]).
async fn lots_of_points_transactions(
    conn: &mut MySqlConnection,
    report: &mut Report,
) -> Result<(), DbError> {
    let odd: Vec<(PointsTransactionId,)> = sqlx::query_as(codes::statement(
        "/* verify.transaction_lots */ SELECT p.id FROM points_transactions p LEFT JOIN \
           (SELECT points_transaction_id, SUM(taken) AS taken, SUM(returned) AS returned FROM points_transaction_lots GROUP BY points_transaction_id) l ON l.points_transaction_id = p.id \
         WHERE (p.kind IN ($points_transaction_kind.deduct, $points_transaction_kind.redeem) OR l.points_transaction_id IS NOT NULL) AND (COALESCE(l.returned, 0) <> p.returned \
           OR COALESCE(l.taken, 0) <> CASE WHEN p.kind = $points_transaction_kind.deduct AND p.state = $points_transaction.done THEN p.points WHEN p.kind = $points_transaction_kind.redeem THEN p.captured ELSE 0 END) LIMIT 1000",
    ))
    .fetch_all(&mut *conn)
    .await?;
    report.looked_at(Invariant::PointsFollowTheRule, 1);
    for (transaction,) in odd {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!("the lots of {transaction} do not add up to what it took and what was returned of it"),
        );
    }
    let returned = EntryKind::PointsReturned.code();
    let (credit, of_return) = (
        ConstrainedSide::Credit.code(),
        PointsTransactionKind::Return.code(),
    );
    let returns = format!(
        "/* verify.returns */ SELECT sums.points_transaction_id, sums.lot, CAST(SUM(sums.points) AS SIGNED) FROM ( \
           SELECT points_transaction_id, expired_from AS lot, returned AS points FROM points_transaction_lots WHERE returned > 0 UNION ALL \
           SELECT r.returns_of, t.lot, -t.amount FROM points_transactions r \
             JOIN transfers t ON t.entry_id = CONCAT(SUBSTR(r.id, 1, 15), x'{returned:02x}') AND t.constrained_side = {credit} WHERE r.kind = {of_return}) sums \
         GROUP BY sums.points_transaction_id, sums.lot HAVING SUM(sums.points) <> 0 LIMIT 1000",
    );
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(returns))
        .fetch_all(conn)
        .await?;
    let of = RowKey("points_transaction_lots", 2);
    let odd: Vec<(PointsTransactionId, time::Date, i64)> = readable_as(&rows, of, report);
    for (transaction, lot, more) in odd {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!("{transaction} says of its lot of {lot} that {more} more points were returned than its returns booked"),
        );
    }
    Ok(())
}

/// What a points transaction must have told by now.
fn tell(transaction: &PointsTransaction, moves: &mut Moves) {
    let mut expect = |what, points, at| {
        moves.expect((transaction.tenant, &transaction.source), what, points, at);
    };
    let reviewed =
        transaction.state == PointsTransactionState::UnderReview || transaction.version > 1;
    match (transaction.kind, transaction.state) {
        (PointsTransactionKind::Award, state) => {
            if reviewed {
                expect(PointsMove::Held, transaction.points, transaction.created_at);
            }
            if state == PointsTransactionState::Done {
                expect(
                    PointsMove::Awarded,
                    transaction.points,
                    transaction.updated_at,
                );
            } else if state == PointsTransactionState::Refused && reviewed {
                expect(
                    PointsMove::Voided,
                    transaction.points,
                    transaction.updated_at,
                );
            }
        }
        (PointsTransactionKind::Deduct, _) => expect(
            PointsMove::Deducted,
            transaction.points,
            transaction.created_at,
        ),
        (PointsTransactionKind::Return, _) => expect(
            PointsMove::Returned,
            transaction.points,
            transaction.created_at,
        ),
        (PointsTransactionKind::Redeem, PointsTransactionState::Done) => {
            expect(
                PointsMove::Redeemed,
                transaction.captured,
                transaction.updated_at,
            );
        }
        (
            PointsTransactionKind::Redeem,
            PointsTransactionState::Held
            | PointsTransactionState::Released
            | PointsTransactionState::Expired
            | PointsTransactionState::UnderReview
            | PointsTransactionState::Refused,
        ) => {}
    }
}
