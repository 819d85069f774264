//! Group commit: many operations, one transaction.
//!
//! One ledger-shaped transaction per request costs eight round trips and one flush each, and MySQL
//! spends its time on statements rather than on rows. So requests queue as [`Operation`]s, and a
//! *committer* takes all that wait (no timer: whatever queued while the last commit ran is the next
//! batch, so an idle system has the latency of one request and a busy one amortises) and runs them
//! as one transaction:
//!
//! 1. **load**: every row that the operations name, one statement per table, all in one round trip,
//!    no locks, all as of one moment. Operations are asked again until they want nothing more, so
//!    that one row may lead to the next; the moment stays the first step's;
//! 2. **decide**: each operation in turn, pure, on the working set in memory. A refusal undoes its
//!    own changes and leaves the rest; two operations on one row see each other;
//! 3. **record**: the commit's own row (the events that happened and a seal over the transfers),
//!    then one multi-row statement per table, version-checked where the table says so, in one fixed
//!    order of tables ([`RowSet::LOCK_ORDER`]) and keys, all in one round trip; at its end it is
//!    asked whether the commit's row is still there;
//! 4. **commit**, and only then answer each caller.
//!
//! # Why loading needs no locks
//!
//! A batch loads in one snapshot: `START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY` at
//! REPEATABLE READ, a level that holds for this one transaction. (At READ COMMITTED, which is the
//! session's, each statement has a snapshot of its own, and another process that commits between
//! two of them is seen by half.) So what an operation reads was all there at one moment, which lies
//! between its call and its answer; a refusal, which writes nothing that could guard it, is true of
//! that moment and final; and rows that contradict each other are broken books
//! ([`Cx::inconsistent`]), never a matter of bad luck.
//! (On Galera the moment is this node's. The session waits for it to have what the group had
//! committed, `wsrep_sync_wait`, so it does not lie behind what another node has answered.)
//!
//! That moment is over when the batch is written. What a decision must be sure of then is guarded
//! by something that the same operation writes and that can be written only if it is still what was
//! loaded: a row with a version, or a row whose key may exist once. Whoever loses such a race is
//! told by the database (no row matched, duplicate key, violated check), the transaction is rolled
//! back and the batch runs again from step 1: twice as a whole, then in halves to find the culprit.
//! Only an operation that runs alone is charged for what fails, so that nobody pays for a
//! neighbour: it is run at most [`ATTEMPTS_MAX`] times alone, then told
//! [`DbError::Contention`](super::DbError::Contention), as is whoever still waits half a minute
//! after the batch was taken.
//!
//! Not everything that looks like a lost race is one. An operation that runs alone, on fresh rows,
//! into the same constraint with the same value a second time would do so for ever: it is told
//! [`DbError::Violation`](super::DbError::Violation), and somebody is paged. (A `CHECK` that fails
//! behind a version that had moved in the same batch was a race: the rows were old.)
//!
//! What it need not be sure of is read without a guard, and is as fresh as the load: a collection
//! code and its merchant, and the points rule, which may be a second old.
//!
//! The snapshot costs no round trip. It begins in the text of the first step. Whether a step was
//! the last is known only from its rows, so the transaction stays open while operations decide, and
//! the next text that is sent anyway ends it: that of the record, or of the next load. It is READ
//! ONLY, so that nothing can be written under the wrong level, and a statement that fails leaves
//! nothing behind but a `ROLLBACK`, which takes the level away too. A server that is read-only lets
//! it through and refuses the record. Where a proxy sends READ ONLY transactions to replicas the
//! guards still hold, but refusals are as old as the replica: committers need the primary.
//!
//! # Who commits
//!
//! More than one writer on the same accounts halves the rate, so an operation goes to the committer
//! of its [`Lane`](crate::primitives::Lane). A committer has a leased identity and a sequence
//! without gaps (`lease.rs`); two that believe they are the same one collide at the key of the
//! commit's row, and one of them loses.
//!
//! Their sessions do not commit by themselves (`autocommit=0`). In a packet of several statements
//! Galera answers a conflict with another node by undoing the transaction and going on with the
//! next statement, as a transaction of its own; where each statement committed itself, the rest of
//! the packet would stay. So that a packet whose beginning was undone is noticed whatever undid it,
//! the commit's row is its first statement, and is asked for before `COMMIT`. A snapshot that
//! neither a record nor another load has ended is ended as soon as the callers have their answers:
//! it would keep tables from being altered and old versions of rows from being removed.
//!
//! # When something dies
//!
//! - the caller: the operation is decided and written all the same, the answer is thrown away;
//! - this process: nothing was answered that was not committed; what was committed and not answered
//!   is found by its id when the caller repeats it;
//! - the database: everybody in the batch is told
//!   [`DbError::Unavailable`](super::DbError::Unavailable), which means *unknown*. The next batch
//!   connects anew and reads where the sequence stands; without work it is tried every quarter of a
//!   second. A server that is read-only is not one to work with;
//! - nothing, but this process stood still for longer than its lease: the batch that it takes next
//!   waits until the lease is renewed, or another identity taken over a new connection;
//! - the network, silently: whatever a committer waits for has a bound (`committer.rs`), past which
//!   the connection is dropped. A committer that has waited for some seconds is not ready;
//! - an operation, by a panic: it alone is told that something is broken, and its changes are
//!   undone, as for a refusal. A panic while a batch is written is traced to its operation by
//!   halves. Should the committer itself panic, its batch is told *unknown*, and it begins anew.

mod committer;
mod encode;
mod lease;
pub(crate) mod memory;
mod operation;
mod recorder;
mod rows;

use std::sync::Arc;

pub(crate) use committer::Committers;
pub use memory::Memory;
pub use operation::{Cx, Inconsistent, Operation, SubmitError};
pub use recorder::Recorder;
pub use rows::{Change, LoadRows, RecordRows, RowSet, Wanted, WorkingSet};

pub use lease::seal;

/// How often one operation is run before it is refused as contended.
pub const ATTEMPTS_MAX: u32 = 8;

/// Why a batch, or an operation in it, did not get through.
#[derive(Debug)]
pub enum Fault {
    /// Lost a race: run again.
    Conflict,
    /// A row ran into a unique key or a `CHECK`: a race the first time, a mistake when it happens
    /// again on fresh rows.
    ConstraintViolation(super::error::ConstraintViolation),
    /// The replication group would not have the transaction and undid it, perhaps because it was
    /// too large.
    RefusedByGroup(sqlx::Error),
    /// The program panicked while the batch was made.
    Panicked,
    /// Nothing to be gained by running again as it is.
    Broken(super::DbError),
}

impl From<super::DbError> for Fault {
    fn from(error: super::DbError) -> Self {
        Self::Broken(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if super::error::is_conflict(&error) {
            tracing::debug!(reason = %error, "batch lost a race");
            Self::Conflict
        } else if let Some(violated) = super::error::violated(&error) {
            tracing::debug!(
                constraint = violated.constraint,
                "batch ran into a constraint"
            );
            Self::ConstraintViolation(violated)
        } else if super::error::is_refused_by_group(&error) {
            Self::RefusedByGroup(error)
        } else {
            Self::Broken(error.into())
        }
    }
}

type SharedClock = Arc<dyn crate::primitives::Clock>;
type SharedIds = Arc<dyn crate::primitives::IdSource>;
