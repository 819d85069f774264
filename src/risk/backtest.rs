//! What other rules would have decided, over decisions that are stored.
//!
//! A stored decision has the facts and what the counters said then. Numbers that the new rules ask for and the old ones did not are counted again from the stored
//! decisions themselves: of every deed that was done, and of every one that rules stopped; so a backtest begins to read one window before the time that it judges. What the rules did
//! to the world is not played: whoever would have been stopped goes on here as they did then.
//!
//! Counted again, a number is what the counters said then ([`Backtest::recounting`] proves it): a
//! decision is stored where a deed is done and where one is stopped, and counters count the one and
//! not the other. What differs is what nobody stores: times are those of the database and not Redis's,
//! so a deed at the edge of a twelfth of a window may fall to its other side; and counters of attempts
//! also count what the books refused, of which there is no decision.

use std::collections::BTreeMap;

use super::{Action, Decision, Effect, Measured, RuleSet, counter_key::Names, tally::Tally};
use crate::{
    facts::Stage,
    primitives::{DecisionId, Money, Points},
};

/// How many examples of one change are kept.
const EXAMPLES_MAX: usize = 3;

/// New rules on their way through old decisions, which are given in the order of their time.
#[derive(Debug)]
pub struct Backtest<'a> {
    rules: &'a RuleSet,
    /// Nothing is believed that the counters said.
    recount: bool,
    tallies: Vec<Tally>,
    told: Backtested,
}

/// What would have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backtested {
    /// Decisions judged.
    pub decisions: u64,
    /// From what was done to what would have been done; also where both are the same.
    pub outcomes: BTreeMap<(Stage, Action, Action), Outcome>,
    /// By the rule's id.
    pub rules: BTreeMap<String, RuleOutcome>,
}

/// Decisions that went the same way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub count: u64,
    /// What these deeds were about together, in fen and in points.
    pub amount_fen: i64,
    pub points: i64,
    /// The first few.
    pub examples: Vec<DecisionId>,
}

/// How often a rule fired: then, and by the new file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleOutcome {
    pub fired_then: u64,
    /// Taking part in the decision.
    pub live: u64,
    /// In shadow, overruled, or answered by a challenge.
    pub aside: u64,
}

impl<'a> Backtest<'a> {
    pub fn new(rules: &'a RuleSet) -> Self {
        let mut tallies: Vec<Tally> = Vec::new();
        for stage in Stage::ALL {
            for ask in rules.asks(stage) {
                if tallies.iter().all(|tally| tally.counter() != ask.counter) {
                    tallies.push(Tally::new(ask.counter.clone()));
                }
            }
        }
        Self {
            rules,
            recount: false,
            tallies,
            told: Backtested::default(),
        }
    }

    /// The same, with every number counted again, also those that the counters said then.
    #[must_use]
    pub fn recounting(self) -> Self {
        Self {
            recount: true,
            ..self
        }
    }

    /// How far before the judged time one must begin to read, in seconds.
    pub fn lead_seconds(&self) -> u32 {
        let windows = self.tallies.iter();
        windows
            .map(|tally| tally.counter().within_seconds)
            .max()
            .unwrap_or(0)
    }

    /// Takes the next decision. `old` are the rules by which it was made, if they can be had; a decision that is not `judged` is only counted by the counters.
    pub fn take(
        &mut self,
        id: DecisionId,
        decision: &Decision,
        old: Option<&RuleSet>,
        judged: bool,
    ) {
        let facts = &decision.facts;
        let names = Names::of(facts);
        let stopped = decision.is_stop();
        let recount = self.recount;
        let read_then = |counter| {
            if recount {
                return None;
            }
            let mut reads = old?.asks(facts.stage).into_iter().filter(|ask| ask.read);
            let place = reads.position(|ask| ask.counter == counter)?;
            *decision.measured.0.get(place)?
        };
        let mut measured = Vec::new();
        for ask in self.rules.asks(facts.stage) {
            let tally = self.tallies.iter_mut();
            let tally = tally
                .into_iter()
                .find(|tally| tally.counter() == ask.counter);
            let counted = tally.map(|tally| tally.take(&names, ask.feed, stopped));
            if ask.read {
                measured.push(read_then(ask.counter).or(counted));
            }
        }
        if !judged {
            return;
        }
        let new = self
            .rules
            .decide(0, facts, &Measured(measured), decision.answered);
        let way = (facts.stage, decision.action, new.action);
        let outcome = self.told.outcomes.entry(way).or_default();
        outcome.count = outcome.count.saturating_add(1);
        let (fen, points) = (
            facts.amount.map_or(0, Money::get),
            facts.points.map_or(0, Points::get),
        );
        outcome.amount_fen = outcome.amount_fen.saturating_add(fen);
        outcome.points = outcome.points.saturating_add(points);
        if outcome.examples.len() < EXAMPLES_MAX {
            outcome.examples.push(id);
        }
        self.told.decisions = self.told.decisions.saturating_add(1);
        for fired in &decision.fired {
            let rule = self.told.rules.entry(fired.rule.clone()).or_default();
            rule.fired_then = rule.fired_then.saturating_add(1);
        }
        for fired in new.fired {
            let rule = self.told.rules.entry(fired.rule).or_default();
            let way = match fired.effect {
                Effect::Live => &mut rule.live,
                Effect::Shadow | Effect::Overruled | Effect::Answered => &mut rule.aside,
            };
            *way = way.saturating_add(1);
        }
    }

    pub fn finish(self) -> Backtested {
        self.told
    }
}
