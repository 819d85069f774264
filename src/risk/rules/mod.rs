//! Rules in the form in which they are evaluated. Pure.

mod abstract_state;
mod condition;
mod context;
mod counter_table;
mod describe;
mod evaluate;
mod expression;
mod list;
mod narrow;
mod rule;
mod rule_set;
mod settings;
#[cfg(test)]
mod tests;
mod typing;
mod warnings;

pub(super) use condition::{Condition, Threshold, TimeOfDay};
pub(super) use counter_table::{CounterIndex, CounterTable};
pub(super) use expression::Expression;
pub(super) use list::{AddressRanges, List, Members, parse_range};
pub(super) use rule::Rule;
pub use rule::{RuleStage, RuleSummary};
pub use rule_set::RuleSet;
pub(super) use settings::Window;
pub use settings::{REVIEW_TIMEOUT_MAX, ReviewSettings, Settings, TimeoutDecision, actions_at};
