//! Which rows an operation loads that books a refund, or its end. Each is to be asked again after
//! each load.

use super::{
    reviews::want_review,
    store::{Orders, Refunds},
};
use crate::{
    db::{Wanted, WorkingSet},
    ledger, points,
    primitives::{AccountId, BusinessDay, EntryId, EntryKind, OrderId, RefundId},
};

/// The order, and once it is known the points of its customer, with their lots.
pub(super) fn want_order_and_points(want: &mut Wanted, set: &WorkingSet, order: OrderId) {
    want.row::<Orders>(order);
    if let Some(order) = set.get_loaded::<Orders>(order) {
        want_review(want, set, order);
        if let Some(customer) = order.customer {
            let account = AccountId::customer_points(customer);
            ledger::want_spending(want, account);
            let lot = order.state.payment().map(|paid| paid.points_expired_from);
            if let Some(lot) = lot.filter(|lot| *lot != BusinessDay::NEVER) {
                ledger::want_lot_expiry(want, account, lot);
            }
        }
    }
}

/// Everything that is written when a refund ends, whichever way.
pub(super) fn want_outcome(want: &mut Wanted, set: &WorkingSet, id: RefundId) {
    want.row::<Refunds>(id);
    if !set.has_loaded::<Refunds>(id) {
        return;
    }
    let Some(refund) = set.get::<Refunds>(id) else {
        return;
    };
    want_order_and_points(want, set, refund.order);
    if refund.state.kind().is_final() {
        return;
    }
    if refund.points.due.is_zero() {
        return;
    }
    if !refund.is_foreign() {
        let clawback = EntryId::of(id.id(), EntryKind::RefundClawback);
        ledger::want_resolution(want, set, clawback, 1);
    }
    want_budget_of(want, set, refund.order);
}

/// The total cap of the rule by which the order earned, for what comes back of its points.
pub(super) fn want_budget_of(want: &mut Wanted, set: &WorkingSet, order: OrderId) {
    let known = set
        .has_loaded::<Orders>(order)
        .then(|| set.get::<Orders>(order))
        .flatten();
    if let Some(order) = known
        && let Some(payment) = order.state.payment()
    {
        points::want_budget(want, order.tenant, payment.rule_version);
    }
}
