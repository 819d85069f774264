//! Evaluates a rule set. Pure, so that a stored decision can be computed again.

use super::{
    condition::{ConditionResult, Evidence},
    context::ActivityContext,
    describe,
    expression::{Evaluator, FactVariables},
    rule::Rule,
    rule_set::RuleSet,
};
use crate::{
    facts::Facts,
    primitives::ChallengeId,
    risk::{Action, CounterValues, Decision, Effect, FiredRule},
};

impl RuleSet {
    /// Decides on an activity. `measured` has the counters' values, in the order of
    /// [`Self::counter_usages`]; a rule that needs a missing one takes its `on_missing` action.
    /// `answered` is a challenge that the customer answered in time: rules that verify have no
    /// effect then.
    ///
    /// Every rule of the stage is evaluated. A rule that allows overrules those of later priority;
    /// of what is left the most severe action is taken.
    pub fn evaluate(
        &self,
        rule_set: u32,
        facts: &Facts,
        measured: &CounterValues,
        answered: Option<ChallengeId>,
    ) -> Decision {
        let known = self.context(facts, measured);
        let names = FactVariables(known);
        let evaluator = Evaluator::new(&names);
        let mut priorities = Vec::new();
        let mut fired = Vec::new();
        // The priority of the first rule that allows.
        let mut allowed_from: Option<u16> = None;
        for rule in self
            .plan(facts.stage)
            .rules
            .iter()
            .filter_map(|index| self.rules.get(*index))
        {
            let (action, found) = match evaluate_rule(rule, &known, &evaluator) {
                ConditionResult::No => continue,
                ConditionResult::Yes(found) => (rule.action, Some(found)),
                ConditionResult::Missing => match rule.on_missing(facts.stage) {
                    // Nothing is known against it, and nothing that would excuse it from the other
                    // rules.
                    Action::Allow => continue,
                    other @ (Action::Verify | Action::Review | Action::Block) => (other, None),
                },
            };
            let live = rule.is_live_for(facts.customer);
            if live && action == Action::Allow {
                allowed_from =
                    Some(allowed_from.map_or(rule.priority, |first| first.min(rule.priority)));
            }
            priorities.push(rule.priority);
            fired.push(FiredRule {
                rule: rule.id.clone(),
                action,
                effect: if live { Effect::Live } else { Effect::Shadow },
                reason: self.reason(rule, found),
            });
        }
        let mut relied_on = None;
        for (fired, priority) in fired.iter_mut().zip(priorities) {
            if fired.effect != Effect::Live {
                continue;
            }
            if allowed_from.is_some_and(|first| priority > first) {
                fired.effect = Effect::Overruled;
            } else if fired.action == Action::Verify && answered.is_some() {
                fired.effect = Effect::Answered;
                relied_on = answered;
            }
        }
        let live = fired.iter().filter(|fired| fired.effect == Effect::Live);
        let action = live.map(|fired| fired.action).max();
        Decision {
            rule_set,
            action: action.unwrap_or(Action::Allow),
            facts: facts.clone(),
            measured: measured.clone(),
            fired,
            answered: relied_on,
        }
    }

    /// The rule's words, and the numbers that made it fire.
    fn reason(&self, rule: &Rule, found: Option<Evidence>) -> String {
        let words = rule.reason.as_ref().unwrap_or(&rule.name);
        let Some(found) = found else {
            return format!("{words} (the numbers it needs could not be had)");
        };
        // An expression is not shown: it may name a device.
        rule.condition.as_ref().map_or_else(
            || words.clone(),
            |condition| {
                let numbers = describe::found(condition, found, &self.counters);
                format!("{words} ({numbers})")
            },
        )
    }
}

/// Evaluates condition and expression, both of which must hold. If one does not, missing counters
/// of the other do not matter.
fn evaluate_rule(
    rule: &Rule,
    known: &ActivityContext<'_>,
    evaluator: &Evaluator<'_>,
) -> ConditionResult {
    let condition = rule.condition.as_ref();
    let condition = condition.map_or(ConditionResult::Yes(Evidence::Plain), |condition| {
        condition.evaluate(known)
    });
    let Some(when) = &rule.when else {
        return condition;
    };
    if condition == ConditionResult::No {
        return ConditionResult::No;
    }
    match evaluator.holds(when) {
        Some(true) => condition,
        Some(false) => ConditionResult::No,
        None => ConditionResult::Missing,
    }
}
