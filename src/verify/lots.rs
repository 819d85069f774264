//! Replays one account's lots, holds and debt from its transfers: invariants 6 and 7.
//!
//! Every transfer names its lot in `transfers.lot`, so the rows of lots need not be trusted: what
//! is granted and left in each follows from the account's transfers in the order of their versions.
//!
//! | transfer | does to the lots |
//! |---|---|
//! | credit, posted or posting a pending one | grants to the lot that it names |
//! | debit to the points expired | takes from the lot that it names and no other; that lot has expired |
//! | any other posted debit | takes from the lot that it names, if it names one, then from the others in the order in which they expire; never from an expired one |
//! | debit posting a pending one | like any other posted debit, but lots count as expired by the day on which the points were held, and it takes first from those that have expired since, which only holds may use |
//! | `PointsCaptured`, posted right after its `PointsReserved` was voided, and no more than that | like a debit posting a pending one: it spends a part of the hold |
//! | `PointsReturned` | grants to the lot that it names, of which the points transaction that it returns took as many |
//! | pending, or voiding a pending one | nothing: what is held is still in its lots |
//!
//! A lot is *expired* from the day `expired_from` (UTC+8) on. A transfer that could not have taken
//! its points in the order of [`crate::ledger`] is a violation, and so is a row of `points_lots`
//! that differs from the replay. The row may be missing if the lot is empty and expired more than
//! [`FORGET_DAYS`](crate::points::expiry::FORGET_DAYS) days ago. Rows of lots of which points
//! expired stay longer, since refunds read them.
//!
//! Two more rules are checked at every point of the history:
//!
//! - every hold can be posted: for each day with unresolved holds, the points held on it or later
//!   are in lots that have not expired on it (7). `points_holds` must agree by day (invariant 2
//!   compares the account's own sum);
//! - a customer who owes points has none free when an operation is done (6). The transfers of one
//!   operation have one instant.
//!
//! Both use [`PointHoldings`], by which the service decides, on the lots and holds of the replay.
//!
//! Every credit must name its lot; otherwise removing the name would disable the check.
//!
//! One account is in memory at a time: its lots, unresolved holds and debt, and the lots from which
//! points transactions took its points.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::pages::{HoldRow, LotRow};
use crate::{
    ledger::{AccountKind, ConstrainedSide, Phase, PointHoldings, Transfer},
    primitives::{
        AccountId, BusinessDay, EntryId, EntryKind, Id, PointsTransactionId, Timestamp, TransferId,
    },
};

/// The replay of one account.
#[derive(Debug, Default)]
pub(crate) struct LotReplay {
    lots: BTreeMap<BusinessDay, Lot>,
    /// Points that points transactions took and have not given back, by lot.
    taken: HashMap<Id, BTreeMap<BusinessDay, i64>>,
    /// Unresolved pending transfers out of the account, each with its day and points.
    held: HashMap<TransferId, (BusinessDay, i64)>,
    /// The points of `held`, by day.
    holds: BTreeMap<BusinessDay, i64>,
    debt: i64,
    /// Instant of the last transfer, and the latest day so far.
    last: Option<(Timestamp, BusinessDay)>,
    /// The hold that the last transfer voided.
    voided: Option<VoidedHold>,
    /// A transfer could not be replayed, which was reported; nothing more can be checked.
    incomplete: bool,
}

/// A voided hold, of which the account's next transfer may spend a part.
#[derive(Debug, Clone, Copy)]
struct VoidedHold {
    void: TransferId,
    amount: i64,
    /// The instant of the voiding.
    at: Timestamp,
    /// The day on which the points were held.
    since: BusinessDay,
}

/// The last days for which rows of spent lots may have been deleted.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeletedLots {
    pub(super) spent: BusinessDay,
    /// The last day of the last credit, for lots of which points expired.
    pub(super) credited: BusinessDay,
}

impl DeletedLots {
    fn may_be(self, on: BusinessDay, lot: &Lot) -> bool {
        let asked_for = lot.expired > 0 && lot.granted_on.is_some_and(|day| day > self.credited);
        lot.left == 0 && on <= self.spent && !asked_for
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lot {
    granted: i64,
    left: i64,
    expired: i64,
    /// The day of the last credit.
    granted_on: Option<BusinessDay>,
}

impl LotReplay {
    /// Replays the account's next transfer and returns what is wrong with it. `returns_of` is the
    /// points transaction whose points it gives back, if it does.
    pub(crate) fn play(
        &mut self,
        transfer: &Transfer,
        returns_of: Option<PointsTransactionId>,
    ) -> Result<(), String> {
        let today = transfer.at.business_day();
        let latest = self.last.map_or(today, |(_, day)| day.max(today));
        self.last = Some((transfer.at, latest));
        self.owe(transfer);
        let since = self.hold(transfer);
        if self.incomplete {
            return Ok(());
        }
        let voided = self.voided.take();
        let played = match transfer.constrained_side {
            ConstrainedSide::Neither => Ok(()),
            ConstrainedSide::Credit => self
                .credit(transfer)
                .and_then(|()| self.give_back(transfer, returns_of)),
            ConstrainedSide::Debit => self.debit(transfer, since, voided),
        };
        let played = played.and_then(|()| self.covered());
        self.incomplete |= played.is_err();
        played
    }

    /// Checks the state that an operation has left, before the `next` transfer or after the last
    /// one. Fails if points are owed while some are free.
    pub(crate) fn settled(&self, next: Option<&Transfer>) -> Result<(), String> {
        let Some((at, day)) = self.last.filter(|_| !self.incomplete && self.debt > 0) else {
            return Ok(());
        };
        if next.is_some_and(|next| next.at == at) {
            return Ok(());
        }
        match self.stock().free(day) {
            Ok(free) if free <= 0 => Ok(()),
            free => Err(format!(
                "owes {} points after {at}, and {} are free",
                self.debt,
                free.unwrap_or(i64::MAX)
            )),
        }
    }

    /// Returns the lots and holds in the form by which the service decides.
    pub(crate) fn stock(&self) -> PointHoldings {
        PointHoldings {
            lots: self.lots.iter().map(|(on, lot)| (*on, lot.left)).collect(),
            holds: self.holds.clone(),
        }
    }

    /// Replays shortfalls and repayments.
    fn owe(&mut self, transfer: &Transfer) {
        let debt = |account: AccountId| account.kind() == Some(AccountKind::CustomerDebt);
        if transfer.phase != Phase::Posted {
        } else if debt(transfer.debit) {
            self.debt = self.debt.saturating_add(transfer.amount);
        } else if debt(transfer.credit) {
            self.debt = self.debt.saturating_sub(transfer.amount);
        }
    }

    /// Replays holds and their ends. Returns the day on which the points were held that the
    /// transfer resolves.
    fn hold(&mut self, transfer: &Transfer) -> Option<BusinessDay> {
        if transfer.constrained_side != ConstrainedSide::Debit {
            return None;
        }
        match transfer.phase {
            Phase::Posted => None,
            Phase::Pending => {
                let day = transfer.at.business_day();
                self.held.insert(transfer.id, (day, transfer.amount));
                let held = self.holds.entry(day).or_default();
                *held = held.saturating_add(transfer.amount);
                None
            }
            Phase::Post | Phase::Void => {
                let pending = TransferId {
                    entry: transfer.id.entry.resolved(),
                    leg: transfer.id.leg,
                };
                let (day, amount) = self.held.remove(&pending)?;
                let held = self.holds.entry(day).or_default();
                *held = held.saturating_sub(amount);
                if *held <= 0 {
                    self.holds.remove(&day);
                }
                Some(day)
            }
        }
    }

    /// Fails if a hold cannot be posted.
    fn covered(&self) -> Result<(), String> {
        if self.holds.is_empty() {
            return Ok(());
        }
        let stock = self.stock();
        for day in self.holds.keys() {
            match stock.spare(*day) {
                Ok(0..) => {}
                short => {
                    let missing = short.map_or(i64::MAX, i64::saturating_abs);
                    return Err(format!(
                        "leaves {missing} points less in lots that have not expired on {day} than are held since then"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Compares a row of `points_holds` with the replay.
    pub(super) fn compare_hold(&mut self, row: &HoldRow) -> Result<(), String> {
        let held = self.holds.remove(&row.held_on).unwrap_or(0);
        if held == row.held {
            return Ok(());
        }
        Err(format!(
            "{} points are noted as held since {}, and its transfers say {held}",
            row.held, row.held_on
        ))
    }

    /// Returns the days with holds that have no row. Call it after all rows were compared.
    pub(super) fn holds_without_row(&self) -> impl Iterator<Item = String> + use<> {
        let holds = self.holds.clone().into_iter();
        holds.map(|(day, held)| {
            format!("{held} points are held since {day} by its transfers, and none are noted")
        })
    }

    fn credit(&mut self, transfer: &Transfer) -> Result<(), String> {
        if matches!(transfer.phase, Phase::Pending | Phase::Void) {
            return Ok(());
        }
        let Some(on) = transfer.lot else {
            return Err("grants points to no lot".into());
        };
        let lot = self.lots.entry(on).or_default();
        lot.granted = lot.granted.saturating_add(transfer.amount);
        lot.left = lot.left.saturating_add(transfer.amount);
        lot.granted_on = Some(transfer.at.business_day());
        Ok(())
    }

    /// Replays a return: the points go back into the lots from which the points transaction took
    /// them.
    fn give_back(
        &mut self,
        transfer: &Transfer,
        of: Option<PointsTransactionId>,
    ) -> Result<(), String> {
        if transfer.id.entry.kind() != Some(EntryKind::PointsReturned) || self.incomplete {
            return Ok(());
        }
        let taken = of.and_then(|of| self.taken.get_mut(&of.id()));
        let left = taken
            .zip(transfer.lot)
            .and_then(|(lots, on)| lots.get_mut(&on));
        match left {
            Some(left) if *left >= transfer.amount => {
                *left -= transfer.amount;
                Ok(())
            }
            Some(_) | None => Err(format!(
                "returns {} points to the lot of {:?}, of which {of:?} did not take so many",
                transfer.amount, transfer.lot
            )),
        }
    }

    /// Replays a debit; `since` is the day on which the points were held that it resolves.
    fn debit(
        &mut self,
        transfer: &Transfer,
        since: Option<BusinessDay>,
        voided: Option<VoidedHold>,
    ) -> Result<(), String> {
        let today = transfer.at.business_day();
        match transfer.phase {
            Phase::Pending => Ok(()),
            Phase::Void => {
                self.voided = since.map(|since| VoidedHold {
                    void: transfer.id,
                    amount: transfer.amount,
                    at: transfer.at,
                    since,
                });
                Ok(())
            }
            Phase::Posted if is_expiry(transfer)? => self.expire(transfer, today),
            Phase::Posted => {
                let part = voided.filter(|voided| voided.is_spent_by(transfer));
                self.spend(transfer, part.map_or(today, |voided| voided.since))
            }
            // A transfer without its pending one breaks invariant 1; here its own day counts.
            Phase::Post => self.spend(transfer, since.unwrap_or(today)),
        }
    }

    fn expire(&mut self, transfer: &Transfer, today: BusinessDay) -> Result<(), String> {
        let Some(on) = transfer.lot else {
            return Err("expires points and names no lot".into());
        };
        if on > today {
            return Err(format!(
                "expires the lot of {on} on {today}, when it has not expired"
            ));
        }
        let left = self.take(on, transfer.amount);
        if let Some(lot) = self.lots.get_mut(&on) {
            lot.expired = lot.expired.saturating_add(transfer.amount);
        }
        if left > 0 {
            return Err(format!(
                "expires {} points of the lot of {on}, which has {left} less",
                transfer.amount
            ));
        }
        Ok(())
    }

    /// Takes points in the order of [`crate::ledger`]: from lots that have expired since the points
    /// were held, then from the named lot, then from the others by day.
    fn spend(&mut self, transfer: &Transfer, since: BusinessDay) -> Result<(), String> {
        let today = transfer.at.business_day();
        let amount = transfer.amount;
        let after = |day| (Bound::Excluded(day), Bound::Unbounded);
        let before = self.note_of(transfer).then(|| self.lots.clone());
        let mut due = amount;
        for (on, lot) in self.lots.range_mut(after(since)) {
            if due == 0 || *on > today {
                break;
            }
            due = lot.take(due);
        }
        if let Some(on) = transfer.lot.filter(|on| *on > since) {
            due = self.take(on, due);
        }
        for (_, lot) in self.lots.range_mut(after(since)) {
            if due == 0 {
                break;
            }
            due = lot.take(due);
        }
        for (on, lot) in before.into_iter().flatten() {
            let left = self.lots.get(&on).map_or(0, |lot| lot.left);
            if lot.left > left {
                let of_transaction = self.taken.entry(transfer.id.entry.cause()).or_default();
                of_transaction.insert(on, lot.left - left);
            }
        }
        if due > 0 {
            return Err(format!(
                "takes {amount} points, {due} more than the lots that have not expired on {since} have"
            ));
        }
        Ok(())
    }

    /// Returns whether the lots of the transfer must be kept: its points transaction may be
    /// returned.
    fn note_of(&self, transfer: &Transfer) -> bool {
        let by_back_end = matches!(
            transfer.id.entry.kind(),
            Some(EntryKind::PointsDeducted | EntryKind::PointsCaptured | EntryKind::PointsReserved)
        );
        by_back_end && !self.incomplete
    }

    /// Takes up to `due` points from a lot and returns what is missing.
    fn take(&mut self, on: BusinessDay, due: i64) -> i64 {
        self.lots.get_mut(&on).map_or(due, |lot| lot.take(due))
    }

    /// Compares a row of `points_lots` with the replay.
    pub(super) fn compare(
        &mut self,
        row: &LotRow,
        deleted_lots: DeletedLots,
    ) -> Result<(), String> {
        if self.incomplete {
            return Ok(());
        }
        let lot = self.lots.remove(&row.expired_from).unwrap_or_default();
        // A row that was deleted and inserted again lacks the earlier grants.
        let granted = row.granted == lot.granted
            || (row.expired_from <= deleted_lots.spent && row.granted <= lot.granted);
        let expired = row.expired == lot.expired
            || (row.expired_from <= deleted_lots.spent && row.expired <= lot.expired);
        if row.remaining == lot.left && granted && expired {
            return Ok(());
        }
        Err(format!(
            "the lot of {} has {} of {} points left and {} expired, and its transfers say {} of {} and {}",
            row.expired_from,
            row.remaining,
            row.granted,
            row.expired,
            lot.left,
            lot.granted,
            lot.expired
        ))
    }

    /// Returns the lots that should have a row and have none. Call it after all rows were compared.
    pub(super) fn without_row(&self, deleted_lots: DeletedLots) -> impl Iterator<Item = String> {
        let lots = if self.incomplete {
            BTreeMap::new()
        } else {
            self.lots.clone()
        };
        let due = lots
            .into_iter()
            .filter(move |(on, lot)| !deleted_lots.may_be(*on, lot));
        due.map(|(on, lot)| {
            format!(
                "the lot of {on} has no row, and its transfers say {} of {} points are left",
                lot.left, lot.granted
            )
        })
    }
}

/// Returns whether the transfer expires points. Entry and account must agree.
fn is_expiry(transfer: &Transfer) -> Result<bool, String> {
    let to = transfer.credit.kind() == Some(AccountKind::PointsExpired);
    let by = transfer.id.entry.kind() == Some(EntryKind::PointsExpired);
    if to == by {
        Ok(to)
    } else {
        Err("is an expiry by its entry or by its account, but not by both".into())
    }
}

impl VoidedHold {
    /// Returns whether the transfer spends a part of the hold: it must be of the same points
    /// transaction, in the same commit.
    fn is_spent_by(&self, transfer: &Transfer) -> bool {
        let cause = transfer.id.entry.cause();
        let reserved = EntryId::of(cause, EntryKind::PointsReserved);
        transfer.id.entry == EntryId::of(cause, EntryKind::PointsCaptured)
            && self.void.entry == reserved.resolution()
            && self.at == transfer.at
            && transfer.amount <= self.amount
    }
}

impl Lot {
    fn take(&mut self, due: i64) -> i64 {
        let taken = due.min(self.left);
        self.left -= taken;
        due - taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::AccountKind,
        primitives::{AccountId, CustomerId, Lane, TenantId},
    };

    const DAY: i64 = 86_400;

    fn day(offset: u32) -> BusinessDay {
        Timestamp::from_micros(1_795_000_000_000_000)
            .business_day()
            .plus_days(offset)
    }

    /// An account whose transfers a test writes one by one.
    #[derive(Default)]
    struct Book {
        replay: LotReplay,
        today: i64,
        made: u64,
    }

    impl Book {
        fn next(
            &mut self,
            side: ConstrainedSide,
            phase: Phase,
            entry: EntryId,
            amount: i64,
        ) -> Transfer {
            let customer = CustomerId::new(Id::mint(1, 1, Lane(1)));
            let points = AccountId::customer_points(customer);
            let other = if entry.kind() == Some(EntryKind::PointsExpired) {
                AccountKind::PointsExpired
            } else {
                AccountKind::PointsIssued
            };
            let other = AccountId::of_tenant(TenantId(1), other);
            let (debit, credit) = if side == ConstrainedSide::Debit {
                (points, other)
            } else {
                (other, points)
            };
            Transfer {
                id: TransferId { entry, leg: 0 },
                tenant: TenantId(1),
                phase,
                debit,
                credit,
                amount,
                constrained_side: side,
                account_version: Some(1),
                balance_after: Some(0),
                // Noon in Beijing.
                at: day(0).start().plus_seconds(self.today * DAY + DAY / 2),
                lot: None,
            }
        }

        fn entry(&mut self, kind: EntryKind) -> EntryId {
            self.made += 1;
            EntryId::of(Id::mint(self.made, 0, Lane(1)), kind)
        }

        fn earn(&mut self, amount: i64, lot: Option<u32>) -> Result<(), String> {
            let entry = self.entry(EntryKind::Settlement);
            let transfer = self.next(ConstrainedSide::Credit, Phase::Posted, entry, amount);
            self.replay.play(
                &Transfer {
                    lot: lot.map(day),
                    ..transfer
                },
                None,
            )
        }

        fn take(&mut self, kind: EntryKind, amount: i64, lot: Option<u32>) -> Result<(), String> {
            let entry = self.entry(kind);
            let transfer = self.next(ConstrainedSide::Debit, Phase::Posted, entry, amount);
            self.replay.play(
                &Transfer {
                    lot: lot.map(day),
                    ..transfer
                },
                None,
            )
        }

        fn hold(&mut self, amount: i64) -> EntryId {
            let entry = self.entry(EntryKind::PointsReserved);
            let transfer = self.next(ConstrainedSide::Debit, Phase::Pending, entry, amount);
            self.replay.play(&transfer, None).unwrap();
            entry
        }

        fn resolve(
            &mut self,
            hold: EntryId,
            phase: Phase,
            amount: i64,
            lot: Option<u32>,
        ) -> Result<(), String> {
            let transfer = self.next(ConstrainedSide::Debit, phase, hold.resolution(), amount);
            self.replay.play(
                &Transfer {
                    lot: lot.map(day),
                    ..transfer
                },
                None,
            )
        }

        /// Voids a hold and spends a part of it, as a points transaction does.
        fn capture(&mut self, hold: EntryId, whole: i64, part: i64) -> Result<(), String> {
            self.resolve(hold, Phase::Void, whole, None).unwrap();
            let entry = EntryId::of(hold.cause(), EntryKind::PointsCaptured);
            let transfer = self.next(ConstrainedSide::Debit, Phase::Posted, entry, part);
            self.replay.play(&transfer, None)
        }

        fn left(&self) -> Vec<i64> {
            self.replay.lots.values().map(|lot| lot.left).collect()
        }
    }

    #[test]
    fn what_is_named_goes_first_and_the_rest_by_day() {
        let mut book = Book::default();
        book.earn(5, Some(3)).unwrap();
        book.earn(5, Some(1)).unwrap();
        book.earn(5, Some(2)).unwrap();
        book.take(EntryKind::RefundClawback, 7, Some(3)).unwrap();
        assert_eq!(book.left(), [3, 5, 0]);
        book.take(EntryKind::PointsDeducted, 4, None).unwrap();
        assert_eq!(book.left(), [0, 4, 0]);
    }

    #[test]
    fn a_lot_is_spendable_on_its_last_day_and_not_on_the_next() {
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        book.take(EntryKind::PointsDeducted, 1, None).unwrap();
        book.today = 1;
        let problem = book.take(EntryKind::PointsDeducted, 1, None).unwrap_err();
        assert!(problem.contains("1 more than"), "{problem}");
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        book.earn(5, Some(9)).unwrap();
        book.today = 1;
        book.take(EntryKind::RefundClawback, 5, Some(1)).unwrap();
        assert_eq!(book.left(), [5, 0], "an expired lot is passed by");
        let mut late = Book::default();
        late.earn(5, Some(1)).unwrap();
        late.today = 1;
        assert!(late.take(EntryKind::PointsDeducted, 6, Some(1)).is_err());
    }

    #[test]
    fn only_what_is_over_expires_and_only_from_the_lot_it_names() {
        let grant = || {
            let mut book = Book::default();
            book.earn(5, Some(1)).unwrap();
            book.earn(5, Some(2)).unwrap();
            book.today = 1;
            book
        };
        grant().take(EntryKind::PointsExpired, 5, Some(1)).unwrap();
        for (amount, lot) in [(6, Some(1)), (5, Some(2)), (5, None), (1, Some(0))] {
            let expired = grant().take(EntryKind::PointsExpired, amount, lot);
            assert!(expired.is_err(), "{amount} of {lot:?}");
        }
    }

    #[test]
    fn a_hold_protects_what_it_holds_until_it_ends() {
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        let (kept, dropped) = (book.hold(2), book.hold(1));
        book.today = 40;
        book.resolve(dropped, Phase::Void, 1, None).unwrap();
        book.resolve(kept, Phase::Post, 2, None).unwrap();
        assert_eq!(book.left(), [3]);
        assert!(book.replay.held.is_empty());
        assert!(book.take(EntryKind::PointsDeducted, 1, None).is_err());
    }

    #[test]
    fn what_only_a_hold_may_use_goes_first_and_what_was_over_before_it_not_at_all() {
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        book.earn(5, Some(3)).unwrap();
        book.earn(5, Some(9)).unwrap();
        book.today = 2;
        let hold = book.hold(7);
        book.today = 5;
        book.resolve(hold, Phase::Post, 7, Some(9)).unwrap();
        assert_eq!(book.left(), [5, 0, 3]);
        let hold = book.hold(3);
        assert!(book.resolve(hold, Phase::Post, 4, Some(1)).is_err());
    }

    #[test]
    fn what_is_held_is_always_covered_by_lots_that_were_not_over_when_it_was() {
        let grant = || {
            let mut book = Book::default();
            book.earn(5, Some(1)).unwrap();
            book.earn(5, Some(9)).unwrap();
            let old = book.hold(5);
            book.today = 1;
            (book, old)
        };
        // The old hold uses what has expired, so that a young one and whoever spends may have the
        // rest.
        let (mut book, _) = grant();
        book.hold(2);
        book.take(EntryKind::PointsDeducted, 3, None).unwrap();
        let problem = book.take(EntryKind::PointsDeducted, 1, None).unwrap_err();
        assert!(problem.contains("leaves 1 points less"), "{problem}");
        let (mut book, old) = grant();
        book.resolve(old, Phase::Post, 5, Some(9)).unwrap();
        assert_eq!(book.left(), [0, 5]);
        // What has expired and is held may not be swept.
        let (mut book, _) = grant();
        assert!(book.take(EntryKind::PointsExpired, 1, Some(1)).is_ok());
        let (mut book, _) = grant();
        book.hold(5);
        assert!(book.take(EntryKind::PointsExpired, 1, Some(1)).is_err());
    }

    #[test]
    fn who_owes_has_nothing_free_when_an_operation_is_done() {
        let mut book = Book::default();
        book.earn(5, Some(9)).unwrap();
        let hold = book.hold(5);
        let entry = book.entry(EntryKind::RefundAccepted);
        let shortfall = book.next(ConstrainedSide::Credit, Phase::Posted, entry, 4);
        let customer = shortfall.credit.customer().unwrap();
        let debt = AccountId::customer_debt(customer);
        let borrowed = Transfer {
            debit: debt,
            lot: Some(BusinessDay::NEVER),
            ..shortfall
        };
        book.replay.play(&borrowed, None).unwrap();
        let back = book.hold(4);
        assert_eq!(book.replay.settled(None), Ok(()));
        book.resolve(hold, Phase::Void, 5, None).unwrap();
        let problem = book.replay.settled(None).unwrap_err();
        assert!(
            problem.contains("owes 4") && problem.contains("5 are free"),
            "{problem}"
        );
        let entry = book.entry(EntryKind::DebtRepaid);
        let repay = book.next(ConstrainedSide::Debit, Phase::Posted, entry, 4);
        let repay = Transfer {
            credit: debt,
            ..repay
        };
        // In the same instant it is the same operation.
        assert_eq!(book.replay.settled(Some(&repay)), Ok(()));
        book.replay.play(&repay, None).unwrap();
        assert_eq!(book.replay.settled(None), Ok(()));
        book.resolve(back, Phase::Post, 4, None).unwrap();
    }

    #[test]
    fn a_part_of_a_hold_is_protected_like_the_whole_and_nothing_else_is() {
        let grant = || {
            let mut book = Book::default();
            book.earn(5, Some(1)).unwrap();
            book.earn(5, Some(9)).unwrap();
            let hold = book.hold(4);
            book.today = 1;
            (book, hold)
        };
        let (mut book, hold) = grant();
        book.capture(hold, 4, 3).unwrap();
        assert_eq!(book.left(), [2, 5]);
        // More than was held is not a part of it, and is judged by today.
        let (mut book, hold) = grant();
        assert!(book.capture(hold, 4, 6).is_err());
        // Another points transaction, and the same points transaction after something else: what
        // was released is free, or has expired.
        let (mut book, hold) = grant();
        book.resolve(hold, Phase::Void, 4, None).unwrap();
        book.take(EntryKind::PointsCaptured, 3, None).unwrap();
        assert_eq!(book.left(), [5, 2]);
        let (mut book, hold) = grant();
        let other = book.hold(1);
        book.resolve(hold, Phase::Void, 4, None).unwrap();
        book.capture(other, 1, 1).unwrap();
        let late = EntryId::of(hold.cause(), EntryKind::PointsCaptured);
        let transfer = book.next(ConstrainedSide::Debit, Phase::Posted, late, 3);
        book.replay.play(&transfer, None).unwrap();
        assert_eq!(book.left(), [5, 1]);
    }

    #[test]
    fn what_is_returned_goes_back_to_where_it_came_from() {
        let spent = || {
            let mut book = Book::default();
            book.earn(5, Some(1)).unwrap();
            book.earn(5, Some(9)).unwrap();
            book.earn(5, Some(20)).unwrap();
            book.take(EntryKind::PointsCaptured, 7, None).unwrap();
            let points_transaction = PointsTransactionId::new(Id::mint(book.made, 0, Lane(1)));
            (book, points_transaction)
        };
        let give = |book: &mut Book, amount, lot, of| {
            let entry = book.entry(EntryKind::PointsReturned);
            let transfer = book.next(ConstrainedSide::Credit, Phase::Posted, entry, amount);
            let lot = Some(day(lot));
            book.replay.play(&Transfer { lot, ..transfer }, of)
        };
        let (mut book, points_transaction) = spent();
        give(&mut book, 2, 9, Some(points_transaction)).unwrap();
        give(&mut book, 4, 1, Some(points_transaction)).unwrap();
        give(&mut book, 1, 1, Some(points_transaction)).unwrap();
        assert_eq!(book.left(), [5, 5, 5]);
        give(&mut book, 1, 1, Some(points_transaction)).unwrap_err();
        for (amount, lot, known) in [(3, 9, true), (1, 20, true), (1, 1, false)] {
            let (mut book, points_transaction) = spent();
            give(&mut book, amount, lot, known.then_some(points_transaction)).unwrap_err();
        }
    }

    #[test]
    fn an_expiry_is_one_by_its_entry_and_by_its_account() {
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        book.today = 1;
        let entry = book.entry(EntryKind::PointsExpired);
        let transfer = book.next(ConstrainedSide::Debit, Phase::Posted, entry, 5);
        let spent = AccountId::of_tenant(TenantId(1), AccountKind::PointsRedeemed);
        let disguised = Transfer {
            credit: spent,
            lot: Some(day(1)),
            ..transfer
        };
        assert!(book.replay.play(&disguised, None).is_err());
    }

    #[test]
    fn every_credit_names_its_lot_or_nothing_more_is_said_of_the_account() {
        let mut book = Book::default();
        assert!(book.earn(5, None).is_err());
        book.take(EntryKind::PointsDeducted, 50, None).unwrap();
        assert_eq!(book.replay.without_row(deleted_lots(0)).count(), 0);
        let mut book = Book::default();
        book.earn(5, Some(4)).unwrap();
        assert!(book.earn(5, None).is_err());
    }

    fn row(lot: u32, granted: i64, remaining: i64) -> LotRow {
        LotRow {
            account: AccountId::of_tenant(TenantId(1), AccountKind::CustomerPoints),
            expired_from: day(lot),
            granted,
            remaining,
            expired: 0,
        }
    }

    /// The day before all that a book says.
    fn yesterday() -> BusinessDay {
        BusinessDay(day(0).0.previous_day().unwrap())
    }

    /// Lots up to this day.
    fn deleted_lots(spent: u32) -> DeletedLots {
        DeletedLots {
            spent: day(spent),
            credited: yesterday(),
        }
    }

    #[test]
    fn rows_are_what_the_transfers_say() {
        let play = || {
            let mut book = Book::default();
            book.earn(5, Some(1)).unwrap();
            book.take(EntryKind::PointsDeducted, 5, None).unwrap();
            book.earn(7, Some(9)).unwrap();
            book.replay
        };
        let none = deleted_lots(0);
        let (mut right, mut gone) = (play(), play());
        right.compare(&row(1, 5, 0), none).unwrap();
        right.compare(&row(9, 7, 7), none).unwrap();
        assert_eq!(right.without_row(none).count(), 0);
        for wrong in [row(1, 5, 1), row(1, 6, 0), row(9, 7, 6), row(2, 1, 0)] {
            assert!(play().compare(&wrong, none).is_err(), "{wrong:?}");
        }
        assert_eq!(play().without_row(none).count(), 2);
        // The first lot may be gone, or be made again; what has points left may not.
        assert_eq!(gone.without_row(deleted_lots(1)).count(), 1);
        gone.compare(&row(1, 0, 0), deleted_lots(1)).unwrap();
        assert_eq!(play().without_row(deleted_lots(9)).count(), 1);
        // What expired is counted, and such a lot stays longer.
        let mut book = Book::default();
        book.earn(5, Some(1)).unwrap();
        book.today = 1;
        book.take(EntryKind::PointsExpired, 5, Some(1)).unwrap();
        assert_eq!(book.replay.without_row(deleted_lots(1)).count(), 1);
        book.replay
            .compare(&row(1, 5, 0), deleted_lots(0))
            .unwrap_err();
        let mut again = Book::default();
        again.earn(5, Some(1)).unwrap();
        again.today = 1;
        again.take(EntryKind::PointsExpired, 5, Some(1)).unwrap();
        let expired = LotRow {
            expired: 5,
            ..row(1, 5, 0)
        };
        again.replay.compare(&expired, deleted_lots(1)).unwrap();
    }
}
