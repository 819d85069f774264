//! Lots: which points leave first, which may leave at all, and what is free.
//!
//! A lot is *expired* on a day (UTC+8) when its `expired_from` is that day or an earlier one. Three
//! rules follow, and `verify` may replay them from the transfers alone:
//!
//! - **What is spent at once** ([`Phase::Posted`](super::Phase::Posted)) is taken on the day of its
//!   transfer, from lots that have not expired on that day.
//! - **What is held** ([`Phase::Pending`](super::Phase::Pending)) stays spendable until its hold
//!   ends: when it is posted, a lot counts as expired by the day of the *pending* transfer. When
//!   only a part of it is spent, the pending transfer is voided and the part is a posted transfer
//!   of the next version of the account ([`Draft::out_of`](super::Draft::out_of)): it too is judged
//!   by the day of the pending one. What is left is free again, or has expired.
//! - **What expires** (its credit account is
//!   [`AccountKind::PointsExpired`](crate::primitives::AccountKind::PointsExpired)) is taken from
//!   the lot that the transfer names and from no other; that lot has expired on the day of the
//!   transfer.
//!
//! # What is free
//!
//! With `live(d)` what is in lots that have not expired on day d, and `held(d)` what was held on d
//! or later and is not resolved (`point_holds` keeps it by day), free on day t are
//!
//! ```text
//! free(t) = the least of live(d) - held(d), over d = t and over every day on which something was held
//! ```
//!
//! points ([`PointHoldings::free`]). It is the most that can leave so that every hold can still be
//! posted: a hold may use the lots that had not expired when it was held, so those of day d and
//! later share what is in lots that end after d, and nothing else bounds them. A hold that can be
//! covered by points that have expired for everybody else therefore does not lock those that are
//! not. This is the one meaning of *available*: what is spent, held, taken back and repaid is
//! decided by it, and it is what people and back ends are shown.
//!
//! # The order in which points leave
//!
//! With *since* the day by which lots are judged (the transfer's own, or the pending one's) and
//! *today* the transfer's own:
//!
//! 1. lots with since < `expired_from` ≤ today, the earliest first: only what was held can still
//!    use them. (Empty for what is spent at once.)
//! 2. the lot that the transfer names (`transfers.lot`), if since < `expired_from`;
//! 3. the other lots with since < `expired_from`, the earliest first.
//!
//! # What expired
//!
//! A lot's row counts what expired of it, and how much of that refunds have counted as given back
//! ([`expired_in_lot`], [`count_as_given_back`]): a refund does not claim points a second time that
//! expired before, and no two refunds count the same ones.
//!
//! # Why a hold can always be posted
//!
//! Because `held(d) ≤ live(d)` for every day d; then what a hold may use holds as much as it needs.
//! It is true of an empty account, and stays true:
//!
//! - **spending** on day t takes at most free(t), from lots that end after t: no `live(d)` loses
//!   more. A **repayment** is spending, and nothing but free points repays, or points that the same
//!   operation has just granted, so that no `live(d)` is less than it was before (a credit that no
//!   hold knows of takes nothing from any);
//! - **holding** on day t takes at most free(t) too: no `held(d)` gains more. A refund that credits
//!   what is missing adds as much to `live(d)` for every d (these points last for ever) before it
//!   asks;
//! - **voiding** lowers `held`, and only that;
//! - **posting** a hold of day s lowers `held(d)` and `live(d)` alike for d ≤ s. For a later d it
//!   takes from lots that end after d only when those that end after s and by d are empty (1); then
//!   `live(d)` is what `live(s)` is, and that is enough for `held(s)`, hence for `held(d)`. For d ≥
//!   today, all of (1) is empty by then, whichever lot is named. Spending a part after voiding the
//!   whole is posting the part and voiding the rest;
//! - **expiry** leaves of the lots that have expired as many points as holds can use at once, the
//!   youngest first ([`PointHoldings::expirable`]). What they cannot use together with these, no hold
//!   needs (every hold is covered by what is there, and the most that lots which have expired can
//!   give is kept; so, exchanging one by one, they are covered by what is kept and by lots that
//!   have not). For the same reason expiry leaves free(t) as it was.
//!
//! Nothing raises free(t) but points that come in, into whichever lot, and holds that are released;
//! debts rely on it (`debt.rs`). Posting lowers no `held(d)` by more than `live(d)`. That a hold
//! ends, and that a day passes on which nothing was held, takes a day out of those that are looked
//! at; but what that day would spare, the next one spares at most.

use std::collections::BTreeMap;

use super::{
    Holds, LedgerError, Lots, LotsOf,
    store::{HeldDays, LotChange, LotExpiries, LotExpiry},
};
use crate::{
    db::{Wanted, WorkingSet},
    primitives::{AccountId, BusinessDay, Points, TenantId},
};

/// What an account has: points by the first day on which they can no longer be used, and what is
/// held by the day since which it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PointHoldings {
    pub lots: BTreeMap<BusinessDay, i64>,
    pub holds: BTreeMap<BusinessDay, i64>,
}

impl PointHoldings {
    /// As it stands in this batch. Only after [`want_spending`](super::want_spending).
    pub fn of(set: &WorkingSet, account: AccountId) -> Self {
        Self {
            lots: set.get::<LotsOf>(account).cloned().unwrap_or_default(),
            holds: set
                .get::<Holds>(account)
                .map(|holds| holds.by_day.clone())
                .unwrap_or_default(),
        }
    }

    /// All that is there, expired or not.
    pub fn posted(&self) -> Result<i64, LedgerError> {
        sum(self.lots.values().copied())
    }

    /// All that is held.
    pub fn held(&self) -> Result<i64, LedgerError> {
        sum(self.holds.values().copied())
    }

    /// What can leave on `today`: see the module. Less than nothing only where the invariants are
    /// broken.
    pub fn free(&self, today: BusinessDay) -> Result<i64, LedgerError> {
        let mut least = self.spare(today)?;
        for day in self.holds.keys() {
            least = least.min(self.spare(*day)?);
        }
        Ok(least)
    }

    /// What lots that have not expired on `day` have beyond what was held on it or later.
    pub fn spare(&self, day: BusinessDay) -> Result<i64, LedgerError> {
        let live = self.lots.iter().rev().take_while(|(on, _)| **on > day);
        let held = self.holds.range(day..);
        let (live, held) = (
            sum(live.map(|(_, left)| *left))?,
            sum(held.map(|(_, points)| *points))?,
        );
        live.checked_sub(held).ok_or(LedgerError::Overflow)
    }

    /// What may expire on `today`, by lot, the earliest first: of the lots that have expired all
    /// but what holds can use, which stays in the youngest of them.
    pub fn expirable(&self, today: BusinessDay) -> Result<Vec<(BusinessDay, i64)>, LedgerError> {
        let mut going = Vec::new();
        // What of the lots that were looked at, and of older ones, holds can use yet.
        let mut usable = i64::MAX;
        for (on, left) in self.lots.range(..=today).rev() {
            let older = self.holds.range(..*on).map(|(_, points)| *points);
            usable = usable.min(sum(older)?);
            let kept = usable.min(*left);
            usable = usable.checked_sub(kept).ok_or(LedgerError::Overflow)?;
            let goes = left.checked_sub(kept).ok_or(LedgerError::Overflow)?;
            if goes > 0 {
                going.push((*on, goes));
            }
        }
        going.reverse();
        Ok(going)
    }
}

/// Points that a customer can hold or spend on `day`: [`PointHoldings::free`]. Only after
/// [`want_spending`](super::want_spending).
///
/// Fails only for rows that break the invariants.
pub fn spendable(
    set: &WorkingSet,
    account: AccountId,
    day: BusinessDay,
) -> Result<Points, LedgerError> {
    let free = PointHoldings::of(set, account).free(day)?.max(0);
    Points::parse(free).map_err(|_| LedgerError::Overflow)
}

/// Refuses what is more than can be spent on `day`.
pub(super) fn check_free(
    set: &WorkingSet,
    account: AccountId,
    amount: i64,
    day: BusinessDay,
) -> Result<(), LedgerError> {
    if amount > PointHoldings::of(set, account).free(day)? {
        return Err(LedgerError::Insufficient);
    }
    Ok(())
}

/// Points of lots that have expired on `today`, by lot, the earliest first, at most `lots_max`
/// lots: [`PointHoldings::expirable`]. Only after [`want_spending`](super::want_spending).
pub fn expirable(
    set: &WorkingSet,
    account: AccountId,
    today: BusinessDay,
    lots_max: usize,
) -> Result<Vec<(BusinessDay, Points)>, LedgerError> {
    PointHoldings::of(set, account)
        .expirable(today)?
        .into_iter()
        .take(lots_max)
        .map(|(on, left)| Ok((on, Points::parse(left).map_err(|_| LedgerError::BelowZero)?)))
        .collect()
}

/// Holds points since `day`. Only after [`want_spending`](super::want_spending).
pub(super) fn hold(
    set: &mut WorkingSet,
    tenant: TenantId,
    account: AccountId,
    (day, amount): (BusinessDay, i64),
) -> Result<(), LedgerError> {
    let mut holds = set.get::<Holds>(account).cloned().unwrap_or(HeldDays {
        tenant,
        by_day: BTreeMap::new(),
    });
    let held = holds.by_day.entry(day).or_default();
    *held = held.checked_add(amount).ok_or(LedgerError::Overflow)?;
    set.put::<Holds>(account, holds);
    Ok(())
}

/// Releases points that are held since `day`. Only after [`want_spending`](super::want_spending).
pub(super) fn release_hold(
    set: &mut WorkingSet,
    account: AccountId,
    (day, amount): (BusinessDay, i64),
) -> Result<(), LedgerError> {
    let mut holds = set
        .get::<Holds>(account)
        .cloned()
        .ok_or(LedgerError::NothingPending)?;
    let held = holds.by_day.remove(&day).unwrap_or(0);
    let left = held.checked_sub(amount).ok_or(LedgerError::Overflow)?;
    if left < 0 {
        return Err(LedgerError::NothingPending);
    }
    if left > 0 {
        holds.by_day.insert(day, left);
    }
    set.put::<Holds>(account, holds);
    Ok(())
}

/// What [`expired_in_lot`] and [`count_as_given_back`] read.
pub fn want_lot_expiry(want: &mut Wanted, account: AccountId, lot: BusinessDay) {
    want.row::<LotExpiries>((account, lot));
}

/// Points that expired unspent in a lot and were not counted as given back yet. Only after
/// [`want_lot_expiry`].
///
/// Fails only for rows that break the invariants.
pub fn expired_in_lot(
    set: &WorkingSet,
    account: AccountId,
    lot: BusinessDay,
) -> Result<Points, LedgerError> {
    let row = set.get::<LotExpiries>((account, lot));
    let left = row.map_or(0, |row| row.expired.saturating_sub(row.given_back));
    Points::parse(left).map_err(|_| LedgerError::BelowZero)
}

/// Counts points that expired in a lot as given back; with `undo`, those that were counted so no
/// longer. Two who count at once meet at the lot's row: one of them runs again.
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
    change_lot_expiry(set, (account, lot), 0, counted)
}

fn change_lot_expiry(
    set: &mut WorkingSet,
    key: (AccountId, BusinessDay),
    expired: i64,
    given_back: i64,
) -> Result<(), LedgerError> {
    let before = set.get::<LotExpiries>(key).copied().unwrap_or(LotExpiry {
        expired: 0,
        given_back: 0,
    });
    let plus = |one: i64, other: i64| one.checked_add(other).ok_or(LedgerError::Overflow);
    let after = LotExpiry {
        expired: plus(before.expired, expired)?,
        given_back: plus(before.given_back, given_back)?,
    };
    if after.given_back < 0 || after.given_back > after.expired {
        return Err(LedgerError::LotsShort);
    }
    set.put::<LotExpiries>(key, after);
    Ok(())
}

/// How points leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct LotWithdrawal {
    pub(super) amount: i64,
    /// The lot that the transfer names.
    pub(super) named: Option<BusinessDay>,
    /// The day by which lots are judged.
    pub(super) since: BusinessDay,
    /// The day of the transfer.
    pub(super) today: BusinessDay,
    /// Out of the named lot alone.
    pub(super) only: Option<LotRestriction>,
}

/// Why points leave the named lot and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LotRestriction {
    /// It has expired.
    Expiring,
    /// They have just been granted there.
    Granted,
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
/// Whoever only takes out of what the same operation has just granted need not have loaded the
/// lots: a payment that repays a debt is the case, for whether there is one may turn out in the
/// batch itself, after everything was loaded.
pub(super) fn spend(
    set: &mut WorkingSet,
    tenant: TenantId,
    account: AccountId,
    leaving: LotWithdrawal,
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
        let runs_out = leaving.only == Some(LotRestriction::Expiring);
        let expired = if runs_out { taken } else { 0 };
        change_lot(set, tenant, (account, on), (0, less, expired))?;
        // Whoever counts it as given back in the same batch finds it.
        if expired > 0 && set.has_loaded::<LotExpiries>((account, on)) {
            change_lot_expiry(set, (account, on), expired, 0)?;
        }
    }
    set.put::<LotsOf>(account, lots);
    Ok(())
}

/// Takes from `lots`: how much of which, in order. Refused when those that may be touched hold
/// less.
pub(super) fn take(
    lots: &mut BTreeMap<BusinessDay, i64>,
    leaving: LotWithdrawal,
) -> Result<Vec<(BusinessDay, i64)>, LedgerError> {
    let LotWithdrawal {
        named,
        since,
        today,
        only,
        ..
    } = leaving;
    let order: Vec<BusinessDay> = if let Some(only) = only {
        let fits = |on: &BusinessDay| match only {
            LotRestriction::Expiring => *on <= today,
            LotRestriction::Granted => *on > since,
        };
        named.into_iter().filter(fits).collect()
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
