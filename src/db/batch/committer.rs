//! The committers: queues, batches, retries.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, pin_mut};
use sqlx::{Either, Executor as _, MySqlConnection, mysql::MySqlConnectOptions};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    super::{DbError, DbOptions, dedicated},
    Cx, Fault, Operation, Recorder, SharedClock, SharedIds, SubmitError, Wanted, WorkingSet,
    lease::{Lease, seal},
    operation::{Decided, Events, Queued, Ticket, commit_row},
};

/// How long one batch may take before its connection is given up.
const BATCH_TIMEOUT: Duration = Duration::from_secs(15);
/// How often an idle committer looks at its lease.
const IDLE_TICK: Duration = Duration::from_secs(5);

type Ticketed = Box<dyn Queued>;

/// The committers of this process.
#[derive(Debug)]
pub(crate) struct Committers {
    queues: Mutex<Option<Vec<Queue>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    ready: Vec<Arc<AtomicBool>>,
    count: usize,
}

#[derive(Debug, Clone)]
struct Queue {
    urgent: mpsc::Sender<Ticketed>,
    ordinary: mpsc::Sender<Ticketed>,
}

impl Committers {
    pub(crate) fn start(options: &DbOptions, clock: &SharedClock, ids: &SharedIds) -> Self {
        let count = options.committers;
        let (mut queues, mut tasks, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let (urgent, urgent_in) = mpsc::channel(options.queue_max);
            let (ordinary, ordinary_in) = mpsc::channel(options.queue_max);
            let is_ready = Arc::new(AtomicBool::new(false));
            let committer = Committer {
                connect: options.connect.clone(),
                clock: Arc::clone(clock),
                ids: Arc::clone(ids),
                urgent: urgent_in,
                ordinary: ordinary_in,
                batch_max: options.batch_max.max(1),
                is_ready: Arc::clone(&is_ready),
                session: None,
            };
            queues.push(Queue { urgent, ordinary });
            ready.push(is_ready);
            tasks.push(tokio::spawn(committer.work()));
        }
        Self {
            queues: Mutex::new(Some(queues)),
            tasks: Mutex::new(tasks),
            ready,
            count,
        }
    }

    pub(crate) async fn submit<O: Operation>(
        &self,
        operation: O,
    ) -> Result<O::Reply, SubmitError<O::Refusal>> {
        let (ticket, answer) = Ticket::new(operation);
        let queue = {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let place = usize::from(ticket.lane().0).checked_rem(self.count);
            let queue = queues
                .as_ref()
                .zip(place)
                .and_then(|(queues, place)| queues.get(place));
            let Some(queue) = queue else {
                return Err(DbError::Stopping.into());
            };
            if O::URGENT {
                queue.urgent.clone()
            } else {
                queue.ordinary.clone()
            }
        };
        match queue.try_send(Box::new(ticket)) {
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
        self.ready.iter().all(|ready| ready.load(Ordering::Relaxed))
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

struct Committer {
    connect: MySqlConnectOptions,
    clock: SharedClock,
    ids: SharedIds,
    urgent: mpsc::Receiver<Ticketed>,
    ordinary: mpsc::Receiver<Ticketed>,
    batch_max: usize,
    is_ready: Arc<AtomicBool>,
    session: Option<Session>,
}

/// A connection with the identity that writes over it.
struct Session {
    conn: MySqlConnection,
    lease: Lease,
}

/// How far a batch got.
enum Progress {
    Committed,
    /// Nothing to write: duplicates and refusals only. What they were told was read from committed rows.
    Unchanged,
}

impl Committer {
    async fn work(mut self) {
        self.tend().await;
        let mut batch = Vec::new();
        loop {
            let taken = tokio::time::timeout(IDLE_TICK, self.take(&mut batch)).await;
            match taken {
                Ok(0) => break,
                Ok(_) => self.commit(std::mem::take(&mut batch)).await,
                Err(_) => {}
            }
            self.tend().await;
        }
        if let Some(mut session) = self.session.take() {
            let _ = session
                .lease
                .release(&mut session.conn, self.clock.now())
                .await;
        }
    }

    /// Waits for work and takes all there is, the urgent first but never only the urgent. 0: there will be no more.
    async fn take(&mut self, batch: &mut Vec<Ticketed>) -> usize {
        let (urgent, ordinary) = (&mut self.urgent, &mut self.ordinary);
        let first = tokio::select! {
            biased;
            Some(ticket) = urgent.recv() => ticket,
            Some(ticket) = ordinary.recv() => ticket,
            else => return 0,
        };
        batch.push(first);
        let most_urgent = self.batch_max.saturating_sub(self.batch_max / 4).max(1);
        while batch.len() < most_urgent {
            let Ok(ticket) = urgent.try_recv() else { break };
            batch.push(ticket);
        }
        while batch.len() < self.batch_max {
            let Ok(ticket) = ordinary.try_recv() else {
                break;
            };
            batch.push(ticket);
        }
        while batch.len() < self.batch_max {
            let Ok(ticket) = urgent.try_recv() else { break };
            batch.push(ticket);
        }
        batch.len()
    }

    /// Connects if need be, and renews the lease when it is due.
    async fn tend(&mut self) {
        let now = self.clock.now();
        if let Some(session) = &mut self.session
            && session.lease.is_due(now)
        {
            match session.lease.renew(&mut session.conn, now).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::error!(
                        committer = session.lease.committer.0,
                        "committer identity was taken over, taking another"
                    );
                    self.session = None;
                }
                Err(_) => self.session = None,
            }
        }
        if self.session.is_none() {
            match self.open().await {
                Ok(session) => {
                    tracing::info!(
                        committer = session.lease.committer.0,
                        seq = session.lease.seq,
                        "committer ready"
                    );
                    self.session = Some(session);
                }
                Err(error) => {
                    tracing::warn!(reason = %chain(&error), "committer cannot reach the database");
                }
            }
        }
        self.is_ready
            .store(self.session.is_some(), Ordering::Relaxed);
    }

    async fn open(&self) -> Result<Session, DbError> {
        let mut conn = dedicated(&self.connect).await?;
        let mut holder = [0; 16];
        holder[..8].copy_from_slice(&self.ids.random().to_be_bytes());
        holder[8..].copy_from_slice(&self.ids.random().to_be_bytes());
        let lease = Lease::take(&mut conn, holder, self.clock.now()).await?;
        Ok(Session { conn, lease })
    }

    /// Runs the batch to its end: every caller is answered.
    async fn commit(&mut self, batch: Vec<Ticketed>) {
        let mut work = vec![batch];
        while let Some(mut batch) = work.pop() {
            let started = Instant::now();
            let size = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            match self.attempt(&mut batch).await {
                Ok(Progress::Committed) => {
                    metrics::histogram!("commit_batch_size").record(f64::from(size));
                    metrics::histogram!("commit_batch_seconds").record(started.elapsed());
                    batch.into_iter().for_each(Queued::answer);
                }
                Ok(Progress::Unchanged) => batch.into_iter().for_each(Queued::answer),
                Err(Fault::Conflict) => {
                    metrics::counter!("commit_conflicts_total").increment(1);
                    if self.recover().await {
                        work.extend(split(batch));
                    } else {
                        fail_all(batch, &DbError::Unavailable(None));
                    }
                }
                Err(Fault::Broken(DbError::Sql(error))) => {
                    // One operation's row does not suit the table. The others shall not suffer for it: find it.
                    if !self.recover().await {
                        fail_all(batch, &DbError::Unavailable(None));
                    } else if batch.len() > 1 {
                        work.extend(halves(batch));
                    } else if let Some(ticket) = batch.pop() {
                        let error = DbError::Sql(error);
                        tracing::error!(reason = %chain(&error), operation = ticket.name(), "an operation's rows were refused");
                        ticket.fail(error);
                    }
                }
                Err(Fault::Broken(error)) => {
                    tracing::error!(reason = %chain(&error), operations = size, "batch failed");
                    self.session = None;
                    self.is_ready.store(false, Ordering::Relaxed);
                    fail_all(batch, &error);
                    self.tend().await;
                }
            }
        }
    }

    /// After a lost race: roll back and learn where the sequence stands.
    async fn recover(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            return false;
        };
        let recovered = async {
            session
                .conn
                .execute("ROLLBACK")
                .await
                .map_err(DbError::from)?;
            session.lease.read_head(&mut session.conn).await
        };
        if let Ok(Ok(())) = tokio::time::timeout(BATCH_TIMEOUT, recovered).await {
            true
        } else {
            self.session = None;
            false
        }
    }

    async fn attempt(&mut self, batch: &mut Vec<Ticketed>) -> Result<Progress, Fault> {
        let Some(session) = &mut self.session else {
            return Err(Fault::Broken(DbError::Unavailable(None)));
        };
        let run = run(session, &self.clock, &self.ids, batch);
        match tokio::time::timeout(BATCH_TIMEOUT, run).await {
            Ok(progress) => progress,
            Err(_) => Err(Fault::Broken(DbError::Timeout("a batch"))),
        }
    }
}

/// Nobody knows what became of these; each caller is told so.
fn fail_all(batch: Vec<Ticketed>, error: &DbError) {
    for ticket in batch {
        ticket.fail(if let DbError::Inconsistent(what) = error {
            DbError::Inconsistent(what)
        } else {
            DbError::Unavailable(None)
        });
    }
}

/// On a stack: the first half is run first.
fn halves(mut batch: Vec<Ticketed>) -> [Vec<Ticketed>; 2] {
    let rest = batch.split_off(batch.len() / 2);
    [rest, batch]
}

/// Twice as a whole, then in halves; whoever had its share of attempts is told.
fn split(mut batch: Vec<Ticketed>) -> Vec<Vec<Ticketed>> {
    let mut kept = Vec::with_capacity(batch.len());
    let mut rounds = u32::MAX;
    for mut ticket in batch.drain(..) {
        match ticket.may_retry() {
            Some(attempts) => {
                rounds = rounds.min(attempts);
                kept.push(ticket);
            }
            None => ticket.fail(DbError::Contention(super::ATTEMPTS_MAX)),
        }
    }
    if kept.is_empty() {
        Vec::new()
    } else if rounds <= 2 || kept.len() == 1 {
        vec![kept]
    } else {
        halves(kept).into()
    }
}

/// Steps 1 to 4 for one batch.
async fn run(
    session: &mut Session,
    clock: &SharedClock,
    ids: &SharedIds,
    batch: &mut Vec<Ticketed>,
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

    let mut out = Recorder::default();
    let mut sealing = seal(
        &session.lease.seal,
        session.lease.committer,
        session.lease.seq + 1,
        now,
        &events.0,
    );
    set.record(&mut out, &mut sealing);
    if out.is_empty() && events.0.is_empty() {
        return Ok(Progress::Unchanged);
    }
    let seal: [u8; 32] = sealing
        .finish()
        .as_ref()
        .try_into()
        .map_err(|_| DbError::Inconsistent("SHA-256 of a strange length"))?;
    let seq = session.lease.seq + 1;
    out.statement(
        &commit_row(session.lease.committer.0, seq, now, &events.0, &seal),
        Some(1),
    );
    phase.ends("decide");
    record(&mut session.conn, out).await?;
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

async fn load(
    session: &mut Session,
    set: &mut WorkingSet,
    batch: &mut [Ticketed],
) -> Result<(), Fault> {
    // One row may lead to the next; three steps are what the deepest use case takes, eight is a bound.
    for _ in 0..8 {
        let mut wanted = Wanted::default();
        for ticket in batch.iter() {
            ticket.rows(&mut wanted, set);
        }
        set.want(&mut wanted);
        let Some((sql, order)) = set.load() else {
            return Ok(());
        };
        let results = sqlx::raw_sql(sql.into_statement()).fetch_many(&mut session.conn);
        pin_mut!(results);
        let mut statement = 0;
        while let Some(result) = results.next().await {
            match result? {
                Either::Left(_) => statement += 1,
                Either::Right(row) => {
                    let place = order
                        .get(statement)
                        .ok_or(DbError::Inconsistent("more result sets than statements"))?;
                    set.absorb(*place, &row)?;
                }
            }
        }
    }
    Err(DbError::Inconsistent("an operation never stopped wanting rows").into())
}

fn decide(batch: &mut Vec<Ticketed>, set: &mut WorkingSet, cx: &mut Cx<'_>) {
    let mut place = 0;
    while place < batch.len() {
        match batch[place].decide(set, cx) {
            Decided::Done | Decided::Refused => place += 1,
            Decided::Broken(what) => {
                let ticket = batch.remove(place);
                tracing::error!(
                    operation = ticket.name(),
                    what,
                    "operation found the books inconsistent"
                );
                ticket.fail(DbError::Inconsistent(what));
            }
        }
    }
}

/// Sends everything in one round trip and checks that each statement did what it said it would.
async fn record(conn: &mut MySqlConnection, out: Recorder) -> Result<(), Fault> {
    let (statements, expected) = out.into_parts();
    let mut text = super::super::Sql::new("BEGIN;");
    text.append(&statements);
    let results = sqlx::raw_sql(text.into_statement()).fetch_many(conn);
    pin_mut!(results);
    let mut done = 0_usize; // the BEGIN included
    let mut conflict = false;
    while let Some(result) = results.next().await {
        let Either::Left(result) = result? else {
            continue;
        };
        if let Some(Some(Some(rows))) = done
            .checked_sub(1)
            .map(|place| expected.get(place).copied())
        {
            conflict |= result.rows_affected() != rows;
        }
        done += 1;
    }
    if conflict {
        tracing::debug!("batch lost a race: a version had moved");
        return Err(Fault::Conflict);
    }
    if done != expected.len() + 1 {
        return Err(DbError::Inconsistent("fewer results than statements").into());
    }
    Ok(())
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(error) = link {
        text.push_str(": ");
        text.push_str(&error.to_string());
        link = error.source();
    }
    text
}
