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
//!
//! That the right entries are there, in the right phases, is invariant 9; that they are of the right points, customer and day is 6.

use sqlx::MySqlConnection;

use super::{
    Invariant, Progress, Report,
    pages::{Cursor, Deeds},
    point_days::Moves,
    refunds::Leg,
};
use crate::{
    db::DbError,
    ledger::{Phase, Transfer},
    points::{Deed, DeedKind, DeedState, PointsMove},
    primitives::{AccountId, AccountKind, EntryId, EntryKind, Id, Points},
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
        Ok(())
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
        let repaid = legs
            .iter()
            .find(|leg| leg.credit.kind() == Some(AccountKind::CustomerDebt))
            .map(|leg| leg.amount)
            .filter(|amount| *amount <= deed.points.get());
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

fn may_be_of_deed(entry: EntryId) -> bool {
    match entry.kind() {
        Some(
            EntryKind::PointsAwarded
            | EntryKind::PointsDeducted
            | EntryKind::PointsReserved
            | EntryKind::PointsCaptured
            | EntryKind::DebtRepaid,
        ) => true,
        Some(
            EntryKind::Settlement
            | EntryKind::Adjustment
            | EntryKind::RefundAccepted
            | EntryKind::RefundClawback
            | EntryKind::RefundOutcome
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

/// The legs that a deed calls for, in the order of the entries' ids; none where the deed cannot be what it says it is. `repaid` is what of an award repaid a debt.
fn due(deed: &Deed, repaid: Option<i64>) -> Option<Vec<(EntryId, Leg)>> {
    let customer = AccountId::customer_points(deed.customer);
    let tenant = |kind| AccountId::of_tenant(deed.tenant, kind);
    let entry = |kind| EntryId::of(deed.id.id(), kind);
    let (debit, credit) = match deed.kind {
        DeedKind::Award => (tenant(AccountKind::PointsIssued), customer),
        DeedKind::Deduct | DeedKind::Redeem => (customer, tenant(AccountKind::PointsRedeemed)),
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
    let is_hold = deed.hold_until.is_some();
    let mut legs = match (deed.kind, deed.state, deed.version) {
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
                vec![set_aside, resolved(Phase::Void), captured()]
            }
        }
        (DeedKind::Redeem, DeedState::Held, 1 | 2) if is_hold => vec![set_aside],
        (DeedKind::Redeem, DeedState::Released | DeedState::Expired, 2 | 3) if is_hold => {
            vec![set_aside, resolved(Phase::Void)]
        }
        (DeedKind::Award | DeedKind::Redeem, DeedState::UnderReview, 1) => vec![set_aside],
        (DeedKind::Award | DeedKind::Redeem, DeedState::Refused, 1) => Vec::new(),
        (DeedKind::Award | DeedKind::Redeem, DeedState::Refused, 2) => {
            vec![set_aside, resolved(Phase::Void)]
        }
        (
            DeedKind::Award | DeedKind::Deduct | DeedKind::Redeem,
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
