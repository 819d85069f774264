//! Group commit: many operations, one transaction.
//!
//! One ledger-shaped transaction per request costs eight round trips and one flush each, and MySQL spends its time on statements rather
//! than on rows. So requests queue as [`Operation`]s, and a *committer* takes all that wait (no timer: whatever queued while the last commit
//! ran is the next batch, so an idle system has the latency of one request and a busy one amortises) and runs them as one transaction:
//!
//! 1. **load**: every row that the operations name, one statement per table, all in one round trip, no locks. Operations are asked again until they want
//!    nothing more, so that one row may lead to the next;
//! 2. **decide**: each operation in turn, pure, on the working set in memory. A refusal undoes its own changes and leaves the rest; two
//!    operations on one row see each other;
//! 3. **record**: one multi-row statement per table, version-checked where the table says so, in one fixed order of tables ([`RowSet::PLACE`]) and
//!    keys, all in one round trip; with them the commit's own row: the events that happened and a seal over the transfers;
//! 4. **commit**, and only then answer each caller.
//!
//! # Why loading needs no locks
//!
//! What a decision must be sure of is guarded by something that the same operation writes and that can be written only if it is still what was
//! loaded: a row with a version, or a row whose key may exist once. Whoever loses such a race is told by the database (no row matched, duplicate key, violated
//! check), the transaction is rolled back and the batch runs again from step 1: twice as a whole, then split in halves to find the culprit, at most
//! [`ATTEMPTS_MAX`] times for one operation, which is then told [`DbError::Contention`](super::DbError::Contention).
//!
//! What it need not be sure of is read without a guard, and is as fresh as the load: a collection code and its shop, and the points rule, which may be
//! a second old.
//!
//! # Who commits
//!
//! More than one writer on the same accounts halves the rate, so an operation goes to the committer of its [`Lane`](crate::primitives::Lane). A committer has a leased
//! identity and a sequence without gaps (`lease.rs`); two that believe they are the same one collide at the key of the commit's row, and one of them loses.
//!
//! # When something dies
//!
//! - the caller: the operation is decided and written all the same, the answer is thrown away;
//! - this process: nothing was answered that was not committed; what was committed and not answered is found by its id when the caller repeats it;
//! - the database: everybody in the batch is told [`DbError::Unavailable`](super::DbError::Unavailable), which means *unknown*. The next batch connects anew and reads where the
//!   sequence stands.

mod committer;
mod lease;
mod operation;
mod recorder;
mod rows;

use std::sync::Arc;

pub(crate) use committer::Committers;
pub use operation::{Cx, Operation, SubmitError};
pub use recorder::Recorder;
pub use rows::{Change, RowSet, Wanted, WorkingSet};

pub use lease::seal;

/// How often one operation is run before it is given up as contended.
pub const ATTEMPTS_MAX: u32 = 8;

/// Why a batch, or an operation in it, did not get through.
#[derive(Debug)]
pub enum Fault {
    /// Lost a race: run again.
    Conflict,
    /// Nothing to be gained by running again.
    Broken(super::DbError),
}

impl From<super::DbError> for Fault {
    fn from(error: super::DbError) -> Self {
        Self::Broken(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if super::error::is_batch_conflict(&error) {
            tracing::debug!(reason = %error, "batch lost a race");
            Self::Conflict
        } else {
            Self::Broken(error.into())
        }
    }
}

type SharedClock = Arc<dyn crate::primitives::Clock>;
type SharedIds = Arc<dyn crate::primitives::IdSource>;
