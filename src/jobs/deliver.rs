//! Delivers what is due: claims a bounded batch, makes an attempt at each of it, several at a time,
//! and goes on while batches come full.
//!
//! An attempt that fails is the delivery's own affair ([`deliveries`]); only the database can stop
//! a round. Any number of processes deliver side by side.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::runner::{Job, Rest, guarded};
use crate::{
    db::{Db, DbError},
    deliveries::{self, ClaimDue, Deliveries},
};

/// Deliveries that one round claims at most. All of them, [`AT_ONCE`] at a time and each as slow as
/// can be, end within the lease.
const BATCH_MAX: u32 = 16;
const AT_ONCE: usize = 8;

/// How often it looks whether something is due.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Deliver {
    pub(super) db: Db,
    pub(super) deliveries: Deliveries,
}

impl Job for Deliver {
    const NAME: &'static str = "deliveries";
    const REST: Rest = Rest {
        idle: PAUSE,
        failed: Duration::from_secs(1),
    };
    /// Attempts have their own bounds, and end within the lease.
    const ROUND_MAX: Option<Duration> = None;

    async fn round(&mut self, _: &CancellationToken) -> Result<bool, DbError> {
        round(&self.db, &self.deliveries).await
    }
}

/// One batch. True when there may be more.
async fn round(db: &Db, deliveries: &Deliveries) -> Result<bool, DbError> {
    let claimed = db.run(ClaimDue { limit: BATCH_MAX }).await?;
    let more = u32::try_from(claimed.len()) == Ok(BATCH_MAX);
    let mut ended = stream::iter(claimed)
        .map(|delivery| guarded(Deliver::NAME, deliveries::deliver(db, deliveries, delivery)))
        .buffer_unordered(AT_ONCE);
    let mut failure = None;
    // One whose outcome cannot be recorded does not hold up the others.
    while let Some(ended) = ended.next().await {
        failure = failure.or(ended.and_then(Result::err));
    }
    failure.map_or(Ok(more), Err)
}
