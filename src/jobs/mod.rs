//! Background jobs.
//!
//! A job takes no input: it reads from the database what is due, so it may run from a timer, after
//! a restart or in two processes at once. A job that panics is started again. A job that works on
//! many items catches the panic of one, so that the others are still processed.

mod deliver;
mod expire;
mod holds;
mod parked;
mod reconcile;
mod relay;
mod reviews;
mod share;

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use expire::Expiry;
pub use holds::holds_round;
pub use parked::{ParkedCommit, list_parked, retry_parked};
pub use reconcile::{orders_round, refunds_round};
pub use relay::{ProjectCommits, drain};
pub use reviews::reviews_round;
pub use share::sharings_round;

use crate::{app::App, db::Db, deliveries::SettingsCache};

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: CancellationToken,
    running: TaskTracker,
}

/// How often the relay looks for commits. What came meanwhile is one transaction: at every commit's
/// heels it would cost the payments more than it gives their history.
const RELAY_PAUSE: Duration = Duration::from_millis(200);

/// A round of a job that lasts longer waits for a database that does not answer: it is dropped, as
/// if the process had been killed.
const ROUND_MAX: Duration = Duration::from_mins(3);

/// How long a job rests that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// How often the channel's key files and accounts are looked at.
const ACCOUNTS_PAUSE: Duration = Duration::from_secs(5);

/// Starts every job.
pub fn start(app: &App) -> Jobs {
    let jobs = Jobs {
        stop: CancellationToken::new(),
        running: TaskTracker::new(),
    };
    let (payments, deliveries) = (app.payments().clone(), app.deliveries().clone());
    let (sharing, share) = (app.sharing().clone(), app.expiry_share());
    let (db, settings) = (payments.db.clone(), deliveries.settings.clone());
    jobs.begin("relay", {
        let (db, settings) = (db.clone(), settings.clone());
        move |stop| relay(db.clone(), settings.clone(), stop)
    });
    jobs.begin("deliveries", {
        let db = db.clone();
        move |stop| deliver::run(db.clone(), deliveries.clone(), stop)
    });
    jobs.begin("orders", {
        let payments = payments.clone();
        move |stop| reconcile::orders(payments.clone(), stop)
    });
    jobs.begin("refunds", {
        let payments = payments.clone();
        move |stop| reconcile::refunds(payments.clone(), stop)
    });
    jobs.begin("reviews", move |stop| {
        reviews::reviews(payments.clone(), stop)
    });
    let all = app.clone();
    jobs.begin("accounts", move |stop| accounts(all.clone(), stop));
    jobs.begin("sharings", move |stop| {
        share::sharings(sharing.clone(), stop)
    });
    jobs.begin("holds", {
        let db = db.clone();
        move |stop| holds::run(db.clone(), stop)
    });
    jobs.begin("expiry", move |stop| {
        expire::run(Expiry::new(db.clone(), settings.clone(), share), stop)
    });
    jobs
}

impl Jobs {
    /// Runs a job until it ends, and begins it again when it panics.
    fn begin<F>(
        &self,
        name: &'static str,
        job: impl Fn(CancellationToken) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.running.spawn(async move {
            while guarded(name, job(stop.clone())).await.is_none() && !stop.is_cancelled() {
                pause(&stop, PANIC_PAUSE).await;
            }
        });
    }

    /// Lets each job finish what it is doing.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// Does a piece of a job's work: nothing when it panics, which is said and counted.
async fn guarded<T>(job: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        tracing::error!(job, "a job panicked");
        metrics::counter!("job_panics_total", "job" => job).increment(1);
    }
    done.ok()
}

/// Looks for changed keys and merchant accounts of the channel.
async fn accounts(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        pause(&stop, ACCOUNTS_PAUSE).await;
        let _ = tokio::time::timeout(ROUND_MAX, app.refresh_accounts()).await;
    }
}

async fn relay(db: Db, settings: SettingsCache, stop: CancellationToken) {
    let mut failing = false;
    while !stop.is_cancelled() {
        match relay::round(&db, &settings).await {
            Ok(more) => {
                failing = false;
                if !more {
                    pause(&stop, RELAY_PAUSE).await;
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(reason = %error, "the relay cannot read the commits");
                }
                failing = true;
                pause(&stop, Duration::from_secs(1)).await;
            }
        }
    }
}

async fn pause(stop: &CancellationToken, time: Duration) {
    let _ = tokio::time::timeout(time, stop.cancelled()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_begun_again() {
        let jobs = Jobs {
            stop: CancellationToken::new(),
            running: TaskTracker::new(),
        };
        let begun = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&begun);
        jobs.begin("test", move |stop| {
            let count = Arc::clone(&count);
            async move {
                assert!(
                    count.fetch_add(1, Ordering::SeqCst) > 1,
                    "a panic that belongs to the test"
                );
                stop.cancelled().await;
            }
        });
        let thrice = async {
            while begun.load(Ordering::SeqCst) < 3 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let thrice = tokio::time::timeout(Duration::from_secs(20), thrice).await;
        thrice.expect("it is begun again, twice");
        jobs.stop().await;
    }
}
