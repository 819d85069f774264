//! Refunds, orders and sharings that make no progress: an exception is raised once, and resolved
//! when they make progress again.
//!
//! | what | when it is raised | kind | resolved |
//! |---|---|---|---|
//! | refund, *accepted* or *returning* | after [`WAIT_SECONDS`] in that state, or [`ATTEMPTS_MAX`] attempts with a problem | `refund_stuck` | in the commit in which it leaves the state or loses the problem |
//! | refund, *processing* | after [`PROCESSING_SECONDS`], or as many attempts with a problem | `refund_stuck` | likewise |
//! | refund, *abnormal* | at once, as `refund_abnormal` | | by a person |
//! | order (`watch.rs`) | after [`super::watch::REFUSALS_MAX`] refused queries in a row, or a day after its time | `order_stuck` | when WeChat answers a query of it again, or its watch ends |
//! | sharing, or a paid order that is to be shared | after [`ATTEMPTS_MAX`] attempts without a result, or a day | `sharing_stuck` | when it is done |
//!
//! Nothing ends by this: the jobs go on trying, at intervals that grow to an hour. A person ends
//! it: a refund is withdrawn (`withdraw_refund.rs`), an order whose query WeChat refuses is closed
//! (`close.rs`), a sharing is completed at WeChat.
//!
//! For refunds, which a callback may end at any time, a column says that the exception was raised;
//! the refund's version guards it. For orders and sharings, which only jobs move on, the list of
//! exceptions says it. If a process is killed between the progress and the resolution, the
//! exception of a sharing stays open, and a person resolves it.

use super::{
    ExceptionKind, Order, Payments, Refund, RefundStateKind, TimeScale,
    booking::{put_exception, put_refund},
    exception::{exceptions_of, resolve_of_order},
    list,
    store::{Orders, Refunds},
};
use crate::{
    audit::SystemActor,
    db::{Cx, DbError, Operation, SubmitError, Wanted, WorkingSet},
    primitives::{Lane, OrderId, RefundId, TenantId, Timestamp},
};

/// How long a refund may wait for WeChat to take it, or for shares to come back.
const WAIT_SECONDS: i64 = 3_600;
/// How long WeChat may take for a refund: cards take one to three working days, and there are long
/// holidays.
const PROCESSING_SECONDS: i64 = 7 * 86_400;
/// Attempts with a problem after which it is no passing one: about three quarters of an hour.
pub(crate) const ATTEMPTS_MAX: u32 = 8;

/// Whether a refund has made no progress for so long that a person should know.
pub(super) fn is_stuck(refund: &Refund, now: Timestamp, time_scale: TimeScale) -> bool {
    let wait = match refund.state.kind() {
        RefundStateKind::Returning | RefundStateKind::Accepted => WAIT_SECONDS,
        RefundStateKind::Processing => PROCESSING_SECONDS,
        RefundStateKind::AwaitingApproval
        | RefundStateKind::Rejected
        | RefundStateKind::Succeeded
        | RefundStateKind::Abnormal
        | RefundStateKind::Closed
        | RefundStateKind::Failed
        | RefundStateKind::Withdrawn => return false,
    };
    let troubled = refund.attempts.problem.is_some() && refund.attempts.count >= ATTEMPTS_MAX;
    troubled || time_scale.after(refund.progress.since, wait) <= now
}

/// Records that a refund is stuck, if it is and has no exception: raises the exception, and marks
/// `refund`. True if it did: then the caller writes it with a new version, so that whoever ends the
/// refund meanwhile reads again and resolves the exception too.
pub(super) fn raise_if_stuck(
    set: &mut WorkingSet,
    cx: &Cx<'_>,
    time_scale: TimeScale,
    order: &Order,
    refund: &mut Refund,
) -> bool {
    if refund.progress.stuck || !is_stuck(refund, cx.now(), time_scale) {
        return false;
    }
    refund.progress.stuck = true;
    let attempts = &refund.attempts;
    let problem = attempts.problem.as_deref().unwrap_or("no problem known");
    let mut detail = format!(
        "{} is {} and does not get on: {problem}",
        refund.no(),
        refund.state.kind().name()
    );
    if let Some(behind) = &attempts.detail {
        detail.push_str(": ");
        detail.push_str(behind);
    }
    let about = (Some(order), Some(&*refund));
    let kind = ExceptionKind::RefundStuck;
    put_exception(set, cx, order.tenant, kind, about, detail, None);
    true
}

/// Records that a refund is stuck that waits for shares, which `sharing` reconciles.
pub(crate) async fn note_stuck_refund(payments: &Payments, refund: &Refund) -> Result<(), DbError> {
    if refund.progress.stuck || !is_stuck(refund, payments.db.now(), payments.time_scale) {
        return Ok(());
    }
    let note = NoteStuck {
        refund: refund.id,
        time_scale: payments.time_scale,
    };
    match payments.db.submit(note).await {
        Ok(()) => Ok(()),
        Err(SubmitError::Db(error)) => Err(error),
        Err(SubmitError::Refused(never)) => match never {},
    }
}

#[derive(Debug)]
struct NoteStuck {
    refund: RefundId,
    time_scale: TimeScale,
}

impl Operation for NoteStuck {
    type Reply = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "payments.note_stuck";

    fn lane(&self) -> Lane {
        self.refund.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        want.row::<Refunds>(self.refund);
        if let Some(refund) = set.get_loaded::<Refunds>(self.refund) {
            want.row::<Orders>(refund.order);
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        let refund = set.get::<Refunds>(self.refund).cloned();
        let order = refund
            .as_ref()
            .and_then(|refund| set.get::<Orders>(refund.order))
            .cloned();
        if let (Some(mut refund), Some(order)) = (refund, order)
            && raise_if_stuck(set, cx, self.time_scale, &order, &mut refund)
            && let Ok(told) = refund.turn(refund.state)
        {
            put_refund(set, cx, told, &SystemActor::Service.into(), "stuck");
        }
        Ok(())
    }
}

/// Raises an exception for a sharing that is stuck, unless one is open.
pub(crate) async fn note_stuck_sharing(
    payments: &Payments,
    tenant: TenantId,
    order: OrderId,
    detail: String,
) -> Result<(), DbError> {
    let Some(view) = list::find_order(&payments.db, tenant, order).await? else {
        return Ok(());
    };
    let kind = ExceptionKind::SharingStuck;
    raise_for_order(payments, &view.order, kind, detail).await
}

/// The channel lets less of an order be shared than is due; a person should know why.
pub(crate) async fn note_short_sharing(
    payments: &Payments,
    order: &Order,
    detail: String,
) -> Result<(), DbError> {
    raise_for_order(payments, order, ExceptionKind::SharingFailed, detail).await
}

/// Resolves the exception of a sharing that makes progress again.
pub(crate) async fn resolve_stuck_sharing(
    payments: &Payments,
    order: OrderId,
) -> Result<(), DbError> {
    resolve_of_order(&payments.db, order, ExceptionKind::SharingStuck).await
}

/// Tells of an order, unless there is an open exception of that kind.
pub(super) async fn raise_for_order(
    payments: &Payments,
    order: &Order,
    kind: ExceptionKind,
    detail: String,
) -> Result<(), DbError> {
    let told = exceptions_of(&payments.db, order.tenant, order.id).await?;
    let is_open = |told: &super::PaymentException| {
        told.kind == kind.name() && told.refund.is_none() && told.resolved_at.is_none()
    };
    if told.iter().any(is_open) {
        return Ok(());
    }
    let raise = Raise {
        order: order.clone(),
        kind,
        detail,
    };
    match payments.db.submit(raise).await {
        Ok(()) => Ok(()),
        Err(SubmitError::Db(error)) => Err(error),
        Err(SubmitError::Refused(never)) => match never {},
    }
}

#[derive(Debug)]
struct Raise {
    order: Order,
    kind: ExceptionKind,
    detail: String,
}

impl Operation for Raise {
    type Reply = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "payments.raise";

    fn lane(&self) -> Lane {
        self.order.id.lane()
    }

    fn rows(&self, _want: &mut Wanted, _set: &WorkingSet) {}

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<(), Self::Refusal> {
        let about = (Some(&self.order), None);
        let (tenant, detail) = (self.order.tenant, self.detail.clone());
        put_exception(set, cx, tenant, self.kind, about, detail, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::Actor,
        payments::{OrderSharing, OrderTerms, PointsBack, PointsReview, RefundState},
        primitives::{Id, MerchantId, Money},
    };

    const START: i64 = 1_795_000_000_000_000;

    fn refund(state: RefundState, count: u32, problem: Option<&str>) -> Refund {
        let id = Id::mint(1_795_000_000_000, 7, Lane(1));
        let since = Timestamp::from_micros(START);
        let terms = OrderTerms {
            tenant: TenantId(1),
            merchant: MerchantId::new(id),
            sub_mchid: String::new(),
            description: String::new(),
            amount: Money::constant(100),
            sharing: OrderSharing::No,
            review: PointsReview::No,
            expires_at: since,
        };
        let order = Order::shown(OrderId::new(id), terms);
        let (points, by) = (PointsBack::NONE, Actor::operator("li"));
        let id = RefundId::new(id);
        let mut refund = Refund::requested(id, &order, order.amount, points, "x".into(), by, since);
        refund.state = state;
        refund.attempts.count = count;
        refund.attempts.problem = problem.map(str::to_owned);
        refund
    }

    #[test]
    fn what_waits_too_long_or_is_refused_too_often_is_stuck() {
        let after = |refund: &Refund, seconds: i64| {
            let now = Timestamp::from_micros(START).plus_seconds(seconds);
            is_stuck(refund, now, TimeScale::default())
        };
        let accepted = refund(RefundState::Accepted, 1, None);
        assert!(!after(&accepted, 3_599));
        assert!(after(&accepted, 3_600));
        assert!(after(&refund(RefundState::Returning, 0, None), 3_600));
        assert!(after(
            &refund(RefundState::Accepted, 8, Some("not_enough")),
            1
        ));
        assert!(!after(
            &refund(RefundState::Accepted, 7, Some("not_enough")),
            1
        ));
        // That WeChat is asked often is no problem by itself.
        let processing = refund(RefundState::Processing, 90, None);
        assert!(!after(&processing, 7 * 86_400 - 1));
        assert!(after(&processing, 7 * 86_400));
        assert!(after(
            &refund(RefundState::Processing, 8, Some("query_refused")),
            1
        ));
        assert!(!after(
            &refund(RefundState::Abnormal, 99, Some("x")),
            99_000_000
        ));
        assert!(!after(
            &refund(RefundState::Withdrawn, 99, Some("x")),
            99_000_000
        ));
        // Its time counts from the state, not from when it was asked for.
        let mut waited = refund(RefundState::Accepted, 0, None);
        waited.progress.since = Timestamp::from_micros(START).plus_seconds(86_400);
        assert!(!after(&waited, 86_400 + 3_599));
        assert!(after(&waited, 86_400 + 3_600));
    }
}
