//! Expiry runs: the nightly ones and those that are requested.

use super::{NIGHTLY_SECONDS, store};
use crate::{
    audit::{self, Actor, AuditAction, SystemActor},
    db::{Db, DbError, Tx, Work},
    primitives::{BusinessDay, ExpiryRunId, PageLimit, Points, TenantId, Timestamp, coded},
};

/// One sweep of a tenant's lots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryRun {
    pub id: ExpiryRunId,
    pub tenant: TenantId,
    /// The day (UTC+8) by which lots are judged to have expired.
    pub day: BusinessDay,
    pub state: RunState,
    /// The schedule, or the person who requested it.
    pub started_by: Actor,
    pub asked_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Totals so far: accounts of which points expired, lots that were emptied, points, and planned
    /// notices.
    pub accounts: u64,
    pub lots: u64,
    pub points: Points,
    pub notices: u64,
}

coded! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum RunState {
        /// No worker has begun.
        Asked => "asked",
        UnderWay => "under_way",
        Finished => "finished",
    }
}

/// Creates the nightly run of each tenant, once [`NIGHTLY_SECONDS`] have come. After a downtime the
/// run of today sweeps what the missed runs would have swept.
///
/// Replies with the day whose runs all exist; none before that time, or while a tenant has an
/// unfinished run.
#[derive(Debug)]
pub struct PlanRuns;

impl Work for PlanRuns {
    const NAME: &'static str = "points.plan_expiry";
    type Reply = Option<BusinessDay>;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<Option<BusinessDay>, DbError> {
        let today = tx.now().business_day();
        if tx.now() < today.start().plus_seconds(NIGHTLY_SECONDS) {
            return Ok(None);
        }
        let mut all = true;
        for tenant in store::tenants_without_run(tx, today).await? {
            let id = ExpiryRunId::new(tx.new_id(tx.new_lane()));
            all &= store::insert_run(tx, id, (tenant, today), true, &SystemActor::Schedule.into())
                .await?;
        }
        Ok(all.then_some(today))
    }
}

/// Requests a run for today, which begins when no other is under way. Replies with the tenant's
/// unfinished run if there is one.
#[derive(Debug)]
pub struct AskRun {
    pub tenant: TenantId,
    pub by: Actor,
}

impl Work for AskRun {
    const NAME: &'static str = "points.ask_expiry";
    type Reply = ExpiryRun;
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<ExpiryRun, DbError> {
        let today = tx.now().business_day();
        let id = ExpiryRunId::new(tx.new_id(tx.new_lane()));
        let made = store::insert_run(tx, id, (self.tenant, today), false, &self.by).await?;
        if made {
            let asked = AuditAction::PointsExpiryAsked { day: today };
            audit::record(tx, self.tenant, &self.by, asked, id).await?;
        }
        let open = store::open_run(tx, self.tenant).await?;
        open.ok_or(DbError::Inconsistent(
            "an expiry run that is open and is not",
        ))
    }
}

/// Returns up to `limit.probe()` runs of a tenant, newest first, older than `before`.
pub async fn list_runs(
    db: &Db,
    tenant: TenantId,
    before: Option<ExpiryRunId>,
    limit: PageLimit,
) -> Result<Vec<ExpiryRun>, DbError> {
    store::list_runs(db, tenant, before, limit).await
}
