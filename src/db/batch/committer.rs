//! The committers: queues, batches, retries, and what each of them may wait for.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, pin_mut};
use sqlx::{Either, Executor as _, MySqlConnection, mysql::MySqlConnectOptions};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    super::{DbError, DbOptions, Sql, dedicated, is_read_only},
    Cx, Fault, Operation, SharedClock, SharedIds, SubmitError, Wanted, WorkingSet,
    encode::{Encoded, Link, encode},
    lease::Lease,
    operation::{DecideResult, ErasedOperation, Events, PANICKED, QueuedOperation},
};
use crate::primitives::{Timestamp, WithCauses};

/// How long one batch may take before its connection is dropped.
const BATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// How long operations that were taken together are run again, together or apart. Who is left then
/// is told that there are too many writers.
const RETRIES_END: Duration = Duration::from_secs(30);
/// How long it may take to connect, to set up the session and to take an identity.
const OPEN_TIMEOUT: Duration = Duration::from_secs(6);
/// How long anything else may take that is not a batch: renewing the lease, giving it back.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle committer looks at its lease.
const IDLE_TICK: Duration = Duration::from_secs(5);
/// How often one without a session tries to get one.
const REOPEN_PAUSE: Duration = Duration::from_millis(250);
/// How long it may wait for one answer and still be called ready. Longer than a lock is waited for.
const READY_WAIT_MAX: Duration = Duration::from_secs(4);

/// Begins the transaction in which a batch loads: every `SELECT` of it sees the same moment. The
/// isolation level is what does it, and holds for this one transaction; the session's own, READ
/// COMMITTED, would take a new snapshot for each statement and ignore the clause without an error.
const BEGIN_SNAPSHOT: &str = "SET /* db.snapshot */ TRANSACTION ISOLATION LEVEL REPEATABLE READ;\
     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;";
/// The statements of [`BEGIN_SNAPSHOT`].
const BEGIN_SNAPSHOT_STATEMENTS: usize = 2;
/// Ends a transaction that only read, in front of what needs one of its own.
const END_SNAPSHOT: &str = "COMMIT;";

type AnyQueuedOperation = Box<dyn ErasedOperation>;

/// The committers of this process.
#[derive(Debug)]
pub(crate) struct Committers {
    queues: Mutex<Option<Vec<Queue>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    health: Vec<Arc<Health>>,
    count: usize,
}

#[derive(Debug, Clone)]
struct Queue {
    urgent: mpsc::Sender<AnyQueuedOperation>,
    ordinary: mpsc::Sender<AnyQueuedOperation>,
}

impl Committers {
    pub(crate) fn start(options: &DbOptions, clock: &SharedClock, ids: &SharedIds) -> Self {
        let count = options.committers;
        let (mut queues, mut tasks, mut healths) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let (urgent, urgent_in) = mpsc::channel(options.queue_max);
            let (ordinary, ordinary_in) = mpsc::channel(options.queue_max);
            let health = Arc::new(Health::new());
            let committer = Committer {
                connect: options.connect.clone(),
                clock: Arc::clone(clock),
                ids: Arc::clone(ids),
                urgent: urgent_in,
                ordinary: ordinary_in,
                batch_max: options.batch_max.max(1),
                health: Arc::clone(&health),
                session: None,
                opened_last: None,
            };
            queues.push(Queue { urgent, ordinary });
            healths.push(health);
            tasks.push(tokio::spawn(committer.run_until_stopped()));
        }
        Self {
            queues: Mutex::new(Some(queues)),
            tasks: Mutex::new(tasks),
            health: healths,
            count,
        }
    }

    pub(crate) async fn submit<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Reply, SubmitError<O::Refusal>> {
        let (operation, answer) = QueuedOperation::new(operation);
        let queue = {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let index = usize::from(operation.lane().0).checked_rem(self.count);
            let queue = queues
                .as_ref()
                .zip(index)
                .and_then(|(queues, index)| queues.get(index));
            let Some(queue) = queue else {
                return Err(DbError::Stopping.into());
            };
            if O::URGENT {
                queue.urgent.clone()
            } else {
                queue.ordinary.clone()
            }
        };
        match queue.try_send(Box::new(operation)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("commit_queue_refused_total", "operation" => O::NAME)
                    .increment(1);
                return Err(DbError::Overloaded.into());
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(DbError::Stopping.into()),
        }
        drop(queue);
        // A committer that dies without answering leaves the outcome unknown.
        answer
            .await
            .unwrap_or(Err(SubmitError::Db(DbError::Unavailable(None))))
    }

    pub(crate) fn are_ready(&self) -> bool {
        self.health.iter().all(|health| health.is_ready())
    }

    /// Takes nothing more, answers what is queued, gives the identities back.
    pub(crate) async fn stop(&self) {
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if task.await.is_err() {
                tracing::error!("a committer ended abnormally");
            }
        }
    }
}

/// What readiness asks: is there a session, and does it answer?
#[derive(Debug)]
struct Health {
    has_session: AtomicBool,
    /// Since when an answer is waited for, in milliseconds since `born`; 0 while none is.
    waits_since: AtomicU64,
    born: Instant,
}

impl Health {
    fn new() -> Self {
        Self {
            has_session: AtomicBool::new(false),
            waits_since: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    /// A conversation with the database begins; it ends with what is returned.
    fn waits(&self) -> Waiting<'_> {
        self.waits_since
            .store(self.clock().max(1), Ordering::Relaxed);
        Waiting(self)
    }

    fn is_ready(&self) -> bool {
        let since = self.waits_since.load(Ordering::Relaxed);
        let waited = Duration::from_millis(self.clock().saturating_sub(since));
        self.has_session.load(Ordering::Relaxed) && (since == 0 || waited < READY_WAIT_MAX)
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

struct Waiting<'a>(&'a Health);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits_since.store(0, Ordering::Relaxed);
    }
}

struct Committer {
    connect: MySqlConnectOptions,
    clock: SharedClock,
    ids: SharedIds,
    urgent: mpsc::Receiver<AnyQueuedOperation>,
    ordinary: mpsc::Receiver<AnyQueuedOperation>,
    batch_max: usize,
    health: Arc<Health>,
    session: Option<Session>,
    /// When it last tried to get a session.
    opened_last: Option<Instant>,
}

/// A connection with the identity that writes over it.
struct Session {
    conn: MySqlConnection,
    lease: Lease,
    /// A transaction is open that wrote nothing, and most often may not write.
    reads: bool,
}

/// How far a batch got.
enum Progress {
    Committed,
    /// Nothing to write: duplicates and refusals only. What they were told was read from committed
    /// rows.
    Unchanged,
}

/// Operations that are run together, and how often they failed together.
struct Group {
    operations: Vec<AnyQueuedOperation>,
    failures: u32,
}

impl Committer {
    /// Works to the end, whatever panics. What it held then is told *unknown*, since nobody will
    /// answer it.
    async fn run_until_stopped(mut self) {
        while AssertUnwindSafe(self.work()).catch_unwind().await.is_err() {
            tracing::error!("a committer panicked, and begins anew");
            metrics::counter!("committer_panics_total").increment(1);
            self.lose_session();
            tokio::time::sleep(REOPEN_PAUSE).await;
        }
        if let Some(mut session) = self.session.take() {
            let release = session.release(self.clock.now());
            let _ = tokio::time::timeout(STEP_TIMEOUT, release).await; // it runs out by itself
        }
    }

    async fn work(&mut self) {
        self.ensure_session().await;
        let mut batch = Vec::new();
        loop {
            let patience = if self.session.is_some() {
                IDLE_TICK
            } else {
                REOPEN_PAUSE
            };
            let taken = tokio::time::timeout(patience, self.take(&mut batch)).await;
            match taken {
                Ok(0) => break,
                Ok(_) => {
                    self.catch_up().await;
                    self.commit(std::mem::take(&mut batch)).await;
                }
                Err(_) => {}
            }
            self.ensure_session().await;
        }
    }

    /// Before a batch. A lease that is overdue was not renewed by the ticks: this process stood
    /// still, perhaps for so long that the server has closed the connection (`wait_timeout`) and
    /// somebody else has the identity. Callers need not be told *unknown* for that, since nothing
    /// of theirs was sent.
    async fn catch_up(&mut self) {
        let now = self.clock.now();
        let is_overdue = |session: &Session| session.lease.is_overdue(now);
        if self.session.as_ref().is_some_and(is_overdue) {
            self.ensure_session().await;
        }
    }

    /// Waits for work and takes all there is, the urgent first but never only the urgent. 0: there
    /// will be no more.
    async fn take(&mut self, batch: &mut Vec<AnyQueuedOperation>) -> usize {
        let (urgent, ordinary) = (&mut self.urgent, &mut self.ordinary);
        let first = tokio::select! {
            biased;
            Some(queued) = urgent.recv() => queued,
            Some(queued) = ordinary.recv() => queued,
            else => return 0,
        };
        batch.push(first);
        let most_urgent = self.batch_max.saturating_sub(self.batch_max / 4).max(1);
        while batch.len() < most_urgent {
            let Ok(queued) = urgent.try_recv() else { break };
            batch.push(queued);
        }
        while batch.len() < self.batch_max {
            let Ok(queued) = ordinary.try_recv() else {
                break;
            };
            batch.push(queued);
        }
        while batch.len() < self.batch_max {
            let Ok(queued) = urgent.try_recv() else { break };
            batch.push(queued);
        }
        batch.len()
    }

    /// Connects if need be, ends what was only read, and renews the lease when it is due.
    async fn ensure_session(&mut self) {
        let now = self.clock.now();
        if let Some(session) = &mut self.session
            && (session.reads || session.lease.is_due(now))
        {
            let _waiting = self.health.waits();
            match tokio::time::timeout(STEP_TIMEOUT, session.refresh(now)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    tracing::error!(
                        committer = session.lease.committer.0,
                        "committer identity was taken over, taking another"
                    );
                    self.session = None;
                }
                Ok(Err(error)) => {
                    tracing::warn!(reason = %WithCauses(&error), "a committer lost its session");
                    self.session = None;
                }
                Err(_) => {
                    tracing::warn!("a committer's session gave no answer");
                    self.session = None;
                }
            }
        }
        if self.session.is_none() {
            self.reopen().await;
        }
        self.health
            .has_session
            .store(self.session.is_some(), Ordering::Relaxed);
    }

    /// Tries to get a session, but not more often than makes sense.
    async fn reopen(&mut self) {
        self.lose_session();
        if self
            .opened_last
            .is_some_and(|last| last.elapsed() < REOPEN_PAUSE)
        {
            return;
        }
        let opened = {
            let _waiting = self.health.waits();
            tokio::time::timeout(OPEN_TIMEOUT, self.open())
                .await
                .unwrap_or(Err(DbError::Timeout("a session of a committer")))
        };
        match opened {
            Ok(session) => {
                tracing::info!(
                    committer = session.lease.committer.0,
                    seq = session.lease.seq,
                    "committer ready"
                );
                self.session = Some(session);
                self.opened_last = None;
                self.health.has_session.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                // Said once for each time without a database.
                if self.opened_last.is_none() {
                    tracing::warn!(reason = %WithCauses(&error), "committer cannot reach the database");
                }
                self.opened_last = Some(Instant::now());
            }
        }
    }

    async fn open(&self) -> Result<Session, DbError> {
        let mut conn = dedicated(&self.connect).await?;
        if is_read_only(&mut conn).await? {
            return Err(DbError::ReadOnly);
        }
        // A process that stands still in the middle of a load would keep the snapshot, and with it
        // every old version of every row, for the eight hours that servers wait by default. One that
        // lives is heard of each time it renews its lease.
        conn.execute("SET SESSION autocommit = 0, wait_timeout = 60")
            .await?;
        let mut holder = [0; 16];
        holder[..8].copy_from_slice(&self.ids.random().to_be_bytes());
        holder[8..].copy_from_slice(&self.ids.random().to_be_bytes());
        let lease = Lease::take(&mut conn, holder, self.clock.now()).await?;
        conn.execute("COMMIT").await?;
        Ok(Session {
            conn,
            lease,
            reads: false,
        })
    }

    fn lose_session(&mut self) {
        self.session = None;
        self.health.has_session.store(false, Ordering::Relaxed);
    }

    /// Runs the batch to its end: every caller is answered.
    async fn commit(&mut self, batch: Vec<AnyQueuedOperation>) {
        let end = Instant::now() + RETRIES_END;
        let mut work = vec![Group::new(batch)];
        while let Some(mut group) = work.pop() {
            let started = Instant::now();
            let size = u32::try_from(group.operations.len()).unwrap_or(u32::MAX);
            match self.attempt(&mut group.operations).await {
                Ok(progress) => {
                    if matches!(progress, Progress::Committed) {
                        metrics::histogram!("commit_batch_size").record(f64::from(size));
                        metrics::histogram!("commit_batch_seconds").record(started.elapsed());
                    }
                    group
                        .operations
                        .into_iter()
                        .for_each(ErasedOperation::answer);
                }
                // The connection is of no use, and what became of the batch is not known.
                Err(Fault::Broken(error)) if !is_of_a_row(&error) => {
                    tracing::error!(reason = %WithCauses(&error), operations = size, "batch failed");
                    self.lose_session();
                    group.fail_all(|| DbError::Unavailable(None));
                    self.reopen().await;
                }
                // Nothing of it was committed.
                Err(fault) => {
                    if !self.recover(&fault).await {
                        group.fail_all(|| DbError::Unavailable(None));
                    } else if Instant::now() > end {
                        group.fail_contended();
                    } else {
                        work.extend(group.after(fault));
                    }
                }
            }
        }
    }

    /// After a batch that was not committed: roll back and learn where the sequence stands, over a
    /// new connection if this one is of no more use.
    async fn recover(&mut self, fault: &Fault) -> bool {
        if matches!(fault, Fault::Conflict | Fault::ConstraintViolation(_)) {
            metrics::counter!("commit_conflicts_total").increment(1);
        }
        let is_usable = !matches!(fault, Fault::RefusedByGroup(_) | Fault::Panicked);
        if let Some(session) = self.session.as_mut().filter(|_| is_usable) {
            let _waiting = self.health.waits();
            let undone = tokio::time::timeout(STEP_TIMEOUT, session.undo()).await;
            if let Ok(Ok(())) = undone {
                return true;
            }
        }
        self.opened_last = None;
        self.reopen().await;
        self.session.is_some()
    }

    async fn attempt(&mut self, batch: &mut Vec<AnyQueuedOperation>) -> Result<Progress, Fault> {
        let Some(session) = &mut self.session else {
            return Err(Fault::Broken(DbError::Unavailable(None)));
        };
        let _waiting = self.health.waits();
        let run = AssertUnwindSafe(run(session, &self.clock, &self.ids, batch)).catch_unwind();
        match tokio::time::timeout(BATCH_TIMEOUT, run).await {
            Ok(Ok(progress)) => progress,
            Ok(Err(_)) => Err(Fault::Panicked),
            Err(_) => Err(Fault::Broken(DbError::Timeout("a batch"))),
        }
    }
}

impl Session {
    /// Ends a transaction that only read, and renews the lease when it is due. False when someone
    /// else holds the identity by now.
    async fn refresh(&mut self, now: Timestamp) -> Result<bool, DbError> {
        self.end_reading().await?;
        if self.lease.is_due(now) {
            return self.lease.renew(&mut self.conn, now).await;
        }
        Ok(true)
    }

    /// Gives the identity back.
    async fn release(&mut self, now: Timestamp) -> Result<(), DbError> {
        self.end_reading().await?;
        self.lease.release(&mut self.conn, now).await
    }

    async fn end_reading(&mut self) -> Result<(), DbError> {
        if std::mem::take(&mut self.reads) {
            self.conn.execute("COMMIT").await?;
        }
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), DbError> {
        self.conn.execute("ROLLBACK").await?;
        self.reads = true;
        self.lease.read_head(&mut self.conn).await
    }
}

/// True for what one operation of a batch can have caused, the connection being sound: the others
/// shall not suffer for it.
const fn is_of_a_row(error: &DbError) -> bool {
    error.is_of_row() || matches!(error, DbError::Sql(_))
}

impl Group {
    const fn new(operations: Vec<AnyQueuedOperation>) -> Self {
        Self {
            operations,
            failures: 0,
        }
    }

    /// What is run again after the group failed, nothing of it being committed. On a stack: the
    /// last is run first.
    fn after(mut self, fault: Fault) -> Vec<Self> {
        self.failures += 1;
        if self.operations.len() > 1 {
            let may_have_been_a_race =
                matches!(fault, Fault::Conflict | Fault::ConstraintViolation(_));
            if may_have_been_a_race && self.failures < 2 {
                return vec![self];
            }
            let rest = self.operations.split_off(self.operations.len() / 2);
            return [rest, self.operations]
                .map(|operations| Self {
                    operations,
                    failures: 1,
                })
                .into();
        }
        let Some(queued) = self.operations.first_mut() else {
            return Vec::new();
        };
        let name = queued.name();
        let error = match fault {
            Fault::Conflict if queued.count_attempt() => return vec![self],
            Fault::Conflict => {
                self.fail_contended();
                return Vec::new();
            }
            Fault::ConstraintViolation(violated) if !queued.violates_again(&violated) => {
                return vec![self];
            }
            Fault::ConstraintViolation(violated) => {
                metrics::counter!("commit_violations_total", "operation" => name).increment(1);
                DbError::Violation(violated.constraint)
            }
            Fault::RefusedByGroup(error) => DbError::Unavailable(Some(error)),
            Fault::Panicked => DbError::Inconsistent(PANICKED),
            Fault::Broken(error) => error,
        };
        tracing::error!(reason = %WithCauses(&error), operation = name, "an operation cannot be written");
        if let Some(queued) = self.operations.pop() {
            queued.fail(error);
        }
        Vec::new()
    }

    /// Others keep changing the same rows.
    fn fail_contended(self) {
        for queued in &self.operations {
            tracing::warn!(
                operation = queued.name(),
                "an operation lost every race and was refused"
            );
        }
        self.fail_all(|| DbError::Contention(super::ATTEMPTS_MAX));
    }

    fn fail_all(self, error: impl Fn() -> DbError) {
        for queued in self.operations {
            queued.fail(error());
        }
    }
}

/// Steps 1 to 4 for one batch.
async fn run(
    session: &mut Session,
    clock: &SharedClock,
    ids: &SharedIds,
    batch: &mut Vec<AnyQueuedOperation>,
) -> Result<Progress, Fault> {
    let mut phase = Phases::start();
    let mut set = WorkingSet::default();
    load(session, &mut set, batch).await?;
    phase.ends("load");

    let mut events = Events::default();
    let now = clock.now();
    decide(
        batch,
        &mut set,
        &mut Cx {
            now,
            ids,
            events: &mut events,
            inconsistent: None,
        },
    );

    let seq = session.lease.seq + 1;
    let link = Link {
        previous: &session.lease.seal,
        committer: session.lease.committer,
        seq,
        at: now,
    };
    let Some(encoded) = encode(&set, &events, &link)? else {
        return Ok(Progress::Unchanged);
    };
    let seal = encoded.seal;
    phase.ends("decide");
    record(session, encoded).await?;
    phase.ends("record");
    session.conn.execute("COMMIT").await?;
    phase.ends("commit");
    (session.lease.seq, session.lease.seal) = (seq, seal);
    Ok(Progress::Committed)
}

/// Where a batch's time goes: `commit_phase_seconds`.
struct Phases(Instant);

impl Phases {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn ends(&mut self, phase: &'static str) {
        metrics::histogram!("commit_phase_seconds", "phase" => phase).record(self.0.elapsed());
        self.0 = Instant::now();
    }
}

/// Loads what the operations want, step by step, all steps in one snapshot. Its transaction begins
/// with the text of the first step and stays open: whether another step follows only its rows tell.
/// What comes next ends it with a text that is sent anyway: the record of this batch, or the load
/// of the next. Where neither comes it is ended when the callers have their answers
/// ([`Session::refresh`]).
async fn load(
    session: &mut Session,
    set: &mut WorkingSet,
    batch: &mut Vec<AnyQueuedOperation>,
) -> Result<(), Fault> {
    let mut in_snapshot = false;
    // One row may lead to the next; three steps are what the deepest use case takes, eight is a
    // bound.
    for _ in 0..8 {
        let mut wanted = Wanted::default();
        let mut index = 0;
        while index < batch.len() {
            if batch[index].rows(&mut wanted, set) {
                index += 1;
            } else {
                fail_broken(batch.remove(index), PANICKED);
            }
        }
        set.want(&mut wanted);
        let Some((sql, order)) = set.load() else {
            return Ok(());
        };
        let (mut text, mut before) = (Sql::default(), 0);
        if !in_snapshot {
            // In an open transaction its isolation level cannot be changed.
            if session.reads {
                text.push(END_SNAPSHOT);
                before += 1;
            }
            text.push(BEGIN_SNAPSHOT);
            before += BEGIN_SNAPSHOT_STATEMENTS;
            (in_snapshot, session.reads) = (true, true);
        }
        text.append(&sql);
        let results = sqlx::raw_sql(text.into_statement()).fetch_many(&mut session.conn);
        pin_mut!(results);
        let mut statement = 0_usize;
        while let Some(result) = results.next().await {
            match result? {
                Either::Left(_) => statement += 1,
                Either::Right(row) => {
                    let index = statement
                        .checked_sub(before)
                        .and_then(|select| order.get(select))
                        .ok_or(DbError::Inconsistent("a row of no statement that loads"))?;
                    set.absorb(*index, &row)?;
                }
            }
        }
        if statement != before + order.len() {
            return Err(DbError::Inconsistent("fewer results than statements that load").into());
        }
    }
    Err(DbError::Inconsistent("an operation never stopped wanting rows").into())
}

fn decide(batch: &mut Vec<AnyQueuedOperation>, set: &mut WorkingSet, cx: &mut Cx<'_>) {
    let mut index = 0;
    while index < batch.len() {
        match batch[index].decide(set, cx) {
            DecideResult::Done | DecideResult::Refused => index += 1,
            DecideResult::Broken(what) => fail_broken(batch.remove(index), what),
        }
    }
}

fn fail_broken(queued: AnyQueuedOperation, what: &'static str) {
    tracing::error!(
        operation = queued.name(),
        what,
        "an operation is broken, or found the books inconsistent"
    );
    if what == PANICKED {
        metrics::counter!("operation_panics_total", "operation" => queued.name()).increment(1);
    }
    queued.fail(DbError::Inconsistent(what));
}

/// Sends everything in one round trip and checks that each statement did what it said it would: the
/// end of the snapshot, the commit's row, the changes, and last the question whether that row is
/// still there. The session does not commit by itself, so the commit's row begins the transaction.
async fn record(session: &mut Session, encoded: Encoded) -> Result<(), Fault> {
    let before = if std::mem::take(&mut session.reads) {
        END_SNAPSHOT
    } else {
        ""
    };
    let (text, expected) = encoded.into_text(before);
    let results = sqlx::raw_sql(text.into_statement()).fetch_many(&mut session.conn);
    pin_mut!(results);
    let count = expected.len() + 1;
    let mut expected = expected.into_iter();
    let (mut done, mut moved, mut still_there) = (0_usize, false, false);
    while let Some(result) = results.next().await {
        match result {
            Ok(Either::Left(result)) => {
                if let Some(Some(rows)) = expected.next() {
                    moved |= result.rows_affected() != rows;
                }
                done += 1;
            }
            Ok(Either::Right(_)) => still_there = true,
            // What fails behind a version that had moved was made of old rows.
            Err(error) if moved => {
                tracing::debug!(reason = %error, "batch lost a race: a version had moved");
                let fault = Fault::from(error);
                return Err(if matches!(fault, Fault::ConstraintViolation(_)) {
                    Fault::Conflict
                } else {
                    fault
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    if moved {
        tracing::debug!("batch lost a race: a version had moved");
        return Err(Fault::Conflict);
    }
    if done != count {
        return Err(DbError::Inconsistent("fewer results than statements").into());
    }
    if !still_there {
        tracing::error!(
            "the beginning of a batch was undone while the rest was written; all of it is undone"
        );
        metrics::counter!("commit_torn_total").increment(1);
        return Err(Fault::Conflict);
    }
    Ok(())
}
