//! Deciding on points that wait for a review: a person's word, the time-out's, or a refund that came first.
//!
//! What a review is and who may decide it, [`risk`](crate::risk) says; what the decision does to the points is done here, above everything that can be reviewed. A decision is
//! one commit: the review's row, the entry that posts or voids the pending one, the order, the audit line and the events. It is guarded by the versions of the
//! review and the order and by the resolution's key, so two at once decide once.
//!
//! | outcome | pending entry | debt | order's review |
//! |---|---|---|---|
//! | approved, lapsed and let in | posted | repaid out of these points, an entry of its own | let in |
//! | rejected, lapsed and let go | voided | stays | let go |
//! | moot: a refund set out | voided | stays | let go; the refund takes no points back |
//!
//! A refund of a part ends the review too: the money must not wait for it, and what of the points would be left is for a person to award by hand.

use super::{Order, Payments, Why, booking::put_order, store::Orders};
use crate::{
    audit::{self, Action, Actor},
    db::{Cx, DbError, FRESH_ATTEMPTS, Operation, SubmitError, Wanted, WorkingSet},
    idempotency::{Claim, KeyRow, Keys},
    ledger::{self, Accounts, Draft, LedgerError, Phase, Resolution, Transfers},
    outbox::{self, Event},
    points::{self, DeedError, PointsMove},
    primitives::{
        AccountId, DeedId, EntryId, EntryKind, Lane, Length, OrderId, ReviewId, TenantId, Text,
        TransferId,
    },
    risk::{Approval, ReviewError, ReviewKind, ReviewRow, ReviewTerms, Reviews},
};

/// A note has this many characters at most.
const NOTE_MAX: usize = 200;

/// What a person does with a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewWord {
    /// Keep others away for half an hour.
    Claim,
    Release,
    /// With anything worth keeping.
    Approve(String),
    /// With why not.
    Reject(String),
}

/// A person's word on a review.
#[derive(Debug, Clone)]
pub struct DecideReview {
    pub tenant: TenantId,
    pub id: ReviewId,
    pub word: ReviewWord,
    pub by: Actor,
    /// For approvals and rejections: the same key is the same word.
    pub claim: Option<Claim>,
}

/// Does what a person says. The same approval or rejection with the same key is done once; the answer is the review as it stands.
pub async fn decide_review(
    payments: &Payments,
    decision: DecideReview,
) -> Result<ReviewRow, ReviewError> {
    let DecideReview {
        tenant,
        id,
        word,
        by,
        claim,
    } = decision;
    let word = match word {
        ReviewWord::Claim => Word::Claim,
        ReviewWord::Release => Word::Release,
        ReviewWord::Approve(note) => Word::Approve(checked(&note)?),
        ReviewWord::Reject(note) => Word::Reject(checked(&note)?.ok_or(ReviewError::NoteNeeded)?),
    };
    let operation = TurnReview {
        tenant: Some(tenant),
        id,
        word,
        by,
        claim,
        terms: payments.risk.review_terms(),
    };
    submit(payments, operation).await
}

/// The time-out decides, as the terms say. For a job, on what it has claimed. One that was decided meanwhile stays as it is.
pub async fn lapse_review(payments: &Payments, id: ReviewId) -> Result<ReviewRow, ReviewError> {
    let operation = TurnReview {
        tenant: None,
        id,
        word: Word::Lapse,
        by: Actor::new("timeout"),
        claim: None,
        terms: payments.risk.review_terms(),
    };
    submit(payments, operation).await
}

async fn submit(payments: &Payments, operation: TurnReview) -> Result<ReviewRow, ReviewError> {
    let is_stale = |refusal: &ReviewError| matches!(refusal, ReviewError::Stale);
    let answer = payments.db.submit_fresh(operation, is_stale).await;
    answer.map_err(|error| match error {
        SubmitError::Refused(ReviewError::Stale) => DbError::Contention(FRESH_ATTEMPTS).into(),
        SubmitError::Refused(refusal) => refusal,
        SubmitError::Db(error) => error.into(),
    })
}

/// One line of text, or none.
fn checked(note: &str) -> Result<Option<String>, ReviewError> {
    let note = Text::parse(note, Length::Characters(0, NOTE_MAX));
    let note = note.map_err(|_| ReviewError::BadNote)?.into_string();
    Ok((!note.is_empty()).then_some(note))
}

#[derive(Debug, Clone)]
enum Word {
    Claim,
    Release,
    Approve(Option<String>),
    Reject(String),
    Lapse,
}

/// One change of a review, with what it does to the points.
#[derive(Debug, Clone)]
struct TurnReview {
    /// None for the job, which serves all.
    tenant: Option<TenantId>,
    id: ReviewId,
    word: Word,
    by: Actor,
    claim: Option<Claim>,
    terms: ReviewTerms,
}

impl TurnReview {
    /// The review after this word, and what people read of it.
    fn turn(&self, row: &ReviewRow, cx: &Cx<'_>) -> Result<(ReviewRow, Action), ReviewError> {
        let (by, now, points) = (&self.by, cx.now(), row.points);
        Ok(match &self.word {
            Word::Claim => (row.claim(by, now)?, Action::ReviewClaimed),
            Word::Release => (row.release(by, now)?, Action::ReviewReleased),
            Word::Approve(note) => match row.approve(by, note.clone(), &self.terms, now)? {
                Approval::First(row) => {
                    let decided = false;
                    (row, Action::ReviewApproved { points, decided })
                }
                Approval::Decided(row) => {
                    let decided = true;
                    (row, Action::ReviewApproved { points, decided })
                }
            },
            Word::Reject(note) => {
                let row = row.reject(by, note.clone(), now)?;
                (row, Action::ReviewRejected { points })
            }
            Word::Lapse => {
                let row = row.lapse(self.terms.then, by.clone(), now)?;
                let let_in = row.state.let_in() == Some(true);
                (row, Action::ReviewLapsed { points, let_in })
            }
        })
    }

    /// Who gave points by hand does not let them in.
    fn is_somebody_else(&self, row: &ReviewRow, set: &WorkingSet) -> Result<(), ReviewError> {
        let asked_by = match row.kind {
            ReviewKind::Order => None,
            ReviewKind::Deed => points::asked_by(set, DeedId::new(self.id.cause())),
        };
        match self.word {
            Word::Approve(_) if asked_by == Some(&self.by) => Err(ReviewError::SamePerson),
            Word::Approve(_) | Word::Claim | Word::Release | Word::Reject(_) | Word::Lapse => {
                Ok(())
            }
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
            want.row::<Keys>(claim.id);
        }
        want.row::<Reviews>(self.id);
        let known = set
            .has_loaded::<Reviews>(self.id)
            .then(|| set.get::<Reviews>(self.id))
            .flatten();
        if let Some(review) = known {
            ledger::want_resolution(want, set, review.entry, 1);
            match review.kind {
                ReviewKind::Order => want.row::<Orders>(OrderId::new(self.id.cause())),
                ReviewKind::Deed => {
                    points::want_decision(want, set, DeedId::new(self.id.cause()));
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
            if let Some(used) = set.get::<Keys>(claim.id) {
                if used.request_hash != claim.request_hash {
                    return Err(ReviewError::KeyReused);
                }
                return Ok(row);
            }
            let used = KeyRow {
                tenant: row.tenant,
                request_hash: claim.request_hash,
                effect: row.id.id(),
                at: cx.now(),
            };
            set.put::<Keys>(claim.id, used);
        }
        self.is_somebody_else(&row, set)?;
        let (turned, deed) = self.turn(&row, cx)?;
        if let Some(let_in) = turned.state.let_in() {
            match turned.kind {
                ReviewKind::Order => {
                    settle_points(set, cx, &turned, let_in).map_err(perhaps_stale)?;
                    let order = set
                        .get::<Orders>(OrderId::new(turned.id.cause()))
                        .ok_or(LedgerError::NotPending)?;
                    let order = order.reviewed(let_in).map_err(|_| ReviewError::Stale)?;
                    put_order(set, cx, order, Why::Reviewed, Some(&self.by));
                }
                ReviewKind::Deed => {
                    let deed = DeedId::new(turned.id.cause());
                    points::decide_in(set, cx, deed, let_in, &self.by)?;
                }
            }
            metrics::counter!("risk_reviews_decided_total", "outcome" => turned.state.name())
                .increment(1);
        }
        audit::note(set, cx, turned.tenant, &self.by, deed, &turned.id);
        set.put::<Reviews>(turned.id, turned.clone());
        Ok(turned)
    }
}

/// Posts or voids the points of an order that are pending, repays a debt out of what came in, and tells of it. What is let in after its day is over as it comes: the next
/// expiry takes it, and it repays nothing.
fn settle_points(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    review: &ReviewRow,
    let_in: bool,
) -> Result<(), LedgerError> {
    let leg = TransferId {
        entry: review.entry,
        leg: 0,
    };
    let pending = set
        .get::<Transfers>(leg)
        .filter(|transfer| transfer.phase == Phase::Pending)
        .copied()
        .ok_or(LedgerError::NotPending)?;
    let (way, what) = if let_in {
        (Resolution::Post, PointsMove::Earned)
    } else {
        (Resolution::Void, PointsMove::LetGo)
    };
    ledger::resolve(set, review.entry, 1, way, None, cx.now())?;
    posted(cx, review.tenant, review.entry.resolution());
    let is_over = pending
        .lot
        .is_some_and(|day| day <= cx.now().business_day());
    if let_in && !is_over {
        let account = AccountId::customer_points(review.customer);
        let owed = set.get::<Accounts>(account).map(|account| account.debt);
        let repaid = owed.unwrap_or_default().min(review.points);
        if !repaid.is_zero() {
            let entry = EntryId::of(review.id.cause(), EntryKind::DebtRepaid);
            let debt = AccountId::customer_debt(review.customer);
            let repay = Draft::posted(account, debt, repaid.get()).from_lot(pending.lot);
            ledger::post(set, review.tenant, entry, &[repay], cx.now())?;
            posted(cx, review.tenant, entry);
        }
    }
    let order = set.get::<Orders>(OrderId::new(review.id.cause()));
    let event = Event::PointsMoved {
        tenant: review.tenant,
        merchant: review.merchant,
        what: what.code(),
        source: review.source.clone(),
        rule_version: order
            .and_then(|order| order.state.payment())
            .map_or(0, |payment| payment.rule_version),
        points: review.points,
        at: cx.now(),
    };
    outbox::tell(cx, &event);
    Ok(())
}

impl From<DeedError> for ReviewError {
    /// What of a deed's refusals its review can meet. The others are about asking for one.
    fn from(error: DeedError) -> Self {
        match error {
            DeedError::Stale => Self::Stale,
            DeedError::State(state) => Self::AlreadyDecided(state.name()),
            DeedError::Ledger(error) => error.into(),
            DeedError::Db(error) => error.into(),
            DeedError::NotFound
            | DeedError::Field { .. }
            | DeedError::CustomerUnknown
            | DeedError::CustomerBlocked
            | DeedError::ShopUnknown
            | DeedError::OrderNotTheirs
            | DeedError::ReferenceReused
            | DeedError::Insufficient { .. }
            | DeedError::Blocked
            | DeedError::CaptureTooMuch { .. } => LedgerError::NotPending.into(),
        }
    }
}

/// The review, its entry and its order are read one after the other. When a refund in another process ends the review in between, they do not agree, and what they say
/// together nobody ever wrote.
fn perhaps_stale(error: LedgerError) -> ReviewError {
    if is_stale(error) {
        ReviewError::Stale
    } else {
        error.into()
    }
}

/// The entry that a review or an order says is pending is not, or not any more; or an account and its lots are of two moments.
pub(super) const fn is_stale(error: LedgerError) -> bool {
    match error {
        LedgerError::NotPending
        | LedgerError::NothingPending
        | LedgerError::AlreadyPosted
        | LedgerError::LotsShort => true,
        LedgerError::Insufficient
        | LedgerError::SameAccount
        | LedgerError::MixedAssets
        | LedgerError::NothingToMove
        | LedgerError::TwoCheckedAccounts
        | LedgerError::UnknownAccountKind
        | LedgerError::BelowZero
        | LedgerError::NothingOwed
        | LedgerError::Overflow => false,
    }
}

fn posted(cx: &mut Cx<'_>, tenant: TenantId, entry: EntryId) {
    outbox::tell(cx, &Event::EntryPosted { entry, tenant });
}

/// What [`end_for_refund`] reads, if the order is under review. Ask again after each load.
pub(super) fn want_review(want: &mut Wanted, set: &WorkingSet, order: &Order) {
    if order.is_under_review() {
        want.row::<Reviews>(ReviewId::of(order.id.id()));
        let held = EntryId::of(order.id.id(), EntryKind::PointsHeld);
        ledger::want_resolution(want, set, held, 1);
    }
}

/// A refund of an order under review sets out: the money must not wait. The pending points are let go, and there is nothing left to review. The order's row is
/// the caller's to write.
pub(super) fn end_for_refund(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    order: &Order,
) -> Result<(), LedgerError> {
    let row = set.get::<Reviews>(ReviewId::of(order.id.id())).cloned();
    let row = row.ok_or(LedgerError::NotPending)?;
    let moot = row.moot(Actor::new("refund"), cx.now());
    let moot = moot.map_err(|_| LedgerError::NotPending)?;
    settle_points(set, cx, &moot, false)?;
    metrics::counter!("risk_reviews_decided_total", "outcome" => moot.state.name()).increment(1);
    set.put::<Reviews>(moot.id, moot);
    Ok(())
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
            assert!(matches!(checked(bad), Err(ReviewError::BadNote)));
        }
    }
}
