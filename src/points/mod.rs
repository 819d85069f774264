//! Points: what a payment earns, and what a customer has.
//!
//! # Rules
//!
//! A **rule** says what a payment earns ([`RuleTerms::earn`]): a ratio per yuan, how it is rounded, a smallest payment, a largest amount that counts, caps, and
//! how long points last ([`Validity`]). A rule is versioned and a version never changes; an order names the version that it was credited by, so that `verify-ledger` can
//! compute it again. Versions are numbered per tenant, whoever they are for, so tenant and version name one.
//!
//! - **Whose**: a version is the tenant's, or one shop's, whose payments it alone decides on. An override can be withdrawn: by a version that says "as the tenant".
//! - **From when**: a version begins now or at an instant up to 366 days ahead. Of those that have begun the one with the latest (`effective_from`, version) is in force;
//!   the table in [`Rules`]' module shows how. A settlement takes the rule of the order's shop in force at its own instant.
//! - **In memory**: [`RuleBook`] knows what is in force and what will be, and asks once a second for versions above the newest it knows.
//! - **Two admins at once** queue at the tenant's row and get two versions; the later one is the one that holds.
//! - **Why**: earning keeps its steps ([`Explanation`]), and [`dry_run()`] tells them of a payment that nobody made.
//!
//! # Caps
//!
//! - **daily**: points per customer and business day (UTC+8). Counted on the customer's account row, which every credit rewrites under its version. Points by every
//!   rule count, and the cap is the one of the rule that credits.
//! - **total**: points that one version of the rule hands out in all. Counted in `point_budgets`, one row, version-checked; two committers that credit at
//!   once may lose a race there and run again, so a total cap costs throughput while it is set, and nothing while it is not.
//!
//! What a cap cuts off is not earned; the order states what was.
//!
//! Tables owned: `points_rules` (inserted and read, never changed), `point_budgets`.

#![warn(clippy::arithmetic_side_effects)]

mod balance;
mod book;
mod dry_run;
mod explain;
mod movement;
mod rounding;
mod rule;
mod rule_store;
mod rules;
mod set_rule;
mod store;
mod validity;

pub use balance::{PointsRecord, Statistics, StatisticsDay, balance, list_records, statistics};
pub use book::RuleBook;
pub use dry_run::{DryRun, Tried, WouldEarn, dry_run};
pub use explain::{CapStep, Capping, Earning, Explanation};
pub use movement::PointsMove;
pub use rounding::Rounding;
pub use rule::{NEVER, Rule, RuleError, RuleTerms};
pub use rule_store::{
    PastRule, Scope, find_all_rules, find_rule, insert_first_rule, list_versions,
};
pub use rules::{Because, InForce, RuleVersion, Rules, Standing};
pub use set_rule::{SetRule, SetRuleError, WithdrawRule};
pub use store::{Budget, Budgets};
pub use validity::Validity;
