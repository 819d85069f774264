//! The ordinary transaction.

use std::{error::Error, future::Future, time::Duration};

use sqlx::{Executor as _, MySql, MySqlConnection, pool::PoolConnection};

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

/// How long a transaction may take from asking for a connection to its end. One that waits longer
/// waits for a database that does not answer.
const TX_TIMEOUT: Duration = Duration::from_secs(20);

/// An open transaction with its one instant. It is committed by [`Db::run`] and by nobody else.
#[derive(Debug)]
pub struct Tx {
    held: Held,
    now: Timestamp,
    db: Db,
}

impl Tx {
    pub fn conn(&mut self) -> &mut MySqlConnection {
        &mut self.held.conn
    }

    /// Returns the instant of the transaction, which is one from the first statement to the last.
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

/// A connection of the pool. It goes back there only if its transaction has ended for certain;
/// otherwise (a panic, no answer in time, a server that was demoted) it is closed, and the server
/// undoes what was open.
#[derive(Debug)]
struct Held {
    conn: PoolConnection<MySql>,
    has_ended: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.has_ended {
            self.conn.close_on_drop();
        }
    }
}

const ATTEMPTS_MAX: u32 = 5;

impl Db {
    /// Runs `work` in a transaction of its own task, and again when it lost a race, up to five
    /// times.
    pub async fn run<W: Work>(&self, work: W) -> Result<W::Reply, W::Error> {
        let db = self.clone();
        let task = self
            .inner
            .transactions
            .spawn(async move { db.attempt(&work).await });
        match task.await {
            Ok(outcome) => outcome,
            // Its connection is closed, which undoes what it had done.
            Err(ended) if ended.is_panic() => {
                tracing::error!(tx = W::NAME, "a transaction panicked");
                metrics::counter!("operation_panics_total", "operation" => W::NAME).increment(1);
                Err(DbError::Inconsistent("a transaction panicked").into())
            }
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
        match tokio::time::timeout(TX_TIMEOUT, self.in_transaction(work)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DbError::Timeout(W::NAME).into()),
        }
    }

    async fn in_transaction<W: Work>(&self, work: &W) -> Result<W::Reply, W::Error> {
        self.inner.offset.check()?;
        let conn = self.inner.transactional.acquire();
        let mut tx = Tx {
            held: Held {
                conn: conn.await.map_err(DbError::from)?,
                has_ended: false,
            },
            now: self.now(),
            db: self.clone(),
        };
        tx.conn().execute("BEGIN").await.map_err(DbError::from)?;
        let outcome = work.run(&mut tx).await;
        let end = match &outcome {
            Ok(_) => "COMMIT",
            Err(error) if db_error(error).is_some_and(DbError::invalidates_connection) => {
                return outcome;
            }
            Err(_) => "ROLLBACK",
        };
        let ended = tx.conn().execute(end).await;
        tx.held.has_ended = ended.is_ok();
        match (outcome, ended) {
            (Ok(_), Err(error)) => Err(DbError::from(error).into()),
            (outcome, _) => outcome,
        }
    }
}

fn lost_a_race(error: &(dyn Error + 'static)) -> bool {
    db_error(error).is_some_and(DbError::is_conflict)
}

/// What the database said, whatever was made of it.
fn db_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DbError> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(error) = error.downcast_ref::<DbError>() {
            return Some(error);
        }
        link = error.source();
    }
    None
}
