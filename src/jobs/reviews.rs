//! Reviews that nobody decided in time: the time-out decides.

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    guarded,
    reconcile::{AT_ONCE, run_rounds},
};
use crate::{
    db::DbError,
    payments::{self, Payments},
    risk::{ClaimDueReviews, ReviewError},
};

pub(super) async fn reviews(payments: Payments, stop: CancellationToken) {
    run_rounds("reviews", &stop, || reviews_round(&payments)).await;
}

/// True when there is more to do at once.
pub async fn reviews_round(payments: &Payments) -> Result<bool, DbError> {
    let due = payments.db.run(ClaimDueReviews).await?;
    let busy = !due.is_empty();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |review| {
            match guarded("reviews", payments::time_out_review(payments, review)).await {
                // Somebody was faster; or it panicked, which is said.
                Some(Ok(_) | Err(ReviewError::AlreadyDecided(_))) | None => {}
                Some(Err(error)) => {
                    tracing::error!(review.id = %review, reason = %error, "a review whose time is over was not decided");
                }
            }
        })
        .await;
    Ok(busy)
}
