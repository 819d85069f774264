//! WeChat's callbacks: verify, store, do what the content says, and only then acknowledge.
//!
//! What is done and the callback as received are one commit; so is a rejection with its reason. An
//! unverified callback is stored too, with its signature's headers, so that it can be replayed once
//! a key that was missing is there: a bounded number a minute for each tenant and reason. A
//! callback without a signature is not stored.
//!
//! A callback that fails for good is stored as *failed* with an alarm, and answered so that WeChat
//! sends it again (for a day; after that it can still be replayed). There are two kinds:
//!
//! - It is verified and cannot be read: a member is missing, or it is encrypted with a key that we
//!   do not have. Something has happened at WeChat, so these do not count against the bound for
//!   unverified callbacks.
//! - It is read, and the ledger or the database refuses what it says.
//!
//! One that comes again, or is played again, is judged anew unless it was taken (*settled*,
//! *refund*, *duplicate*): what failed may be taken, rejected or ignored then, what was rejected
//! may be taken. For each reason a person is told once, also by two processes at one time: an
//! outcome is replaced only while it is the one that was decided on (`store/callbacks.rs`).

mod handle;
mod replay;

pub use handle::{CallbackError, HandledCallback, handle_callback};
pub use replay::{ReplayError, StoredCallback, find_callback, list_callbacks, replay_callback};
