//! The ordinary transaction.

use std::{error::Error, future::Future, time::Duration};

use sqlx::{MySql, MySqlConnection, Transaction};

use super::{Db, DbError};
use crate::primitives::{Id, Lane, Timestamp};

/// A use case that runs in one ordinary transaction. Its body may run more than once.
pub trait Work: Send + Sync + 'static {
    /// `slice.verb`, for metrics and the slow log.
    const NAME: &'static str;
    type Reply: Send + 'static;
    type Error: Error + From<DbError> + Send + Sync + 'static;

    fn run(&self, tx: &mut Tx) -> impl Future<Output = Result<Self::Reply, Self::Error>> + Send;
}

/// An open transaction with its one instant. It is committed by [`Db::run`] and by nobody else.
#[derive(Debug)]
pub struct Tx {
    open: Transaction<'static, MySql>,
    now: Timestamp,
    db: Db,
}

impl Tx {
    pub fn conn(&mut self) -> &mut MySqlConnection {
        &mut self.open
    }

    /// The same instant from the first statement to the last.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn new_id(&self, lane: Lane) -> Id {
        Id::mint(self.now.millis(), self.db.random(), lane)
    }

    pub fn new_lane(&self) -> Lane {
        self.db.new_lane()
    }

    pub fn random(&self) -> u64 {
        self.db.random()
    }
}

const ATTEMPTS_MAX: u32 = 5;

impl Db {
    /// Runs `work` in a transaction of its own task, and again when it lost a race, up to five times.
    pub async fn run<W: Work>(&self, work: W) -> Result<W::Reply, W::Error> {
        let db = self.clone();
        let task = self
            .inner
            .transactions
            .spawn(async move { db.attempt(&work).await });
        match task.await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbError::Unavailable(None).into()),
        }
    }

    async fn attempt<W: Work>(&self, work: &W) -> Result<W::Reply, W::Error> {
        let mut attempt = 1;
        loop {
            let started = std::time::Instant::now();
            let outcome = self.once(work).await;
            metrics::histogram!("db_tx_seconds", "tx" => W::NAME).record(started.elapsed());
            match outcome {
                Err(error) if attempt < ATTEMPTS_MAX && lost_a_race(&error) => {
                    metrics::counter!("db_tx_retries_total", "tx" => W::NAME).increment(1);
                    let jitter = self.random() % 16;
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt) * 4 + jitter))
                        .await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn once<W: Work>(&self, work: &W) -> Result<W::Reply, W::Error> {
        #[expect(clippy::disallowed_methods, reason = "this is Db::run")]
        let open = self
            .inner
            .transactional
            .begin()
            .await
            .map_err(DbError::from)?;
        let mut tx = Tx {
            open,
            now: self.now(),
            db: self.clone(),
        };
        let reply = work.run(&mut tx).await?; // dropping the transaction rolls it back
        tx.open.commit().await.map_err(DbError::from)?;
        Ok(reply)
    }
}

fn lost_a_race(error: &(dyn Error + 'static)) -> bool {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(error) = error.downcast_ref::<DbError>() {
            return error.is_conflict();
        }
        link = error.source();
    }
    false
}
