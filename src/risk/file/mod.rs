//! The reader of the rule file: YAML in, a [`RuleSet`] or all mistakes out.
//!
//! The comments of `risk-rules.yaml` explain the language. It is read in two steps: the text
//! becomes a tree with positions (`node.rs`), and a reader for each kind of block reads the tree. A
//! reader that finds a mistake records it and continues; a file with a mistake makes no rule set.
//!
//! A file may come from anybody who may write the disk or call the API, so everything about it is
//! bounded: its length and depth, the numbers of rules, counters and lists, the windows of
//! counters, and the length of expressions. It is read on a thread with a large stack, and a panic
//! there is reported as a mistake of the file.

mod conditions;
mod counter;
mod fields;
mod hints;
mod list;
mod mistake;
mod node;
mod position;
mod rule;
mod scalar;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, thread};

pub use mistake::{Mistake, Position, RuleFileErrors};

use self::{
    fields::Fields,
    mistake::Mistakes,
    node::{BYTES_MAX, Node},
    settings::Defaults,
};
use super::rules::{CounterTable, List, RuleSet, Settings};

/// More rules are refused.
const RULES_MAX: usize = 200;

/// Enough for the deepest expression of the allowed length; only what is used of it is taken from
/// the machine.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// What the readers of rules share.
struct Reader<'t> {
    text: &'t str,
    mistakes: Mistakes,
    counters: CounterTable,
    /// A list that could not be read is none: it is there, so that the rules that name it are not
    /// wrong.
    lists: BTreeMap<String, Option<Arc<List>>>,
    /// Counters that were named and could not be read.
    invalid_counters: Vec<String>,
    defaults: Defaults,
}

impl RuleSet {
    /// A rule file is at most so long, in bytes.
    pub const BYTES_MAX: usize = BYTES_MAX;

    /// Reads a rule file. Fails with everything that is wrong with it, each with line and column.
    pub fn parse(text: &str) -> Result<Self, RuleFileErrors> {
        let cannot = || {
            RuleFileErrors::from(Mistake {
                position: Position::START,
                rule: None,
                what: "the file cannot be read: the program failed on it".to_owned(),
            })
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .name("risk-rules".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || read_here(text))
                .map_err(|_| cannot())?;
            thread.join().unwrap_or_else(|_| Err(cannot()))
        })
    }
}

fn read_here(text: &str) -> Result<RuleSet, RuleFileErrors> {
    let node = Node::parse(text)?;
    let mut reader = Reader {
        text,
        mistakes: Mistakes::default(),
        counters: CounterTable::default(),
        lists: BTreeMap::new(),
        invalid_counters: Vec::new(),
        defaults: Defaults::default(),
    };
    let found = reader.file(&node);
    let Reader {
        mistakes, counters, ..
    } = reader;
    mistakes
        .settle(found)
        .map(|(settings, rules)| RuleSet::new(text, settings, rules, counters))
}

impl Reader<'_> {
    fn file(&mut self, node: &Node) -> Option<(Settings, Vec<super::rules::Rule>)> {
        let known = ["defaults", "verify", "review", "lists", "counters", "rules"];
        let fields = Fields::of(node, "a rule file", &known, &mut self.mistakes)?;
        self.defaults(fields.get("defaults"));
        let settings = settings::read(&fields, &mut self.mistakes);
        if let Some(node) = fields.get("lists") {
            self.lists(node);
        }
        if let Some(node) = fields.get("counters") {
            self.named_counters(node);
        }
        let rules = fields.need("rules", &mut self.mistakes);
        let rules = rules.map(|node| self.rules(node)).unwrap_or_default();
        Some((settings, rules))
    }
}
