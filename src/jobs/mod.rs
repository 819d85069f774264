//! Jobs: what is done without being asked.
//!
//! A job reads the database to learn what is due and takes no input, so a timer, a restart and a second process are one case.

mod relay;

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use relay::{ProjectCommits, drain};

use crate::db::Db;

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: CancellationToken,
    running: TaskTracker,
}

/// How often the relay looks for commits. What came meanwhile is one transaction: at every commit's heels it would cost the
/// payments more than it gives their history.
const RELAY_PAUSE: Duration = Duration::from_millis(200);

/// Starts every job.
pub fn start(db: &Db) -> Jobs {
    let jobs = Jobs {
        stop: CancellationToken::new(),
        running: TaskTracker::new(),
    };
    jobs.running.spawn(relay(db.clone(), jobs.stop.clone()));
    jobs
}

impl Jobs {
    /// Lets each job finish what it is doing.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

async fn relay(db: Db, stop: CancellationToken) {
    let mut failing = false;
    while !stop.is_cancelled() {
        match relay::round(&db).await {
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
