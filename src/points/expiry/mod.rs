//! Expiry: points that have expired are taken off their accounts, and customers are notified some
//! days before.
//!
//! # Words
//!
//! A **lot** is *expired* on a day (UTC+8) when its `expired_from` is that day or an earlier one.
//! From the first second of that day nothing can be spent from it (`ledger/lots.rs`); **expiring**
//! it ([`ExpireLots`]) is what takes the points off the account: Dr customer points / Cr points
//! expired, one leg per lot. A **run** ([`ExpiryRun`]) is one sweep of a tenant's lots that have
//! expired. `jobs/expire.rs` works on runs.
//!
//! ```text
//!  asked ──claim──▶ under way ──finish──▶ finished
//!                    ▲  │
//!                    └──┘ given back, or the lease ran out
//! ```
//!
//! # What a run does, in this order
//!
//! 1. **sweep**: walks along the key `point_lots_expiry` and expires the lots of each customer whom
//!    it meets, through the group commit, among the payments;
//! 2. **notices**: plans a message for each customer and day of expiry that has come within the
//!    tenant's notice (`expiry_notice_days`);
//! 3. **forget**: deletes lots that are spent and expired [`FORGET_DAYS`], where something expired
//!    not before [`REFUND_DAYS`] after the last credit. A lot that holds nothing adds nothing to
//!    the sum that must be its account's balance, and nothing can be taken from it, so the books
//!    say the same without it. (The transfers that filled and emptied it stay for ever.)
//!
//! # What holds
//!
//! - That an account's lots are expired once is guarded by the account's version, which the
//!   operation rewrites: a second sweep finds nothing left in them.
//! - What holds can use of the lots that have expired stays in them until the holds end, so that
//!   these need nothing of the lots that are not
//!   ([`PointHoldings::expirable`](crate::ledger::PointHoldings::expirable)); the next run takes what was
//!   released.
//! - A tenant has one unfinished run, one nightly run a day, and over all tenants one run is worked
//!   on at a time: three unique keys.
//!
//! # Killed half-way
//!
//! What was expired is expired; what was not is found again. A run's lease runs out after
//! [`LEASE_SECONDS`], and whoever takes it begins at the first lot. The counts of a run are what
//! its workers lived to report; the journal is exact.
//!
//! Tables owned: `point_expiry_runs`.

mod claim;
mod forecast;
mod operation;
mod run;
mod store;

pub use claim::{ClaimRun, Counts, Progress, ReleaseRun, ReportRun};
pub use forecast::{ExpiringDay, FORECAST_DAYS_MAX, expiring_by_day};
pub(crate) use operation::expire_lots;
pub use operation::{ExpireLots, Expired};
pub use run::{AskRun, ExpiryRun, PlanRuns, RunState, list_runs};
pub use store::{ForgetSpentLots, LotPage, LotPlace, LotRow, next_lots, noticed_until};

/// How long a run stays with its worker after it was last heard of.
pub const LEASE_SECONDS: i64 = 60;

/// Days after which a spent lot is deleted: long enough to look into a customer's question.
pub const FORGET_DAYS: u16 = 30;

/// Days after its last credit until which a lot is kept in which something expired: longer than a
/// payment that filled it can be refunded, since a refund asks how much that was. Points that last
/// for a year or more expire too late to matter.
pub const REFUND_DAYS: u16 = 370;

/// Seconds after midnight (UTC+8) at which the nightly runs begin: any clock of ours has turned the
/// day by then.
pub const NIGHTLY_SECONDS: i64 = 600;
