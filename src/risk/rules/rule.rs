//! One rule.

use aws_lc_rs::digest;

use super::{condition::Condition, counter_table::CounterIndex, expression::Expression};
use crate::{facts::Stage, primitives::CustomerId, risk::Action};

/// A rule, made to be evaluated.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) reason: Option<String>,
    pub(crate) stages: Vec<RuleStage>,
    pub(crate) action: Action,
    /// 1 comes first.
    pub(crate) priority: u16,
    pub(crate) shadow: bool,
    /// It is live for so many percent of the customers, and shadow for the others.
    pub(crate) rollout_percent: u8,
    /// Without one the rule is its expression.
    pub(crate) condition: Option<Condition>,
    pub(crate) when: Option<Expression>,
    /// The expression as it is written.
    pub(crate) when_text: Option<String>,
}

/// A stage at which a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct RuleStage {
    pub stage: Stage,
    /// What the rule does when the numbers it needs cannot be had; `allow` is nothing. None for a
    /// rule that needs none.
    pub on_missing: Option<Action>,
}

/// A rule as people see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct RuleSummary {
    pub id: String,
    pub name: String,
    pub stages: Vec<RuleStage>,
    pub action: Action,
    /// 1 comes first.
    pub priority: u16,
    pub shadow: bool,
    /// 1 to 100.
    pub rollout_percent: u8,
    /// When it fires, in one line.
    pub condition: String,
    pub reason: Option<String>,
}

impl Rule {
    pub(crate) fn is_at(&self, stage: Stage) -> bool {
        self.stages.iter().any(|at| at.stage == stage)
    }

    /// The counters whose numbers it needs.
    pub(crate) fn counters(&self) -> impl Iterator<Item = CounterIndex> {
        let condition = self.condition.as_ref().map(Condition::counters);
        let when = self
            .when
            .iter()
            .flat_map(|when| when.counters.iter().copied());
        condition
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .chain(when)
    }

    pub(super) fn on_missing(&self, stage: Stage) -> Action {
        let at = self.stages.iter().find(|at| at.stage == stage);
        // A rule that needs numbers has it for each of its stages; the reader of the file sees to
        // that.
        at.and_then(|at| at.on_missing).unwrap_or(self.action)
    }

    /// Whether the rule may act on this customer. Nobody is in no roll-out that leaves somebody
    /// out.
    pub(super) fn is_live_for(&self, customer: Option<CustomerId>) -> bool {
        if self.shadow {
            return false;
        }
        if self.rollout_percent >= 100 {
            return true;
        }
        customer.is_some_and(|customer| share(&self.id, customer) < self.rollout_percent)
    }
}

/// A number from 0 to 99 that is this customer's in this rule for ever. Two rules have different
/// customers.
fn share(rule: &str, customer: CustomerId) -> u8 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(customer.bytes());
    hash.update(rule.as_bytes());
    let hash = hash.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    u8::try_from(u64::from_be_bytes(first) % 100).unwrap_or(0)
}
