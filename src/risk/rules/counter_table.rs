//! The counters of a rule set, by number.

use std::collections::BTreeMap;

use crate::risk::{Counter, counter_key};

/// Which counter of the rule set, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CounterIndex(pub(crate) usize);

/// The counters of all rules, each once, in the order in which the file comes to them.
#[derive(Debug, Default)]
pub(crate) struct CounterTable {
    all: Vec<Counter>,
    /// What each is called where it is kept.
    names: Vec<String>,
    named: BTreeMap<String, CounterIndex>,
}

impl CounterTable {
    /// More are refused: each is work for Redis at every activity that it counts.
    pub(crate) const MAX: usize = 64;

    /// The number of this counter, which is made if there is none like it. None if there are too
    /// many.
    pub(crate) fn number(&mut self, counter: Counter) -> Option<CounterIndex> {
        if let Some(found) = self.all.iter().position(|other| *other == counter) {
            return Some(CounterIndex(found));
        }
        if self.all.len() >= Self::MAX {
            return None;
        }
        self.names.push(counter_key::name(&counter));
        self.all.push(counter);
        Some(CounterIndex(self.all.len() - 1))
    }

    pub(crate) fn name(&mut self, name: String, number: CounterIndex) {
        self.named.insert(name, number);
    }

    pub(crate) fn named(&self, name: &str) -> Option<CounterIndex> {
        self.named.get(name).copied()
    }

    pub(crate) fn get(&self, number: CounterIndex) -> Option<&Counter> {
        self.all.get(number.0)
    }

    /// What it is called where it is kept.
    pub(super) fn stored_name(&self, number: CounterIndex) -> Option<&str> {
        self.names.get(number.0).map(String::as_str)
    }

    /// In the order of their numbers.
    pub(super) fn all(&self) -> &[Counter] {
        &self.all
    }
}
