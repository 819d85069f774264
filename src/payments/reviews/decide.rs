//! One change of a review: a person's command, or the time-out.

use super::points::{reviewed_order, settle_points};
use crate::{
    audit::{self, Actor, AuditAction, SystemActor},
    db::{Cx, Operation, SubmitError, Wanted, WorkingSet},
    idempotency::{Claim, KeyUse},
    ledger::{self, LedgerError},
    payments::{ChangeReason, Payments, booking::put_order, store::Orders},
    points::{self, PointsError},
    primitives::{Lane, Length, OrderId, PointsTransactionId, ReviewId, TenantId, Text},
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
        by: SystemActor::TimeOut.into(),
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
                    let order = reviewed_order(set, cx, &turned)?;
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

/// The operation by itself, for tests that need no database.
#[cfg(test)]
pub(in crate::payments) fn turning(
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

/// Times a review out in memory, for tests without a database.
#[cfg(test)]
pub(in crate::payments) fn timing_out(
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
        by: Actor::operator("test"),
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
