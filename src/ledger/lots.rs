//! Lots: which points leave first, and which may leave at all.
//!
//! A lot is *over* on a day (UTC+8) when its `expires_on` is that day or an earlier one. Three rules follow, and `verify` may replay them from the transfers alone:
//!
//! - **What is spent at once** ([`Phase::Posted`](super::Phase::Posted)) is taken on the day of its transfer, from lots that are not over on that day.
//! - **What was set aside** ([`Phase::Pending`](super::Phase::Pending)) stays spendable until its hold ends: when it is posted, a lot counts as over by the day of the
//!   *pending* transfer. When only a part of it is spent, the pending transfer is voided and the part is a posted transfer of the next version of the account
//!   ([`Draft::out_of`](super::Draft::out_of)): it too is judged by the day of the pending one. What is left over is free again, or over.
//! - **What expires** (its credit account is [`AccountKind::PointsExpired`](crate::primitives::AccountKind::PointsExpired)) is taken from the lot that the transfer
//!   names and from no other; that lot is over on the day of the transfer.
//!
//! # The order in which points leave
//!
//! With *since* the day by which lots are judged (the transfer's own, or the pending one's) and *today* the transfer's own:
//!
//! 1. lots with since < `expires_on` ≤ today, the earliest first: only what was set aside can still use them. (Empty for what is spent at once.)
//! 2. the lot that the transfer names (`transfers.lot`), if since < `expires_on`;
//! 3. the other lots with since < `expires_on`, the earliest first.
//!
//! # What ran out
//!
//! A lot's row counts what expired of it, and how much of that refunds have counted as given back ([`run_out`], [`count_as_given_back`]): a refund does not claim
//! points a second time that ran out before, and no two refunds count the same ones.
//!
//! # Why a hold can always be posted
//!
//! Let `live(d)` be what lots hold that are not over on day d, and `held(d)` what was set aside on d or later and is not resolved. For every day d, `held(d) ≤ live(d)`:
//!
//! - setting aside and spending on day t ask for [`spendable`] points, which is `live(t)` less *all* that is held, old holds included;
//! - a refund that lends what is missing adds as much to `live` for every d (lent points never expire) as it adds to `held`;
//! - voiding a hold and spending a part of it lowers both sides as posting the part and voiding the rest would;
//! - posting takes from the lots that are over first (1), so that it leaves to younger holds what only they can use;
//! - expiry leaves of the lots that are over as many points as are held, the youngest lots ([`expirable`]).

use std::collections::BTreeMap;

use super::{
    Accounts, LedgerError, Lots, LotsOf,
    store::{LotChange, RunOut, RunOuts},
};
use crate::{
    db::{Wanted, WorkingSet},
    primitives::{AccountId, BusinessDay, Points, TenantId},
};

/// Points that a customer can set aside or spend on `day`: what is in lots that are not over, less all that is held. Only after
/// [`want_spending`](super::want_spending).
///
/// Fails only for rows that break the invariants.
pub fn spendable(
    set: &WorkingSet,
    account: AccountId,
    day: BusinessDay,
) -> Result<Points, LedgerError> {
    let room = room(set, account, day)?.max(0);
    Points::parse(room).map_err(|_| LedgerError::Overflow)
}

/// Points in lots that are not over on `day`, held or not. Only after [`want_spending`](super::want_spending).
///
/// Fails only for rows that break the invariants.
pub fn live(set: &WorkingSet, account: AccountId, day: BusinessDay) -> Result<Points, LedgerError> {
    let live = set
        .get::<LotsOf>(account)
        .map_or(Ok(0), |lots| live_of(lots, day))?;
    Points::parse(live).map_err(|_| LedgerError::BelowZero)
}

pub(super) fn live_of(
    lots: &BTreeMap<BusinessDay, i64>,
    day: BusinessDay,
) -> Result<i64, LedgerError> {
    let live = lots.iter().filter(|(on, _)| **on > day);
    sum(live.map(|(_, left)| *left))
}

/// What is spendable, and below zero when points are held whose lots are over.
fn room(set: &WorkingSet, account: AccountId, day: BusinessDay) -> Result<i64, LedgerError> {
    let held = held(set, account);
    let live = live(set, account, day)?.get();
    live.checked_sub(held).ok_or(LedgerError::Overflow)
}

fn held(set: &WorkingSet, account: AccountId) -> i64 {
    let account = set.get::<Accounts>(account);
    account.map_or(0, |account| account.debits_pending)
}

/// Refuses what is more than can be spent on `day`. Of `amount`, `lent` was lent by the same operation, which covers it whatever else is held.
pub(super) fn check_room(
    set: &WorkingSet,
    account: AccountId,
    amount: i64,
    lent: i64,
    day: BusinessDay,
) -> Result<(), LedgerError> {
    if amount > covered(room(set, account, day)?, lent)? {
        return Err(LedgerError::Insufficient);
    }
    Ok(())
}

/// Of a room in which `lent` points count already.
pub(super) fn covered(room: i64, lent: i64) -> Result<i64, LedgerError> {
    let own = room.checked_sub(lent).ok_or(LedgerError::Overflow)?.max(0);
    own.checked_add(lent).ok_or(LedgerError::Overflow)
}

/// Points of lots that are over on `today`, by lot, the earliest first, at most `lots_max` lots: all but as many as are held, which stay in the youngest of these lots
/// until their holds end. Only after [`want_spending`](super::want_spending).
pub fn expirable(
    set: &WorkingSet,
    account: AccountId,
    today: BusinessDay,
    lots_max: usize,
) -> Result<Vec<(BusinessDay, Points)>, LedgerError> {
    let Some(lots) = set.get::<LotsOf>(account) else {
        return Ok(Vec::new());
    };
    over(lots, held(set, account), today)?
        .into_iter()
        .take(lots_max)
        .map(|(on, left)| Ok((on, Points::parse(left).map_err(|_| LedgerError::BelowZero)?)))
        .collect()
}

pub(super) fn over(
    lots: &BTreeMap<BusinessDay, i64>,
    held: i64,
    today: BusinessDay,
) -> Result<Vec<(BusinessDay, i64)>, LedgerError> {
    let total = sum(lots.range(..=today).map(|(_, left)| *left))?;
    let mut due = total.checked_sub(held).ok_or(LedgerError::Overflow)?;
    let mut taken = Vec::new();
    for (on, left) in lots.range(..=today) {
        let part = due.min(*left);
        if part > 0 {
            taken.push((*on, part));
            due = due.checked_sub(part).ok_or(LedgerError::Overflow)?;
        }
    }
    Ok(taken)
}

/// What [`run_out`] and [`count_as_given_back`] read.
pub fn want_run_out(want: &mut Wanted, account: AccountId, lot: BusinessDay) {
    want.row::<RunOuts>((account, lot));
}

/// Points that ran out of a lot unspent and were not counted as given back yet. Only after [`want_run_out`].
///
/// Fails only for rows that break the invariants.
pub fn run_out(
    set: &WorkingSet,
    account: AccountId,
    lot: BusinessDay,
) -> Result<Points, LedgerError> {
    let row = set.get::<RunOuts>((account, lot));
    let left = row.map_or(0, |row| row.expired.saturating_sub(row.given_back));
    Points::parse(left).map_err(|_| LedgerError::BelowZero)
}

/// Counts points that ran out of a lot as given back; with `undo`, those that were counted so no longer. Two who count at once meet at the lot's row: one of them runs again.
pub fn count_as_given_back(
    set: &mut WorkingSet,
    (account, lot): (AccountId, BusinessDay),
    points: Points,
    undo: bool,
) -> Result<(), LedgerError> {
    let counted = if undo {
        points.get().checked_neg().ok_or(LedgerError::Overflow)?
    } else {
        points.get()
    };
    change_run_out(set, (account, lot), 0, counted)
}

fn change_run_out(
    set: &mut WorkingSet,
    key: (AccountId, BusinessDay),
    expired: i64,
    given_back: i64,
) -> Result<(), LedgerError> {
    let before = set.get::<RunOuts>(key).copied().unwrap_or(RunOut {
        expired: 0,
        given_back: 0,
    });
    let plus = |one: i64, other: i64| one.checked_add(other).ok_or(LedgerError::Overflow);
    let after = RunOut {
        expired: plus(before.expired, expired)?,
        given_back: plus(before.given_back, given_back)?,
    };
    if after.given_back < 0 || after.given_back > after.expired {
        return Err(LedgerError::LotsShort);
    }
    set.put::<RunOuts>(key, after);
    Ok(())
}

/// How points leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) amount: i64,
    /// The lot that the transfer names.
    pub(super) named: Option<BusinessDay>,
    /// The day by which lots are judged.
    pub(super) since: BusinessDay,
    /// The day of the transfer.
    pub(super) today: BusinessDay,
    /// Out of the named lot alone, because that is over.
    pub(super) expires: bool,
}

/// Adds to the lot of the last day, today.
pub(super) fn grant(
    set: &mut WorkingSet,
    tenant: TenantId,
    account: AccountId,
    (lot, today): (Option<BusinessDay>, BusinessDay),
    amount: i64,
) -> Result<(), LedgerError> {
    let on = lot.unwrap_or(BusinessDay::NEVER);
    change_lot(set, tenant, (account, on), (amount, amount, 0))?;
    if let Some(change) = set.get::<Lots>((account, on)).copied() {
        let granted_on = Some(today);
        set.put::<Lots>(
            (account, on),
            LotChange {
                granted_on,
                ..change
            },
        );
    }
    // Whoever spends in the same batch finds them.
    if set.has_loaded::<LotsOf>(account) {
        let mut lots = set.get::<LotsOf>(account).cloned().unwrap_or_default();
        let left = lots.entry(on).or_default();
        *left = left.checked_add(amount).ok_or(LedgerError::Overflow)?;
        set.put::<LotsOf>(account, lots);
    }
    Ok(())
}

/// Takes points out of lots, in the order that the module states.
///
/// Whoever only takes out of what the same entry has just granted need not have loaded the lots: a payment that repays a debt is the case, for whether there is one may
/// turn out in the batch itself, after everything was loaded.
pub(super) fn spend(
    set: &mut WorkingSet,
    tenant: TenantId,
    account: AccountId,
    leaving: Leaving,
) -> Result<(), LedgerError> {
    if let Some(on) = leaving.named
        && on > leaving.since
        && !set.has_loaded::<LotsOf>(account)
        && set
            .written::<Lots>((account, on))
            .is_some_and(|lot| lot.remaining >= leaving.amount)
    {
        let less = leaving.amount.checked_neg().ok_or(LedgerError::Overflow)?;
        return change_lot(set, tenant, (account, on), (0, less, 0));
    }
    let mut lots = set.get::<LotsOf>(account).cloned().unwrap_or_default();
    for (on, taken) in take(&mut lots, leaving)? {
        let less = taken.checked_neg().ok_or(LedgerError::Overflow)?;
        let expired = if leaving.expires { taken } else { 0 };
        change_lot(set, tenant, (account, on), (0, less, expired))?;
        // Whoever counts it as given back in the same batch finds it.
        if expired > 0 && set.has_loaded::<RunOuts>((account, on)) {
            change_run_out(set, (account, on), expired, 0)?;
        }
    }
    set.put::<LotsOf>(account, lots);
    Ok(())
}

/// Takes from `lots`: how much of which, in order. Refused when those that may be touched hold less.
pub(super) fn take(
    lots: &mut BTreeMap<BusinessDay, i64>,
    leaving: Leaving,
) -> Result<Vec<(BusinessDay, i64)>, LedgerError> {
    let Leaving {
        named,
        since,
        today,
        expires,
        ..
    } = leaving;
    let order: Vec<BusinessDay> = if expires {
        named.into_iter().filter(|on| *on <= today).collect()
    } else {
        let live = || lots.keys().copied().filter(|on| *on > since);
        let only_for_holds = live().filter(|on| *on <= today);
        let named = named.into_iter().filter(|on| *on > since);
        only_for_holds.chain(named).chain(live()).collect()
    };
    let mut due = leaving.amount;
    let mut taken = Vec::new();
    for on in order {
        let Some(left) = lots.get_mut(&on).filter(|left| **left > 0) else {
            continue;
        };
        let part = due.min(*left);
        if part == 0 {
            break;
        }
        *left = left.checked_sub(part).ok_or(LedgerError::Overflow)?;
        due = due.checked_sub(part).ok_or(LedgerError::Overflow)?;
        taken.push((on, part));
    }
    if due > 0 {
        return Err(LedgerError::LotsShort);
    }
    Ok(taken)
}

fn change_lot(
    set: &mut WorkingSet,
    tenant: TenantId,
    key: (AccountId, BusinessDay),
    (granted, remaining, expired): (i64, i64, i64),
) -> Result<(), LedgerError> {
    let before = set.get::<Lots>(key).copied().unwrap_or(LotChange {
        tenant,
        granted: 0,
        remaining: 0,
        expired: 0,
        granted_on: None,
    });
    let plus = |one: i64, other: i64| one.checked_add(other).ok_or(LedgerError::Overflow);
    let after = LotChange {
        granted: plus(before.granted, granted)?,
        remaining: plus(before.remaining, remaining)?,
        expired: plus(before.expired, expired)?,
        ..before
    };
    set.put::<Lots>(key, after);
    Ok(())
}

fn sum(mut parts: impl Iterator<Item = i64>) -> Result<i64, LedgerError> {
    parts
        .try_fold(0_i64, i64::checked_add)
        .ok_or(LedgerError::Overflow)
}
