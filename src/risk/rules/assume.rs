//! What is left of a [`World`] when a condition or an expression is to hold.
//!
//! Numbers are narrowed by intervals: a comparison of sums of known numbers narrows each of them by
//! what the others may be. `&&` narrows one after the other; of `||` each side is a world of its own,
//! up to [`WORLDS_MAX`], and then the least that covers them all. Choices within choices would still
//! multiply, so of one rule no more than [`LOOKS_MAX`] looks are taken; then worlds stay as they are.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators as op},
};

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    condition::{Condition, Threshold},
    known::CounterNo,
    list::Members,
    rule_set::Counters,
    world::{Kind, Number, Range, World},
};

const WORLDS_MAX: usize = 64;

/// How often expressions of one rule are held against a world.
pub(super) const LOOKS_MAX: u32 = 250_000;

/// Lists longer than this say nothing about which of its members it is.
const MEMBERS_MAX: usize = 1_000;

/// The texts that an expression may ask for.
const TEXTS: [&str; 5] = ["customer", "merchant", "device", "source", "stage"];

/// Expressions, with the names of counters.
#[derive(Clone, Copy)]
pub(super) struct Assume<'a> {
    pub(super) counters: &'a Counters,
    /// Looks that are left.
    pub(super) looks: &'a Cell<u32>,
}

/// A sum of numbers, each so many times, and a number more.
struct Linear {
    times: BTreeMap<Number, i128>,
    more: i128,
}

impl Linear {
    fn plus(mut self, other: &Self, times: i128) -> Self {
        for (number, count) in &other.times {
            let sum = self.times.entry(*number).or_default();
            *sum = sum.saturating_add(count.saturating_mul(times));
        }
        self.more = self.more.saturating_add(other.more.saturating_mul(times));
        self
    }

    fn in_world(&self, world: &World, without: Option<Number>) -> Range {
        let mut sum = Range::only(self.more);
        for (number, times) in &self.times {
            if Some(*number) != without {
                sum = sum.plus(world.number(*number).times(Range::only(*times)));
            }
        }
        sum
    }

    /// The world in which it is in `range`.
    fn within(&self, mut world: World, range: Range) -> Option<World> {
        if self.in_world(&world, None).and(range).is_empty() {
            return None;
        }
        for (number, times) in &self.times {
            let room = range.minus(self.in_world(&world, Some(*number)));
            if let Some(own) = divided(room, *times) {
                world = world.with(*number, own)?;
            }
        }
        Some(world)
    }
}

/// The numbers that, so many times, are in a range.
fn divided(range: Range, times: i128) -> Option<Range> {
    let (least, most) = match times {
        0 => return None,
        times if times > 0 => (range.least, range.most),
        _ => (range.most, range.least),
    };
    // Towards the inside, whichever sign it has.
    let up = |number: i128| {
        let (whole, rest) = (number.checked_div(times)?, number.checked_rem(times)?);
        let inside = rest != 0 && (rest > 0) == (times > 0);
        Some(whole.saturating_add(inside.into()))
    };
    let down = |number: i128| {
        let (whole, rest) = (number.checked_div(times)?, number.checked_rem(times)?);
        let inside = rest != 0 && (rest > 0) != (times > 0);
        Some(whole.saturating_sub(inside.into()))
    };
    Some(Range::new(up(least)?, down(most)?))
}

fn bounded(mut worlds: Vec<World>) -> Vec<World> {
    if worlds.len() <= WORLDS_MAX {
        return worlds;
    }
    let Some(first) = worlds.pop() else {
        return worlds;
    };
    vec![worlds.iter().fold(first, World::or)]
}

fn each(worlds: Vec<World>, step: impl Fn(World) -> Vec<World>) -> Vec<World> {
    bounded(worlds.into_iter().flat_map(step).collect())
}

/// What is left of the worlds when all the parts hold, never many ([`WORLDS_MAX`]).
pub(super) fn narrowed<P>(
    mut worlds: Vec<World>,
    parts: &[P],
    step: impl Fn(World, &P) -> Vec<World>,
) -> Vec<World> {
    // Twice, since a later part may have left less to an earlier one.
    for part in parts.iter().chain(parts) {
        worlds = each(worlds, |world| step(world, part));
    }
    worlds
}

/// A relation between two numbers: what the first less the second may be.
fn relation(name: &str, holds: bool) -> Option<Vec<Range>> {
    let (low, high) = (i128::from(i64::MIN) * 2, i128::from(i64::MAX) * 2);
    let (less, more) = (Range::new(low, -1), Range::new(1, high));
    let (at_most, at_least) = (Range::new(low, 0), Range::new(0, high));
    Some(match (name, holds) {
        (op::LESS, true) | (op::GREATER_EQUALS, false) => vec![less],
        (op::GREATER, true) | (op::LESS_EQUALS, false) => vec![more],
        (op::LESS_EQUALS, true) | (op::GREATER, false) => vec![at_most],
        (op::GREATER_EQUALS, true) | (op::LESS, false) => vec![at_least],
        (op::EQUALS, true) | (op::NOT_EQUALS, false) => vec![Range::only(0)],
        (op::EQUALS, false) | (op::NOT_EQUALS, true) => vec![less, more],
        _ => return None,
    })
}

impl Assume<'_> {
    /// The worlds in which the condition of a rule holds for a deed of this kind.
    pub(super) fn condition(self, world: World, kind: Kind, condition: &Condition) -> Vec<World> {
        self.held(world, kind, condition)
            .map_or_else(Vec::new, |world| vec![world])
    }

    fn held(self, world: World, kind: Kind, condition: &Condition) -> Option<World> {
        let above = |counter: &CounterNo, above: i64, world: World| {
            let asked = self.counters.get(*counter)?;
            let more = Range::new(i128::from(above).saturating_add(1), Range::ALL.most);
            kind.has_subject(asked.per).then_some(())?;
            world.with(Number::Counter(counter.0), more)
        };
        match condition {
            Condition::Listed { list, inside } => listed(world, kind, &list.members, *inside),
            Condition::Velocity {
                counter,
                above: more,
            }
            | Condition::SamePair {
                counter,
                above: more,
            } => above(counter, *more, world),
            Condition::Amount(threshold) => {
                kind.amount?;
                world.with(Number::Amount, bound(*threshold))
            }
            Condition::Points(threshold) => {
                kind.points?;
                world.with(Number::Points, bound(*threshold))
            }
            Condition::TimeOfDay(time) => {
                let hour = world.number(Number::Hour).single()?;
                let weekday = world.number(Number::Weekday).single()?;
                let (hour, weekday) = (u16::try_from(hour).ok()?, u8::try_from(weekday).ok()?);
                let begin = hour.saturating_mul(60);
                let mut minutes = begin..begin.saturating_add(60);
                minutes
                    .any(|minute| time.holds(minute, weekday))
                    .then_some(world)
            }
            Condition::FirstSeen {
                thing,
                seen,
                different,
            } => {
                let met = self.counters.get(*different)?;
                (kind.has(*thing) && kind.has_subject(met.per)).then_some(())?;
                let own = i64::from(kind.includes_this(met));
                let world = world.with(Number::Counter(seen.0), Range::only(0))?;
                above(different, own, world)
            }
            Condition::UnusualAmount {
                count,
                factor,
                at_least,
                ..
            } => {
                kind.amount?;
                let own = i64::from(kind.includes_this(self.counters.get(*count)?));
                let before = at_least.saturating_add(own).saturating_sub(1);
                // An average of earlier payments is a fen at least.
                let more = Range::new(i128::from(*factor).saturating_add(1), Range::ALL.most);
                above(count, before, world.with(Number::Amount, more)?)
            }
            Condition::Structuring {
                counter,
                band: (least, most),
                above: more,
            } => {
                kind.amount?;
                let band = Range::new(least.get().into(), most.get().into());
                above(counter, *more, world.with(Number::Amount, band)?)
            }
            Condition::OwnMerchant => world.with_flag("own_merchant", true),
            Condition::Farming {
                refunds,
                above: more,
                ..
            } => above(refunds, *more, world),
        }
    }

    /// Whether one more look may be taken. If not, what is asked for is taken to hold: that says too
    /// much, and never too little.
    fn may_look(self) -> bool {
        let left = self.looks.get();
        self.looks.set(left.saturating_sub(1));
        left > 0
    }

    /// The worlds in which an expression that is true or false is so.
    pub(super) fn expression(self, world: World, at: &IdedExpr, holds: bool) -> Vec<World> {
        if !self.may_look() {
            return vec![world];
        }
        let call = match &at.expr {
            Expr::Literal(LiteralValue::Boolean(is)) => {
                return if *is.inner() == holds {
                    vec![world]
                } else {
                    vec![]
                };
            }
            Expr::Ident(name) => {
                let flag = ["has_customer", "own_merchant"]
                    .into_iter()
                    .find(|one| one == name);
                let left = flag.and_then(|flag| world.with_flag(flag, holds));
                return left.into_iter().collect();
            }
            Expr::Call(call) => call,
            Expr::Literal(_)
            | Expr::Select(_)
            | Expr::List(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Comprehension(_)
            | Expr::Unspecified => return vec![world],
        };
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (op::LOGICAL_NOT, [inner]) => self.expression(world, inner, !holds),
            (op::LOGICAL_AND | op::LOGICAL_OR, parts) => {
                if (name == op::LOGICAL_AND) == holds {
                    return self.all_of(world, parts, holds);
                }
                let sides = parts.iter();
                let sides = sides.flat_map(|part| self.expression(world.clone(), part, holds));
                bounded(sides.collect())
            }
            (op::CONDITIONAL, [when, yes, no]) => {
                let then = self.expression(world.clone(), when, true);
                let then = each(then, |world| self.expression(world, yes, holds));
                let other = self.expression(world, when, false);
                let other = each(other, |world| self.expression(world, no, holds));
                bounded(then.into_iter().chain(other).collect())
            }
            (op::IN, [what, list]) => self.is_in(world, at, (what, list), holds),
            (op::EQUALS | op::NOT_EQUALS, [one, two]) if !is_number(one) => {
                let same = (name == op::EQUALS) == holds;
                self.same(world, at, (one, two), same, holds)
            }
            (_, [one, two]) if call.target.is_none() => match relation(name, holds) {
                Some(differences) => self.compare(&world, at, (one, two), &differences, holds),
                None => opaque(world, at, holds),
            },
            _ => matches(world, at, call, holds),
        }
    }

    fn all_of(self, world: World, parts: &[IdedExpr], holds: bool) -> Vec<World> {
        narrowed(vec![world], parts, |world, part| {
            self.expression(world, part, holds)
        })
    }

    fn compare(
        self,
        world: &World,
        at: &IdedExpr,
        (one, two): (&IdedExpr, &IdedExpr),
        differences: &[Range],
        holds: bool,
    ) -> Vec<World> {
        let linear = self.linear(one).zip(self.linear(two));
        let left = differences.iter().flat_map(|difference| {
            let world = world.clone();
            if let Some((one, two)) = &linear {
                let sum = Linear {
                    times: BTreeMap::new(),
                    more: 0,
                };
                let apart = sum.plus(one, 1).plus(two, -1);
                return apart.within(world, *difference).into_iter().collect();
            }
            let Some(second) = self.value(&world, two) else {
                return vec![];
            };
            let narrowed = self.narrow(world, one, second.plus(*difference));
            each(narrowed, |world| {
                let Some(first) = self.value(&world, one) else {
                    return vec![];
                };
                self.narrow(world, two, first.minus(*difference))
            })
        });
        let left = bounded(left.collect());
        each(left, |world| opaque(world, at, holds))
    }

    /// The worlds in which a number is in a range.
    fn narrow(self, world: World, at: &IdedExpr, range: Range) -> Vec<World> {
        if let Some(linear) = self.linear(at) {
            return linear.within(world, range).into_iter().collect();
        }
        let Some(value) = self.value(&world, at) else {
            return vec![];
        };
        if value.and(range).is_empty() {
            return vec![];
        }
        let Expr::Call(call) = &at.expr else {
            return vec![world];
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::CONDITIONAL, [when, yes, no]) => {
                let then = self.expression(world.clone(), when, true);
                let then = each(then, |world| self.narrow(world, yes, range));
                let other = self.expression(world, when, false);
                let other = each(other, |world| self.narrow(world, no, range));
                bounded(then.into_iter().chain(other).collect())
            }
            (op::DIVIDE, [whole, by]) => {
                let by = self.value(&world, by).and_then(Range::single);
                // What is cut off is less than the divisor, on the side away from 0.
                let Some(by) = by.filter(|by| *by > 0) else {
                    return vec![world];
                };
                let cut = by.saturating_sub(1);
                let least = range.least.saturating_mul(by);
                let most = range.most.saturating_mul(by);
                let least = if range.least > 0 {
                    least
                } else {
                    least.saturating_sub(cut)
                };
                let most = if range.most < 0 {
                    most
                } else {
                    most.saturating_add(cut)
                };
                self.narrow(world, whole, Range::new(least, most))
            }
            _ => vec![world],
        }
    }

    /// What a number may be; none if it has no value in this world, such as what is divided by 0.
    fn value(self, world: &World, at: &IdedExpr) -> Option<Range> {
        if let Some(linear) = self.linear(at) {
            let value = linear.in_world(world, None).and(Range::ALL);
            return (!value.is_empty()).then_some(value);
        }
        let Expr::Call(call) = &at.expr else {
            return Some(Range::ALL);
        };
        let value = match (call.func_name.as_str(), call.args.as_slice()) {
            (op::CONDITIONAL, [when, yes, no]) => {
                let branch = |holds: bool, part: &IdedExpr| {
                    let worlds = self.expression(world.clone(), when, holds);
                    let values = worlds.iter().filter_map(|world| self.value(world, part));
                    values.reduce(Range::or)
                };
                match (branch(true, yes), branch(false, no)) {
                    (Some(yes), Some(no)) => yes.or(no),
                    (one, other) => one.or(other)?,
                }
            }
            (op::ADD, [one, two]) => self.value(world, one)?.plus(self.value(world, two)?),
            (op::SUBSTRACT, [one, two]) => self.value(world, one)?.minus(self.value(world, two)?),
            (op::MULTIPLY, [one, two]) => self.value(world, one)?.times(self.value(world, two)?),
            (op::NEGATE, [one]) => Range::only(0).minus(self.value(world, one)?),
            (op::DIVIDE, [one, two]) => quotient(self.value(world, one)?, self.value(world, two)?)?,
            (op::MODULO, [one, two]) => rest(self.value(world, one)?, self.value(world, two)?)?,
            ("size", args) => {
                let what = call.target.as_deref().or(args.first())?;
                size(world, what)
            }
            _ => Range::ALL,
        };
        let value = value.and(Range::ALL);
        (!value.is_empty()).then_some(value)
    }

    /// A sum of numbers, if it is one.
    fn linear(self, at: &IdedExpr) -> Option<Linear> {
        let number = |number| Linear {
            times: BTreeMap::from([(number, 1)]),
            more: 0,
        };
        let call = match &at.expr {
            Expr::Literal(LiteralValue::Int(literal)) => {
                return Some(Linear {
                    times: BTreeMap::new(),
                    more: i128::from(*literal.inner()),
                });
            }
            Expr::Ident(name) => return number_named(name).map(number),
            Expr::Select(select) => {
                let counter = self.counters.named(&select.field)?;
                return Some(number(Number::Counter(counter.0)));
            }
            Expr::Call(call) => call,
            Expr::Literal(_)
            | Expr::List(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Comprehension(_)
            | Expr::Unspecified => return None,
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::ADD, [one, two]) => Some(self.linear(one)?.plus(&self.linear(two)?, 1)),
            (op::SUBSTRACT, [one, two]) => Some(self.linear(one)?.plus(&self.linear(two)?, -1)),
            (op::NEGATE, [one]) => {
                let nothing = Linear {
                    times: BTreeMap::new(),
                    more: 0,
                };
                Some(nothing.plus(&self.linear(one)?, -1))
            }
            (op::MULTIPLY, [one, two]) => {
                let (one, two) = (self.linear(one)?, self.linear(two)?);
                let (sum, times) = match (one.times.is_empty(), two.times.is_empty()) {
                    (_, true) => (one, two.more),
                    (true, false) => (two, one.more),
                    (false, false) => return None,
                };
                let nothing = Linear {
                    times: BTreeMap::new(),
                    more: 0,
                };
                Some(nothing.plus(&sum, times))
            }
            _ => None,
        }
    }

    /// Texts, or truths, that are the same or not.
    fn same(
        self,
        world: World,
        at: &IdedExpr,
        (one, two): (&IdedExpr, &IdedExpr),
        same: bool,
        holds: bool,
    ) -> Vec<World> {
        if !is_text(one) {
            let both = [true, false].into_iter().flat_map(|is| {
                let first = self.expression(world.clone(), one, is);
                each(first, |world| self.expression(world, two, is == same))
            });
            return bounded(both.collect());
        }
        let narrow = |world: World, this: &IdedExpr, other: &IdedExpr| {
            let Some(texts) = texts_of(&world, other) else {
                return Some(world);
            };
            // What may be one of several may also be another one than this is.
            if !same && texts.len() > 1 {
                return Some(world);
            }
            if let Some(name) = named_text(this) {
                return text_is(world, name, texts, same);
            }
            let Some(known) = texts_of(&world, this) else {
                return Some(world);
            };
            let possible = if same {
                !known.is_disjoint(&texts)
            } else {
                known != texts
            };
            possible.then_some(world)
        };
        let narrowed = narrow(world, one, two);
        let narrowed = narrowed.and_then(|world| narrow(world, two, one));
        let worlds = narrowed.into_iter().collect();
        each(worlds, |world| opaque(world, at, holds))
    }

    fn is_in(
        self,
        world: World,
        at: &IdedExpr,
        (what, list): (&IdedExpr, &IdedExpr),
        holds: bool,
    ) -> Vec<World> {
        let Expr::List(list) = &list.expr else {
            return opaque(world, at, holds);
        };
        if is_number(what) {
            let equals = |world: &World, item: &IdedExpr, holds| {
                let differences = relation(op::EQUALS, holds).unwrap_or_default();
                self.compare(world, item, (what, item), &differences, holds)
            };
            if holds {
                let some = list
                    .elements
                    .iter()
                    .flat_map(|item| equals(&world, item, true));
                // What was said of each is not what was written.
                let some = some.map(|mut world: World| {
                    world.said.clear();
                    world
                });
                return bounded(some.collect());
            }
            return list.elements.iter().fold(vec![world], |worlds, item| {
                each(worlds, |world| {
                    let mut left = equals(&world, item, false);
                    for left in &mut left {
                        left.said.clone_from(&world.said);
                    }
                    left
                })
            });
        }
        let texts = list.elements.iter().map(|item| texts_of(&world, item));
        let texts: Option<Vec<BTreeSet<String>>> = texts.collect();
        let texts: BTreeSet<String> = texts.unwrap_or_default().into_iter().flatten().collect();
        match named_text(what) {
            Some(name) => text_is(world, name, texts, holds).into_iter().collect(),
            None => opaque(world, at, holds),
        }
    }
}

/// What says nothing about any number: it holds or it does not, and not both.
fn opaque(mut world: World, at: &IdedExpr, holds: bool) -> Vec<World> {
    let before = world.said.insert(written(at), holds);
    if before.is_some_and(|before| before != holds) {
        return vec![];
    }
    vec![world]
}

fn size(world: &World, what: &IdedExpr) -> Range {
    if let Expr::List(list) = &what.expr {
        return Range::only(i128::try_from(list.elements.len()).unwrap_or(0));
    }
    let all = Range::new(0, Range::ALL.most);
    let Some(texts) = texts_of(world, what) else {
        return all;
    };
    let sizes = texts.iter().map(|text| text.chars().count());
    let sizes = sizes.map(|size| Range::only(i128::try_from(size).unwrap_or(i128::MAX)));
    sizes.reduce(Range::or).unwrap_or(all)
}

/// What a text may be, if that can be told one by one.
fn texts_of(world: &World, at: &IdedExpr) -> Option<BTreeSet<String>> {
    if let Expr::Literal(LiteralValue::String(text)) = &at.expr {
        return Some(BTreeSet::from([text.inner().to_owned()]));
    }
    if let Some(name) = named_text(at) {
        return world.texts.get(name)?.each().cloned();
    }
    let Expr::Call(call) = &at.expr else {
        return None;
    };
    let (op::CONDITIONAL, [_, yes, no]) = (call.func_name.as_str(), call.args.as_slice()) else {
        return None;
    };
    let (yes, no) = (texts_of(world, yes)?, texts_of(world, no)?);
    Some(&yes | &no)
}

fn is_number(at: &IdedExpr) -> bool {
    match &at.expr {
        Expr::Literal(literal) => matches!(literal, LiteralValue::Int(_)),
        Expr::Ident(name) => number_named(name).is_some(),
        Expr::Select(_) => true,
        Expr::Call(call) => match call.func_name.as_str() {
            op::ADD
            | op::SUBSTRACT
            | op::MULTIPLY
            | op::DIVIDE
            | op::MODULO
            | op::NEGATE
            | "size" => true,
            op::CONDITIONAL => call.args.get(1).is_some_and(is_number),
            _ => false,
        },
        Expr::List(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => false,
    }
}

/// `text.startsWith(text)` and its like.
fn matches(world: World, at: &IdedExpr, call: &CallExpr, holds: bool) -> Vec<World> {
    let (Some(target), [part]) = (call.target.as_deref(), call.args.as_slice()) else {
        return opaque(world, at, holds);
    };
    let (Some(texts), Some(parts)) = (texts_of(&world, target), texts_of(&world, part)) else {
        return opaque(world, at, holds);
    };
    let fits = |text: &str| {
        let mut parts = parts.iter();
        parts.any(|part| match call.func_name.as_str() {
            "startsWith" => text.starts_with(part.as_str()),
            "endsWith" => text.ends_with(part.as_str()),
            _ => text.contains(part.as_str()),
        })
    };
    // Of a part that may be one of several, nobody knows which it is.
    if parts.len() > 1 {
        return opaque(world, at, holds);
    }
    let left: BTreeSet<String> = texts
        .into_iter()
        .filter(|text| fits(text) == holds)
        .collect();
    if left.is_empty() {
        return vec![];
    }
    match named_text(target) {
        Some(name) => text_is(world, name, left, true).into_iter().collect(),
        None => vec![world],
    }
}

fn bound(threshold: Threshold) -> Range {
    match threshold {
        Threshold::Above(bound) => Range::new(i128::from(bound).saturating_add(1), Range::ALL.most),
        Threshold::Below(bound) => {
            Range::new(Range::ALL.least, i128::from(bound).saturating_sub(1))
        }
        Threshold::Between(least, most) => Range::new(least.into(), most.into()),
    }
}

/// Somebody or something is in a list, or is not. What is not known is in none.
fn listed(world: World, kind: Kind, members: &Members, inside: bool) -> Option<World> {
    let (name, known) = match members {
        Members::Customers(_) => ("customer", kind.customer),
        Members::Merchants(_) => ("merchant", kind.merchant),
        Members::Devices(_) => ("device", kind.device),
        Members::Addresses(_) => return (kind.address || !inside).then_some(world),
    };
    if !known {
        return (!inside).then_some(world);
    }
    let texts: BTreeSet<String> = match members {
        Members::Customers(set) if set.len() <= MEMBERS_MAX => {
            set.iter().map(ToString::to_string).collect()
        }
        Members::Merchants(set) if set.len() <= MEMBERS_MAX => {
            set.iter().map(ToString::to_string).collect()
        }
        Members::Devices(set) if set.len() <= MEMBERS_MAX => set
            .iter()
            .map(|device| device.as_str().to_owned())
            .collect(),
        Members::Customers(_)
        | Members::Merchants(_)
        | Members::Devices(_)
        | Members::Addresses(_) => {
            return Some(world);
        }
    };
    text_is(world, name, texts, inside)
}

/// A text is one of these, or none of them.
fn text_is(
    world: World,
    name: &'static str,
    texts: BTreeSet<String>,
    inside: bool,
) -> Option<World> {
    if inside {
        return world.with_text(name, texts);
    }
    // Other than all of several that something else may be: that can always be.
    world.without_text(name, &texts)
}

fn number_named(name: &str) -> Option<Number> {
    Some(match name {
        "amount_fen" => Number::Amount,
        "points" => Number::Points,
        "hour" => Number::Hour,
        "weekday" => Number::Weekday,
        "customer_age_days" => Number::Age,
        _ => return None,
    })
}

fn named_text(at: &IdedExpr) -> Option<&'static str> {
    let Expr::Ident(name) = &at.expr else {
        return None;
    };
    TEXTS.into_iter().find(|text| text == name)
}

fn is_text(at: &IdedExpr) -> bool {
    match &at.expr {
        Expr::Literal(literal) => matches!(literal, LiteralValue::String(_)),
        Expr::Ident(_) => named_text(at).is_some(),
        Expr::Call(call) => {
            call.func_name == op::CONDITIONAL && call.args.get(1).is_some_and(is_text)
        }
        Expr::Select(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => false,
    }
}

fn quotient(whole: Range, by: Range) -> Option<Range> {
    if by == Range::only(0) {
        return None;
    }
    let parts = [
        by.and(Range::new(1, by.most)),
        by.and(Range::new(by.least, -1)),
    ];
    let values = parts.into_iter().filter(|by| !by.is_empty()).map(|by| {
        let one = |whole: i128, by: i128| whole.checked_div(by).unwrap_or(0);
        let corners = [
            one(whole.least, by.least),
            one(whole.least, by.most),
            one(whole.most, by.least),
            one(whole.most, by.most),
        ];
        Range::hull(corners)
    });
    values.reduce(Range::or)
}

fn rest(whole: Range, by: Range) -> Option<Range> {
    if by == Range::only(0) {
        return None;
    }
    let most = by.least.saturating_abs().max(by.most.saturating_abs());
    let most = most.saturating_sub(1);
    let least = if whole.least >= 0 {
        0
    } else {
        most.saturating_neg()
    };
    let most = if whole.most <= 0 { 0 } else { most };
    // It is not farther from 0 than what is divided.
    Some(Range::new(
        least.max(whole.least.min(0)),
        most.min(whole.most.max(0)),
    ))
}

/// An expression as a person would write it.
pub(super) fn written(at: &IdedExpr) -> String {
    let call = match &at.expr {
        Expr::Literal(LiteralValue::Int(number)) => return number.inner().to_string(),
        Expr::Literal(LiteralValue::Boolean(is)) => return is.inner().to_string(),
        Expr::Literal(LiteralValue::String(text)) => return format!("'{}'", text.inner()),
        Expr::Ident(name) => return name.clone(),
        Expr::Select(select) => return format!("{}.{}", written(&select.operand), select.field),
        Expr::List(list) => {
            let items: Vec<String> = list.elements.iter().map(written).collect();
            return format!("[{}]", items.join(", "));
        }
        Expr::Call(call) => call,
        Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => return "..".to_owned(),
    };
    let inner = |at: &IdedExpr| {
        let text = written(at);
        let is_operator = |call: &CallExpr| call.target.is_none() && call.func_name != "size";
        match &at.expr {
            Expr::Call(call) if is_operator(call) => format!("({text})"),
            Expr::Call(_)
            | Expr::Literal(_)
            | Expr::Ident(_)
            | Expr::Select(_)
            | Expr::List(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Comprehension(_)
            | Expr::Unspecified => text,
        }
    };
    let name = call.func_name.as_str();
    match (name, call.target.as_deref(), call.args.as_slice()) {
        (op::CONDITIONAL, None, [when, yes, no]) => {
            format!("{} ? {} : {}", inner(when), inner(yes), inner(no))
        }
        (op::LOGICAL_NOT, None, [one]) => format!("!{}", inner(one)),
        (op::NEGATE, None, [one]) => format!("-{}", inner(one)),
        (_, Some(target), args) => {
            let args: Vec<String> = args.iter().map(written).collect();
            format!("{}.{name}({})", inner(target), args.join(", "))
        }
        ("size", None, args) => {
            let args: Vec<String> = args.iter().map(written).collect();
            format!("size({})", args.join(", "))
        }
        (_, None, parts) => {
            let sign = match name {
                op::IN => "in",
                _ => name.trim_matches('_'),
            };
            let parts: Vec<String> = parts.iter().map(inner).collect();
            parts.join(&format!(" {sign} "))
        }
    }
}

/// The parts that must all hold for the whole to hold.
pub(super) fn conjuncts(at: &IdedExpr) -> Vec<&IdedExpr> {
    match &at.expr {
        Expr::Call(call) if call.func_name == op::LOGICAL_AND => {
            call.args.iter().flat_map(conjuncts).collect()
        }
        Expr::Call(_)
        | Expr::Literal(_)
        | Expr::Ident(_)
        | Expr::Select(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => vec![at],
    }
}

/// The numbers that an expression asks for.
pub(super) fn numbers(at: &IdedExpr, counters: &Counters, found: &mut BTreeSet<Number>) {
    match &at.expr {
        Expr::Ident(name) => found.extend(number_named(name)),
        Expr::Select(select) => {
            let counter = counters.named(&select.field);
            found.extend(counter.map(|counter| Number::Counter(counter.0)));
        }
        Expr::Call(call) => {
            let parts = call.target.as_deref().into_iter().chain(&call.args);
            parts.for_each(|part| numbers(part, counters, found));
        }
        Expr::List(list) => {
            let items = list.elements.iter();
            items.for_each(|item| numbers(item, counters, found));
        }
        Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_)
        | Expr::Comprehension(_)
        | Expr::Unspecified => {}
    }
}
