//! What back ends did with points, against their journal: invariants 6 and 9; and what they must have told, for 10.
//!
//! An entry's id is its cause's with another last byte, so the entries of one deed come together, and in the order of the deeds. What is kept in memory is the
//! entries of one deed.
//!
//! | deed | state | its entries |
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
//! | return | done | `PointsReturned`, a leg for each lot, which may repay a debt; and the lots of the deed that it returns say so |
//!
//! What was held and is free again may repay a debt, by a `DebtRepaid` of no more than that: beside a part that is spent, a release, a time-out and a review that lets go.
//!
//! That the right entries are there, in the right phases, is invariant 9; that they are of the right points, customer and day is 6.

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report, codes,
    pages::{Cursor, Deeds},
    point_days::Moves,
    refunds::Leg,
};
use crate::{
    db::DbError,
    ledger::{ConstrainedSide, Phase, Transfer},
    points::{Deed, DeedKind, DeedState, PointsMove},
    primitives::{AccountId, AccountKind, DeedId, EntryId, EntryKind, Id, Points},
};

/// Deeds, read beside the entries.
#[derive(Default)]
pub(super) struct DeedPass {
    deeds: Cursor<Deeds>,
    /// The transfers of one cause so far.
    legs: Vec<Transfer>,
    /// What the deeds must have told.
    moves: Moves,
}

impl DeedPass {
    /// Takes the next entry, in the order of the entries' ids, if it may be of a deed.
    pub(super) async fn take(
        &mut self,
        conn: &mut MySqlConnection,
        entry: &[Transfer],
        report: &mut Report,
    ) -> Result<(), DbError> {
        let id = entry[0].id.entry;
        if !may_be_of_deed(id) {
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
        told: &Moves,
        report: &mut Report,
        progress: &mut dyn Progress,
    ) -> Result<(), DbError> {
        self.flush(conn, report).await?;
        while let Some(deed) = self.deeds.next(conn).await? {
            self.compare(&deed, &[], report);
        }
        progress.advance(self.deeds.news());
        told.compare_deeds(&self.moves, report);
        lots_of_deeds(conn, report).await
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
        while let Some(deed) = self.deeds.peek(conn).await?
            && deed.id.id() <= cause
        {
            self.deeds.next(conn).await?;
            if deed.id.id() == cause {
                self.compare(&deed, &legs, report);
                return Ok(());
            }
            self.compare(&deed, &[], report);
        }
        // What repays a debt may be of an order, whose points a review let in.
        let of_deed = legs
            .iter()
            .find(|leg| leg.id.entry.kind() != Some(EntryKind::DebtRepaid));
        if let Some(leg) = of_deed {
            report.violated(
                Invariant::HistoryIsAllowed,
                format!("{} is of a deed that does not exist", leg.id.entry),
            );
        }
        Ok(())
    }

    fn compare(&mut self, deed: &Deed, legs: &[Transfer], report: &mut Report) {
        tell(deed, &mut self.moves);
        if deed.kind == DeedKind::Return {
            returned(deed, legs, report);
            return;
        }
        let repaid = legs
            .iter()
            .find(|leg| leg.credit.kind() == Some(AccountKind::CustomerDebt))
            .map(|leg| leg.amount)
            .filter(|amount| (1..=freed(deed)).contains(amount));
        let due = due(deed, repaid);
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
                deed.id,
                deed.kind.name(),
                deed.state.name(),
                deed.version,
                shape(&booked),
                due.as_deref().map(shape)
            )
        });
        let Some(due) = due.filter(|_| as_due) else {
            return;
        };
        let lots = legs
            .iter()
            .filter(|leg| leg.credit == AccountId::customer_points(deed.customer))
            .all(|leg| leg.lot == deed.expires_on);
        let tenants = legs.iter().all(|leg| leg.tenant == deed.tenant);
        let right = due == booked && lots && tenants;
        report.expect(Invariant::PointsFollowTheRule, right, || {
            format!(
                "{} of {} for {}, gone on {:?}: booked is {booked:?} where {due:?} is due",
                deed.id, deed.points, deed.customer, deed.expires_on
            )
        });
    }
}

/// How many points the deed can have made free, or brought.
fn freed(deed: &Deed) -> i64 {
    match deed.kind {
        DeedKind::Award => deed.points.get(),
        DeedKind::Deduct | DeedKind::Return => 0,
        DeedKind::Redeem => deed.points.saturating_sub(deed.captured).get(),
    }
}

fn may_be_of_deed(entry: EntryId) -> bool {
    match entry.kind() {
        Some(
            EntryKind::PointsAwarded
            | EntryKind::PointsDeducted
            | EntryKind::PointsReserved
            | EntryKind::PointsCaptured
            | EntryKind::PointsReturned
            | EntryKind::DebtRepaid,
        ) => true,
        Some(
            EntryKind::Settlement
            | EntryKind::Adjustment
            | EntryKind::RefundAccepted
            | EntryKind::RefundClawback
            | EntryKind::RefundOutcome
            | EntryKind::RefundedElsewhere
            | EntryKind::SharingSent
            | EntryKind::SharingOutcome
            | EntryKind::SharingReturned
            | EntryKind::SharingLanded
            | EntryKind::PointsHeld
            | EntryKind::HeldPartLetIn
            | EntryKind::WithheldLetIn
            | EntryKind::PointsExpired,
        )
        | None => false,
    }
}

/// The legs that a deed calls for, in the order of the entries' ids; none where the deed cannot be what it says it is. `repaid` is what of its points repaid a debt.
fn due(deed: &Deed, repaid: Option<i64>) -> Option<Vec<(EntryId, Leg)>> {
    let customer = AccountId::customer_points(deed.customer);
    let tenant = |kind| AccountId::of_tenant(deed.tenant, kind);
    let entry = |kind| EntryId::of(deed.id.id(), kind);
    let (debit, credit) = match deed.kind {
        DeedKind::Award => (tenant(AccountKind::PointsIssued), customer),
        DeedKind::Deduct | DeedKind::Redeem => (customer, tenant(AccountKind::PointsRedeemed)),
        DeedKind::Return => return None,
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
        credit: AccountId::customer_debt(deed.customer),
        amount,
    });
    let pending = deed.pending_entry();
    let set_aside = (pending, leg(Phase::Pending, deed.points));
    let resolved = |phase| (pending.resolution(), leg(phase, deed.points));
    let captured = || {
        let spent = leg(Phase::Posted, deed.captured);
        (entry(EntryKind::PointsCaptured), spent)
    };
    let repaid = || repayment.map(|leg| (entry(EntryKind::DebtRepaid), leg));
    let let_go = || {
        let mut legs = vec![set_aside, resolved(Phase::Void)];
        legs.extend(repaid());
        legs
    };
    let is_hold = deed.hold_until.is_some();
    // What was given back since moved the version on, and nothing else.
    let version = deed.version.saturating_sub(deed.returns);
    let mut legs = match (deed.kind, deed.state, version) {
        (DeedKind::Award, DeedState::Done, 1) => {
            let mut legs = vec![(pending, leg(Phase::Posted, deed.points))];
            legs.extend(repayment.map(|leg| (pending, leg)));
            legs
        }
        (DeedKind::Award, DeedState::Done, 2) => {
            let mut legs = vec![set_aside, resolved(Phase::Post)];
            legs.extend(repayment.map(|leg| (entry(EntryKind::DebtRepaid), leg)));
            legs
        }
        (DeedKind::Deduct, DeedState::Done, 1) => {
            let taken = leg(Phase::Posted, deed.points);
            vec![(entry(EntryKind::PointsDeducted), taken)]
        }
        (DeedKind::Redeem, DeedState::Done, 1) if !is_hold && deed.captured == deed.points => {
            vec![captured()]
        }
        (DeedKind::Redeem, DeedState::Done, 2) if !is_hold && deed.captured == deed.points => {
            vec![set_aside, resolved(Phase::Post)]
        }
        (DeedKind::Redeem, DeedState::Done, 2 | 3) if is_hold => {
            if deed.captured == deed.points {
                vec![set_aside, resolved(Phase::Post)]
            } else {
                let mut legs = let_go();
                legs.push(captured());
                legs
            }
        }
        (DeedKind::Redeem, DeedState::Held, 1 | 2) if is_hold => vec![set_aside],
        (DeedKind::Redeem, DeedState::Released | DeedState::Expired, 2 | 3) if is_hold => let_go(),
        (DeedKind::Award | DeedKind::Redeem, DeedState::UnderReview, 1) => vec![set_aside],
        (DeedKind::Award | DeedKind::Redeem, DeedState::Refused, 1) => Vec::new(),
        (DeedKind::Award, DeedState::Refused, 2) => vec![set_aside, resolved(Phase::Void)],
        (DeedKind::Redeem, DeedState::Refused, 2) => let_go(),
        (
            DeedKind::Award | DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return,
            DeedState::Held
            | DeedState::Done
            | DeedState::Released
            | DeedState::Expired
            | DeedState::UnderReview
            | DeedState::Refused,
            _,
        ) => return None,
    };
    legs.sort_by_key(|(entry, _)| *entry);
    Some(legs)
}

/// A return is done, gives back all its points to its customer, and repays no more than these.
fn returned(deed: &Deed, legs: &[Transfer], report: &mut Report) {
    let entry = EntryId::of(deed.id.id(), EntryKind::PointsReturned);
    let customer = AccountId::customer_points(deed.customer);
    let redeemed = AccountId::of_tenant(deed.tenant, AccountKind::PointsRedeemed);
    let debt = AccountId::customer_debt(deed.customer);
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
    let shape = deed.state == DeedState::Done
        && deed.version == 1
        && legs.iter().all(|leg| {
            leg.id.entry == entry && leg.phase == Phase::Posted && leg.tenant == deed.tenant
        });
    report.expect(Invariant::HistoryIsAllowed, shape, || {
        format!(
            "{} (return) is {} at version {}: booked is {legs:?}",
            deed.id,
            deed.state.name(),
            deed.version
        )
    });
    let right = back == deed.points.get() && repaid <= back && all == back.saturating_add(repaid);
    report.expect(Invariant::PointsFollowTheRule, right, || {
        format!(
            "{} returns {} to {}, and {back} are booked of which {repaid} repay a debt",
            deed.id, deed.points, deed.customer
        )
    });
}

/// Of which lots deeds took points, and what of that was returned: the lots of a deed add up to what it took and to what it says was returned, and the returns that name it say
/// the same, lot by lot. The database adds up. That the lots are those from which its entry took is found when a return puts points into them ([`super::lots`]).
async fn lots_of_deeds(conn: &mut MySqlConnection, report: &mut Report) -> Result<(), DbError> {
    let odd: Vec<(DeedId,)> = sqlx::query_as(codes::statement(
        "/* verify.deed_lots */ SELECT d.id FROM point_deeds d LEFT JOIN \
           (SELECT deed_id, SUM(taken) AS taken, SUM(returned) AS returned FROM point_deed_lots GROUP BY deed_id) l ON l.deed_id = d.id \
         WHERE (d.kind IN ($deed_kind.deduct, $deed_kind.redeem) OR l.deed_id IS NOT NULL) AND (COALESCE(l.returned, 0) <> d.returned \
           OR COALESCE(l.taken, 0) <> CASE WHEN d.kind = $deed_kind.deduct AND d.state = $deed.done THEN d.points WHEN d.kind = $deed_kind.redeem THEN d.captured ELSE 0 END) LIMIT 1000",
    ))
    .fetch_all(&mut *conn)
    .await?;
    report.looked_at(Invariant::PointsFollowTheRule, 1);
    for (deed,) in odd {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!("the lots of {deed} do not add up to what it took and what was returned of it"),
        );
    }
    let returned = EntryKind::PointsReturned.code();
    let (credit, of_return) = (ConstrainedSide::Credit.code(), DeedKind::Return.code());
    let returns = format!(
        "/* verify.returns */ SELECT sums.deed_id, sums.lot, CAST(SUM(sums.points) AS SIGNED) FROM ( \
           SELECT deed_id, expires_on AS lot, returned AS points FROM point_deed_lots WHERE returned > 0 UNION ALL \
           SELECT r.returns_of, t.lot, -t.amount FROM point_deeds r \
             JOIN transfers t ON t.entry_id = CONCAT(SUBSTR(r.id, 1, 15), x'{returned:02x}') AND t.constrained_side = {credit} WHERE r.kind = {of_return}) sums \
         GROUP BY sums.deed_id, sums.lot HAVING SUM(sums.points) <> 0 LIMIT 1000",
    );
    let odd: Vec<(DeedId, time::Date, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(returns))
        .fetch_all(conn)
        .await?;
    for (deed, lot, more) in odd {
        report.violated(
            Invariant::PointsFollowTheRule,
            format!("{deed} says of its lot of {lot} that {more} more points were returned than its returns booked"),
        );
    }
    Ok(())
}

/// What a deed must have told by now.
fn tell(deed: &Deed, moves: &mut Moves) {
    let mut told = |what, points, at| {
        moves.expect((deed.tenant, &deed.source), what, points, at);
    };
    let reviewed = deed.state == DeedState::UnderReview || deed.version > 1;
    match (deed.kind, deed.state) {
        (DeedKind::Award, state) => {
            if reviewed {
                told(PointsMove::Held, deed.points, deed.created_at);
            }
            if state == DeedState::Done {
                told(PointsMove::Awarded, deed.points, deed.updated_at);
            } else if state == DeedState::Refused && reviewed {
                told(PointsMove::LetGo, deed.points, deed.updated_at);
            }
        }
        (DeedKind::Deduct, _) => told(PointsMove::Deducted, deed.points, deed.created_at),
        (DeedKind::Return, _) => told(PointsMove::Returned, deed.points, deed.created_at),
        (DeedKind::Redeem, DeedState::Done) => {
            told(PointsMove::Redeemed, deed.captured, deed.updated_at);
        }
        (
            DeedKind::Redeem,
            DeedState::Held
            | DeedState::Released
            | DeedState::Expired
            | DeedState::UnderReview
            | DeedState::Refused,
        ) => {}
    }
}
