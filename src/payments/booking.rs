//! What payments and refunds write into the books, and what they tell. Called inside `decide`;
//! pure.

use super::{
    ChangeReason, ExceptionKind, Order, Payment, PointsShortfall, Refund, RefundError, store,
};
use crate::{
    audit::Actor,
    db::{Cx, WorkingSet},
    ledger::{self, Account, AccountKind, Accounts, Draft, LedgerError, Resolution},
    outbox::{self, Event},
    points::{self, PointsMove, expiry::expire_lots},
    primitives::{
        AccountId, BusinessDay, CustomerId, EntryId, EntryKind, ExceptionId, Lane, Points, TenantId,
    },
};

/// The source under which events and reviews name payments, beside those of back ends.
pub(super) const SOURCE: &str = "payment";

fn of_tenant(tenant: TenantId, kind: AccountKind) -> AccountId {
    AccountId::of_tenant(tenant, kind)
}

/// The customer's points as they stand in this batch.
pub(super) fn points_account(set: &WorkingSet, order: &Order) -> Account {
    order
        .customer
        .and_then(|customer| {
            set.get::<Accounts>(AccountId::customer_points(customer))
                .copied()
        })
        .unwrap_or(Account::empty(order.tenant))
}

/// An order is paid: Dr channel receivable / Cr merchant payable; Dr points issued / Cr customer
/// points; and what of these repays a debt, Dr customer points / Cr customer debt.
pub(super) fn book_settlement(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    order: &Order,
    points: Points,
    lot: BusinessDay,
) -> Result<(), LedgerError> {
    let mut drafts = vec![Draft::posted(
        of_tenant(order.tenant, AccountKind::ChannelReceivable),
        AccountId::merchant_payable(order.merchant),
        order.amount.get(),
    )];
    if let Some(customer) = order.customer
        && !points.is_zero()
    {
        let account = AccountId::customer_points(customer);
        drafts.push(
            Draft::posted(
                of_tenant(order.tenant, AccountKind::PointsIssued),
                account,
                points.get(),
            )
            .expiring(lot),
        );
        let today = cx.now().business_day();
        drafts.extend(ledger::repayment_out_of_grant(
            set,
            customer,
            (points, lot),
            today,
        )?);
    }
    let entry = EntryId::of(order.id.id(), EntryKind::Settlement);
    ledger::post(set, order.tenant, entry, &drafts, cx.now())
}

/// What a paid order earned waits for its review: pending Dr points issued / Cr customer points,
/// for the lot into which they would have gone.
pub(super) fn book_held_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    customer: CustomerId,
    payment: &Payment,
) -> Result<EntryId, LedgerError> {
    let entry = EntryId::of(order.id.id(), EntryKind::PointsHeld);
    let lot = payment.points_expired_from;
    let draft = Draft::posted(
        of_tenant(order.tenant, AccountKind::PointsIssued),
        AccountId::customer_points(customer),
        payment.points.get(),
    );
    let held = draft.pending().expiring(lot);
    ledger::post(set, order.tenant, entry, &[held], cx.now())?;
    let tenant = order.tenant;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(entry)
}

/// A refund is initiated: Dr merchant payable / Cr refunds in transit; the points to be taken back
/// are held (pending Dr customer points / Cr points issued). What the customer has spent is a
/// shortfall, booked first (Dr customer debt / Cr customer points), or the refund is refused, as
/// the policy says. What expired unspent is not taken: it counts as given back.
pub(super) fn book_refund(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &mut Refund,
    policy: PointsShortfall,
) -> Result<(), RefundError> {
    let mut drafts = vec![Draft::posted(
        AccountId::merchant_payable(order.merchant),
        of_tenant(order.tenant, AccountKind::RefundsInTransit),
        refund.amount.get(),
    )];
    refund.points.expired = count_expired(set, cx, order, refund)?;
    let taken = refund.points.taken();
    let shortfall = shortfall(set, cx.now().business_day(), order, taken, policy)?;
    refund.points.shortfall = shortfall;
    if let Some(customer) = order.customer
        && !shortfall.is_zero()
    {
        drafts.push(Draft::posted(
            AccountId::customer_debt(customer),
            AccountId::customer_points(customer),
            shortfall.get(),
        ));
    }
    post(set, cx, refund, EntryKind::RefundAccepted, &drafts)?;
    if let Some(customer) = order.customer
        && !taken.is_zero()
    {
        let back = Draft::posted(
            AccountId::customer_points(customer),
            of_tenant(order.tenant, AccountKind::PointsIssued),
            taken.get(),
        );
        post(
            set,
            cx,
            refund,
            EntryKind::RefundClawback,
            &[back.pending()],
        )?;
    }
    Ok(())
}

/// The lot into which a payment's points went.
fn lot_of(order: &Order) -> Option<(AccountId, BusinessDay)> {
    let lot = order.state.payment()?.points_expired_from;
    Some((AccountId::customer_points(order.customer?), lot))
}

/// That lot, if it has expired: what is left in it can no longer be spent.
fn expired_lot(order: &Order, today: BusinessDay) -> Option<(AccountId, BusinessDay)> {
    lot_of(order).filter(|(_, lot)| *lot <= today)
}

/// What the next sweep would take of a lot.
fn about_to_expire(
    set: &WorkingSet,
    (account, lot): (AccountId, BusinessDay),
    today: BusinessDay,
) -> Result<Points, LedgerError> {
    let expirable = ledger::expirable(set, account, today, usize::MAX)?;
    let of_lot = expirable.into_iter().find(|(on, _)| *on == lot);
    Ok(of_lot.map_or(Points::ZERO, |(_, points)| points))
}

/// Of `due` points, those that expired unspent in the payment's lot, or are about to: if the refund
/// was initiated now they would count as given back.
pub(super) fn would_have_expired(
    set: &WorkingSet,
    today: BusinessDay,
    order: &Order,
    due: Points,
) -> Result<Points, LedgerError> {
    let Some(lot) = expired_lot(order, today) else {
        return Ok(Points::ZERO);
    };
    let expired = ledger::expired_in_lot(set, lot.0, lot.1)?;
    let going = about_to_expire(set, lot, today)?;
    let both = expired
        .checked_add(going)
        .map_err(|_| LedgerError::Overflow)?;
    Ok(both.min(due))
}

/// Counts what expired in the payment's lot as given back, up to what the refund is due; each point
/// once, whichever of the payments that filled the lot is refunded. If the night's sweep has not
/// come by yet it is done for this customer here and now, so that the refund comes to the same
/// before and after it. Points that stay in the lot because some are held have not expired.
fn count_expired(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &Refund,
) -> Result<Points, LedgerError> {
    let today = cx.now().business_day();
    let due = refund.points.due.saturating_sub(refund.points.withheld);
    let Some((account, lot)) = expired_lot(order, today).filter(|_| !due.is_zero()) else {
        return Ok(Points::ZERO);
    };
    // An entry takes so many lots at a time, the earliest first.
    while !about_to_expire(set, (account, lot), today)?.is_zero() {
        expire_lots(set, cx, (order.tenant, account), today)?;
    }
    let counted = ledger::expired_in_lot(set, account, lot)?.min(due);
    if !counted.is_zero() {
        ledger::count_as_given_back(set, (account, lot), counted, false)?;
    }
    Ok(counted)
}

/// Points that are missing on `today` when `due` are to be taken back: the customer has spent them.
/// What has expired and is not yet swept cannot be taken, nor can what is held.
pub(super) fn shortfall(
    set: &WorkingSet,
    today: BusinessDay,
    order: &Order,
    due: Points,
    policy: PointsShortfall,
) -> Result<Points, RefundError> {
    let Some(customer) = order.customer.filter(|_| !due.is_zero()) else {
        return Ok(due);
    };
    let account = AccountId::customer_points(customer);
    let available = ledger::spendable(set, account, today)?;
    let missing = due.saturating_sub(available);
    match policy {
        PointsShortfall::Refuse if due > available => {
            Err(RefundError::PointsSpent { due, available })
        }
        PointsShortfall::Refuse | PointsShortfall::Debt | PointsShortfall::Negative => Ok(missing),
    }
}

/// A refund arrived: Dr refunds in transit / Cr channel receivable, and the points are taken back,
/// from the lot of the payment first.
pub(super) fn book_refund_arrived(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &Refund,
) -> Result<(), LedgerError> {
    let money = Draft::posted(
        of_tenant(order.tenant, AccountKind::RefundsInTransit),
        of_tenant(order.tenant, AccountKind::ChannelReceivable),
        refund.amount.get(),
    );
    post(set, cx, refund, EntryKind::RefundOutcome, &[money])?;
    let lot = order
        .state
        .payment()
        .map(|payment| payment.points_expired_from);
    resolve(set, cx, refund, Resolution::Post, lot)?;
    let taken = refund.points.taken();
    tell_points(cx, order, PointsMove::TakenBack, taken);
    return_points(set, order, taken);
    Ok(())
}

/// What a payment had earned is not the customer's any more, or never was: the total cap of its
/// rule has room for it again.
pub(super) fn return_points(set: &mut WorkingSet, order: &Order, points: Points) {
    if let Some(payment) = order.state.payment() {
        points::return_to_budget(set, order.tenant, payment.rule_version, points);
    }
}

/// Somebody else's refund arrived: Dr merchant payable / Cr channel receivable, and the points that
/// go with it are taken back, from the lot of the payment first. What the customer has spent is
/// owed, whatever the policy: it has happened (Dr customer debt / Cr customer points). What expired
/// unspent counts as given back, and what is withheld from a review was never credited. Notes the
/// shortfall and what expired.
pub(super) fn book_refunded_elsewhere(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &mut Refund,
) -> Result<(), LedgerError> {
    let mut drafts = vec![Draft::posted(
        AccountId::merchant_payable(order.merchant),
        of_tenant(order.tenant, AccountKind::ChannelReceivable),
        refund.amount.get(),
    )];
    refund.points.expired = count_expired(set, cx, order, refund)?;
    let taken = refund.points.taken();
    if let Some(customer) = order.customer
        && !taken.is_zero()
    {
        let account = AccountId::customer_points(customer);
        let spendable = ledger::spendable(set, account, cx.now().business_day())?;
        let shortfall = taken.saturating_sub(spendable);
        refund.points.shortfall = shortfall;
        if !shortfall.is_zero() {
            let debt = AccountId::customer_debt(customer);
            drafts.push(Draft::posted(debt, account, shortfall.get()));
        }
        let lot = order
            .state
            .payment()
            .map(|payment| payment.points_expired_from);
        // The shortfall was credited and is free by now, so that this can leave, and nothing stays
        // free of somebody who owes.
        let issued = of_tenant(order.tenant, AccountKind::PointsIssued);
        drafts.push(Draft::posted(account, issued, taken.get()).from_lot(lot));
    }
    post(set, cx, refund, EntryKind::RefundedElsewhere, &drafts)?;
    tell_points(cx, order, PointsMove::TakenBack, taken);
    return_points(set, order, taken);
    Ok(())
}

/// A refund will not happen: Dr refunds in transit / Cr merchant payable, the points are released,
/// and repay what is owed. What expired is not given back any more, and may be counted by another
/// refund.
pub(super) fn book_refund_undone(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &Refund,
) -> Result<(), LedgerError> {
    resolve(set, cx, refund, Resolution::Void, None)?;
    // Whatever day it is: a clock that was put right may be at the day before.
    if let Some(lot) = lot_of(order).filter(|_| !refund.points.expired.is_zero()) {
        ledger::count_as_given_back(set, lot, refund.points.expired, true)?;
    }
    let mut drafts = vec![Draft::posted(
        of_tenant(order.tenant, AccountKind::RefundsInTransit),
        AccountId::merchant_payable(order.merchant),
        refund.amount.get(),
    )];
    // All that was held may repay whatever is owed, as far as it is free: this one's shortfall may
    // be what other holds need by now.
    if let Some(customer) = order.customer.filter(|_| !refund.points.taken().is_zero()) {
        let repay = ledger::repayment(set, customer, cx.now().business_day())?;
        drafts.extend(repay.map(|repay| {
            // The shortfall went into the lot that lasts for ever.
            let covered = repay.amount <= refund.points.shortfall.get();
            repay.from_lot(covered.then_some(BusinessDay::NEVER))
        }));
    }
    post(set, cx, refund, EntryKind::RefundOutcome, &drafts)
}

fn post(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    refund: &Refund,
    kind: EntryKind,
    drafts: &[Draft],
) -> Result<(), LedgerError> {
    let entry = EntryId::of(refund.id.id(), kind);
    ledger::post(set, refund.tenant, entry, drafts, cx.now())?;
    let tenant = refund.tenant;
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

fn resolve(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    refund: &Refund,
    way: Resolution,
    lot: Option<BusinessDay>,
) -> Result<(), LedgerError> {
    if refund.points.taken().is_zero() {
        return Ok(());
    }
    let pending = EntryId::of(refund.id.id(), EntryKind::RefundClawback);
    ledger::resolve(set, pending, 1, way, lot, cx.now())?;
    let (entry, tenant) = (pending.resolution(), refund.tenant);
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
    Ok(())
}

/// Writes an order's row and tells why it changed.
pub(crate) fn put_order(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: Order,
    why: ChangeReason,
    actor: Option<&Actor>,
) {
    let event = Event::OrderMoved {
        order: order.id,
        tenant: order.tenant,
        version: order.version,
        state: order.state.kind().code(),
        why: why.code(),
        actor: actor.map(Actor::to_string),
    };
    outbox::tell(cx, &event);
    set.put::<store::Orders>(order.id, order);
}

/// Writes a refund's row and the line of its history.
pub(crate) fn put_refund(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    mut refund: Refund,
    actor: &Actor,
    why: &str,
) {
    get_on(set, cx, &mut refund);
    let step = store::StepRow {
        tenant: refund.tenant,
        state: refund.state.kind(),
        actor: actor.clone(),
        why: why.chars().take(80).collect(),
        at: cx.now(),
    };
    set.put::<store::RefundSteps>((refund.id, refund.version), step);
    set.put::<store::Refunds>(refund.id, refund);
}

/// Notes since when a refund is in its state. One that left the state in which it was stuck, or
/// what kept it there, is no longer stuck: nobody need look at it any more, nor agree to its
/// withdrawal.
fn get_on(set: &mut WorkingSet, cx: &Cx<'_>, refund: &mut Refund) {
    let kind = refund.state.kind();
    // A new one was not asked for.
    let known = set.has_loaded::<store::Refunds>(refund.id);
    let before = known
        .then(|| set.get::<store::Refunds>(refund.id))
        .flatten();
    let Some(before) = before else {
        refund.progress.since = cx.now();
        return;
    };
    let moved = before.state.kind() != kind;
    let relieved = before.attempts.problem.is_some() && refund.attempts.problem.is_none();
    if moved {
        refund.progress.since = cx.now();
        refund.progress.withdrawal = None;
    }
    if refund.progress.stuck && (moved || relieved) {
        refund.progress.stuck = false;
        let over = store::StuckResolvedRow {
            order: refund.order,
            resolution: kind.name(),
            but: None,
            at: cx.now(),
        };
        set.put::<store::StuckResolved>(refund.id, over);
    }
}

/// Notes something that a person should look at.
pub(crate) fn put_exception(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    tenant: TenantId,
    kind: ExceptionKind,
    (order, refund): (Option<&Order>, Option<&Refund>),
    mut detail: String,
    resolution: Option<&'static str>,
) {
    // Part of it may be WeChat's words, or a stranger's; the column is as wide as this.
    if let Some((end, _)) = detail.char_indices().nth(255) {
        detail.truncate(end);
    }
    metrics::counter!("payment_exceptions_total", "kind" => kind.name()).increment(1);
    let lane = order.map_or(Lane(0), |order| order.id.lane());
    let order = order
        .map(|order| order.id)
        .or(refund.map(|refund| refund.order));
    let row = store::ExceptionRow {
        tenant,
        kind,
        order,
        refund: refund.map(|refund| refund.id),
        detail,
        resolution,
        at: cx.now(),
    };
    let id = ExceptionId::new(cx.new_id(lane));
    if let (ExceptionKind::RefundStuck, Some(refund)) = (kind, row.refund)
        && let Some(over) = set.written::<store::StuckResolved>(refund).copied()
    {
        // It made progress earlier in this batch, which resolves the exception before it and not
        // this one.
        let but = Some(id);
        set.put::<store::StuckResolved>(refund, store::StuckResolvedRow { but, ..over });
    }
    set.put::<store::Exceptions>(id, row);
}

/// Tells that points of an order moved; nothing when none did.
pub(super) fn tell_points(cx: &mut Cx<'_>, order: &Order, what: PointsMove, points: Points) {
    let Some(payment) = order.state.payment() else {
        return;
    };
    if points.is_zero() {
        return;
    }
    let event = Event::PointsMoved {
        tenant: order.tenant,
        merchant: Some(order.merchant),
        what: what.code(),
        source: SOURCE.to_owned(),
        rule_version: payment.rule_version,
        points,
        at: cx.now(),
    };
    outbox::tell(cx, &event);
}
