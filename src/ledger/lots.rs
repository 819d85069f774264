//! Lots and holds: which points can be spent, and in which order they leave.
//!
//! A lot is *expired* on a day (UTC+8) when its `expired_from` is that day or an earlier one. Three
//! rules follow; `verify` replays them from the transfers alone:
//!
//! - **Points spent at once** ([`Phase::Posted`](super::Phase::Posted)) are taken on the day of the
//!   transfer, from lots that have not expired on that day.
//! - **Held points** ([`Phase::Pending`](super::Phase::Pending)) stay spendable until the hold
//!   ends: when it is posted, a lot counts as expired by the day of the *pending* transfer. If only
//!   a part is spent, the pending transfer is voided and the part is a posted transfer of the next
//!   version of the account ([`Draft::out_of`](super::Draft::out_of)), for which the day of the
//!   pending transfer counts too. The rest is free again, or has expired.
//! - **Expiring points** (the credit account is
//!   [`AccountKind::PointsExpired`](super::AccountKind::PointsExpired)) are taken only
//!   from the lot that the transfer names, which must have expired on the day of the transfer.
//!
//! # What is free
//!
//! Let `live(d)` be the points in lots that have not expired on day d, and `held(d)` those that
//! were held on d or later and are not resolved (`points_holds` keeps them by day). The points that
//! are free on day t ([`PointHoldings::free`]) are
//!
//! ```text
//! free(t) = the least of live(d) - held(d), over d = t and over every day on which something was held
//! ```
//!
//! This is the most that can leave while every hold can still be posted: a hold may use the lots
//! that had not expired when it was made, so the holds of day d and later share the lots that end
//! after d, and nothing else limits them. A hold that is covered by points that have expired for
//! everything else therefore does not lock other points. *Available* means this number everywhere:
//! spending, holding, clawback and repayment are decided by it, and people and back ends are shown
//! it.
//!
//! # The order in which points leave
//!
//! Let *since* be the day by which lots are judged (the day of the transfer, or of the pending one
//! that it resolves) and *today* the day of the transfer. Points leave
//!
//! 1. lots with since < `expired_from` ≤ today, the earliest first: only held points can still use
//!    them (there are none for points spent at once);
//! 2. the lot that the transfer names (`transfers.lot`), if since < `expired_from`;
//! 3. the other lots with since < `expired_from`, the earliest first.
//!
//! # What expired
//!
//! A lot's row counts the points that expired, and how many of these refunds have counted as given
//! back ([`expired_in_lot`], [`count_as_given_back`]). So a refund does not claw back points that
//! have expired, and no two refunds count the same points.
//!
//! # Why a hold can always be posted
//!
//! It can be posted because `held(d) ≤ live(d)` for every day d: then the lots that a hold may use
//! contain what it needs. This is true of an empty account, and every change preserves it:
//!
//! - **spending** on day t takes at most free(t), from lots that end after t, so no `live(d)` loses
//!   more than that. A **repayment** is spending. It takes only free points, or points that the
//!   same operation has just granted, which no hold relies on;
//! - **holding** on day t takes at most free(t), so no `held(d)` gains more. A refund that credits
//!   a shortfall first adds as much to `live(d)` for every d, since these points never expire;
//! - **voiding** only lowers `held`;
//! - **posting** a hold of day s lowers `held(d)` and `live(d)` by the same amount for d ≤ s. For a
//!   later d it takes from lots that end after d only when those that end after s and by d are
//!   empty (step 1 of the order above). Then `live(d)` equals `live(s)`, which covers `held(s)` and
//!   hence `held(d)`. For d ≥ today, all lots of step 1 are empty by then, whichever lot is named.
//!   Spending a part after voiding the whole is posting the part and voiding the rest;
//! - **expiry** leaves in the expired lots as many points as holds can use together, in the
//!   youngest lots ([`PointHoldings::expirable`]). No hold needs the points that it takes: every
//!   hold is covered by what is there, and the most that expired lots can contribute is kept, so
//!   each point taken can be exchanged for one that is kept or one in a live lot. For this reason
//!   expiry does not change free(t).
//!
//! Only incoming points and released holds raise free(t); debts rely on it (`debt.rs`). Posting
//! lowers no `held(d)` by more than `live(d)`. The end of a hold, and the passing of a day on which
//! nothing was held, remove a day d from the minimum, which does not raise it: the difference at
//! the next day is at most that at d.

use std::collections::BTreeMap;

use super::{
    Holds, LedgerError, Lots, LotsOf,
    store::{HeldDays, LotChange, LotExpiries, LotExpiry},
};
use crate::{
    db::{Wanted, WorkingSet},
    primitives::{AccountId, BusinessDay, Points, TenantId},
};

/// The points of an account: lots by the first day on which they can no longer be used, and held
/// points by the day on which they were held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PointHoldings {
    pub lots: BTreeMap<BusinessDay, i64>,
    pub holds: BTreeMap<BusinessDay, i64>,
}

impl PointHoldings {
    /// Returns the holdings as they stand in this batch. Only after
    /// [`want_spending`](super::want_spending).
    pub fn of(set: &WorkingSet, account: AccountId) -> Self {
        Self {
            lots: set.get::<LotsOf>(account).cloned().unwrap_or_default(),
            holds: set
                .get::<Holds>(account)
                .map(|holds| holds.by_day.clone())
                .unwrap_or_default(),
        }
    }

    /// Returns the sum of the lots, expired or not.
    pub fn posted(&self) -> Result<i64, LedgerError> {
        sum(self.lots.values().copied())
    }

    /// Returns the sum of the holds.
    pub fn held(&self) -> Result<i64, LedgerError> {
        sum(self.holds.values().copied())
    }

    /// Returns the points that are free on `today`, as the module docs define. Negative only where
    /// the invariants are broken.
    pub fn free(&self, today: BusinessDay) -> Result<i64, LedgerError> {
        let mut least = self.spare(today)?;
        for day in self.holds.keys() {
            least = least.min(self.spare(*day)?);
        }
        Ok(least)
    }

    /// Returns `live(day) - held(day)`.
    pub fn spare(&self, day: BusinessDay) -> Result<i64, LedgerError> {
        let live = self.lots.iter().rev().take_while(|(on, _)| **on > day);
        let held = self.holds.range(day..);
        let (live, held) = (
            sum(live.map(|(_, left)| *left))?,
            sum(held.map(|(_, points)| *points))?,
        );
        live.checked_sub(held).ok_or(LedgerError::Overflow)
    }

    /// Returns the points that may expire on `today`, by lot, the earliest first: all points of
    /// expired lots except those that holds can use, which stay in the youngest.
    pub fn expirable(&self, today: BusinessDay) -> Result<Vec<(BusinessDay, i64)>, LedgerError> {
        let mut going = Vec::new();
        // What holds can still use of the lots seen so far and of older ones.
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

/// Returns the points that can be held or spent on `day` ([`PointHoldings::free`]). Only after
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

/// Fails if `amount` is more than can be spent on `day`.
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

/// Returns the points that may expire on `today` ([`PointHoldings::expirable`]), by lot, the
/// earliest first, of at most `lots_max` lots. Only after [`want_spending`](super::want_spending).
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

/// Adds points to those held on `day`. Only after [`want_spending`](super::want_spending).
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

/// Removes points from those held on `day`. Only after [`want_spending`](super::want_spending).
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

/// Asks for the row that [`expired_in_lot`] and [`count_as_given_back`] read.
pub fn want_lot_expiry(want: &mut Wanted, account: AccountId, lot: BusinessDay) {
    want.row::<LotExpiries>((account, lot));
}

/// Returns the points that expired in a lot and are not yet counted as given back. Only after
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

/// Counts expired points of a lot as given back, or with `undo` no longer so. Concurrent calls
/// conflict at the lot's row, and one of them runs again.
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

/// A withdrawal of points from the lots.
#[derive(Debug, Clone, Copy)]
pub(super) struct LotWithdrawal {
    pub(super) amount: i64,
    /// The lot that the transfer names.
    pub(super) named: Option<BusinessDay>,
    /// The day by which a lot counts as expired.
    pub(super) since: BusinessDay,
    /// The day of the transfer.
    pub(super) today: BusinessDay,
    /// If set, only the named lot may be used.
    pub(super) only: Option<LotRestriction>,
}

/// The reason why only the named lot may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LotRestriction {
    /// The lot has expired and its points expire.
    Expiring,
    /// The points have just been granted there.
    Granted,
}

/// Adds points to a lot, on the day `today`; without a lot, to those that never expire.
pub(super) fn grant(
    set: &mut WorkingSet,
    tenant: TenantId,
    account: AccountId,
    (lot, today): (Option<BusinessDay>, BusinessDay),
    amount: i64,
) -> Result<(), LedgerError> {
    let on = lot.unwrap_or(BusinessDay::NEVER);
    let granted = LotDelta {
        granted: amount,
        remaining: amount,
        expired: 0,
    };
    change_lot(set, tenant, (account, on), granted)?;
    if let Some(change) = set.written::<Lots>((account, on)).copied() {
        let granted_on = Some(today);
        set.put::<Lots>(
            (account, on),
            LotChange {
                granted_on,
                ..change
            },
        );
    }
    // Later operations of the batch may spend them.
    if set.has_loaded::<LotsOf>(account) {
        let mut lots = set.get::<LotsOf>(account).cloned().unwrap_or_default();
        let left = lots.entry(on).or_default();
        *left = left.checked_add(amount).ok_or(LedgerError::Overflow)?;
        set.show::<LotsOf>(account, lots);
    }
    Ok(())
}

/// Takes points out of lots, in the order that the module docs define.
///
/// The lots need not be loaded if the points were granted by the same operation. This is the case
/// when a payment repays a debt, which may arise in the batch after the rows were loaded.
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
        let spent = LotDelta {
            remaining: less,
            ..LotDelta::default()
        };
        return change_lot(set, tenant, (account, on), spent);
    }
    let mut lots = set.get::<LotsOf>(account).cloned().unwrap_or_default();
    for (on, taken) in take(&mut lots, leaving)? {
        let less = taken.checked_neg().ok_or(LedgerError::Overflow)?;
        let runs_out = leaving.only == Some(LotRestriction::Expiring);
        let expired = if runs_out { taken } else { 0 };
        let left = LotDelta {
            granted: 0,
            remaining: less,
            expired,
        };
        change_lot(set, tenant, (account, on), left)?;
        // Later operations of the batch may count it as given back.
        if expired > 0 && set.has_loaded::<LotExpiries>((account, on)) {
            change_lot_expiry(set, (account, on), expired, 0)?;
        }
    }
    set.show::<LotsOf>(account, lots);
    Ok(())
}

/// Takes points from `lots`, and returns how many of which lot, in order. Fails if the lots that
/// may be used hold less.
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

/// By how much a lot changes.
#[derive(Debug, Clone, Copy, Default)]
struct LotDelta {
    granted: i64,
    remaining: i64,
    expired: i64,
}

fn change_lot(
    set: &mut WorkingSet,
    tenant: TenantId,
    key: (AccountId, BusinessDay),
    by: LotDelta,
) -> Result<(), LedgerError> {
    let before = set.written::<Lots>(key).copied().unwrap_or(LotChange {
        tenant,
        granted: 0,
        remaining: 0,
        expired: 0,
        granted_on: None,
    });
    let plus = |one: i64, other: i64| one.checked_add(other).ok_or(LedgerError::Overflow);
    let after = LotChange {
        granted: plus(before.granted, by.granted)?,
        remaining: plus(before.remaining, by.remaining)?,
        expired: plus(before.expired, by.expired)?,
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
