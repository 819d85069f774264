//! Points: what a payment earns, what back ends do with them, and what a customer has.
//!
//! # Rules
//!
//! A **rule** says what a payment earns ([`RuleTerms::earn`]): a ratio per yuan, how it is rounded,
//! the smallest payment that earns, the largest amount that counts, caps, and how long points last
//! ([`Validity`]). Rules have versions, which never change. An order names the version that
//! credited it, so that `verify-ledger` can compute it again. Versions are numbered per tenant, so
//! tenant and version identify one.
//!
//! - **Scope**: a version is the tenant's, or that of one merchant, whose payments it then decides
//!   on. A merchant's rule is withdrawn by a version that says "as the tenant".
//! - **Beginning**: a version begins now or at an instant up to 366 days ahead. Among those that
//!   have begun, the one with the latest (`effective_from`, version) is in force; the module docs
//!   of `rules.rs` show an example. A payment is credited by the rule of the order's merchant in
//!   force when the customer paid, by WeChat's clock, even if the payment is reported late or after
//!   the order was closed. WeChat's time has whole seconds, so the order's creation is used if that
//!   is later. How long points last is counted from the day of the credit, so that points never
//!   arrive expired.
//! - **Cache**: [`RulesCache`] holds the present and planned versions, and reads newer ones once a
//!   second.
//! - **Concurrent changes** queue at the tenant's row and become two versions.
//! - **Explanation**: the steps of earning are kept ([`Explanation`]); [`dry_run()`] returns them
//!   for a hypothetical payment.
//!
//! # Caps
//!
//! - **daily**: points per customer and business day (UTC+8) of the payment, which is the day on
//!   the customer's bill. Counted on the customer's account row, which every credit rewrites under
//!   its version. The row has no room for every day: a day that it does not hold counts on a later
//!   one, so that no day's cap can be used twice, and the day before a gap is kept, so that a clock
//!   that is far ahead takes no day from anybody ([`crate::ledger::Account::earned_by`]). Points by
//!   every rule count; the cap is that of the rule that credits.
//! - **total**: points that one version of the rule has handed out and not got back. Points that a
//!   refund takes back or a review voids can be handed out again; points that expired cannot. (A
//!   daily cap gets nothing back: otherwise a customer who pays and refunds in turns would never
//!   reach it.) Counted in `points_budgets`, one version-checked row per version. Committers that
//!   credit at once may conflict there and run again, so a total cap costs throughput while it is
//!   set.
//!
//! Points that a cap cuts off are not earned; the order states what was earned.
//!
//! # Points transactions
//!
//! A **points transaction** ([`PointsTransaction`]) is what a back end does with a customer's
//! points: it **awards**, **deducts** or **redeems** them, at once or after a **hold**, and it
//! **returns** all or a part of what it had deducted or redeemed (`return_points.rs`). It is
//! requested by a **command** ([`PointsCommand`], [`ReturnCommand`]) to the [`PointsService`]. Its
//! **source** is the name in the back end's token. Its **reference** is the back end's own name for
//! it, unique for each source and kind, for ever: *one points transaction, one entry*.
//!
//! ```text
//!                    ┌──────────▶ done ◀── capture ──┐
//!            at once │                               │
//!  (command) ────────┼── as a hold ───────────────▶ held ── release ──▶ released
//!     │              │                               ▲ └─ time passes ─▶ expired
//!     │ risk blocks  │ risk wants a review           │
//!     ▼              ▼          approve: done, or ───┘
//!   refused ◀──── under_review
//!          reject
//! ```
//!
//! | state \ event | capture | release | time passes | approve | reject |
//! |---|---|---|---|---|---|
//! | held | done | released | expired | no | no |
//! | done | already so, if of the same points | no | no | no | no |
//! | released | no | already so | no | no | no |
//! | expired | no | no | already so | no | no |
//! | `under_review` | no | no | no | done; a hold is held | refused |
//! | refused | no | no | no | no | no |
//!
//! *Approve* and *reject* are the results of a review, by a person or by its time-out. "Already so"
//! is no error.
//!
//! | points transaction | POINTS |
//! |---|---|
//! | award | Dr points issued / Cr customer points, in the lot of `expired_from`; what of it repays a debt, Dr customer points / Cr customer debt |
//! | award under review | the first pending; posted when it is approved, and a debt repaid by an entry of its own; voided when it is rejected |
//! | deduct, redeem at once | Dr customer points / Cr points redeemed |
//! | return | Dr points redeemed / Cr customer points, a leg for each lot from which they came; what of it repays a debt, Dr customer points / Cr customer debt |
//! | hold, redemption under review | Dr customer points / Cr points redeemed, pending; posted when captured whole; of a part voided, and the part posted by an entry of its own in the same commit; voided otherwise |
//! | what the end of a hold makes free (all of it, or what is left of a part) | as much of it as is owed: Dr customer points / Cr customer debt, by an entry of its own in the same commit |
//!
//! - **Repeats**: the reference is claimed in the commit of the points transaction
//!   ([`idempotency`](crate::idempotency)), under a hash of tenant, kind, source and reference,
//!   together with a hash of the request. A repeat of the request is answered with the points
//!   transaction in its present state; another request is refused.
//! - **Never below zero**: points can be spent if they are free
//!   ([`PointHoldings`](crate::ledger::PointHoldings)): in lots that have not expired, and not
//!   needed by a hold. Customers and back ends are shown this number ([`CustomerPoints`]), and it
//!   decides. The account's version guards it.
//! - **Debts**: a customer who owes points has none free. Awards, and points that become free at
//!   the end of a hold, repay the debt first (`ledger/debt.rs`), in the commit of the points
//!   transaction.
//! - **Concurrent ends of a hold**: its version and the key of the resolving entry let one end win;
//!   the other gets the state as an error.
//! - **Refusals** are decided on rows of one snapshot ([`batch`](crate::db::batch)). An account
//!   that does not agree with its lots, or a points transaction that does not agree with its entry,
//!   is therefore a broken invariant and raises an alarm.
//! - **Time-out of holds**: a job claims due holds by moving `due_at`, and ends them by the
//!   operation that back ends use. If it dies in between, they fall due again. A hold whose time
//!   has passed cannot be captured, even before the job has ended it.
//! - **Risk** decides on awards at `points.credit` and on redemptions at `redeem`; not on
//!   deductions. The decision is stored in the commit of the points transaction. A challenge
//!   becomes a review by a person, since no customer is there to answer it.
//! - **Caps** apply to payments: awards neither count towards them nor stop at them.
//!
//! Customer, order and merchant are read before the operation, through a port ([`PartyLookup`]):
//! the slices that own them know this one. That they exist, and whose they are, never changes.
//!
//! Events report the moves of points ([`PointsMove`]); the relay sums them by day, source and rule
//! ([`day_statistics()`]).
//!
//! Tables owned: `points_rules` (inserted and read, never changed), `points_budgets`,
//! `points_transactions`, `points_transaction_lots`, `points_days` (`day_projection.rs`).

#![warn(clippy::arithmetic_side_effects)]

mod balance;
pub(crate) mod change_types;
mod command;
mod create_tenant;
mod customer_points;
mod day_projection;
mod day_statistics;
mod dry_run;
mod end_hold;
mod error;
mod execute;
pub mod expiry;
mod explain;
mod movement;
mod parties;
mod return_points;
mod review;
mod rounding;
mod rule;
mod rule_store;
mod rules;
mod rules_cache;
mod service;
mod set_rule;
mod store;
mod transaction;
mod transaction_entries;
mod transaction_store;
mod validity;

pub use balance::{Statistics, StatisticsDay, StatisticsSource, statistics};
pub use command::{HOLD_MINUTES, Instruction, InvalidWord, PointsCommand, Reference, Source};
pub use create_tenant::{CreateTenant, create_tenant};
pub use customer_points::{
    CustomerPoints, ExpiringDay, ExpiringSoon, balance, customer_points, list_expiring,
};
pub use day_projection::project_points;
pub use day_statistics::{DayFigures, DayQuery, Grouping, day_statistics};
pub use dry_run::{DryRun, Tried, WouldEarn, dry_run, left_by_caps};
#[cfg(test)]
pub(crate) use end_hold::ending;
pub use end_hold::{End, claim_expired_holds, end_hold, time_out};
pub use error::PointsError;
#[cfg(test)]
pub(crate) use execute::executing;
pub use execute::{Executed, execute};
pub use explain::{CapStep, Capping, Earning, Explanation};
pub use movement::PointsMove;
pub use parties::{OrderParties, Parties, PartyLookup};
#[cfg(test)]
pub(crate) use return_points::returning;
pub use return_points::{ReturnCommand, return_points};
pub(crate) use review::requested_by;
pub use review::{decide_review, want_review};
pub use rounding::Rounding;
pub use rule::{NEVER, Rule, RuleError, RuleTerms};
pub use rule_store::{PastRule, Scope, find_all_rules, find_rule, list_versions};
#[cfg(test)]
pub(crate) use rules::one_rule;
pub use rules::{Because, InForce, RuleStanding, RuleVersion, Rules};
pub use rules_cache::RulesCache;
pub use service::{PointsService, find_points_transaction, list_points_transactions};
pub use set_rule::{SetRule, SetRuleError, WithdrawRule};
pub use store::{Budget, Budgets};
pub(crate) use store::{return_to_budget, want_budget};
pub use transaction::{
    Applied, PointsTransaction, PointsTransactionKind, PointsTransactionState, TransitionError,
};
pub use transaction_store::{DueHold, PointsTransactionFilter};
pub(crate) use transaction_store::{POINTS_TRANSACTION_COLUMNS, read_points_transaction};
pub use validity::Validity;
