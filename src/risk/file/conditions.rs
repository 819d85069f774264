//! Conditions: each kind is a block of its own in the file.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    Reader,
    counter::{of, per, within},
    fields::{Fields, shown},
    mistake::{Mistakes, Position},
    node::Node,
    scalar::WITHIN,
};
use crate::{
    facts::Stage,
    primitives::{Money, coded},
    risk::{
        ActivityFilter, Attribute, Counter, Measure, Per,
        rules::{Condition, CounterIndex, Threshold, TimeOfDay},
    },
};

coded! {
    /// A kind of condition; its name is the field of a rule.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum ConditionKind {
        List => "list",
        Velocity => "velocity",
        Amount => "amount_fen",
        Points => "points",
        TimeOfDay => "time_of_day",
        FirstSeen => "first_seen",
        UnusualAmount => "unusual_amount",
        Structuring => "structuring",
        Collusion => "collusion",
        Farming => "farming",
    }
}

/// Amounts and points in a file: up to ten thousand million yuan, so that nothing computed from
/// them overflows.
const AMOUNT: RangeInclusive<i64> = 0..=1_000_000_000_000;

/// How often something happened.
const TIMES: RangeInclusive<i64> = 0..=1_000_000;

const WEEKDAYS: [(&str, u8); 7] = [
    ("mon", 1),
    ("tue", 2),
    ("wed", 3),
    ("thu", 4),
    ("fri", 5),
    ("sat", 6),
    ("sun", 7),
];

impl Reader<'_> {
    pub(super) fn condition(
        &mut self,
        kind: ConditionKind,
        position: Position,
        node: &Node,
        stages: &[Stage],
    ) -> Option<Condition> {
        match kind {
            ConditionKind::List => self.listed(node),
            ConditionKind::Velocity => self.velocity_condition(position, node, stages),
            ConditionKind::Amount => {
                threshold(node, kind.name(), &mut self.mistakes).map(Condition::Amount)
            }
            ConditionKind::Points => {
                threshold(node, kind.name(), &mut self.mistakes).map(Condition::Points)
            }
            ConditionKind::TimeOfDay => {
                time_of_day(node, &mut self.mistakes).map(Condition::TimeOfDay)
            }
            ConditionKind::FirstSeen => self.first_seen(position, node, stages),
            ConditionKind::UnusualAmount => self.unusual_amount(position, node),
            ConditionKind::Structuring => self.structuring(position, node, stages),
            ConditionKind::Collusion => self.collusion(position, node, stages),
            ConditionKind::Farming => self.farming(position, node),
        }
    }

    fn listed(&mut self, node: &Node) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let fields = Fields::of(node, "list", &["in", "not_in"], mistakes)?;
        let (inside, node) = match (fields.get("in"), fields.get("not_in")) {
            (Some(node), None) => (true, node),
            (None, Some(node)) => (false, node),
            (Some(_), Some(_)) => {
                let what = "list is `in: NAME` or `not_in: NAME`, and not both: leave the exceptions out of the list itself";
                mistakes.add(fields.position, what);
                return None;
            }
            (None, None) => {
                let what = "list needs the name of a list, `in: NAME` or `not_in: NAME`";
                mistakes.add(fields.position, what);
                return None;
            }
        };
        let name = node.raw_text("the name of a list", mistakes)?;
        let Some(list) = self.lists.get(name) else {
            let known: Vec<&str> = self.lists.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "there are none under lists:".to_owned()
            } else {
                format!("there are {}", known.join(", "))
            };
            let name = shown(name);
            mistakes.add(node.position, format!("there is no list {name}; {known}"));
            return None;
        };
        let list = Arc::clone(list.as_ref()?);
        Some(Condition::Listed { list, inside })
    }

    fn velocity_condition(
        &mut self,
        position: Position,
        node: &Node,
        stages: &[Stage],
    ) -> Option<Condition> {
        let known = ["measure", "of", "per", "within", "above", "attempts"];
        let fields = Fields::of(node, "velocity", &known, &mut self.mistakes)?;
        let counter = self.velocity(&fields, Some(stages));
        let above = fields.need("above", &mut self.mistakes);
        let above = above.and_then(|node| node.number("above", &AMOUNT, &mut self.mistakes));
        Some(Condition::Velocity {
            counter: self.register(position, counter?)?,
            above: above?,
        })
    }

    fn first_seen(
        &mut self,
        position: Position,
        node: &Node,
        stages: &[Stage],
    ) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let fields = Fields::of(node, "first_seen", &["attribute", "of", "within"], mistakes)?;
        let attributes = [
            Attribute::Network,
            Attribute::Address,
            Attribute::Device,
            Attribute::Merchant,
        ]
        .map(|attribute| (attribute.name(), attribute));
        let attribute = fields.need("attribute", mistakes);
        let attribute = attribute.and_then(|node| node.word("attribute", &attributes, mistakes));
        let of = of(&fields, Some(stages), mistakes);
        let within_seconds = match fields.get("within") {
            Some(node) => node.window("within", &WITHIN, mistakes)?.0,
            None => *WITHIN.end(),
        };
        let (attribute, of) = (attribute?, of?);
        let mut counter = |measure| {
            self.register(
                position,
                Counter {
                    measure,
                    of,
                    attempts: false,
                    per: Per::Customer,
                    within_seconds,
                    between: None,
                },
            )
        };
        Some(Condition::FirstSeen {
            attribute,
            seen: counter(Measure::Seen(attribute))?,
            different: counter(Measure::Distinct(attribute))?,
        })
    }

    /// The history is what was paid. Orders would be one that whoever is stopped makes up by trying
    /// again, and awards of back ends are about no money.
    fn unusual_amount(&mut self, position: Position, node: &Node) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let known = ["factor", "at_least", "within"];
        let fields = Fields::of(node, "unusual_amount", &known, mistakes)?;
        let factor = fields.need("factor", mistakes);
        let factor = factor.and_then(|node| node.number("factor", &(2..=1_000), mistakes));
        let at_least = fields.need("at_least", mistakes);
        let at_least = at_least.and_then(|node| node.number("at_least", &(1..=1_000), mistakes));
        let within = within(&fields, mistakes)?;
        let mut counter = |measure| {
            self.register(
                position,
                Counter {
                    measure,
                    of: ActivityFilter::PAYMENTS,
                    attempts: false,
                    per: Per::Customer,
                    within_seconds: within.0,
                    between: None,
                },
            )
        };
        Some(Condition::UnusualAmount {
            count: counter(Measure::Count)?,
            sum: counter(Measure::SumFen)?,
            factor: factor?,
            at_least: at_least?,
        })
    }

    fn structuring(
        &mut self,
        position: Position,
        node: &Node,
        stages: &[Stage],
    ) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let known = ["limit_fen", "margin", "above", "of", "per", "within"];
        let fields = Fields::of(node, "structuring", &known, mistakes)?;
        let limit = fields.need("limit_fen", mistakes);
        let limit = limit.and_then(|node| node.number("limit_fen", &(1..=*AMOUNT.end()), mistakes));
        let margin = fields.need("margin", mistakes);
        let margin = margin.and_then(|node| node.percent("margin", mistakes));
        let above = above(&fields, mistakes);
        let of = with_money(
            of(&fields, Some(stages), mistakes),
            fields.position,
            mistakes,
        );
        let per = match fields.get("per") {
            Some(node) => per(node, mistakes),
            None => Some(Per::Customer),
        };
        let within = within(&fields, mistakes);
        let Some(band) = band(limit?, margin?) else {
            let what = "no amount lies in that margin under the limit: make it wider";
            mistakes.add(fields.position, what);
            return None;
        };
        let counter = Counter {
            measure: Measure::Count,
            of: of?,
            attempts: false,
            per: per?,
            within_seconds: within?.0,
            between: Some(band),
        };
        Some(Condition::Structuring {
            counter: self.register(position, counter)?,
            band,
            above: above?,
        })
    }

    fn collusion(
        &mut self,
        position: Position,
        node: &Node,
        stages: &[Stage],
    ) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let known = ["own_merchant", "above", "of", "within"];
        let fields = Fields::of(node, "collusion", &known, mistakes)?;
        if let Some(node) = fields.get("own_merchant") {
            if node.boolean("own_merchant", mistakes)? && fields.iter().count() == 1 {
                return Some(Condition::OwnMerchant);
            }
            mistakes.add(
                fields.position,
                "collusion is `own_merchant: true` alone, or above, of and within for the same pair",
            );
            return None;
        }
        let above = above(&fields, mistakes);
        let of = of(&fields, Some(stages), mistakes);
        let within = within(&fields, mistakes);
        let counter = Counter {
            measure: Measure::Count,
            of: of?,
            attempts: false,
            per: Per::Pair,
            within_seconds: within?.0,
            between: None,
        };
        Some(Condition::SamePair {
            counter: self.register(position, counter)?,
            above: above?,
        })
    }

    fn farming(&mut self, position: Position, node: &Node) -> Option<Condition> {
        let mistakes = &mut self.mistakes;
        let fields = Fields::of(node, "farming", &["above", "within", "share"], mistakes)?;
        let above = above(&fields, mistakes);
        let within = within(&fields, mistakes);
        let percent = match fields.get("share") {
            Some(node) => Some(node.percent("share", mistakes)?),
            None => None,
        };
        let within = within?;
        let mut counter = |of| {
            self.register(
                position,
                Counter {
                    measure: Measure::Count,
                    of,
                    attempts: false,
                    per: Per::Customer,
                    within_seconds: within.0,
                    between: None,
                },
            )
        };
        let refunds = counter(ActivityFilter::all(Stage::Refund))?;
        let share: Option<(CounterIndex, u8)> = match percent {
            // Of what was paid: unpaid orders and awards would lower the share.
            Some(percent) => Some((counter(ActivityFilter::PAYMENTS)?, percent)),
            None => None,
        };
        Some(Condition::Farming {
            refunds,
            share,
            above: above?,
        })
    }
}

fn above(fields: &Fields<'_>, mistakes: &mut Mistakes) -> Option<i64> {
    let node = fields.need("above", mistakes)?;
    node.number("above", &TIMES, mistakes)
}

/// The stages whose activities are always about money.
fn with_money(
    of: Option<ActivityFilter>,
    position: Position,
    mistakes: &mut Mistakes,
) -> Option<ActivityFilter> {
    let of = of?;
    match of.stage {
        Stage::PaymentCreate | Stage::Refund => Some(of),
        Stage::Login | Stage::PointsCredit | Stage::Redeem => {
            let of = of.name();
            mistakes.add(
                position,
                format!("amounts are counted `of` payment.create or refund, and not of {of}"),
            );
            None
        }
    }
}

/// The amounts from so many percent under the limit up to one fen under it.
fn band(limit: i64, margin_percent: u8) -> Option<(Money, Money)> {
    let kept = 100 - i64::from(margin_percent.min(100));
    // Rounded up: less than the margin allows is not just under the limit.
    let least = limit.checked_mul(kept)?.checked_add(99)? / 100;
    let most = limit - 1;
    (least <= most)
        .then(|| Some((Money::parse(least).ok()?, Money::parse(most).ok()?)))
        .flatten()
}

fn threshold(node: &Node, what: &'static str, mistakes: &mut Mistakes) -> Option<Threshold> {
    let fields = Fields::of(node, what, &["above", "below", "between"], mistakes)?;
    let mut entries = fields.iter();
    match (entries.next(), entries.next()) {
        (Some(("above", _, node)), None) => node
            .number("above", &AMOUNT, mistakes)
            .map(Threshold::Above),
        (Some(("below", _, node)), None) => node
            .number("below", &(1..=*AMOUNT.end()), mistakes)
            .map(Threshold::Below),
        (Some(("between", _, node)), None) => {
            let items = node.items("between", 2, mistakes)?;
            let numbers: Vec<i64> = items
                .iter()
                .filter_map(|node| node.number("between", &AMOUNT, mistakes))
                .collect();
            match numbers.as_slice() {
                [least, most] if least <= most => Some(Threshold::Between(*least, *most)),
                [_, _] => {
                    mistakes.add(node.position, "between: the first number is the smaller");
                    None
                }
                numbers => {
                    if numbers.len() == items.len() {
                        mistakes.add(node.position, "between needs two numbers: [100, 200]");
                    }
                    None
                }
            }
        }
        _ => {
            mistakes.add(
                fields.position,
                format!("{what} has one of above, below and between"),
            );
            None
        }
    }
}

fn time_of_day(node: &Node, mistakes: &mut Mistakes) -> Option<TimeOfDay> {
    let fields = Fields::of(node, "time_of_day", &["from", "to", "weekdays"], mistakes)?;
    let from = fields.need("from", mistakes);
    let from = from.and_then(|node| node.time_of_day("from", mistakes));
    let to = fields.need("to", mistakes);
    let to = to.and_then(|node| node.time_of_day("to", mistakes));
    let weekdays = match fields.get("weekdays") {
        None => 0b1111_1110,
        Some(node) => node
            .items("weekdays", WEEKDAYS.len(), mistakes)?
            .iter()
            .map(|item| item.word("a weekday", &WEEKDAYS, mistakes))
            .try_fold(0, |days, day| Some(days | (1 << day?)))?,
    };
    let (from, to) = (from?, to?);
    if from == to || from == 24 * 60 {
        mistakes.add(
            fields.position,
            "from and to differ; the whole day is from 00:00 to 24:00",
        );
        return None;
    }
    Some(TimeOfDay { from, to, weekdays })
}
