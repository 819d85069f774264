//! Releases holds of points that have timed out.

use tokio_util::sync::CancellationToken;

use super::runner::{Job, work_on_each};
use crate::{
    db::{Db, DbError},
    points,
};

pub(super) struct Holds(pub(super) Db);

impl Job for Holds {
    const NAME: &'static str = "holds";

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        holds_round(&self.0).await
    }
}

/// True when there may be more to do at once. What cannot be ended now falls due again.
pub async fn holds_round(db: &Db) -> Result<bool, DbError> {
    let due = points::claim_expired_holds(db).await?;
    let busy = !due.is_empty();
    work_on_each(Holds::NAME, due, |hold| async move {
        match points::time_out(db, hold.tenant, hold.id).await {
            Ok(true) => metrics::counter!("points_holds_expired_total").increment(1),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(points_transaction.id = %hold.id, reason = %error, "a hold was not ended");
            }
        }
    })
    .await;
    Ok(busy)
}
