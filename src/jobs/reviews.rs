//! Reviews that nobody decided in time: the time-out decides.

use tokio_util::sync::CancellationToken;

use super::runner::{Job, work_on_each};
use crate::{
    db::DbError,
    payments::{self, Payments},
    risk::{ClaimDueReviews, ReviewError},
};

pub(super) struct Reviews(pub(super) Payments);

impl Job for Reviews {
    const NAME: &'static str = "reviews";

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        reviews_round(&self.0).await
    }
}

/// True when there is more to do at once.
pub async fn reviews_round(payments: &Payments) -> Result<bool, DbError> {
    let due = payments.db.run(ClaimDueReviews).await?;
    let busy = !due.is_empty();
    work_on_each(Reviews::NAME, due, |review| async move {
        match payments::time_out_review(payments, review).await {
            // Or somebody was faster.
            Ok(_) | Err(ReviewError::AlreadyDecided(_)) => {}
            Err(error) => {
                tracing::error!(review.id = %review, reason = %error, "a review whose time is over was not decided");
            }
        }
    })
    .await;
    Ok(busy)
}
