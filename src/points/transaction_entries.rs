//! The entries and events of points transactions. Called inside `decide`; pure.

use std::collections::BTreeMap;

use super::{
    PointsError, PointsMove, PointsTransaction, PointsTransactionKind,
    transaction_store::{FromLot, TransactionLots},
};
use crate::{
    db::{Cx, WorkingSet},
    ledger::{
        self, Account, AccountKind, Accounts, Draft, LedgerError, LotsOf, PointHoldings, Resolution,
    },
    outbox::{self, Event},
    primitives::{AccountId, BusinessDay, EntryId, EntryKind, Points, TransferId},
};

/// Returns the customer's points account as it stands in this batch.
fn account(set: &WorkingSet, transaction: &PointsTransaction) -> Account {
    let id = AccountId::customer_points(transaction.customer);
    let row = set.get::<Accounts>(id).copied();
    row.unwrap_or(Account::empty(transaction.tenant))
}

fn of_tenant(transaction: &PointsTransaction, kind: AccountKind) -> AccountId {
    AccountId::of_tenant(transaction.tenant, kind)
}

/// Returns the points that can be spent today, and zero where the rows contradict each other: the
/// ledger then refuses the entry.
fn spendable(set: &WorkingSet, transaction: &PointsTransaction, today: BusinessDay) -> Points {
    let account = AccountId::customer_points(transaction.customer);
    ledger::spendable(set, account, today).unwrap_or(Points::ZERO)
}

/// Fails if the points transaction needs more points than can be spent.
pub(super) fn check_available(
    set: &WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    if transaction.points > spendable(set, transaction, cx.now().business_day()) {
        return Err(insufficient(set, cx, transaction));
    }
    Ok(())
}

/// Returns the error for a lack of points. An account that does not agree with its lots and holds
/// is reported as inconsistent.
fn insufficient(set: &WorkingSet, cx: &mut Cx<'_>, transaction: &PointsTransaction) -> PointsError {
    let stock = PointHoldings::of(set, AccountId::customer_points(transaction.customer));
    let account = account(set, transaction);
    if stock.posted() != Ok(account.posted()) || stock.held() != Ok(account.debits_pending) {
        cx.inconsistent("a customer's points are not those of their lots and holds");
    }
    let available = spendable(set, transaction, cx.now().business_day());
    PointsError::Insufficient { available }
}

/// Dr points issued / Cr customer points, into the lot of their day; and what of them repays a
/// debt, Dr customer points / Cr customer debt.
pub(super) fn award(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let mut drafts = vec![issued(transaction)];
    drafts.extend(repayment(set, cx, transaction)?);
    post(set, cx, transaction, EntryKind::PointsAwarded, &drafts)?;
    moved(cx, transaction, PointsMove::Awarded, transaction.points);
    Ok(())
}

/// Books an award under review: pending, and it repays nothing yet.
pub(super) fn award_pending(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let draft = issued(transaction).pending();
    post(set, cx, transaction, EntryKind::PointsAwarded, &[draft])?;
    moved(cx, transaction, PointsMove::Held, transaction.points);
    Ok(())
}

fn issued(transaction: &PointsTransaction) -> Draft {
    let draft = Draft::posted(
        of_tenant(transaction, AccountKind::PointsIssued),
        AccountId::customer_points(transaction.customer),
        transaction.points.get(),
    );
    draft.expiring(transaction.expired_from.unwrap_or(BusinessDay::NEVER))
}

/// What of awarded points repays what their owner owes.
fn repayment(
    set: &WorkingSet,
    cx: &Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<Option<Draft>, LedgerError> {
    let lot = transaction.expired_from.unwrap_or(BusinessDay::NEVER);
    let today = cx.now().business_day();
    ledger::repayment_out_of_grant(set, transaction.customer, (transaction.points, lot), today)
}

/// Points that were held are free again: they repay what their owner owes, by an entry of its own.
fn repay(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let draft = ledger::repayment(set, transaction.customer, cx.now().business_day())?;
    match draft {
        Some(draft) => post(set, cx, transaction, EntryKind::DebtRepaid, &[draft]),
        None => Ok(()),
    }
}

/// A review has approved an award: the pending entry is posted, and repays a debt by an entry of
/// its own.
pub(super) fn award_after_review(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let repay = repayment(set, cx, transaction)?;
    resolve(set, cx, transaction, Resolution::Post)?;
    if let Some(draft) = repay {
        post(set, cx, transaction, EntryKind::DebtRepaid, &[draft])?;
    }
    moved(cx, transaction, PointsMove::Awarded, transaction.points);
    Ok(())
}

/// Dr customer points / Cr points redeemed.
fn taken(transaction: &PointsTransaction, points: Points) -> Draft {
    Draft::posted(
        AccountId::customer_points(transaction.customer),
        of_tenant(transaction, AccountKind::PointsRedeemed),
        points.get(),
    )
}

pub(super) fn deduct(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let draft = taken(transaction, transaction.points);
    let before = lots_of(set, transaction);
    post(set, cx, transaction, EntryKind::PointsDeducted, &[draft])?;
    note_lots(set, transaction, &before);
    moved(cx, transaction, PointsMove::Deducted, transaction.points);
    Ok(())
}

/// Points are spent that no pending entry holds (any more).
pub(super) fn redeem(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    spent(
        set,
        cx,
        transaction,
        taken(transaction, transaction.captured),
    )
}

fn spent(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    draft: Draft,
) -> Result<(), PointsError> {
    let before = lots_of(set, transaction);
    post(set, cx, transaction, EntryKind::PointsCaptured, &[draft])?;
    note_lots(set, transaction, &before);
    moved(cx, transaction, PointsMove::Redeemed, transaction.captured);
    Ok(())
}

/// Dr customer points / Cr points redeemed, pending.
pub(super) fn reserve(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    let draft = taken(transaction, transaction.points).pending();
    post(set, cx, transaction, EntryKind::PointsReserved, &[draft])
}

/// What was held is spent: all of it by posting the entry, a part by an entry of its own after the
/// whole was voided, in one commit. That entry too may use what the hold protected; what is left is
/// free, and repays a debt.
pub(super) fn capture(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    if transaction.captured < transaction.points {
        resolve(set, cx, transaction, Resolution::Void)?;
        let hold = TransferId {
            entry: transaction.pending_entry(),
            leg: 0,
        };
        spent(
            set,
            cx,
            transaction,
            taken(transaction, transaction.captured).out_of(hold),
        )?;
        return repay(set, cx, transaction);
    }
    let before = lots_of(set, transaction);
    resolve(set, cx, transaction, Resolution::Post)?;
    note_lots(set, transaction, &before);
    moved(cx, transaction, PointsMove::Redeemed, transaction.captured);
    Ok(())
}

fn lots_of(set: &WorkingSet, transaction: &PointsTransaction) -> BTreeMap<BusinessDay, i64> {
    let lots = set.get::<LotsOf>(AccountId::customer_points(transaction.customer));
    lots.cloned().unwrap_or_default()
}

/// Keeps with the points transaction of which lots it has just taken its points, so that they can
/// go back there.
fn note_lots(
    set: &mut WorkingSet,
    transaction: &PointsTransaction,
    before: &BTreeMap<BusinessDay, i64>,
) {
    let after = lots_of(set, transaction);
    let left = |day: &BusinessDay| after.get(day).copied().unwrap_or(0);
    let taken = before
        .iter()
        .map(|(day, points)| (*day, points.saturating_sub(left(day))))
        .filter(|(_, taken)| *taken > 0);
    let lot = |taken| FromLot {
        tenant: transaction.tenant,
        taken,
        returned: 0,
    };
    let taken = taken.map(|(day, taken)| (day, lot(taken))).collect();
    set.put::<TransactionLots>(transaction.id, taken);
}

/// Points go back into the lots from which they came, one leg each: Dr points redeemed / Cr
/// customer points. What is free then repays a debt: Dr customer points / Cr customer debt, out of
/// these lots as far as they have not expired, and out of whatever an older hold leaves free that
/// can do with the others.
pub(super) fn return_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    lots: &[(BusinessDay, Points)],
) -> Result<(), PointsError> {
    let theirs = AccountId::customer_points(transaction.customer);
    let redeemed = of_tenant(transaction, AccountKind::PointsRedeemed);
    let credit = |(on, points): &(BusinessDay, Points)| {
        Draft::posted(redeemed, theirs, points.get()).expiring(*on)
    };
    let mut drafts: Vec<Draft> = lots.iter().map(credit).collect();
    drafts.extend(repaid_by_return(set, cx, transaction, lots)?);
    post(set, cx, transaction, EntryKind::PointsReturned, &drafts)?;
    moved(cx, transaction, PointsMove::Returned, transaction.points);
    Ok(())
}

/// What of returned points repays a debt, lot by lot.
fn repaid_by_return(
    set: &WorkingSet,
    cx: &Cx<'_>,
    transaction: &PointsTransaction,
    lots: &[(BusinessDay, Points)],
) -> Result<Vec<Draft>, LedgerError> {
    let theirs = AccountId::customer_points(transaction.customer);
    let debt = AccountId::customer_debt(transaction.customer);
    let today = cx.now().business_day();
    let mut stock = PointHoldings::of(set, theirs);
    for (on, points) in lots {
        let left = stock.lots.entry(*on).or_default();
        *left = left
            .checked_add(points.get())
            .ok_or(LedgerError::Overflow)?;
    }
    let mut owed = account(set, transaction).debt.get().min(stock.free(today)?);
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

/// Voids the pending entry: what was held is free, and repays a debt.
pub(super) fn void_pending(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
) -> Result<(), PointsError> {
    resolve(set, cx, transaction, Resolution::Void)?;
    match transaction.kind {
        // Awarded points that are voided never were the customer's.
        PointsTransactionKind::Award => Ok(()),
        PointsTransactionKind::Deduct
        | PointsTransactionKind::Redeem
        | PointsTransactionKind::Return => repay(set, cx, transaction),
    }
}

fn post(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    kind: EntryKind,
    drafts: &[Draft],
) -> Result<(), PointsError> {
    let entry = EntryId::of(transaction.id.id(), kind);
    let posted = ledger::post(set, transaction.tenant, entry, drafts, cx.now());
    posted.map_err(|error| refusal(set, cx, transaction, error))?;
    let tenant = transaction.tenant;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

fn resolve(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    way: Resolution,
) -> Result<(), PointsError> {
    let pending = transaction.pending_entry();
    let resolved = ledger::resolve(set, pending, 1, way, None, cx.now());
    resolved.map_err(|error| refusal(set, cx, transaction, error))?;
    let (entry, tenant) = (pending.resolution(), transaction.tenant);
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

/// The ledger has the last word on what is there. That a points transaction is held and its entry
/// resolved, or not there, is what no commit ever wrote.
fn refusal(
    set: &WorkingSet,
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    error: LedgerError,
) -> PointsError {
    match error {
        LedgerError::Insufficient | LedgerError::LotsShort => insufficient(set, cx, transaction),
        LedgerError::AlreadyPosted | LedgerError::NotPending | LedgerError::NothingPending => {
            let inconsistent = cx
                .inconsistent("a points transaction's entry is not as the points transaction says");
            PointsError::Ledger(inconsistent.into())
        }
        LedgerError::SameAccount
        | LedgerError::MixedAssets
        | LedgerError::NothingToMove
        | LedgerError::TwoConstrainedAccounts
        | LedgerError::UnknownAccountKind
        | LedgerError::BelowZero
        | LedgerError::NothingOwed
        | LedgerError::Overflow
        | LedgerError::Inconsistent(_) => PointsError::Ledger(error),
    }
}

pub(super) fn moved(
    cx: &mut Cx<'_>,
    transaction: &PointsTransaction,
    what: PointsMove,
    points: Points,
) {
    let event = Event::PointsMoved {
        tenant: transaction.tenant,
        merchant: transaction.merchant,
        what: what.code(),
        source: transaction.source.as_str().to_owned(),
        rule_version: 0,
        points,
        at: cx.now(),
    };
    outbox::tell(cx, &event);
}
