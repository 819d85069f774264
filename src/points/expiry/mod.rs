//! Expiry: points that have expired are taken off their accounts, and customers are notified some
//! days before.
//!
//! # Words
//!
//! A **lot** is *expired* on a day (UTC+8) when its `expired_from` is that day or an earlier one;
//! from then on nothing can be spent from it (`ledger/lots.rs`). **Expiring** it ([`ExpireLots`])
//! takes the points off the account: Dr customer points / Cr points expired, one leg per lot. A
//! **run** ([`ExpiryRun`]) is one sweep of a tenant's expired lots. `jobs/expire.rs` works on runs.
//!
//! ```text
//!  asked ──claim──▶ under way ──finish──▶ finished
//!                    ▲  │
//!                    └──┘ given back, or the lease ran out
//! ```
//!
//! # What a run does, in this order
//!
//! 1. **sweep**: reads the lots along the key `points_lots_expiry` and expires those of each
//!    customer through the group commit;
//! 2. **notices**: plans a message for each customer and day of expiry within the tenant's notice
//!    period (`expiry_notice_days`);
//! 3. **forget**: deletes lots that are spent and have been expired for [`FORGET_DAYS`]. Lots of
//!    which points expired are kept until [`REFUND_DAYS`] after their last credit. An empty lot
//!    adds nothing to its account's balance, so the books agree without it. The transfers that
//!    filled and emptied it stay.
//!
//! # What holds
//!
//! - The account's version, which the operation rewrites, guards against expiring a lot twice: a
//!   second sweep finds nothing left.
//! - Points of expired lots that holds can use stay there until the holds end, so that the holds
//!   need nothing of the other lots
//!   ([`PointHoldings::expirable`](crate::ledger::PointHoldings::expirable)). The next run takes
//!   what was released.
//! - Three unique keys guarantee that a tenant has one unfinished run and one nightly run a day,
//!   and that one run of all tenants is worked on at a time.
//!
//! # Killed half-way
//!
//! Each expiry is a commit of its own, and the next sweep finds what is left. A run's lease runs
//! out after [`LEASE_SECONDS`], and the next worker begins at the first lot. The counts of a run
//! include what its workers reported before they died; the journal is exact.
//!
//! Tables owned: `points_expiry_runs`.

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
pub use store::{ForgetSpentLots, LotPage, LotPosition, LotRow, next_lots, noticed_until};

/// Seconds after its last report for which a run stays with its worker.
pub const LEASE_SECONDS: i64 = 60;

/// Days after which an expired, spent lot is deleted: long enough to answer a customer's question.
pub const FORGET_DAYS: u16 = 30;

/// Days after its last credit for which a lot is kept if points of it expired. A refund asks how
/// many these were, and a payment can be refunded for a shorter time than this. Points that last
/// for a year or more expire too late to matter.
pub const REFUND_DAYS: u16 = 370;

/// Seconds after midnight (UTC+8) at which the nightly runs begin, when all our clocks show the new
/// day.
pub const NIGHTLY_SECONDS: i64 = 600;
