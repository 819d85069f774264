//! Deciding on points that wait for a review: a person, the time-out, or refunds that came first.
//!
//! What a review is and who may decide it, [`risk`](crate::risk) says; what the decision does to
//! the points is done here, above everything that can be reviewed. A decision is one commit: the
//! review's row, the entry that posts or voids the pending one, the order, the audit line and the
//! events. It is guarded by the versions of the review and the order and by the resolution's key,
//! so two at once decide once.
//!
//! | outcome | pending entry | debt | order's review |
//! |---|---|---|---|
//! | approved, timed out and released | posted; if refunds withhold a part, voided, and the rest posted by an entry of its own | repaid out of these points, an entry of its own | credited |
//! | rejected, timed out and voided | voided | stays | let go |
//! | superseded: refunds took all of it | voided | stays | voided |
//!
//! # Refunds of points under review
//!
//! A refund does not wait for the review, nor does it end it: it **withholds** its part of the
//! points, in the proportion of the money, from the moment at which it is initiated
//! (`refunds.points_withheld`, summed up on the order as
//! [`RefundSums::withheld`](super::RefundSums::withheld)). Nothing is booked for that, since
//! nothing was credited: the pending entry stays whole until the review is decided, and credits
//! what is not withheld then. What becomes of a withheld part, the refund says when it ends:
//!
//! | the refund \ the review | open | credited | voided |
//! |---|---|---|---|
//! | arrives | gone: the review is about less; when nothing is left it is superseded | gone | gone |
//! | fails, or is closed | the review's again, as if nothing had been | credited, by an entry of its own, and repays a debt | gone, with the others |
//!
//! - **A second refund** withholds its own part. Parts are of the sum of all refunds asked for, so
//!   pieces withhold what the whole would, and a refund too small for a point withholds none. After
//!   the points are credited refunds take points back as ever; after they are voided there are none
//!   to take.
//! - **A refund that awaits a second person** withholds nothing: it does when it is initiated, from
//!   what the review has come to by then.
//! - **What people see**: the review's `points` are those that it may come to release, those of
//!   refunds under way included, for these may still fail; above a limit two people must agree to
//!   all of them. The customer's pending points are the pending entry: all of it until the
//!   decision.
//! - **A refund that somebody else made** (`foreign_refund.rs`) withholds its part from the first
//!   statement on, as if what of ours cannot arrive beside it were gone already. So for a while
//!   more may be withheld than was earned; then the review credits nothing, and whichever of the
//!   refunds fails gives back what is above what the others withhold.
//! - **Reported** as points voided ([`PointsMove::Voided`]), and returned to the total cap of the
//!   rule, when it is certain that they are gone.
//! - **Crash safety**: each step is one commit, and what is under way is in the rows of the refund
//!   and the review: the refund's job and the review's time-out go on from there, in either order,
//!   and come to the same sum.

use super::{
    ChangeReason, Order, Payments, PointsBack, PointsReview, Refund,
    booking::{put_order, return_points},
    credit::tell_points,
    store::Orders,
};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{Cx, Operation, SubmitError, Wanted, WorkingSet},
    idempotency::{Claim, KeyUse},
    ledger::{self, Draft, LedgerError, Phase, Resolution, Transfers},
    outbox::{self, Event},
    points::{self, PointsError, PointsMove},
    primitives::{
        AccountId, AccountKind, BusinessDay, EntryId, EntryKind, Lane, Length, OrderId, Points,
        PointsTransactionId, ReviewId, TenantId, Text, TransferId,
    },
    risk::{Approval, ReviewError, ReviewKind, ReviewPolicy, ReviewRow, Reviews, TimeoutDecision},
};

/// A note has this many characters at most.
const NOTE_MAX: usize = 200;

/// What a person does with a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewCommand {
    /// Keep others away for half an hour.
    Claim,
    Unclaim,
    /// With anything worth keeping.
    Approve(String),
    /// With why not.
    Reject(String),
}

/// A person's command on a review.
#[derive(Debug, Clone)]
pub struct DecideReview {
    pub tenant: TenantId,
    pub id: ReviewId,
    pub command: ReviewCommand,
    pub by: Actor,
    /// For approvals and rejections: the same key is the same command.
    pub claim: Option<Claim>,
}

/// Does what a person says. The same approval or rejection with the same key is done once; the
/// answer is the review as it stands.
pub async fn decide_review(
    payments: &Payments,
    decision: DecideReview,
) -> Result<ReviewRow, ReviewError> {
    let DecideReview {
        tenant,
        id,
        command,
        by,
        claim,
    } = decision;
    let command = match command {
        ReviewCommand::Claim => ReviewStep::Claim,
        ReviewCommand::Unclaim => ReviewStep::Unclaim,
        ReviewCommand::Approve(note) => ReviewStep::Approve(checked(&note)?),
        ReviewCommand::Reject(note) => {
            ReviewStep::Reject(checked(&note)?.ok_or(ReviewError::NoteNeeded)?)
        }
    };
    let operation = TurnReview {
        tenant: Some(tenant),
        id,
        command,
        by,
        claim,
        policy: payments.risk.review_policy(),
    };
    submit(payments, operation).await
}

/// The time-out decides, as the terms say. For a job, on what it has claimed. One that was decided
/// meanwhile stays as it is.
pub async fn time_out_review(payments: &Payments, id: ReviewId) -> Result<ReviewRow, ReviewError> {
    let operation = TurnReview {
        tenant: None,
        id,
        command: ReviewStep::TimeOut,
        by: Actor::new("timeout"),
        claim: None,
        policy: payments.risk.review_policy(),
    };
    submit(payments, operation).await
}

async fn submit(payments: &Payments, operation: TurnReview) -> Result<ReviewRow, ReviewError> {
    let answer = payments.db.submit(operation).await;
    answer.map_err(|error| match error {
        SubmitError::Refused(refusal) => refusal,
        SubmitError::Db(error) => error.into(),
    })
}

/// One line of text, or none.
fn checked(note: &str) -> Result<Option<String>, ReviewError> {
    let note = Text::parse(note, Length::Characters(0, NOTE_MAX));
    let note = note.map_err(|_| ReviewError::InvalidNote)?.into_string();
    Ok((!note.is_empty()).then_some(note))
}

#[derive(Debug, Clone)]
enum ReviewStep {
    Claim,
    Unclaim,
    Approve(Option<String>),
    Reject(String),
    TimeOut,
}

/// One change of a review, with what it does to the points.
#[derive(Debug, Clone)]
struct TurnReview {
    /// None for the job, which serves all.
    tenant: Option<TenantId>,
    id: ReviewId,
    command: ReviewStep,
    by: Actor,
    claim: Option<Claim>,
    policy: ReviewPolicy,
}

impl TurnReview {
    /// The review after this command, and what people read of it.
    fn turn(
        &self,
        row: &ReviewRow,
        unknown: bool,
        cx: &Cx<'_>,
    ) -> Result<(ReviewRow, AuditAction), ReviewError> {
        let (by, now, points) = (&self.by, cx.now(), row.points);
        // Nobody knows how much of the money is gone: a time-out credits nothing.
        let then = if unknown {
            TimeoutDecision::Reject
        } else {
            self.policy.on_timeout
        };
        Ok(match &self.command {
            ReviewStep::Claim => (row.claim(by, now)?, AuditAction::ReviewClaimed),
            ReviewStep::Unclaim => (row.unclaim(by, now)?, AuditAction::ReviewUnclaimed),
            ReviewStep::Approve(note) => match row.approve(by, note.clone(), &self.policy, now)? {
                Approval::First(row) => {
                    let decided = false;
                    (row, AuditAction::ReviewApproved { points, decided })
                }
                Approval::Decided(row) => {
                    let decided = true;
                    (row, AuditAction::ReviewApproved { points, decided })
                }
            },
            ReviewStep::Reject(note) => {
                let row = row.reject(by, note.clone(), now)?;
                (row, AuditAction::ReviewRejected { points })
            }
            ReviewStep::TimeOut => {
                let row = row.time_out(then, by.clone(), now)?;
                let released = row.state.released() == Some(true);
                (row, AuditAction::ReviewTimedOut { points, released })
            }
        })
    }

    /// Who awarded points by hand does not approve their review.
    fn is_somebody_else(&self, row: &ReviewRow, set: &WorkingSet) -> Result<(), ReviewError> {
        let asked_by = match row.kind {
            ReviewKind::Order => None,
            ReviewKind::PointsTransaction => {
                points::requested_by(set, PointsTransactionId::new(self.id.cause()))
            }
        };
        match self.command {
            ReviewStep::Approve(_) if asked_by == Some(&self.by) => Err(ReviewError::SamePerson),
            ReviewStep::Approve(_)
            | ReviewStep::Claim
            | ReviewStep::Unclaim
            | ReviewStep::Reject(_)
            | ReviewStep::TimeOut => Ok(()),
        }
    }
}

impl Operation for TurnReview {
    type Reply = ReviewRow;
    type Refusal = ReviewError;
    const NAME: &'static str = "payments.review";

    fn lane(&self) -> Lane {
        self.id.lane()
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) {
        if let Some(claim) = &self.claim {
            claim.want(want, set);
        }
        want.row::<Reviews>(self.id);
        let known = set
            .has_loaded::<Reviews>(self.id)
            .then(|| set.get::<Reviews>(self.id))
            .flatten();
        if let Some(review) = known {
            ledger::want_resolution(want, set, review.entry, 1);
            match review.kind {
                ReviewKind::Order => {
                    let order = OrderId::new(self.id.cause());
                    want.row::<Orders>(order);
                    if set.has_loaded::<Orders>(order)
                        && let Some(payment) = set
                            .get::<Orders>(order)
                            .and_then(|order| order.state.payment())
                    {
                        points::want_budget(want, review.tenant, payment.rule_version);
                    }
                }
                ReviewKind::PointsTransaction => {
                    points::want_review(want, set, PointsTransactionId::new(self.id.cause()));
                }
            }
        }
    }

    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<ReviewRow, ReviewError> {
        let row = set
            .get::<Reviews>(self.id)
            .filter(|row| self.tenant.is_none_or(|tenant| tenant == row.tenant))
            .cloned()
            .ok_or(ReviewError::NotFound)?;
        if let Some(claim) = &self.claim {
            match claim.check(set) {
                KeyUse::New => claim.use_for(set, cx, row.id.id()),
                KeyUse::Repeated(_) => return Ok(row),
                KeyUse::Taken(known) => {
                    return Err(ReviewError::KeyReused(ReviewId::new(known)));
                }
            }
        }
        self.is_somebody_else(&row, set)?;
        let unknown = row.kind == ReviewKind::Order
            && set
                .get::<Orders>(OrderId::new(row.id.cause()))
                .is_some_and(|order| order.refunds.unknown);
        let (turned, action) = self.turn(&row, unknown, cx)?;
        if let Some(released) = turned.state.released() {
            match turned.kind {
                ReviewKind::Order => {
                    settle_points(set, cx, &turned, released)?;
                    let order = order_of(set, cx, &turned)?;
                    let order = order.reviewed(released).map_err(|refused| {
                        tracing::error!(order.no = %order.no(), reason = %refused, "a review is not its order's");
                        LedgerError::from(cx.inconsistent("an order is not under its open review"))
                    })?;
                    put_order(set, cx, order, ChangeReason::Reviewed, Some(&self.by));
                }
                ReviewKind::PointsTransaction => {
                    let points_transaction = PointsTransactionId::new(turned.id.cause());
                    let decided =
                        points::decide_review(set, cx, points_transaction, released, &self.by);
                    decided.map_err(|error| of_points_transaction(cx, error))?;
                }
            }
            metrics::counter!("risk_reviews_decided_total", "outcome" => turned.state.name())
                .increment(1);
        }
        audit::note(set, cx, turned.tenant, &self.by, action, &turned.id);
        set.put::<Reviews>(turned.id, turned.clone());
        Ok(turned)
    }
}

/// The order whose points the review is about.
fn order_of(set: &WorkingSet, cx: &mut Cx<'_>, review: &ReviewRow) -> Result<Order, LedgerError> {
    let order = set.get::<Orders>(OrderId::new(review.id.cause())).cloned();
    order.ok_or_else(|| {
        cx.inconsistent("a review of an order that is not there")
            .into()
    })
}

/// Posts or voids the points of an order that are pending, repays a debt out of what came in, and
/// tells of it. What refunds withhold is not decided on. What is credited after its day is over as
/// it comes, and the next expiry takes it, unless an older hold can use it.
fn settle_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    review: &ReviewRow,
    released: bool,
) -> Result<(), LedgerError> {
    let order = order_of(set, cx, review)?;
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
fn repayment(
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

/// A points transaction whose review is open is under review: that it cannot be decided is a broken
/// book.
fn of_points_transaction(cx: &mut Cx<'_>, error: PointsError) -> ReviewError {
    match error {
        PointsError::Ledger(error) => error.into(),
        PointsError::Db(error) => error.into(),
        PointsError::State(_)
        | PointsError::NotFound
        | PointsError::Field { .. }
        | PointsError::CustomerUnknown
        | PointsError::CustomerBlocked
        | PointsError::MerchantUnknown
        | PointsError::OrderNotTheirs
        | PointsError::ReferenceReused(_)
        | PointsError::Insufficient { .. }
        | PointsError::Blocked
        | PointsError::CaptureTooMuch { .. }
        | PointsError::NotReturnable
        | PointsError::NotDone(_)
        | PointsError::ReturnTooMuch { .. } => {
            tracing::error!(reason = %error, "a points transaction does not take the end of its review");
            LedgerError::from(
                cx.inconsistent("a points transaction that is not under its open review"),
            )
            .into()
        }
    }
}

fn posted(cx: &mut Cx<'_>, tenant: TenantId, entry: EntryId) {
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
}

/// What [`refund_arrived`] reads, if the order is under review. Ask again after each load.
pub(super) fn want_review(want: &mut Wanted, set: &WorkingSet, order: &Order) {
    if order.is_under_review() {
        want.row::<Reviews>(ReviewId::of(order.id.id()));
        let held = EntryId::of(order.id.id(), EntryKind::PointsHeld);
        ledger::want_resolution(want, set, held, 1);
    }
}

/// A refund is initiated: of points under review its part is withheld. The order's row is the
/// caller's to write.
pub(super) fn withhold(order: &mut Order, refund: &mut Refund) -> Result<(), LedgerError> {
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
pub(super) fn refund_arrived(
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
    let superseded = row.supersede(Actor::new("refund"), cx.now());
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
pub(super) fn refund_failed(
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

/// The operation by itself, for tests that need no database.
#[cfg(test)]
pub(super) fn turning(
    id: ReviewId,
    released: bool,
) -> impl Operation<Reply = ReviewRow, Refusal = ReviewError> {
    let command = if released {
        ReviewStep::Approve(None)
    } else {
        ReviewStep::Reject("no".to_owned())
    };
    turn_review(id, command, ReviewPolicy::default())
}

/// The same of the time-out.
#[cfg(test)]
pub(super) fn timing_out(
    id: ReviewId,
    then: TimeoutDecision,
) -> impl Operation<Reply = ReviewRow, Refusal = ReviewError> {
    let policy = ReviewPolicy {
        on_timeout: then,
        ..ReviewPolicy::default()
    };
    turn_review(id, ReviewStep::TimeOut, policy)
}

#[cfg(test)]
fn turn_review(id: ReviewId, command: ReviewStep, policy: ReviewPolicy) -> TurnReview {
    TurnReview {
        tenant: None,
        id,
        command,
        by: Actor::new("test"),
        claim: None,
        policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_one_short_line() {
        assert_eq!(checked("  ok  ").unwrap().as_deref(), Some("ok"));
        assert_eq!(checked("   ").unwrap(), None);
        assert!(checked(&"退".repeat(NOTE_MAX)).is_ok());
        for bad in ["a\nb", "a\u{7}b", &"退".repeat(NOTE_MAX + 1)] {
            assert!(matches!(checked(bad), Err(ReviewError::InvalidNote)));
        }
    }
}
