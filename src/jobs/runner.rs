//! How every job runs: rounds, rests, errors and panics, and how it stops.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::db::DbError;

/// A round of a job that lasts longer waits for a database that does not answer: it is dropped, as
/// if the process had been killed.
pub(super) const ROUND_MAX: Duration = Duration::from_mins(3);

/// How long a job rests that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// Items of a round that are worked on at once.
const AT_ONCE: usize = 8;

/// Something that is done in rounds for as long as the process runs.
pub(super) trait Job: Send + 'static {
    /// For logs and metrics.
    const NAME: &'static str;
    /// The rest after a round that left nothing to do, and after one that failed.
    const REST: Rest = Rest::of(Duration::from_secs(1));
    /// None: a round may last as long as its work.
    const ROUND_MAX: Option<Duration> = Some(ROUND_MAX);

    /// Does what is due. True when there is more to do at once. Fails when the job as a whole cannot
    /// work; what is wrong with one item is for the round to log.
    fn round(
        &mut self,
        stop: &CancellationToken,
    ) -> impl Future<Output = Result<bool, DbError>> + Send;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) idle: Duration,
    pub(super) failed: Duration,
}

impl Rest {
    pub(super) const fn of(time: Duration) -> Self {
        Self {
            idle: time,
            failed: time,
        }
    }
}

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: CancellationToken,
    running: TaskTracker,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            running: TaskTracker::new(),
        }
    }

    /// Runs a job until the process stops. One that panics is made anew.
    pub(super) fn begin<J: Job>(&self, make: impl Fn() -> J + Send + Sync + 'static) {
        let stop = self.stop.clone();
        self.running.spawn(async move {
            while guarded(J::NAME, run(make(), &stop)).await.is_none() && !stop.is_cancelled() {
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

/// Runs rounds until it is told to stop. A round that has begun is ended, so that nothing waits for
/// a lease. The first of several failures in a row is logged, each is counted.
async fn run<J: Job>(mut job: J, stop: &CancellationToken) {
    let mut failing = false;
    while !stop.is_cancelled() {
        let round = job.round(stop);
        let done = match J::ROUND_MAX {
            Some(longest) => tokio::time::timeout(longest, round)
                .await
                .unwrap_or(Err(DbError::Timeout("a round of a job"))),
            None => round.await,
        };
        match done {
            Ok(more) => {
                failing = false;
                if !more {
                    pause(stop, J::REST.idle).await;
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(job = J::NAME, reason = %error, "a job cannot work");
                }
                failing = true;
                metrics::counter!("job_failures_total", "job" => J::NAME).increment(1);
                pause(stop, J::REST.failed).await;
            }
        }
    }
}

/// Works on each item of a round, several at once. The panic of one does not stop the others.
pub(super) async fn work_on_each<T, F>(
    job: &'static str,
    items: Vec<T>,
    work: impl Fn(T) -> F + Sync,
) where
    F: Future<Output = ()> + Send,
{
    stream::iter(items)
        .for_each_concurrent(AT_ONCE, |item| {
            let work = guarded(job, work(item));
            async {
                work.await;
            }
        })
        .await;
}

/// Does a piece of a job's work. None when it panics, which is logged and counted.
pub(super) async fn guarded<T>(job: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        tracing::error!(job, "a job panicked");
        metrics::counter!("job_panics_total", "job" => job).increment(1);
    }
    done.ok()
}

/// Waits for `time`, or until the process stops.
pub(super) async fn pause(stop: &CancellationToken, time: Duration) {
    let _ = tokio::time::timeout(time, stop.cancelled()).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    struct Panicking(Arc<AtomicU32>);

    impl Job for Panicking {
        const NAME: &'static str = "test";

        async fn round(&mut self, stop: &CancellationToken) -> Result<bool, DbError> {
            assert!(
                self.0.fetch_add(1, Ordering::SeqCst) > 1,
                "a panic that belongs to the test"
            );
            stop.cancelled().await;
            Ok(false)
        }
    }

    #[tokio::test]
    async fn a_job_that_panics_is_begun_again() {
        let jobs = Jobs::new();
        let begun = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&begun);
        jobs.begin(move || Panicking(Arc::clone(&count)));
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
