//! Refunds of points under review: what they withhold, and what becomes of it.

use super::points::{posted, repayment, settle_points};
use crate::{
    audit::SystemActor,
    db::{Cx, Wanted, WorkingSet},
    ledger::{self, AccountKind, Draft, LedgerError},
    payments::{
        Order, PointsBack, PointsReview, Refund,
        booking::{return_points, tell_points},
    },
    points::PointsMove,
    primitives::{AccountId, BusinessDay, EntryId, EntryKind, Points, ReviewId},
    risk::{ReviewError, ReviewRow, Reviews},
};

/// What [`refund_arrived`] reads, if the order is under review. Ask again after each load.
pub(in crate::payments) fn want_review(want: &mut Wanted, set: &WorkingSet, order: &Order) {
    if order.is_under_review() {
        want.row::<Reviews>(ReviewId::of(order.id.id()));
        let held = EntryId::of(order.id.id(), EntryKind::PointsHeld);
        ledger::want_resolution(want, set, held, 1);
    }
}

/// A refund is initiated: of points under review its part is withheld. The order's row is the
/// caller's to write.
pub(in crate::payments) fn withhold(
    order: &mut Order,
    refund: &mut Refund,
) -> Result<(), LedgerError> {
    if !order.is_under_review() {
        return Ok(());
    }
    refund.points.withheld = refund.points.due;
    let withheld = order.refunds.withheld.checked_add(refund.points.due);
    order.refunds.withheld = withheld.map_err(|_| LedgerError::Overflow)?;
    Ok(())
}

/// A refund has arrived: what it withholds is gone, and the review is about less, or about nothing.
/// Returns the order as it stands then, for the caller to write.
pub(in crate::payments) fn refund_arrived(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: Order,
    refund: &Refund,
) -> Result<Order, LedgerError> {
    let withheld = refund.points.withheld;
    if withheld.is_zero() {
        return Ok(order);
    }
    tell_points(cx, &order, PointsMove::Voided, withheld);
    return_points(set, &order, withheld);
    if !order.is_under_review() {
        return Ok(order);
    }
    let row = set.get::<Reviews>(ReviewId::of(order.id.id())).cloned();
    let row = row.ok_or_else(|| cx.inconsistent("an order under a review that is not there"))?;
    if withheld < row.points {
        let less = row.reduce_points(withheld);
        let less = less.map_err(|refused| review_is_over(cx, &row, &refused))?;
        set.put::<Reviews>(less.id, less);
        return Ok(order);
    }
    let superseded = row.supersede(SystemActor::Refund.into(), cx.now());
    let superseded = superseded.map_err(|refused| review_is_over(cx, &row, &refused))?;
    settle_points(set, cx, &superseded, false)?;
    metrics::counter!("risk_reviews_decided_total", "outcome" => superseded.state.name())
        .increment(1);
    set.put::<Reviews>(superseded.id, superseded);
    Ok(Order {
        review: PointsReview::Voided,
        ..order
    })
}

/// The order says that its review is open, and the review says that it is not.
fn review_is_over(cx: &mut Cx<'_>, row: &ReviewRow, refused: &ReviewError) -> LedgerError {
    tracing::error!(review.id = %row.id, reason = %refused, "a review is not its order's");
    cx.inconsistent("an order under a review that is over")
        .into()
}

/// A refund will not happen: what it withholds is the review's again, or becomes what the review
/// has come to meanwhile. `order` is without the refund already.
pub(in crate::payments) fn refund_failed(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
    refund: &mut Refund,
) -> Result<(), LedgerError> {
    if refund.points.withheld.is_zero() {
        return Ok(());
    }
    if order.review == PointsReview::Open {
        refund.points = PointsBack::NONE;
        return Ok(());
    }
    // Beside a refund that somebody else made more may have been withheld than was earned: what of
    // it is left to the others is not credited here.
    let earned = order.state.payment().map(|paid| paid.points);
    let earned = earned.unwrap_or(Points::ZERO);
    let after = order.refunds.withheld;
    let before = after.checked_add(refund.points.withheld);
    let before = before.map_err(|_| LedgerError::Overflow)?;
    let withheld = earned.saturating_sub(after);
    let withheld = withheld.saturating_sub(earned.saturating_sub(before));
    let others = refund.points.withheld.saturating_sub(withheld);
    refund.points.due = refund.points.due.saturating_sub(others);
    refund.points.withheld = withheld;
    if withheld.is_zero() {
        return Ok(());
    }
    match order.review {
        PointsReview::Open => {}
        PointsReview::Credited => {
            let lot = order.state.payment().map(|paid| paid.points_expired_from);
            let customer = order
                .customer
                .ok_or_else(|| cx.inconsistent("points of an order without a customer"))?;
            let issued = AccountId::of_tenant(order.tenant, AccountKind::PointsIssued);
            let account = AccountId::customer_points(customer);
            let credit = Draft::posted(issued, account, withheld.get());
            let mut drafts = vec![credit.expiring(lot.unwrap_or(BusinessDay::NEVER))];
            drafts.extend(repayment(set, cx, order, lot, withheld)?);
            let entry = EntryId::of(refund.id.id(), EntryKind::WithheldCredited);
            ledger::post(set, order.tenant, entry, &drafts, cx.now())?;
            posted(cx, order.tenant, entry);
            tell_points(cx, order, PointsMove::Earned, withheld);
        }
        PointsReview::Voided | PointsReview::No | PointsReview::Wanted => {
            tell_points(cx, order, PointsMove::Voided, withheld);
            return_points(set, order, withheld);
        }
    }
    Ok(())
}
