//! A valid rule file in the form in which it is evaluated.

use std::fmt;

use aws_lc_rs::digest;

use super::{
    context::ActivityContext,
    counter_table::{CounterIndex, CounterTable},
    describe,
    rule::{Rule, RuleSummary},
    settings::Settings,
};
use crate::{
    facts::{Facts, Stage},
    risk::{CounterUsage, CounterValues},
};

/// The rules of one file, with everything they need to decide. Never changes; a new file is a new
/// set.
///
/// `Debug` shows its hash and how many rules it has: its text may name people and their addresses.
pub struct RuleSet {
    text: String,
    hash: [u8; 32],
    settings: Settings,
    pub(super) rules: Vec<Rule>,
    pub(super) counters: CounterTable,
    /// In the order of [`Stage::ALL`].
    plans: [StagePlan; 5],
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet")
            .field("hash", &hex::encode(self.hash))
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// What to do at one stage.
#[derive(Debug, Default)]
pub(super) struct StagePlan {
    /// Rules, in the order of the file.
    pub(super) rules: Vec<usize>,
    /// Counters to feed or read: which, feed, read.
    usages: Vec<(CounterIndex, bool, bool)>,
    /// For each counter of the set its place in what is measured, if it is read here.
    positions: Vec<Option<usize>>,
}

impl RuleSet {
    pub(crate) fn new(
        text: &str,
        settings: Settings,
        rules: Vec<Rule>,
        counters: CounterTable,
    ) -> Self {
        let plans = Stage::ALL.map(|stage| StagePlan::new(stage, &rules, &counters));
        Self {
            text: text.to_owned(),
            hash: Self::hash_of(text),
            settings,
            rules,
            counters,
            plans,
        }
    }

    /// The file as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256: what the set of a rule file's text is known by.
    pub(crate) fn hash_of(text: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        hash
    }

    /// SHA-256 of its text.
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The rules as people see them, in the order of the file.
    pub fn rules(&self) -> Vec<RuleSummary> {
        self.rules.iter().map(|rule| self.summary(rule)).collect()
    }

    /// The counters that an activity of this stage feeds or whose numbers its rules need, each
    /// once. What the rules of other stages need is fed, too.
    ///
    /// [`CounterValues`] has the numbers of those that are `read`, in this order.
    pub fn counter_usages(&self, stage: Stage) -> Vec<CounterUsage<'_>> {
        let usages = self.plan(stage).usages.iter();
        usages
            .filter_map(|(number, counts, read)| {
                Some(CounterUsage {
                    counter: self.counters.get(*number)?,
                    name: self.counters.stored_name(*number)?,
                    counts: *counts,
                    read: *read,
                })
            })
            .collect()
    }

    /// The inputs of this set's rules for an activity. `measured` has the counters' values, in the
    /// order of [`Self::counter_usages`].
    pub(super) fn context<'a>(
        &'a self,
        facts: &'a Facts,
        measured: &'a CounterValues,
    ) -> ActivityContext<'a> {
        let positions = &self.plan(facts.stage).positions;
        ActivityContext::new(&self.counters, positions, facts, measured)
    }

    pub(super) fn plan(&self, stage: Stage) -> &StagePlan {
        let [login, payment_create, points_credit, redeem, refund] = &self.plans;
        match stage {
            Stage::Login => login,
            Stage::PaymentCreate => payment_create,
            Stage::PointsCredit => points_credit,
            Stage::Redeem => redeem,
            Stage::Refund => refund,
        }
    }

    fn summary(&self, rule: &Rule) -> RuleSummary {
        let condition = rule.condition.as_ref();
        let parts = [
            condition.map(|condition| describe::condition(condition, &self.counters)),
            rule.when_text.clone(),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        RuleSummary {
            id: rule.id.clone(),
            name: rule.name.clone(),
            stages: rule.stages.clone(),
            action: rule.action,
            priority: rule.priority,
            shadow: rule.shadow,
            rollout_percent: rule.rollout_percent,
            condition: parts.join(", and "),
            reason: rule.reason.clone(),
        }
    }
}

impl StagePlan {
    fn new(stage: Stage, rules: &[Rule], counters: &CounterTable) -> Self {
        let here = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.is_at(stage));
        let here: Vec<usize> = here.map(|(index, _)| index).collect();
        let mut used = vec![false; counters.all().len()];
        let mut read = used.clone();
        for rule in rules {
            for number in rule.counters() {
                used[number.0] = true;
                read[number.0] |= rule.is_at(stage);
            }
        }
        let mut plan = Self {
            rules: here,
            usages: Vec::new(),
            positions: vec![None; counters.all().len()],
        };
        let mut position = 0;
        for (index, counter) in counters.all().iter().enumerate() {
            // A counter that was named and that no rule asks for is not kept.
            let counts = used[index] && counter.of.stage == stage;
            if counts || read[index] {
                plan.usages.push((CounterIndex(index), counts, read[index]));
            }
            if read[index] {
                plan.positions[index] = Some(position);
                position += 1;
            }
        }
        plan
    }
}
