//! The rules, made to be evaluated: pure, cheap, without I/O.

mod assume;
mod condition;
mod decide;
mod describe;
mod doubts;
mod expression;
mod known;
mod list;
mod rule;
mod rule_set;
mod settings;
#[cfg(test)]
mod tests;
mod typing;
mod world;

pub(super) use condition::{Condition, Threshold, TimeOfDay};
pub(super) use expression::Expression;
pub(super) use known::CounterNo;
pub(super) use list::{List, Members, Ranges, range};
pub(super) use rule::Rule;
pub use rule::{AtStage, RuleSummary};
pub(super) use rule_set::Counters;
pub use rule_set::RuleSet;
pub(super) use settings::Window;
pub use settings::{AfterReview, REVIEW_TIMEOUT_MAX, ReviewSettings, Settings, actions_at};
