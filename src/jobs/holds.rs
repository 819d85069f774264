//! Releases holds of points that have timed out.

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{
    guarded,
    reconcile::{AT_ONCE, run_rounds},
};
use crate::{
    db::{Db, DbError},
    points,
};

pub(super) async fn run(db: Db, stop: CancellationToken) {
    run_rounds("holds", &stop, || holds_round(&db)).await;
}

/// True when there may be more to do at once. What cannot be ended now falls due again.
pub async fn holds_round(db: &Db) -> Result<bool, DbError> {
    let due = points::claim_expired_holds(db).await?;
    let busy = !due.is_empty();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, async |(points_transaction, tenant)| {
            match guarded("holds", points::time_out(db, tenant, points_transaction)).await {
                Some(Ok(true)) => metrics::counter!("point_holds_expired_total").increment(1),
                Some(Ok(false)) | None => {}
                Some(Err(error)) => {
                    tracing::warn!(points_transaction.id = %points_transaction, reason = %error, "a hold was not ended");
                }
            }
        })
        .await;
    Ok(busy)
}
