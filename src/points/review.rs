//! The end of a points transaction's review: approved or rejected.
//!
//! Whoever keeps the queue of reviews calls [`want_review`] and [`decide_review`] inside its own
//! operation, so that its row, the points transaction and the entries are one commit.

use super::{
    PointsError, PointsMove, PointsTransaction, PointsTransactionKind, PointsTransactionState,
    end_hold::want_transaction, execute::note, transaction_entries as entries,
    transaction_store::PointsTransactions,
};
use crate::{
    audit::Actor,
    db::{Cx, Wanted, WorkingSet},
    primitives::PointsTransactionId,
};

/// Names the rows that [`decide_review`] reads. To be called again after each load.
pub fn want_review(want: &mut Wanted, set: &WorkingSet, transaction: PointsTransactionId) {
    want_transaction(want, set, transaction);
}

/// Returns who requested a points transaction under review (after [`want_review`]).
pub(crate) fn requested_by(set: &WorkingSet, transaction: PointsTransactionId) -> Option<&Actor> {
    set.get::<PointsTransactions>(transaction)
        .map(|transaction| &transaction.created_by)
}

/// Ends the review of a points transaction, inside `decide` of whoever keeps the queue.
///
/// | | approved | rejected |
/// |---|---|---|
/// | award | posted, repays a debt | voided |
/// | redemption at once | posted: spent | voided |
/// | hold | stays pending and is a hold from now on | voided |
///
/// Refused with [`PointsError::State`] when it is not under review (any more).
pub fn decide_review(
    set: &mut WorkingSet,
    cx: &mut Cx<'_>,
    transaction: PointsTransactionId,
    approve: bool,
    by: &Actor,
) -> Result<PointsTransaction, PointsError> {
    let transaction = set.get::<PointsTransactions>(transaction).cloned();
    let transaction = transaction.ok_or(PointsError::NotFound)?;
    let decided = if approve {
        let decided = transaction.approve(cx.now())?;
        match (decided.kind, decided.state) {
            (PointsTransactionKind::Award, _) => entries::award_after_review(set, cx, &decided)?,
            (
                PointsTransactionKind::Deduct
                | PointsTransactionKind::Redeem
                | PointsTransactionKind::Return,
                PointsTransactionState::Done,
            ) => {
                entries::capture(set, cx, &decided)?;
            }
            (
                PointsTransactionKind::Deduct
                | PointsTransactionKind::Redeem
                | PointsTransactionKind::Return,
                PointsTransactionState::Held
                | PointsTransactionState::Released
                | PointsTransactionState::Expired
                | PointsTransactionState::UnderReview
                | PointsTransactionState::Refused,
            ) => {}
        }
        decided
    } else {
        let decided = transaction.reject(cx.now())?;
        entries::void_pending(set, cx, &decided)?;
        if decided.kind == PointsTransactionKind::Award {
            entries::moved(cx, &decided, PointsMove::Voided, decided.points);
        }
        decided
    };
    note(set, cx, &decided, by);
    set.put::<PointsTransactions>(decided.id, decided.clone());
    Ok(decided)
}
