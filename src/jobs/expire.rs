//! The nightly expiry of points: see [`crate::points::expiry`] for what a run is and what happens
//! when it is killed.
//!
//! A run works in pages and rests after each, so that the share of the time in which it works
//! (`ZHANGFANG_JOBS__EXPIRY_SHARE`) is bounded however many lots there are: what it asks of the
//! group committers is at most [`AT_ONCE`] operations at a time, and between them the payments have
//! the committers for themselves. There is no transaction longer than that, and no lock that is
//! held while it rests.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::runner::{Job, Rest, pause};
use crate::{
    db::{Db, DbError, SubmitError, with_read_timeout},
    deliveries::{DeliverySettings, ExpiringPoints, ExpiryNotice, PlanNotices, SettingsCache},
    points::expiry::{
        self, ClaimRun, Counts, ExpireLots, Expired, ExpiryRun, ForgetSpentLots, LotPosition,
        LotRow, PlanRuns, Progress, ReleaseRun, ReportRun,
    },
    primitives::{AccountId, BusinessDay, ExpiryRunId, Points},
};

/// Lots that one statement reads. Most of them may be spent.
const PAGE: u32 = 2_000;
/// Accounts that are expired at once: some batches of the committers.
const AT_ONCE: usize = 128;
/// Spent lots that one transaction deletes.
const FORGET: u32 = 500;
/// How often it looks whether there is a run.
const LOOK: Duration = Duration::from_secs(2);
/// The longest rest, well within the lease.
const REST_MAX: Duration = Duration::from_secs(20);

/// What the expiry works with, in one process.
#[derive(Debug)]
pub struct Expiry {
    db: Db,
    settings: SettingsCache,
    /// Per cent of the time, 1 to 100.
    share: u32,
    /// This worker among all.
    holder: [u8; 16],
    /// The day whose nightly runs are all there.
    planned: Option<BusinessDay>,
}

/// Why a run was left unfinished.
enum Unfinished {
    /// The process stops: somebody else may take the run at once.
    Stopping,
    /// Somebody else has it.
    Lost,
    Failed(DbError),
}

impl From<DbError> for Unfinished {
    fn from(error: DbError) -> Self {
        Self::Failed(error)
    }
}

impl Job for Expiry {
    const NAME: &'static str = "expiry";
    const REST: Rest = Rest::of(LOOK);
    /// A round is a whole run. Its statements have their own bounds.
    const ROUND_MAX: Option<Duration> = None;

    async fn round(&mut self, stop: &CancellationToken) -> Result<bool, DbError> {
        self.work_on_next(stop).await
    }
}

impl Expiry {
    /// `share`: per cent of the time in which a run works, 1 to 100.
    pub fn new(db: Db, settings: SettingsCache, share: u32) -> Self {
        let (one, other) = (db.random().to_be_bytes(), db.random().to_be_bytes());
        let mut holder = [0; 16];
        holder[..8].copy_from_slice(&one);
        holder[8..].copy_from_slice(&other);
        Self {
            db,
            settings,
            share: share.clamp(1, 100),
            holder,
            planned: None,
        }
    }

    /// Makes the nightly runs when their hour has come, and works on one run to its end. True when
    /// it finished one.
    pub async fn work_on_next(&mut self, stop: &CancellationToken) -> Result<bool, DbError> {
        if self.planned != Some(self.db.now().business_day()) {
            self.planned = self.db.run(PlanRuns).await?;
        }
        let holder = self.holder;
        let Some(run) = self.db.run(ClaimRun { holder }).await? else {
            return Ok(false);
        };
        let worked = Worker {
            expiry: self,
            run: &run,
            stop,
        };
        match worked.work().await {
            Ok(()) => Ok(true),
            Err(Unfinished::Lost) => {
                tracing::warn!(run.id = %run.id, "the expiry run {} was taken over", run.id);
                Ok(false)
            }
            Err(Unfinished::Stopping) => {
                self.release(run.id).await?;
                Ok(false)
            }
            Err(Unfinished::Failed(error)) => Err(error),
        }
    }

    async fn release(&self, run: ExpiryRunId) -> Result<(), DbError> {
        let holder = self.holder;
        self.db.run(ReleaseRun { run, holder }).await
    }
}

/// At one run.
struct Worker<'a> {
    expiry: &'a Expiry,
    run: &'a ExpiryRun,
    stop: &'a CancellationToken,
}

impl Worker<'_> {
    async fn work(&self) -> Result<(), Unfinished> {
        self.sweep().await?;
        let noticed_until = self.give_notice().await?;
        self.forget().await?;
        let finished = Progress::Finished { noticed_until };
        self.report(Counts::NONE, finished).await?;
        let (id, day) = (self.run.id, self.run.day);
        tracing::info!(run.id = %id, "the expiry run {id} of {day} is finished");
        Ok(())
    }

    /// Expires every expired lot, account by account as the walk meets them.
    async fn sweep(&self) -> Result<(), Unfinished> {
        let (db, run) = (&self.expiry.db, self.run);
        let mut after = Some(LotPosition::START);
        while let Some(position) = after {
            let began = Instant::now();
            let page = with_read_timeout(
                "lots that have expired",
                expiry::next_lots(db, run.tenant, position, run.day, PAGE),
            )
            .await?;
            after = page.next;
            let left = page.lots.iter().filter(|lot| lot.remaining > 0);
            let mut accounts: Vec<AccountId> = left.map(|lot| lot.account).collect();
            accounts.sort_unstable();
            accounts.dedup();
            self.rest(began).await?;
            for some in accounts.chunks(AT_ONCE) {
                let began = Instant::now();
                let done = self.expire(some).await?;
                self.report(done, Progress::GoesOn).await?;
                self.rest(began).await?;
            }
        }
        Ok(())
    }

    async fn expire(&self, accounts: &[AccountId]) -> Result<Counts, Unfinished> {
        let mut done = Counts::NONE;
        let mut emptied = BTreeSet::new();
        let mut todo: Vec<AccountId> = accounts.to_vec();
        while !todo.is_empty() {
            let answers = join_all(todo.iter().map(|account| self.expire_one(*account))).await;
            let mut again = Vec::new();
            for (account, answer) in todo.iter().zip(answers) {
                match answer {
                    Ok(expired) => {
                        done.lots = done.lots.saturating_add(u64::from(expired.lots));
                        done.points = done
                            .points
                            .checked_add(expired.points)
                            .map_err(|_| DbError::Inconsistent("more points than there can be"))?;
                        if expired.lots > 0 {
                            emptied.insert(*account);
                        }
                        if expired.more {
                            again.push(*account);
                        }
                    }
                    // One account whose rows are wrong must not keep the others from being swept.
                    Err(SubmitError::Refused(error)) => {
                        tracing::error!(account.id = %account, reason = %error, "{account} was not expired");
                    }
                    Err(SubmitError::Db(DbError::Overloaded | DbError::Contention(_))) => {
                        again.push(*account);
                    }
                    Err(SubmitError::Db(error)) => return Err(error.into()),
                }
            }
            if !again.is_empty() {
                // Nothing was lost: the payments go first.
                self.report(Counts::NONE, Progress::GoesOn).await?;
                self.stop_or(Duration::from_millis(50)).await?;
            }
            todo = again;
        }
        done.accounts = u64::try_from(emptied.len()).unwrap_or(u64::MAX);
        metrics::counter!("points_expired_lots_total").increment(done.lots);
        Ok(done)
    }

    async fn expire_one(
        &self,
        account: AccountId,
    ) -> Result<Expired, SubmitError<crate::ledger::LedgerError>> {
        let expire = ExpireLots {
            tenant: self.run.tenant,
            account,
            today: self.run.day,
        };
        self.expiry.db.submit(expire).await
    }

    /// Plans a notice of whatever has come within the tenant's days since the last run that gave
    /// any. Replies with the day up to which notice is given.
    async fn give_notice(&self) -> Result<Option<BusinessDay>, Unfinished> {
        let (db, run) = (&self.expiry.db, self.run);
        let settings = self.expiry.settings.current(run.tenant).await?;
        let Some(until) = notice_until(&settings, run.day) else {
            return Ok(None);
        };
        let before = with_read_timeout(
            "lots that have expired",
            expiry::noticed_until(db, run.tenant),
        )
        .await?;
        let given = before.map_or(run.day, |before| before.max(run.day));
        let mut after = Some(LotPosition {
            day: given,
            account: None,
        });
        while let Some(position) = after {
            let began = Instant::now();
            let page = with_read_timeout(
                "lots that have expired",
                expiry::next_lots(db, run.tenant, position, until, PAGE),
            )
            .await?;
            after = page.next;
            let expiring: Vec<ExpiringPoints> = page.lots.iter().filter_map(expiring).collect();
            let notices = u64::try_from(expiring.len()).unwrap_or(u64::MAX);
            if notices > 0 {
                let tenant = run.tenant;
                db.run(PlanNotices { tenant, expiring }).await?;
            }
            let done = Counts {
                notices,
                ..Counts::NONE
            };
            self.report(done, Progress::GoesOn).await?;
            self.rest(began).await?;
        }
        Ok(Some(until.max(given)))
    }

    async fn forget(&self) -> Result<(), Unfinished> {
        loop {
            let began = Instant::now();
            let forget = ForgetSpentLots {
                tenant: self.run.tenant,
                today: self.run.day,
                limit: FORGET,
            };
            let deleted = self.expiry.db.run(forget).await?;
            self.report(Counts::NONE, Progress::GoesOn).await?;
            if deleted < u64::from(FORGET) {
                return Ok(());
            }
            self.rest(began).await?;
        }
    }

    async fn report(&self, done: Counts, progress: Progress) -> Result<(), Unfinished> {
        let report = ReportRun {
            run: self.run.id,
            holder: self.expiry.holder,
            done,
            progress,
        };
        if self.expiry.db.run(report).await? {
            Ok(())
        } else {
            Err(Unfinished::Lost)
        }
    }

    /// Rests for as much longer than it worked as the share asks.
    async fn rest(&self, began: Instant) -> Result<(), Unfinished> {
        self.stop_or(rest_after(began.elapsed(), self.expiry.share))
            .await
    }

    async fn stop_or(&self, rest: Duration) -> Result<(), Unfinished> {
        if !rest.is_zero() {
            pause(self.stop, rest).await;
        }
        if self.stop.is_cancelled() {
            return Err(Unfinished::Stopping);
        }
        Ok(())
    }
}

/// How long to rest after `worked`, to have worked `share` per cent of the time.
fn rest_after(worked: Duration, share: u32) -> Duration {
    let rest = worked
        .saturating_mul(100_u32.saturating_sub(share))
        .checked_div(share.max(1))
        .unwrap_or(REST_MAX);
    rest.min(REST_MAX)
}

fn notice_until(settings: &DeliverySettings, day: BusinessDay) -> Option<BusinessDay> {
    let days = settings.expiry_notice.as_ref().map(ExpiryNotice::days)?;
    Some(day.plus_days(u32::from(days)))
}

/// None for a lot that is spent, and for one that is nobody's.
fn expiring(lot: &LotRow) -> Option<ExpiringPoints> {
    let points = Points::parse(lot.remaining)
        .ok()
        .filter(|points| !points.is_zero())?;
    Some(ExpiringPoints {
        customer: lot.account.customer()?,
        on: lot.expired_from,
        points,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_as_much_as_its_share_asks_and_never_for_as_long_as_its_lease() {
        let worked = Duration::from_millis(100);
        assert_eq!(rest_after(worked, 25), Duration::from_millis(300));
        assert_eq!(rest_after(worked, 50), worked);
        assert_eq!(rest_after(worked, 100), Duration::ZERO);
        assert_eq!(rest_after(Duration::from_secs(9), 1), REST_MAX);
        let lease = u64::try_from(expiry::LEASE_SECONDS).unwrap();
        assert!(REST_MAX < Duration::from_secs(lease / 2));
    }
}
