//! What the end of a review does to the points of an order.

use crate::{
    db::{Cx, WorkingSet},
    ledger::{self, Draft, LedgerError, Phase, Resolution, Transfers},
    outbox::{self, Event},
    payments::{
        Order,
        booking::{return_points, tell_points},
        store::Orders,
    },
    points::PointsMove,
    primitives::{BusinessDay, EntryId, EntryKind, OrderId, Points, TenantId, TransferId},
    risk::ReviewRow,
};

/// The order whose points the review is about.
pub(super) fn reviewed_order(
    set: &WorkingSet,
    cx: &mut Cx<'_>,
    review: &ReviewRow,
) -> Result<Order, LedgerError> {
    let order = set.get::<Orders>(OrderId::new(review.id.cause())).cloned();
    order.ok_or_else(|| {
        cx.inconsistent("a review of an order that is not there")
            .into()
    })
}

/// Posts or voids the points of an order that are pending, repays a debt out of what came in, and
/// tells of it. What refunds withhold is not decided on. What is credited after its day is over as
/// it comes, and the next expiry takes it, unless an older hold can use it.
pub(super) fn settle_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    review: &ReviewRow,
    released: bool,
) -> Result<(), LedgerError> {
    let order = reviewed_order(set, cx, review)?;
    let leg = TransferId {
        entry: review.entry,
        leg: 0,
    };
    let pending = set
        .get::<Transfers>(leg)
        .filter(|transfer| transfer.phase == Phase::Pending)
        .copied()
        .ok_or_else(|| cx.inconsistent("a review of points that are not pending"))?;
    let held = Points::parse(pending.amount).map_err(|_| LedgerError::Overflow)?;
    let rest = held.saturating_sub(order.refunds.withheld);
    let way = if released && rest == held {
        Resolution::Post
    } else {
        Resolution::Void
    };
    let repay = if released {
        repayment(set, cx, &order, pending.lot, rest)?
    } else {
        None
    };
    ledger::resolve(set, review.entry, 1, way, None, cx.now())?;
    posted(cx, review.tenant, review.entry.resolution());
    if released && rest < held && !rest.is_zero() {
        let entry = EntryId::of(review.id.cause(), EntryKind::HeldPartCredited);
        let part = Draft::posted(pending.debit, pending.credit, rest.get());
        let part = part.expiring(pending.lot.unwrap_or(BusinessDay::NEVER));
        ledger::post(set, review.tenant, entry, &[part], cx.now())?;
        posted(cx, review.tenant, entry);
    }
    if let Some(repay) = repay {
        let entry = EntryId::of(review.id.cause(), EntryKind::DebtRepaid);
        ledger::post(set, review.tenant, entry, &[repay], cx.now())?;
        posted(cx, review.tenant, entry);
    }
    if released {
        tell_points(cx, &order, PointsMove::Earned, rest);
    } else {
        tell_points(cx, &order, PointsMove::Voided, rest);
        return_points(set, &order, rest);
    }
    Ok(())
}

/// What of points that come into this lot repays a debt of the order's customer.
pub(super) fn repayment(
    set: &WorkingSet,
    cx: &Cx<'_>,
    order: &Order,
    lot: Option<BusinessDay>,
    points: Points,
) -> Result<Option<Draft>, LedgerError> {
    let Some(customer) = order.customer.filter(|_| !points.is_zero()) else {
        return Ok(None);
    };
    let granted = (points, lot.unwrap_or(BusinessDay::NEVER));
    ledger::repayment_out_of_grant(set, customer, granted, cx.now().business_day())
}

pub(super) fn posted(cx: &mut Cx<'_>, tenant: TenantId, entry: EntryId) {
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
}
