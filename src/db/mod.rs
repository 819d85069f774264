//! The database: two ways to write, one place where transactions are opened.
//!
//! - [`Db::run`] runs a [`Work`]: an ordinary transaction, for what moves neither money nor points.
//!   It is opened, named, retried and committed here, in a task of its own. sqlx loses writes when
//!   the future that holds a transaction is dropped between `BEGIN` and its answer (the connection
//!   goes back to the pool inside an open transaction); a client that hangs up must not be able to
//!   do that, so no transaction lives in a future that a client can drop. Transactions also have a
//!   pool of their own, to which a connection comes back only when its transaction has ended for
//!   certain (`work.rs`).
//! - [`Db::submit`] hands an [`Operation`] to the group committer (module [`batch`]), the only path
//!   for what writes a transfer and for the rest of the hot path.
//!
//! Neither does anything while this process's clock is more than a minute away from the database's
//! (`offset.rs`).
//!
//! Both write at READ COMMITTED (MySQL's default, REPEATABLE READ, is known to lose updates) and
//! both are safe to repeat. What an operation decides on is of one moment, since a batch loads in
//! one snapshot ([`batch`]). Reads that decide nothing take a connection from [`Db::pool`].
//!
//! # When the database is another one, or says nothing
//!
//! After a switch-over the old primary still answers, and reads there look like reads; only writing
//! is refused. So a connection is asked whether it can be written to when it is taken from a pool
//! again (in place of the ping that sqlx would send), is not used again after an answer that says
//! so, and readiness asks a connection on which transactions are made. (A new connection is not
//! asked: it goes where the address leads now, and while there is no primary anywhere reads are
//! better than nothing.)
//!
//! A network or a proxy can fall silent without closing anything. What is done in a transaction,
//! and everything that a committer does, has a bound; so has what the pools do with a connection
//! before they lend it and after they get it back. A single read has the bound of whoever asked: a
//! request's, a job's round, or `in_time`.
//!
//! The same SQL runs on MySQL 8.0.19+ and MariaDB 10.11+, so it is checked by running it on both
//! rather than by sqlx's macros, whose idea of column types differs between the two.

pub mod batch;
mod columns;
mod due_claim;
mod error;
mod migrate;
mod offset;
mod per_tenant_cache;
mod refreshing_cache;
mod sql;
mod sql_value;
mod ttl_cache;
mod work;

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection as _, Executor as _, MySqlConnection, MySqlPool, Row as _,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
};
use tokio_util::task::TaskTracker;

pub use batch::{
    Change, Cx, Fault, Inconsistent, LoadRows, Memory, Operation, RecordRows, Recorder, RowSet,
    SubmitError, Wanted, WorkingSet,
};
pub use columns::Columns;
pub use due_claim::{ClaimTime, DueClaim};
pub use error::DbError;
pub(crate) use error::is_constraint;
pub use migrate::{GrantError, MIGRATOR, grant, migrate};
pub use per_tenant_cache::{PerTenant, PerTenantCache};
pub use refreshing_cache::RefreshingCache;
pub use sql::Sql;
pub use sql_value::{Blob, SqlValue};
pub use ttl_cache::TtlCache;
pub use work::{Tx, Work};

use crate::primitives::{Clock, Id, IdSource, Lane, Timestamp};

/// How to reach the database and how hard to lean on it.
#[derive(Debug, Clone)]
pub struct DbOptions {
    pub connect: MySqlConnectOptions,
    /// Connections for reads. Ordinary transactions have half as many of their own, each committer
    /// one.
    pub connections_max: u32,
    /// Group committers of this process: one or two, or none for a tool that submits nothing. See
    /// [`batch`].
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
    offset: Arc<offset::ClockWatch>,
    reading: tokio::task::AbortHandle,
}

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
                .test_before_acquire(false) // what is done instead tells that, too
                .before_acquire(|conn, _| Box::pin(check_before_acquire(conn)))
                .after_release(|conn, _| Box::pin(check_after_release(conn)))
                .after_connect(|conn, _| Box::pin(prepare_session(conn)))
        };
        let pool = pools()
            .max_connections(options.connections_max)
            .connect_with(options.connect.clone())
            .await?;
        let transactional = pools()
            .max_connections(options.connections_max.div_ceil(2))
            .connect_lazy_with(options.connect.clone());
        let offset = Arc::new(offset::ClockWatch::new(Arc::clone(&clock)));
        offset.read(&pool).await?;
        let reading = tokio::spawn(Arc::clone(&offset).keep_reading(pool.clone())).abort_handle();
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
                offset,
                reading,
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

    /// Hands `operation` to the committer of its lane. Once it is queued it is decided and written
    /// whatever becomes of the caller; an answer means that it is durable. A refusal was decided on
    /// rows of one moment and is final.
    pub async fn submit<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Reply, SubmitError<O::Refusal>> {
        self.inner.offset.check()?;
        self.inner.committers.submit(operation).await
    }

    /// True when the database answers and can be written to, every committer holds its lease and
    /// gets answers, and the clocks agree.
    pub async fn is_ready(&self) -> bool {
        let asked = async {
            let mut conn = self.inner.transactional.acquire().await?;
            is_read_only(&mut conn).await
        };
        let answered = tokio::time::timeout(Duration::from_secs(1), asked).await;
        matches!(answered, Ok(Ok(false)))
            && self.inner.committers.are_ready()
            && self.inner.offset.check().is_ok()
    }

    /// Answers what was taken, then closes. Nothing may be submitted afterwards.
    pub async fn close(&self) {
        self.inner.reading.abort();
        self.inner.transactions.close();
        self.inner.transactions.wait().await;
        self.inner.committers.stop().await;
        // A database that does not answer is not waited for.
        for pool in [&self.inner.transactional, &self.inner.pool] {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, pool.close()).await;
        }
    }
}

/// What every connection of ours agrees on, whatever the server's defaults are.
async fn prepare_session(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        .await?;
    conn.execute(
        "SET SESSION innodb_lock_wait_timeout = 3, completion_type = 'NO_CHAIN', \
         sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    )
    .await?;
    // Galera: a read waits until this node has applied what the group has committed, so that behind
    // one address of several nodes what one of them has answered is known to all. Other servers do
    // not know the variable, or ignore it.
    match conn.execute("SET SESSION wsrep_sync_wait = 1").await {
        Err(error) if error::is_unknown_variable(&error) => Ok(()),
        done => done.map(|_| ()),
    }
}

/// How long an idle connection may take to say that it is sound.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Asked before a connection is handed out again: does it answer, and can it be written to?
async fn check_before_acquire(conn: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(CHECK_TIMEOUT, is_read_only(conn)).await {
        Ok(Ok(read_only)) => Ok(!read_only),
        Ok(Err(_)) | Err(_) => Err(no_answer()),
    }
}

/// Asked when a connection comes back. sqlx asks the same, but waits for ever, and the place in the
/// pool with it.
async fn check_after_release(conn: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(CHECK_TIMEOUT, conn.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(no_answer()),
    }
}

/// How long a read may take that nobody else bounds: a job's, or one that others wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// The answer of a read, if it comes in time.
pub(crate) async fn with_read_timeout<T>(
    what: &'static str,
    read: impl Future<Output = Result<T, DbError>>,
) -> Result<T, DbError> {
    tokio::time::timeout(READ_TIMEOUT, read)
        .await
        .unwrap_or(Err(DbError::Timeout(what)))
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// What a primary that was demoted says of itself.
pub(crate) async fn is_read_only(conn: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let says = sqlx::raw_sql("SELECT /* db.ping */ CAST(@@global.read_only AS CHAR)")
        .fetch_one(conn)
        .await?;
    let says: String = says.try_get(0)?;
    Ok(!matches!(says.as_str(), "0" | "OFF"))
}

/// A connection outside the pool, for those who keep one.
pub(crate) async fn dedicated(options: &MySqlConnectOptions) -> Result<MySqlConnection, DbError> {
    let connecting = async {
        let mut conn = MySqlConnection::connect_with(options).await?;
        prepare_session(&mut conn).await?;
        Ok::<_, sqlx::Error>(conn)
    };
    tokio::time::timeout(Duration::from_secs(3), connecting)
        .await
        .map_err(|_| DbError::Timeout("connect"))?
        .map_err(DbError::from)
}
