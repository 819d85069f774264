//! Decisions.

use serde::{Deserialize, Serialize};

use super::CounterValues;
use crate::{
    facts::{Facts, Stage},
    primitives::{ChallengeId, coded},
};

coded! {
    /// What is done with an activity, ordered by severity. Code and name never change.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Action: Serde, Display {
        Allow = 0 => "allow",
        /// The customer answers a challenge and asks again.
        Verify = 1 => "verify",
        /// It is done, and its points are pending until a person or the time-out decides.
        Review = 2 => "review",
        /// It is not done.
        Block = 3 => "block",
    }
}

coded! {
    /// What influence a rule that fired had on the decision.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Effect: Serde {
        /// It took part in the decision.
        Live => "live",
        /// None: it is in shadow, or the customer is outside its roll-out.
        Shadow => "shadow",
        /// None: a rule of earlier priority allowed.
        Overruled => "overruled",
        /// None: the customer had answered a challenge.
        Answered => "answered",
    }
}

/// One rule that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredRule {
    /// The rule's `id` in the file.
    pub rule: String,
    pub action: Action,
    pub effect: Effect,
    /// Why, in words that a person of the tenant reads; no personal data.
    pub reason: String,
}

/// An action with all its inputs. The stored bytes begin with a format number (`store.rs`): a
/// change of this struct, or of what it is made of, needs a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The number of the rule set in `risk_rule_sets`.
    pub rule_set: u32,
    pub action: Action,
    pub facts: Facts,
    /// The counters' values, in the order of the rule set's counters for this stage.
    pub measured: CounterValues,
    /// Every rule that fired, in the order of the file.
    pub fired: Vec<FiredRule>,
    /// The answered challenge that this decision relied on.
    pub answered: Option<ChallengeId>,
}

impl Decision {
    /// Whether the decision stops the activity. A review does not, nor does a challenge where
    /// nobody can answer it: an order of a merchant, of which the customer is not known.
    pub const fn stops_activity(&self) -> bool {
        let at_a_till =
            matches!(self.facts.stage, Stage::PaymentCreate) && self.facts.customer.is_none();
        match self.action {
            Action::Allow | Action::Review => false,
            Action::Verify => !at_a_till,
            Action::Block => true,
        }
    }
}
