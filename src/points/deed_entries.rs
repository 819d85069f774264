//! What deeds write into the books, and what they tell. Called inside `decide`; pure.

use std::collections::BTreeMap;

use super::{
    Deed, DeedError, DeedKind, PointsMove,
    deed_store::{DeedLots, FromLot},
};
use crate::{
    db::{Cx, WorkingSet},
    ledger::{self, Account, Accounts, Draft, LedgerError, LotsOf, PointHoldings, Resolution},
    outbox::{self, Event},
    primitives::{AccountId, AccountKind, BusinessDay, EntryId, EntryKind, Points, TransferId},
};

/// The customer's points as they stand in this batch.
fn account(set: &WorkingSet, deed: &Deed) -> Account {
    let id = AccountId::customer_points(deed.customer);
    let row = set.get::<Accounts>(id).copied();
    row.unwrap_or(Account::empty(deed.tenant))
}

fn of_tenant(deed: &Deed, kind: AccountKind) -> AccountId {
    AccountId::of_tenant(deed.tenant, kind)
}

/// What can be spent on this day. Nothing when the rows say what cannot be: the ledger has the last word.
fn spendable(set: &WorkingSet, deed: &Deed, today: BusinessDay) -> Points {
    let account = AccountId::customer_points(deed.customer);
    ledger::spendable(set, account, today).unwrap_or(Points::ZERO)
}

/// Refuses what is more than can be spent.
pub(super) fn afford(set: &WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    if deed.points > spendable(set, deed, cx.now().business_day()) {
        return Err(insufficient(set, cx, deed));
    }
    Ok(())
}

/// Says what can be spent, which is less than was asked for. An account that does not agree with
/// its lots and holds is a broken book, and tells nobody what it has.
fn insufficient(set: &WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> DeedError {
    let stock = PointHoldings::of(set, AccountId::customer_points(deed.customer));
    let account = account(set, deed);
    if stock.posted() != Ok(account.posted()) || stock.held() != Ok(account.debits_pending) {
        cx.inconsistent("a customer's points are not those of their lots and holds");
    }
    let available = spendable(set, deed, cx.now().business_day());
    DeedError::Insufficient { available }
}

/// Dr points issued / Cr customer points, into the lot of their day; and what of them repays a debt, Dr customer points / Cr customer debt.
pub(super) fn award(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    let mut drafts = vec![issued(deed)];
    drafts.extend(repayment(set, cx, deed)?);
    post(set, cx, deed, EntryKind::PointsAwarded, &drafts)?;
    moved(cx, deed, PointsMove::Awarded, deed.points);
    Ok(())
}

/// The same, pending: nobody has decided yet, so it repays nothing.
pub(super) fn award_later(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
) -> Result<(), DeedError> {
    let draft = issued(deed).pending();
    post(set, cx, deed, EntryKind::PointsAwarded, &[draft])?;
    moved(cx, deed, PointsMove::Held, deed.points);
    Ok(())
}

fn issued(deed: &Deed) -> Draft {
    let draft = Draft::posted(
        of_tenant(deed, AccountKind::PointsIssued),
        AccountId::customer_points(deed.customer),
        deed.points.get(),
    );
    draft.expiring(deed.expires_on.unwrap_or(BusinessDay::NEVER))
}

/// What of awarded points repays what their owner owes.
fn repayment(set: &WorkingSet, cx: &Cx<'_>, deed: &Deed) -> Result<Option<Draft>, LedgerError> {
    let lot = deed.expires_on.unwrap_or(BusinessDay::NEVER);
    let today = cx.now().business_day();
    ledger::repayment_out_of_grant(set, deed.customer, (deed.points, lot), today)
}

/// Points that were held are free again: they repay what their owner owes, by an entry of its own.
fn repay(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    let draft = ledger::repayment(set, deed.customer, cx.now().business_day())?;
    match draft {
        Some(draft) => post(set, cx, deed, EntryKind::DebtRepaid, &[draft]),
        None => Ok(()),
    }
}

/// A review lets an award in: the pending entry is posted, and repays a debt by an entry of its own.
pub(super) fn award_at_last(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
) -> Result<(), DeedError> {
    let repay = repayment(set, cx, deed)?;
    resolve(set, cx, deed, Resolution::Post)?;
    if let Some(draft) = repay {
        post(set, cx, deed, EntryKind::DebtRepaid, &[draft])?;
    }
    moved(cx, deed, PointsMove::Awarded, deed.points);
    Ok(())
}

/// Dr customer points / Cr points redeemed.
fn taken(deed: &Deed, points: Points) -> Draft {
    Draft::posted(
        AccountId::customer_points(deed.customer),
        of_tenant(deed, AccountKind::PointsRedeemed),
        points.get(),
    )
}

pub(super) fn deduct(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    let draft = taken(deed, deed.points);
    let before = lots_of(set, deed);
    post(set, cx, deed, EntryKind::PointsDeducted, &[draft])?;
    note_lots(set, deed, &before);
    moved(cx, deed, PointsMove::Deducted, deed.points);
    Ok(())
}

/// Points are spent that were not set aside by an entry that is still pending.
pub(super) fn redeem(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    spent(set, cx, deed, taken(deed, deed.captured))
}

fn spent(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
    draft: Draft,
) -> Result<(), DeedError> {
    let before = lots_of(set, deed);
    post(set, cx, deed, EntryKind::PointsCaptured, &[draft])?;
    note_lots(set, deed, &before);
    moved(cx, deed, PointsMove::Redeemed, deed.captured);
    Ok(())
}

/// Points are set aside.
pub(super) fn reserve(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    let draft = taken(deed, deed.points).pending();
    post(set, cx, deed, EntryKind::PointsReserved, &[draft])
}

/// What was set aside is spent: all of it by posting the entry, a part by an entry of its own after the whole was let go, in one commit. That entry too
/// may use what the hold protected; what is left over is free, and repays a debt.
pub(super) fn capture(set: &mut WorkingSet, cx: &mut Cx<'_>, deed: &Deed) -> Result<(), DeedError> {
    if deed.captured < deed.points {
        resolve(set, cx, deed, Resolution::Void)?;
        let hold = TransferId {
            entry: deed.pending_entry(),
            leg: 0,
        };
        spent(set, cx, deed, taken(deed, deed.captured).out_of(hold))?;
        return repay(set, cx, deed);
    }
    let before = lots_of(set, deed);
    resolve(set, cx, deed, Resolution::Post)?;
    note_lots(set, deed, &before);
    moved(cx, deed, PointsMove::Redeemed, deed.captured);
    Ok(())
}

fn lots_of(set: &WorkingSet, deed: &Deed) -> BTreeMap<BusinessDay, i64> {
    let lots = set.get::<LotsOf>(AccountId::customer_points(deed.customer));
    lots.cloned().unwrap_or_default()
}

/// Keeps with the deed of which lots it has just taken its points, so that they can go back there.
fn note_lots(set: &mut WorkingSet, deed: &Deed, before: &BTreeMap<BusinessDay, i64>) {
    let after = lots_of(set, deed);
    let left = |day: &BusinessDay| after.get(day).copied().unwrap_or(0);
    let taken = before
        .iter()
        .map(|(day, points)| (*day, points.saturating_sub(left(day))))
        .filter(|(_, taken)| *taken > 0);
    let lot = |taken| FromLot {
        tenant: deed.tenant,
        taken,
        returned: 0,
    };
    let taken = taken.map(|(day, taken)| (day, lot(taken))).collect();
    set.put::<DeedLots>(deed.id, taken);
}

/// Points go back into the lots from which they came, one leg each: Dr points redeemed / Cr customer points. What is free then repays a debt: Dr customer points / Cr customer debt,
/// out of these lots as far as their day has not come, and out of whatever an older hold leaves free that can do with the others.
pub(super) fn give_back(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
    lots: &[(BusinessDay, Points)],
) -> Result<(), DeedError> {
    let theirs = AccountId::customer_points(deed.customer);
    let redeemed = of_tenant(deed, AccountKind::PointsRedeemed);
    let credit = |(on, points): &(BusinessDay, Points)| {
        Draft::posted(redeemed, theirs, points.get()).expiring(*on)
    };
    let mut drafts: Vec<Draft> = lots.iter().map(credit).collect();
    drafts.extend(repaid_by_return(set, cx, deed, lots)?);
    post(set, cx, deed, EntryKind::PointsReturned, &drafts)?;
    moved(cx, deed, PointsMove::Returned, deed.points);
    Ok(())
}

/// What of returned points repays a debt, lot by lot.
fn repaid_by_return(
    set: &WorkingSet,
    cx: &Cx<'_>,
    deed: &Deed,
    lots: &[(BusinessDay, Points)],
) -> Result<Vec<Draft>, LedgerError> {
    let theirs = AccountId::customer_points(deed.customer);
    let debt = AccountId::customer_debt(deed.customer);
    let today = cx.now().business_day();
    let mut stock = PointHoldings::of(set, theirs);
    for (on, points) in lots {
        let left = stock.lots.entry(*on).or_default();
        *left = left
            .checked_add(points.get())
            .ok_or(LedgerError::Overflow)?;
    }
    let mut owed = account(set, deed).debt.get().min(stock.free(today)?);
    let live = lots.iter().filter(|(on, _)| *on > today);
    let named = live.map(|(on, points)| (points.get(), Some(*on)));
    let mut drafts = Vec::new();
    for (points, lot) in named.chain([(i64::MAX, None)]) {
        let repaid = owed.min(points);
        if repaid > 0 {
            owed = owed.checked_sub(repaid).ok_or(LedgerError::Overflow)?;
            drafts.push(Draft::posted(theirs, debt, repaid).from_lot(lot));
        }
    }
    Ok(drafts)
}

/// What was pending will not be: what was set aside is free, and repays a debt.
pub(super) fn drop_pending(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
) -> Result<(), DeedError> {
    resolve(set, cx, deed, Resolution::Void)?;
    match deed.kind {
        // Awarded points that are let go never were there.
        DeedKind::Award => Ok(()),
        DeedKind::Deduct | DeedKind::Redeem | DeedKind::Return => repay(set, cx, deed),
    }
}

fn post(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
    kind: EntryKind,
    drafts: &[Draft],
) -> Result<(), DeedError> {
    let entry = EntryId::of(deed.id.id(), kind);
    let posted = ledger::post(set, deed.tenant, entry, drafts, cx.now());
    posted.map_err(|error| refusal(set, cx, deed, error))?;
    let tenant = deed.tenant;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

fn resolve(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    deed: &Deed,
    way: Resolution,
) -> Result<(), DeedError> {
    let pending = deed.pending_entry();
    let resolved = ledger::resolve(set, pending, 1, way, None, cx.now());
    resolved.map_err(|error| refusal(set, cx, deed, error))?;
    let (entry, tenant) = (pending.resolution(), deed.tenant);
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

/// The ledger has the last word on what is there. That a deed is held and its entry resolved, or not there, is what no commit ever wrote.
fn refusal(set: &WorkingSet, cx: &mut Cx<'_>, deed: &Deed, error: LedgerError) -> DeedError {
    match error {
        LedgerError::Insufficient | LedgerError::LotsShort => insufficient(set, cx, deed),
        LedgerError::AlreadyPosted | LedgerError::NotPending | LedgerError::NothingPending => {
            let inconsistent = cx.inconsistent("a deed's entry is not as the deed says");
            DeedError::Ledger(inconsistent.into())
        }
        LedgerError::SameAccount
        | LedgerError::MixedAssets
        | LedgerError::NothingToMove
        | LedgerError::TwoConstrainedAccounts
        | LedgerError::UnknownAccountKind
        | LedgerError::BelowZero
        | LedgerError::NothingOwed
        | LedgerError::Overflow
        | LedgerError::Inconsistent(_) => DeedError::Ledger(error),
    }
}

pub(super) fn moved(cx: &mut Cx<'_>, deed: &Deed, what: PointsMove, points: Points) {
    let event = Event::PointsMoved {
        tenant: deed.tenant,
        merchant: deed.merchant,
        what: what.code(),
        source: deed.source.as_str().to_owned(),
        rule_version: 0,
        points,
        at: cx.now(),
    };
    outbox::tell(cx, &event);
}
