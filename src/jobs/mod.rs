//! Jobs: what is done without being asked.
//!
//! A job reads the database to learn what is due and takes no input, so a timer, a restart and a second process are one case.

mod deliver;
mod expire;
mod holds;
mod point_days;
mod pursue;
mod relay;
mod reviews;
mod share;

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use expire::Expiry;
pub use holds::holds_round;
pub use pursue::{orders_round, refunds_round};
pub use relay::{ProjectCommits, drain};
pub use reviews::reviews_round;
pub use share::sharings_round;

use crate::{app::App, db::Db, deliveries::SettingsBook};

/// The jobs of this process.
#[derive(Debug)]
pub struct Jobs {
    stop: CancellationToken,
    running: TaskTracker,
}

/// How often the relay looks for commits. What came meanwhile is one transaction: at every commit's heels it would cost the
/// payments more than it gives their history.
const RELAY_PAUSE: Duration = Duration::from_millis(200);

/// How often the channel's key files and accounts are looked at.
const ACCOUNTS_PAUSE: Duration = Duration::from_secs(5);

/// Starts every job.
pub fn start(app: &App) -> Jobs {
    let jobs = Jobs {
        stop: CancellationToken::new(),
        running: TaskTracker::new(),
    };
    let stop = || jobs.stop.clone();
    let (payments, deliveries) = (app.payments(), app.deliveries());
    let db = &payments.db;
    jobs.running
        .spawn(relay(db.clone(), deliveries.settings.clone(), stop()));
    jobs.running
        .spawn(deliver::run(db.clone(), deliveries.clone(), stop()));
    jobs.running.spawn(pursue::orders(payments.clone(), stop()));
    jobs.running
        .spawn(pursue::refunds(payments.clone(), stop()));
    jobs.running
        .spawn(reviews::reviews(payments.clone(), stop()));
    jobs.running.spawn(accounts(app.clone(), stop()));
    jobs.running
        .spawn(share::sharings(app.sharing().clone(), stop()));
    jobs.running.spawn(holds::run(db.clone(), stop()));
    let expiry = Expiry::new(db.clone(), deliveries.settings.clone(), app.expiry_share());
    jobs.running.spawn(expire::run(expiry, stop()));
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

/// Looks for changed keys and merchant accounts of the channel.
async fn accounts(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        pause(&stop, ACCOUNTS_PAUSE).await;
        app.refresh_accounts().await;
    }
}

async fn relay(db: Db, settings: SettingsBook, stop: CancellationToken) {
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
