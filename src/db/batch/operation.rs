//! A use case as a batch runs it.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::sync::oneshot;

use super::{
    super::{DbError, Sql, error::ConstraintViolation},
    SharedIds, Wanted, WorkingSet,
};
use crate::primitives::{Id, Lane, Timestamp};

/// A use case that the group committer runs among many: which rows, then decide.
pub trait Operation: Debug + Send + 'static {
    type Reply: Send + 'static;
    /// A refusal undoes what this operation changed and nothing else.
    type Refusal: Send + 'static;

    /// `slice.verb`, for metrics.
    const NAME: &'static str;
    /// True for what comes from WeChat: it has a lane of its own and is taken first.
    const URGENT: bool = false;

    /// The customer's lane, which names the committer.
    fn lane(&self) -> Lane;

    /// Which rows this operation reads. Asked again after each load, until it wants nothing more.
    fn rows(&self, want: &mut Wanted, set: &WorkingSet);

    /// Decides and changes the working set. Pure: no I/O, no clock of its own. It may run more than
    /// once, each time on fresh rows.
    fn decide(&self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> Result<Self::Reply, Self::Refusal>;
}

/// What an operation did not get.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<R> {
    /// The operation's own no.
    #[error("refused")]
    Refused(R),
    #[error("database failure")]
    Db(#[from] DbError),
}

/// The instant, the ids and the events of a batch.
#[derive(Debug)]
pub struct Cx<'a> {
    pub(super) now: Timestamp,
    pub(super) ids: &'a SharedIds,
    pub(super) events: &'a mut Events,
    pub(super) inconsistent: Option<&'static str>,
}

impl Cx<'_> {
    /// The time of the batch, one for all its operations.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn new_id(&self, lane: Lane) -> Id {
        Id::mint(self.now.millis(), self.ids.random(), lane)
    }

    /// Something happened that others want to know: it is committed with the change. `event` is the
    /// encoded event.
    pub fn emit(&mut self, event: &[u8]) {
        self.events.push(event);
    }

    /// Rows say what this program never writes. The operation fails with [`DbError::Inconsistent`],
    /// whatever its `decide` comes to, and someone is paged; its changes are undone. What is given
    /// back is for functions that must fail with something.
    pub fn inconsistent(&mut self, what: &'static str) -> Inconsistent {
        self.inconsistent = Some(what);
        Inconsistent(what)
    }
}

/// A broken invariant that [`Cx::inconsistent`] has noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("inconsistency: {0}")]
pub struct Inconsistent(&'static str);

/// Events of a commit, packed: length (4 bytes, big endian), bytes, and so on.
#[derive(Debug, Default)]
pub(super) struct Events(pub(super) Vec<u8>);

impl Events {
    fn push(&mut self, event: &[u8]) {
        let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(event);
    }
}

/// What the caller of an operation that panicked is told.
pub(super) const PANICKED: &str = "an operation panicked";

/// What became of an operation in `decide`.
pub(super) enum DecideResult {
    Done,
    Refused,
    Broken(&'static str),
}

/// An operation with its caller, type erased for the queue.
pub(super) trait ErasedOperation: Send {
    fn name(&self) -> &'static str;
    /// False when it panicked.
    fn rows(&self, want: &mut Wanted, set: &WorkingSet) -> bool;
    /// A panic is [`DecideResult::Broken`]; like a refusal it leaves nothing behind.
    fn decide(&mut self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> DecideResult;
    /// Counts a race that it lost while it ran alone: whether it may try again.
    fn count_attempt(&mut self) -> bool;
    /// Notes the constraint that it ran into while it ran alone: true when that is the one it ran
    /// into the last time, with the same value.
    fn violates_again(&mut self, violated: &ConstraintViolation) -> bool;
    /// The transaction is committed: tells the caller what was decided.
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: DbError);
}

type OperationResult<O> = Result<<O as Operation>::Reply, SubmitError<<O as Operation>::Refusal>>;

pub(super) struct QueuedOperation<O: Operation> {
    operation: O,
    decided: Option<Result<O::Reply, O::Refusal>>,
    attempts: u32,
    violated: Option<ConstraintViolation>,
    caller: oneshot::Sender<OperationResult<O>>,
}

impl<O: Operation> QueuedOperation<O> {
    pub(super) fn new(operation: O) -> (Self, oneshot::Receiver<OperationResult<O>>) {
        let (caller, answer) = oneshot::channel();
        (
            Self {
                operation,
                decided: None,
                attempts: 0,
                violated: None,
                caller,
            },
            answer,
        )
    }

    pub(super) fn lane(&self) -> Lane {
        self.operation.lane()
    }
}

impl<O: Operation> ErasedOperation for QueuedOperation<O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn rows(&self, want: &mut Wanted, set: &WorkingSet) -> bool {
        // What it had wanted by then is loaded in vain, and no more.
        catch_unwind(AssertUnwindSafe(|| self.operation.rows(want, set))).is_ok()
    }

    fn decide(&mut self, set: &mut WorkingSet, cx: &mut Cx<'_>) -> DecideResult {
        let events = cx.events.0.len();
        // Every change of the set is in its journal before the operation goes on, so that a panic
        // between two of them can be undone too.
        let decided = catch_unwind(AssertUnwindSafe(|| self.operation.decide(set, cx)));
        let Ok(decided) = decided else {
            set.undo();
            set.take_undeclared();
            cx.events.0.truncate(events);
            cx.inconsistent = None;
            return DecideResult::Broken(PANICKED);
        };
        let broken = cx.inconsistent.take().or_else(|| {
            set.take_undeclared()
                .then_some("an operation read a row that it had not asked for")
        });
        if broken.is_some() || decided.is_err() {
            set.undo();
            cx.events.0.truncate(events);
        } else {
            set.keep();
        }
        match (broken, decided) {
            (Some(what), _) => DecideResult::Broken(what),
            (None, decided @ Err(_)) => {
                self.decided = Some(decided);
                DecideResult::Refused
            }
            (None, decided @ Ok(_)) => {
                self.decided = Some(decided);
                DecideResult::Done
            }
        }
    }

    fn count_attempt(&mut self) -> bool {
        self.attempts += 1;
        self.attempts < super::ATTEMPTS_MAX
    }

    fn violates_again(&mut self, violated: &ConstraintViolation) -> bool {
        self.violated.replace(violated.clone()).as_ref() == Some(violated)
    }

    fn answer(self: Box<Self>) {
        let answer = match self.decided {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(refusal)) => Err(SubmitError::Refused(refusal)),
            None => Err(SubmitError::Db(DbError::Inconsistent(
                "an operation was not decided",
            ))),
        };
        let _ = self.caller.send(answer); // the caller may have gone; the change stands
    }

    fn fail(self: Box<Self>, error: DbError) {
        let _ = self.caller.send(Err(SubmitError::Db(error)));
    }
}

/// Whether a commit's row is there: one row, or none.
pub(super) fn commit_there(committer: u32, seq: u64) -> Sql {
    let mut sql = Sql::new("SELECT /* db.commit_there */ seq FROM commits WHERE committer = ");
    sql.int(committer)
        .push(" AND seq = ")
        .int(i64::try_from(seq).unwrap_or(i64::MAX));
    sql
}

/// The insert of a commit's row.
pub(super) fn commit_row(
    committer: u32,
    seq: u64,
    now: Timestamp,
    events: &[u8],
    seal: &[u8],
) -> Sql {
    let mut sql = Sql::new(
        "INSERT /* db.commit */ INTO commits (committer, seq, committed_at, events, seal) VALUES (",
    );
    sql.int(committer)
        .push(",")
        .int(i64::try_from(seq).unwrap_or(i64::MAX))
        .push(",")
        .time(now)
        .push(",")
        .bytes(events)
        .push(",")
        .bytes(seal)
        .push(")");
    sql
}
