//! Points: what a payment earns, and what a customer has.
//!
//! A **rule** says what a payment earns ([`RuleTerms::earn`]): a ratio per yuan, a smallest payment, a largest amount that counts, and how long points last. A rule
//! is versioned and a version never changes; an order names the version that it was credited by, so that `verify-ledger` can compute it again.
//!
//! # Caps
//!
//! - **daily**: points per customer and business day (UTC+8). Counted on the customer's account row, which every credit rewrites under its version.
//! - **total**: points that one version of the rule hands out in all. Counted in `point_budgets`, one row, version-checked; two committers that credit at
//!   once may lose a race there and run again, so a total cap costs throughput while it is set, and nothing while it is not.
//!
//! What a cap cuts off is not earned; the order states what was.

#![warn(clippy::arithmetic_side_effects)]

mod balance;
mod book;
mod movement;
mod rule;
mod set_rule;
mod store;

pub use balance::{PointsRecord, Statistics, StatisticsDay, balance, list_records, statistics};
pub use book::RuleBook;
pub use movement::PointsMove;
pub use rule::{NEVER, Rule, RuleError, RuleTerms};
pub use set_rule::{SetRule, SetRuleError};
pub use store::{Budget, Budgets, find_rule, insert_first_rule};
