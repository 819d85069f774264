//! Working on a run: one process at a time, by a lease.

use super::{ExpiryRun, LEASE_SECONDS, store};
use crate::{
    db::{DbError, Tx, Work},
    primitives::{BusinessDay, ExpiryRunId, Points},
};

/// Claims the next run: one whose worker has not reported for [`LEASE_SECONDS`], or else the oldest
/// that nobody has begun. Replies with none if there is none, or if another worker has a lease. A
/// worker that holds a lease gets its run again.
#[derive(Debug)]
pub struct ClaimRun {
    pub holder: [u8; 16],
}

impl Work for ClaimRun {
    const NAME: &'static str = "points.claim_expiry";
    type Reply = Option<ExpiryRun>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Option<ExpiryRun>, DbError> {
        let now = tx.now();
        let leased = store::leased_run(tx).await?;
        let run = match leased {
            Some(leased) if leased.holder != self.holder && leased.leased_until >= now => {
                return Ok(None);
            }
            Some(leased) => leased.run,
            None => match store::first_open(tx).await? {
                Some(run) => run,
                None => return Ok(None),
            },
        };
        if !store::lease(tx, run.id, &self.holder, now.plus_seconds(LEASE_SECONDS)).await? {
            return Ok(None);
        }
        store::find_run(tx, run.tenant, run.id).await
    }
}

/// Work done since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub accounts: u64,
    pub lots: u64,
    pub points: Points,
    pub notices: u64,
}

impl Counts {
    pub const NONE: Self = Self {
        accounts: 0,
        lots: 0,
        points: Points::ZERO,
        notices: 0,
    };
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    GoesOn,
    /// Notices were planned for points that expire up to this day; none if the tenant wants no
    /// notices.
    Finished {
        noticed_until: Option<BusinessDay>,
    },
}

/// Adds to the counts of a run, and keeps the lease or ends it. Replies with false if another
/// worker holds the lease: then this one must stop.
#[derive(Debug)]
pub struct ReportRun {
    pub run: ExpiryRunId,
    pub holder: [u8; 16],
    pub done: Counts,
    pub progress: Progress,
}

impl Work for ReportRun {
    const NAME: &'static str = "points.report_expiry";
    type Reply = bool;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<bool, DbError> {
        let kept = store::count(tx, self.run, &self.holder, &self.done).await?;
        if kept && let Progress::Finished { noticed_until } = self.progress {
            store::finish(tx, self.run, noticed_until).await?;
        }
        Ok(kept)
    }
}

/// Releases a run before it is finished, so that the next worker need not wait for the lease to run
/// out.
#[derive(Debug)]
pub struct ReleaseRun {
    pub run: ExpiryRunId,
    pub holder: [u8; 16],
}

impl Work for ReleaseRun {
    const NAME: &'static str = "points.release_expiry";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        store::release(tx, self.run, &self.holder).await
    }
}
