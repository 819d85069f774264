//! Foreign refunds: refunds of our orders that were not made by this service. Somebody made them on
//! WeChat's merchant platform or in another system of the same WeChat merchant account; or WeChat
//! made a refund of ours after it had ended here.
//!
//! What WeChat has done has happened, so it is booked and not refused. The money has left the
//! merchant, and the points that go with it are taken back as by a refund of ours: in proportion,
//! on the sum of the order's refunds; what the customer has spent is owed, whatever the policy says
//! of refusing. The order counts the refund, so less is left to refund; totals, lists and timelines
//! show it; an exception names order and refund, since a person should know why two systems refund
//! one payment.
//!
//! # One row in `refunds`
//!
//! It begins as *processing* (WeChat has it) and moves from there as a refund of ours does, by
//! notices and by the job that queries it under its number. There are two differences: its number
//! at WeChat is not derived from its row ([`RefundOrigin`](super::RefundOrigin)), and it is booked
//! once, when it has arrived.
//!
//! | WeChat states | row | order | books |
//! |---|---|---|---|
//! | processing, abnormal | that | counts it as requested | nothing |
//! | success | succeeded | counts it as arrived | one entry, `RefundedElsewhere`: Dr merchant payable / Cr channel receivable; the clawback shortfall; Dr customer points / Cr points issued. Points that expired unspent count as given back |
//! | closed | closed | counts it no more | nothing |
//!
//! `foreign_refunds` maps a number to its row; its key is a hash of tenant and number. So a refund
//! that is reported twice, at the same time, to two processes, by a notice and by a query, is one
//! row.
//!
//! # How it becomes known
//!
//! - **By a notice** with a number that is not ours, about an order of ours. It must match the
//!   order (WeChat merchant accounts, transaction, total) and be possible (no more arrives than was
//!   paid); otherwise it is rejected with an alarm and an exception like any other. If it comes
//!   *before the notice of the payment*, the order is queried first and settled by the answer; if
//!   WeChat does not state that it is paid, the notice is answered so that WeChat sends it again.
//! - **By a query of the order** that states REFUND although no refund of ours explains it. WeChat
//!   states neither the amount nor the number, and a refund can be queried by number only. The
//!   payment is settled, since it was made; the order is marked (`refund_unknown`), so that nothing
//!   more is refunded or shared; its points wait for a review, which a time-out voids; an exception
//!   says so. The number becomes known by a notice of that refund, or by a person who looks it up
//!   (on the merchant platform, in the bill) and states it (`note_foreign_refund.rs`). The order is
//!   queried when something hints at a foreign refund (`look_for_others` in `query_order.rs`):
//!   WeChat refuses a refund of ours, or lets less be shared than the books have. Nobody types in
//!   an amount: WeChat is queried under the number, and its verified answer is booked.
//! - **By a contradiction**: WeChat has, or has made, a refund of ours that is *failed*,
//!   *withdrawn* or *closed* here. That row stays as it is, since its money and points went back
//!   and may have been used. What WeChat did is a new row (`RefundOrigin::AfterAll`) under the same
//!   number, and from then on less is left to refund.
//!
//! # Profit sharing
//!
//! No share comes back for a foreign refund by itself: whoever made it may have returned shares,
//! too. The exception says that the payment was shared. The next refund of ours takes back what the
//! sum of all refunds, foreign ones included, makes due.
//!
//! # Refunds of ours at the same time
//!
//! A refund of ours may be under way for more than is left beside a foreign one. Both count against
//! the order, so for a while more may be requested than was paid (never twice as much; nothing is
//! left to request meanwhile), until WeChat refuses ours and it counts no more. A refund that
//! awaits approval and no longer fits cannot be approved. The foreign one takes the points that the
//! sum of all makes due, ours included until it counts no more. Of an order under review it
//! withholds its part, as ours do (`reviews/`).
//!
//! # Crash safety
//!
//! A notice is one commit. A statement of a number is a query and one commit, with its line in the
//! audit log, and is repeated by the person.

use super::{
    BookingError, ChangeReason, ChannelRefund, ExceptionKind, Order, OrderSharing, PointsBack,
    PointsReview, Refund, RefundStateKind, RefundStatus,
    booking::{put_exception, put_order, put_refund},
    points_back::points_to_give_back,
    refund_update::{ApplyRefund, RefundUpdate},
    reviews::withhold,
    store::{AlarmRow, ForeignNumberKnown, ForeignRefunds, ForeignRow},
};
use crate::{
    audit::{self, AuditAction},
    db::{Cx, WorkingSet},
    primitives::{Money, Points, RefundId},
};

/// Whether the channel has, or has made, a refund of ours that had come to its end here without the
/// money having gone.
pub(super) fn is_after_all(own: &Refund, said: &ChannelRefund) -> bool {
    if own.is_foreign() {
        return false;
    }
    match own.state.kind() {
        // The channel never had it: whatever it says of it now cannot be older.
        RefundStateKind::Failed | RefundStateKind::Withdrawn => said.status != RefundStatus::Closed,
        // What it said before it closed it may come late; that it has paid cannot be from before.
        RefundStateKind::Closed => said.status == RefundStatus::Success,
        RefundStateKind::AwaitingApproval
        | RefundStateKind::Rejected
        | RefundStateKind::Returning
        | RefundStateKind::Accepted
        | RefundStateKind::Processing
        | RefundStateKind::Succeeded
        | RefundStateKind::Abnormal => false,
    }
}

/// Points that go with what others give back: what the sum of the order's refunds makes due with
/// it, less what those before took. Beside one of ours that cannot arrive any more the sum may be
/// more than was paid; it is counted on all the same, so that several of theirs do not each round
/// up.
fn points_gone(order: &Order, amount: Money) -> Points {
    let Some(payment) = order.state.payment() else {
        return Points::ZERO;
    };
    if order.review == PointsReview::Voided {
        return Points::ZERO;
    }
    let sums = order.refunds;
    let reached = sums.asked.checked_add(amount).unwrap_or(order.amount);
    points_to_give_back(payment.points, order.amount, reached, sums.points)
}

impl ApplyRefund {
    /// Who stated which number stands in the audit log, also when it was known, or WeChat's answer
    /// is wrong.
    pub(super) fn audit_statement(&self, set: &mut WorkingSet, cx: &Cx<'_>) {
        let RefundUpdate::Channel(said) = &self.update else {
            return;
        };
        if self.stated {
            let action = AuditAction::ForeignRefundReported {
                out_refund_no: said.out_refund_no.clone(),
            };
            audit::note(set, cx, self.tenant, &self.by, action, &said.out_trade_no);
        }
    }

    /// Gives a foreign refund its row, before what was said moves it, counts it against the order,
    /// and tells a person. None if it cannot be, because more would have arrived than was paid.
    pub(super) fn add_foreign(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        order: &Order,
        own: Option<&Refund>,
        said: &ChannelRefund,
    ) -> Result<Option<(Order, Refund)>, BookingError> {
        let due = points_gone(order, said.amount);
        let Ok(mut counted) = order.add_foreign_refund(said.amount, due) else {
            return Ok(None);
        };
        let id = RefundId::new(cx.new_id(order.id.lane()));
        let points = PointsBack {
            due,
            ..PointsBack::NONE
        };
        let mut refund = match own {
            None => Refund::made_elsewhere(id, &counted, said, points, cx.now()),
            Some(own) => Refund::made_after_all(id, &counted, own, said, points, cx.now()),
        };
        withhold(&mut counted, &mut refund)?;
        let row = ForeignRow {
            tenant: self.tenant,
            refund: refund.id,
            reported_by: self.callback.as_ref().map(|(callback, _)| callback.id),
            at: cx.now(),
        };
        let key = ForeignRefunds::key_of(self.tenant, &said.out_refund_no);
        set.put::<ForeignRefunds>(key, row);
        put_order(
            set,
            cx,
            counted.clone(),
            ChangeReason::RefundedElsewhere,
            None,
        );
        if order.refunds.unknown {
            set.put::<ForeignNumberKnown>(order.id, cx.now());
        }
        put_refund(set, cx, refund.clone(), &self.by, "made elsewhere");
        self.raise(set, cx, (&counted, &refund), own, said);
        Ok(Some((counted, refund)))
    }

    /// A person should know. Once: what follows moves the row.
    fn raise(
        &self,
        set: &mut WorkingSet,
        cx: &mut Cx<'_>,
        (order, refund): (&Order, &Refund),
        own: Option<&Refund>,
        said: &ChannelRefund,
    ) {
        let (kind, detail) = match own {
            None => (
                ExceptionKind::ForeignRefund,
                format!(
                    "{} fen of {} under {}, which is not ours: {}",
                    said.amount.get(),
                    order.amount.get(),
                    said.out_refund_no,
                    said.status
                ),
            ),
            Some(own) => (
                ExceptionKind::RefundContradiction,
                format!(
                    "{} is {} and WeChat says {}: booked as another refund",
                    own.no(),
                    own.state.kind().name(),
                    said.status
                ),
            ),
        };
        let shared = match order.sharing {
            OrderSharing::InProgress | OrderSharing::Done => {
                "; what was shared of the payment does not come back by itself"
            }
            OrderSharing::No | OrderSharing::Wanted => "",
        };
        let about = (Some(order), Some(refund));
        let detail = detail + shared;
        put_exception(set, cx, self.tenant, kind, about, detail, None);
        if let (Some(_), Some((callback, notice))) = (own, &self.callback) {
            let reason = "refund_contradiction";
            let alarm = AlarmRow::of_refund(self.tenant, reason, notice, cx.now());
            callback.raise(set, alarm);
        }
    }
}
