//! Background jobs.
//!
//! A job takes no input: it reads from the database what is due, so it may run from a timer, after
//! a restart or in two processes at once. It calls the slice that does the work; when to look, what
//! to do with errors and panics, and how to stop is the same for all of them (`runner.rs`).

mod accounts;
mod deliver;
mod expire;
mod holds;
mod parked;
mod project_events;
mod reconcile;
mod relay;
mod relay_position;
mod reviews;
mod runner;
mod share;

pub use expire::Expiry;
pub use holds::holds_round;
pub use parked::{ParkedCommit, list_parked, retry_parked};
pub use reconcile::{orders_round, refunds_round};
pub use relay::{ProjectCommits, drain};
pub use reviews::reviews_round;
pub use runner::Jobs;
pub use share::sharings_round;

use crate::app::App;

/// Starts every job.
pub fn start(app: &App) -> Jobs {
    let jobs = Jobs::new();
    let (payments, deliveries) = (app.payments().clone(), app.deliveries().clone());
    let (sharing, share) = (app.sharing().clone(), app.expiry_share());
    let (db, settings) = (payments.db.clone(), deliveries.settings.clone());
    jobs.begin({
        let (db, settings) = (db.clone(), settings.clone());
        move || relay::Relay {
            db: db.clone(),
            settings: settings.clone(),
        }
    });
    jobs.begin({
        let db = db.clone();
        move || deliver::Deliver {
            db: db.clone(),
            deliveries: deliveries.clone(),
        }
    });
    jobs.begin({
        let payments = payments.clone();
        move || reconcile::Orders(payments.clone())
    });
    jobs.begin({
        let payments = payments.clone();
        move || reconcile::Refunds(payments.clone())
    });
    jobs.begin(move || reviews::Reviews(payments.clone()));
    let all = app.clone();
    jobs.begin(move || accounts::Accounts(all.clone()));
    jobs.begin(move || share::Sharings(sharing.clone()));
    jobs.begin({
        let db = db.clone();
        move || holds::Holds(db.clone())
    });
    jobs.begin(move || Expiry::new(db.clone(), settings.clone(), share));
    jobs
}
