//! Backtests: what other rules would have decided about activities whose decisions are stored.
//!
//! A stored decision has the facts and the counter values. Counters that only the new rules use are
//! counted again from the stored decisions: of every activity that was done, and of every one that
//! rules stopped. So a backtest reads from one window before the time that it judges. It does not
//! simulate consequences: a customer whom the new rules would have stopped continues as in reality.
//!
//! Recounted values equal the stored ones ([`Backtest::recounting`] checks it), since a decision is
//! stored for activities that are done and for those that are stopped, and counters count the
//! former only. Two differences remain: times are those of the database and not of Redis, so an
//! activity at the edge of a twelfth of a window may fall on its other side; and counters of
//! attempts also count operations that were refused, for which no decision is stored.

use std::collections::BTreeMap;

use super::{
    Action, CounterValues, Decision, Effect, RuleSet, counter_key::KeyNames,
    replay_counter::ReplayCounter,
};
use crate::{
    facts::Stage,
    primitives::{DecisionId, Money, Points},
};

/// How many examples of one change are kept.
const EXAMPLES_MAX: usize = 3;

/// Evaluates old decisions, given in the order of their time, by new rules.
#[derive(Debug)]
pub struct Backtest<'a> {
    rules: &'a RuleSet,
    /// Every value is counted again, also stored ones.
    recount: bool,
    replayed: Vec<ReplayCounter>,
    report: BacktestReport,
}

/// The result of a backtest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BacktestReport {
    /// Decisions judged.
    pub decisions: u64,
    /// From what was done to what would have been done; also where both are the same.
    pub changes: BTreeMap<(Stage, Action, Action), ActionChange>,
    /// By the rule's id.
    pub rules: BTreeMap<String, RuleComparison>,
}

/// Decisions of one stage whose action was, and would be, the same pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionChange {
    pub count: u64,
    /// What these activities were about together, in fen and in points.
    pub amount_fen: i64,
    pub points: i64,
    /// The first few.
    pub examples: Vec<DecisionId>,
}

/// How often a rule fired: then, and by the new file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleComparison {
    pub fired_then: u64,
    /// Taking part in the decision.
    pub live: u64,
    /// Without effect: in shadow, overruled, or answered by a challenge.
    pub without_effect: u64,
}

impl<'a> Backtest<'a> {
    pub fn new(rules: &'a RuleSet) -> Self {
        let mut replayed: Vec<ReplayCounter> = Vec::new();
        for stage in Stage::ALL {
            for usage in rules.counter_usages(stage) {
                if replayed
                    .iter()
                    .all(|replay| replay.counter() != usage.counter)
                {
                    replayed.push(ReplayCounter::new(usage.counter.clone()));
                }
            }
        }
        Self {
            rules,
            recount: false,
            replayed,
            report: BacktestReport::default(),
        }
    }

    /// Counts every value again, also those that were stored.
    #[must_use]
    pub fn recounting(self) -> Self {
        Self {
            recount: true,
            ..self
        }
    }

    /// How far before the judged time one must begin to read, in seconds.
    pub fn lead_seconds(&self) -> u32 {
        let windows = self.replayed.iter();
        windows
            .map(|replay| replay.counter().within_seconds)
            .max()
            .unwrap_or(0)
    }

    /// Takes the next decision. `old` are the rules by which it was made, if they can be had; a
    /// decision that is not `judged` is only counted by the counters.
    pub fn take(
        &mut self,
        id: DecisionId,
        decision: &Decision,
        old: Option<&RuleSet>,
        evaluated: bool,
    ) {
        let facts = &decision.facts;
        let names = KeyNames::of(facts);
        let stopped = decision.stops_activity();
        let recount = self.recount;
        let read_then = |counter| {
            if recount {
                return None;
            }
            let mut reads = old?
                .counter_usages(facts.stage)
                .into_iter()
                .filter(|usage| usage.read);
            let position = reads.position(|usage| usage.counter == counter)?;
            *decision.measured.0.get(position)?
        };
        let mut measured = Vec::new();
        for usage in self.rules.counter_usages(facts.stage) {
            let replay = self.replayed.iter_mut();
            let replay = replay
                .into_iter()
                .find(|replay| replay.counter() == usage.counter);
            let counted = replay.map(|replay| replay.take(&names, usage.counts, stopped));
            if usage.read {
                measured.push(read_then(usage.counter).or(counted));
            }
        }
        if !evaluated {
            return;
        }
        let new = self
            .rules
            .evaluate(0, facts, &CounterValues(measured), decision.answered);
        let way = (facts.stage, decision.action, new.action);
        let change = self.report.changes.entry(way).or_default();
        change.count = change.count.saturating_add(1);
        let (fen, points) = (
            facts.amount.map_or(0, Money::get),
            facts.points.map_or(0, Points::get),
        );
        change.amount_fen = change.amount_fen.saturating_add(fen);
        change.points = change.points.saturating_add(points);
        if change.examples.len() < EXAMPLES_MAX {
            change.examples.push(id);
        }
        self.report.decisions = self.report.decisions.saturating_add(1);
        for fired in &decision.fired {
            let rule = self.report.rules.entry(fired.rule.clone()).or_default();
            rule.fired_then = rule.fired_then.saturating_add(1);
        }
        for fired in new.fired {
            let rule = self.report.rules.entry(fired.rule).or_default();
            let way = match fired.effect {
                Effect::Live => &mut rule.live,
                Effect::Shadow | Effect::Overruled | Effect::Answered => &mut rule.without_effect,
            };
            *way = way.saturating_add(1);
        }
    }

    pub fn finish(self) -> BacktestReport {
        self.report
    }
}
