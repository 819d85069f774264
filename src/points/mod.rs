//! Points: what a payment earns, what back ends do with them, and what a customer has.
//!
//! # Rules
//!
//! A **rule** says what a payment earns ([`RuleTerms::earn`]): a ratio per yuan, how it is rounded,
//! a smallest payment, a largest amount that counts, caps, and how long points last ([`Validity`]).
//! A rule is versioned and a version never changes; an order names the version that it was credited
//! by, so that `verify-ledger` can compute it again. Versions are numbered per tenant, whoever they
//! are for, so tenant and version name one.
//!
//! - **Whose**: a version is the tenant's, or one merchant's, whose payments it alone decides on.
//!   An override can be withdrawn: by a version that says "as the tenant".
//! - **From when**: a version begins now or at an instant up to 366 days ahead. Of those that have
//!   begun the one with the latest (`effective_from`, version) is in force; the table in [`Rules`]'
//!   module shows how. A payment earns by the rule of the order's merchant in force when the
//!   customer paid, by WeChat's clock, whenever we are told: by a late callback, by a query, or
//!   after the order had been closed. Not earlier than the order, for WeChat tells whole seconds.
//!   How long points last is counted from the day of the credit, so that points never arrive
//!   expired.
//! - **In memory**: [`RulesCache`] knows what is in force and what will be, and asks once a second
//!   for versions above the newest it knows.
//! - **Two admins at once** queue at the tenant's row and get two versions; the later one is the
//!   one that holds.
//! - **Why**: earning keeps its steps ([`Explanation`]), and [`dry_run()`] returns them for a
//!   payment that nobody made.
//!
//! # Caps
//!
//! - **daily**: points per customer and business day (UTC+8) of the payment, which is the day that
//!   customers see on their bill. Counted on the customer's account row, which every credit
//!   rewrites under its version. The row has no room for every day: around midnight, and of days of
//!   which nothing is known any more, an earlier day counts on a later one, so that no day's cap
//!   can be had twice; the day before a gap is remembered, so that a clock that is far ahead takes
//!   no day from anybody ([`crate::ledger::Account::earned_by`]). Points by every rule count, and
//!   the cap is the one of the rule that credits.
//! - **total**: points that one version of the rule has handed out and not got back. What a refund
//!   takes back, and what a review voids, can be handed out again; what expired was handed out. A
//!   day's cap gets nothing back: the day is over, or who pays and refunds in turns would never
//!   meet it. Counted in `point_budgets`, one row, version-checked; two committers that credit at
//!   once may lose a race there and run again, so a total cap costs throughput while it is set, and
//!   nothing while it is not.
//!
//! What a cap cuts off is not earned; the order states what was.
//!
//! # Points transactions
//!
//! A **points transaction** ([`PointsTransaction`]) is what a back end does with a customer's
//! points: it **awards**, **deducts** or **redeems** them, at once or after a **hold**, and it
//! **returns** what it had deducted or redeemed, all or a part (`return_points.rs`). It asks for it
//! by a **command** ([`PointsCommand`], [`ReturnCommand`]), which the [`PointsService`] takes. Its
//! **source** is the name in the back end's token, its **reference** the back end's own name for
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
//! *Approve* and *reject* are how the review ends, by a person or by its time-out.
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
//!   with a hash of the request. The same request is answered with the points transaction as it
//!   stands by then; another one is refused.
//! - **Never below zero**: what can be spent is what is free
//!   ([`PointHoldings`](crate::ledger::PointHoldings)): in lots that have not expired, and needed
//!   by no hold. Customers and back ends are shown that number ([`CustomerPoints`]), and it
//!   decides. The account's version guards it.
//! - **Debts**: a customer who owes points has none free. What an award brings and what the end of
//!   a hold makes free repays first (`ledger/debt.rs`), in the commit of the points transaction.
//! - **Two ends of a hold at once**: its version and the key of the resolving entry let one end
//!   win; the other is told the state.
//! - **Refusals** are decided on rows of one moment ([`batch`](crate::db::batch)). An account that
//!   does not agree with its lots, or a points transaction with its entry, is therefore a broken
//!   invariant, and pages somebody.
//! - **Time-out of holds**: a job claims what is due by moving `due_at`, and ends it by the same
//!   operation as everybody; killed in between, it falls due again. A hold whose time has passed
//!   can no longer be captured, also while no job has looked.
//! - **Risk**: an award is asked about at `points.credit`, a redemption at `redeem`; a deduction is
//!   not. The decision is stored in the commit of the points transaction. Where risk would
//!   challenge the customer a person decides, since nobody is there to answer.
//! - **Caps** bound what payments earn: awards neither count towards them nor stop at them.
//!
//! Whether customer, order and merchant exist is read before the operation, from tables of slices
//! that stand below this one: none of it changes later.
//!
//! Events say how points moved ([`PointsMove`]); the relay adds them up by day, source and rule
//! ([`day_statistics()`]).
//!
//! Tables owned: `points_rules` (inserted and read, never changed), `point_budgets`,
//! `points_transactions`, `points_transaction_lots`; `point_days` is projected.

#![warn(clippy::arithmetic_side_effects)]

mod balance;
mod change_types;
mod command;
mod customer_points;
mod day_statistics;
mod dry_run;
mod end_hold;
mod error;
mod execute;
pub mod expiry;
mod explain;
mod movement;
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

pub use balance::{
    PointsRecord, Statistics, StatisticsDay, StatisticsSource, list_records, statistics,
};
pub use command::{HOLD_MINUTES, Instruction, InvalidWord, PointsCommand, Reference, Source};
pub use customer_points::{
    CustomerPoints, ExpiringDay, ExpiringSoon, balance, customer_points, list_expiring,
};
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
#[cfg(test)]
pub(crate) use return_points::returning;
pub use return_points::{ReturnCommand, return_points};
pub(crate) use review::requested_by;
pub use review::{decide_review, want_review};
pub use rounding::Rounding;
pub use rule::{NEVER, Rule, RuleError, RuleTerms};
pub use rule_store::{
    PastRule, Scope, find_all_rules, find_rule, insert_first_rule, list_versions,
};
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
pub use transaction_store::PointsTransactionFilter;
pub(crate) use transaction_store::{POINTS_TRANSACTION_COLUMNS, read_points_transaction};
pub use validity::Validity;
