//! The database: two ways to write, one place where transactions are opened.
//!
//! - [`Db::run`] runs a [`Work`]: an ordinary transaction, for what moves neither money nor points. It is opened, named, retried and
//!   committed here, in a task of its own. sqlx loses writes when the future that holds a transaction is dropped
//!   between `BEGIN` and its answer (the connection goes back to the pool inside an open transaction); a client that
//!   hangs up must not be able to do that, so no transaction lives in a future that a client can drop. Transactions also have a pool of their
//!   own, which rolls back whatever a released connection may still hold; reads do not pay for that.
//! - [`Db::submit`] hands an [`Operation`] to the group committer (module [`batch`]), the only path for what writes a transfer and for the rest of the
//!   hot path.
//!
//! Both read committed data only (READ COMMITTED: MySQL's default, REPEATABLE READ, is known to lose updates) and both are safe
//! to repeat. Reads that decide nothing take a connection from [`Db::pool`].
//!
//! The same SQL runs on MySQL 8.0.19+ and MariaDB 10.11+, so it is checked by running it on both rather than by sqlx's macros,
//! whose idea of column types differs between the two.

pub mod batch;
mod book;
mod claim;
mod error;
mod fresh;
mod migrate;
mod remembered;
mod sql;
mod work;

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection as _, Executor as _, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use tokio_util::task::TaskTracker;

pub use batch::{Change, Cx, Fault, Operation, Recorder, RowSet, SubmitError, Wanted, WorkingSet};
pub use book::{Book, Standing};
pub use claim::DueList;
pub use error::DbError;
pub use fresh::Fresh;
pub use migrate::{MIGRATOR, grant, migrate};
pub use remembered::Remembered;
pub use sql::Sql;
pub use work::{Tx, Work};

use crate::primitives::{Clock, Id, IdSource, Lane, Timestamp};

/// How to reach the database and how hard to lean on it.
#[derive(Debug, Clone)]
pub struct DbOptions {
    pub connect: MySqlConnectOptions,
    /// Connections for reads. Ordinary transactions have half as many of their own, each committer one.
    pub connections_max: u32,
    /// Group committers of this process: one or two, or none for a tool that submits nothing. See [`batch`].
    pub committers: usize,
    /// Operations that may wait at one committer; past that they are refused at once.
    pub queue_max: usize,
    /// Operations that one commit takes at most.
    pub batch_max: usize,
}

impl DbOptions {
    pub fn new(connect: MySqlConnectOptions) -> Self {
        Self {
            connect,
            connections_max: 24,
            committers: 2,
            queue_max: 4096,
            batch_max: 1000,
        }
    }
}

/// A handle on the database, cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Reads, each a statement by itself.
    pool: MySqlPool,
    /// Transactions, which only [`Db::run`] opens.
    transactional: MySqlPool,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    transactions: TaskTracker,
    committers: batch::Committers,
}

/// How often an operation whose reads did not fit together is submitted ([`Db::submit_fresh`]).
pub const FRESH_ATTEMPTS: u32 = 5;

impl Db {
    /// Opens the pool and starts the committers. Fails when the database cannot be reached.
    pub async fn connect(
        options: DbOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, DbError> {
        let pools = || {
            MySqlPoolOptions::new()
                .acquire_timeout(Duration::from_secs(3))
                .after_connect(|conn, _| Box::pin(prepare_session(conn)))
        };
        let pool = pools()
            .max_connections(options.connections_max)
            .connect_with(options.connect.clone())
            .await?;
        let transactional = pools()
            .max_connections(options.connections_max.div_ceil(2))
            .after_release(|conn, _| {
                Box::pin(async move { conn.execute("ROLLBACK").await.map(|_| true) })
            })
            .connect_lazy_with(options.connect.clone());
        let committers = batch::Committers::start(&options, &clock, &ids);
        let transactions = TaskTracker::new();
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                transactional,
                clock,
                ids,
                transactions,
                committers,
            }),
        })
    }

    /// For reads that decide nothing.
    pub fn pool(&self) -> &MySqlPool {
        &self.inner.pool
    }

    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// A new thing's id on the given lane.
    pub fn new_id(&self, lane: Lane) -> Id {
        Id::mint(self.now().millis(), self.inner.ids.random(), lane)
    }

    /// A lane for a new customer.
    pub fn new_lane(&self) -> Lane {
        Lane(self.inner.ids.random().to_le_bytes()[0])
    }

    pub fn random(&self) -> u64 {
        self.inner.ids.random()
    }

    /// Hands `operation` to the committer of its lane. Once it is queued it is decided and written whatever becomes of the caller; an answer means
    /// that it is durable.
    pub async fn submit<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Reply, SubmitError<O::Refusal>> {
        self.inner.committers.submit(operation).await
    }

    /// The same for operations whose refusals must be true: the tables of a batch are loaded one after the other, and a refusal writes nothing whose version would guard
    /// what was read. So a refusal counts when it is met twice. One that only reads of two moments can show (`is_stale`) is met up to five times, and then
    /// answered as it is.
    pub async fn submit_fresh<O: Operation + Clone>(
        &self,
        operation: O,
        is_stale: fn(&O::Refusal) -> bool,
    ) -> Result<O::Reply, SubmitError<O::Refusal>> {
        let mut refused_before = false;
        for _ in 1..FRESH_ATTEMPTS {
            match self.submit(operation.clone()).await {
                Err(SubmitError::Refused(refusal)) if is_stale(&refusal) => {
                    metrics::counter!("db_stale_reads_total", "operation" => O::NAME).increment(1);
                }
                Err(SubmitError::Refused(_)) if !refused_before => refused_before = true,
                answer => return answer,
            }
        }
        self.submit(operation).await
    }

    /// True when the database answers and every committer holds its lease.
    pub async fn is_ready(&self) -> bool {
        let ping = sqlx::query("/* db.ping */ SELECT 1").execute(&self.inner.pool);
        let answered = tokio::time::timeout(Duration::from_secs(1), ping).await;
        matches!(answered, Ok(Ok(_))) && self.inner.committers.are_ready()
    }

    /// Answers what was taken, then closes. Nothing may be submitted afterwards.
    pub async fn close(&self) {
        self.inner.transactions.close();
        self.inner.transactions.wait().await;
        self.inner.committers.stop().await;
        self.inner.transactional.close().await;
        self.inner.pool.close().await;
    }
}

/// What every connection of ours agrees on, whatever the server's defaults are.
async fn prepare_session(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    conn.execute(
        "SET SESSION innodb_lock_wait_timeout = 3, \
         sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    )
    .await?;
    Ok(())
}

/// A connection outside the pool, for those who keep one.
pub(crate) async fn dedicated(options: &MySqlConnectOptions) -> Result<MySqlConnection, DbError> {
    let connecting = MySqlConnection::connect_with(options);
    let mut conn = tokio::time::timeout(Duration::from_secs(3), connecting)
        .await
        .map_err(|_| DbError::Timeout("connect"))??;
    prepare_session(&mut conn).await?;
    Ok(conn)
}
