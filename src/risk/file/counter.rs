//! What is counted: the fields `measure`, `of`, `per`, `within` and `attempts`, alone under
//! `counters` or as a part of a condition.

use super::{
    Reader,
    fields::{Fields, shown},
    mistake::{Mistakes, Position},
    node::Node,
    scalar::{WITHIN, is_name},
};
use crate::{
    facts::Stage,
    risk::{
        ActivityFilter, Attribute, Counter, Measure, Per,
        rules::{CounterIndex, CounterTable, Window},
    },
};

const MEASURES: [(&str, Measure); 8] = [
    ("count", Measure::Count),
    ("sum_fen", Measure::SumFen),
    ("sum_points", Measure::SumPoints),
    ("distinct_customers", Measure::Distinct(Attribute::Customer)),
    ("distinct_merchants", Measure::Distinct(Attribute::Merchant)),
    ("distinct_addresses", Measure::Distinct(Attribute::Address)),
    ("distinct_networks", Measure::Distinct(Attribute::Network)),
    ("distinct_devices", Measure::Distinct(Attribute::Device)),
];

const PERS: [(&str, Per); 5] = [
    ("customer", Per::Customer),
    ("merchant", Per::Merchant),
    ("address", Per::Address),
    ("device", Per::Device),
    ("pair", Per::Pair),
];

impl Reader<'_> {
    pub(super) fn named_counters(&mut self, node: &Node) {
        let Some(counters) = Fields::free(node, "counters", &mut self.mistakes) else {
            return;
        };
        for (name, position, node) in counters.iter() {
            if !is_name(name, false) {
                let shown = shown(name);
                self.mistakes.add(
                    position,
                    format!("a counter's name is 1 to 40 of a-z, 0-9 and _, with a letter first, and not {shown}"),
                );
                continue;
            }
            let known = ["measure", "of", "per", "within", "attempts"];
            let fields = Fields::of(node, "a counter", &known, &mut self.mistakes);
            let number = fields.and_then(|fields| {
                let counter = self.velocity(&fields, None);
                self.register(fields.position, counter?)
            });
            match number {
                Some(number) => self.counters.name(name.to_owned(), number),
                None => self.invalid_counters.push(name.to_owned()),
            }
        }
    }

    /// A counter of a condition or an expression, at the place where it is asked for.
    pub(super) fn register(
        &mut self,
        position: Position,
        counter: Counter,
    ) -> Option<CounterIndex> {
        let number = self.counters.number(counter);
        if number.is_none() {
            let most = CounterTable::MAX;
            self.mistakes.add(
                position,
                format!("the file needs more than {most} different counters; use the same windows in more rules"),
            );
        }
        number
    }

    /// `measure`, `of`, `per`, `within` and `attempts`.
    pub(super) fn velocity(
        &mut self,
        fields: &Fields<'_>,
        stages: Option<&[Stage]>,
    ) -> Option<Counter> {
        let mistakes = &mut self.mistakes;
        let measure = fields.need("measure", mistakes);
        let measure = measure.and_then(|node| node.word("measure", &MEASURES, mistakes));
        let of = of(fields, stages, mistakes);
        let per = fields.need("per", mistakes);
        let per = per.and_then(|node| node.word("per", &PERS, mistakes));
        let within = within(fields, mistakes);
        let attempts = match fields.get("attempts") {
            Some(node) => node.boolean("attempts", mistakes)?,
            None => false,
        };
        let counter = Counter {
            measure: measure?,
            of: of?,
            attempts,
            per: per?,
            within_seconds: within?.0,
            between: None,
        };
        if is_one(counter.measure, counter.per) {
            mistakes.add(
                fields.position,
                "that is always 1: count something else than what it is counted per",
            );
            return None;
        }
        Some(counter)
    }
}

/// The activities that are counted. Unless said all of the rule's own stage, if it has one only.
pub(super) fn of(
    fields: &Fields<'_>,
    stages: Option<&[Stage]>,
    mistakes: &mut Mistakes,
) -> Option<ActivityFilter> {
    if let Some(node) = fields.get("of") {
        return node.word(
            "of",
            &ActivityFilter::ALL.map(|of| (of.name(), of)),
            mistakes,
        );
    }
    match stages {
        Some([stage]) => Some(ActivityFilter::all(*stage)),
        // The rule's stages were wrong, which was told.
        Some([]) => None,
        Some(_) | None => {
            mistakes.add(
                fields.position,
                "the field `of` must say the stage whose activities are counted",
            );
            None
        }
    }
}

pub(super) fn within(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<Window> {
    let node = fields.need("within", mistakes)?;
    node.window("within", &WITHIN, mistakes)
}

pub(super) fn per(node: &Node, mistakes: &mut Mistakes) -> Option<Per> {
    node.word("per", &PERS, mistakes)
}

/// Different customers of one customer.
fn is_one(measure: Measure, per: Per) -> bool {
    let Measure::Distinct(attribute) = measure else {
        return false;
    };
    match per {
        Per::Customer => attribute == Attribute::Customer,
        Per::Merchant => attribute == Attribute::Merchant,
        Per::Address => matches!(attribute, Attribute::Address | Attribute::Network),
        Per::Device => attribute == Attribute::Device,
        Per::Pair => matches!(attribute, Attribute::Customer | Attribute::Merchant),
    }
}

impl Node {
    pub(super) fn stage(&self, what: &str, mistakes: &mut Mistakes) -> Option<Stage> {
        self.word(
            what,
            &Stage::ALL.map(|stage| (stage.name(), stage)),
            mistakes,
        )
    }
}
