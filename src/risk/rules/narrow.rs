//! Narrows an [`AbstractState`] by a condition or an expression that must hold.
//!
//! Numbers are narrowed by intervals: a comparison of sums of known numbers narrows each of them by
//! the possible values of the others. `&&` narrows by one side after the other. Each side of `||`
//! is a state of its own, up to [`STATES_MAX`]; beyond that the smallest state that covers them all
//! is used. Nested choices would still multiply, so one rule takes at most [`STEPS_MAX`] steps;
//! after that states are not narrowed any more.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators as op},
};

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    abstract_state::{AbstractState, ActivityShape, Interval, Variable},
    condition::{Condition, Threshold},
    counter_table::{CounterIndex, CounterTable},
    list::Members,
};

const STATES_MAX: usize = 64;

/// How often expressions of one rule are held against a world.
pub(super) const STEPS_MAX: u32 = 250_000;

/// Lists longer than this say nothing about which of its members it is.
const MEMBERS_MAX: usize = 1_000;

/// The texts that an expression may ask for.
const TEXTS: [&str; 5] = ["customer", "merchant", "device", "source", "stage"];

/// Expressions, with the names of counters.
#[derive(Clone, Copy)]
pub(super) struct Narrower<'a> {
    pub(super) counters: &'a CounterTable,
    /// Looks that are left.
    pub(super) steps: &'a Cell<u32>,
}

/// A sum of numbers, each so many times, and a number more.
struct LinearSum {
    times: BTreeMap<Variable, i128>,
    more: i128,
}

impl LinearSum {
    fn plus(mut self, other: &Self, times: i128) -> Self {
        for (number, count) in &other.times {
            let sum = self.times.entry(*number).or_default();
            *sum = sum.saturating_add(count.saturating_mul(times));
        }
        self.more = self.more.saturating_add(other.more.saturating_mul(times));
        self
    }

    fn in_state(&self, state: &AbstractState, without: Option<Variable>) -> Interval {
        let mut sum = Interval::only(self.more);
        for (number, times) in &self.times {
            if Some(*number) != without {
                sum = sum.plus(state.number(*number).times(Interval::only(*times)));
            }
        }
        sum
    }

    /// The world in which it is in `range`.
    fn within(&self, mut state: AbstractState, range: Interval) -> Option<AbstractState> {
        if self.in_state(&state, None).and(range).is_empty() {
            return None;
        }
        for (number, times) in &self.times {
            let room = range.minus(self.in_state(&state, Some(*number)));
            if let Some(own) = divided(room, *times) {
                state = state.with(*number, own)?;
            }
        }
        Some(state)
    }
}

/// The numbers that, so many times, are in a range.
fn divided(range: Interval, times: i128) -> Option<Interval> {
    let (least, most) = match times {
        0 => return None,
        times if times > 0 => (range.least, range.most),
        _ => (range.most, range.least),
    };
    // Towards the inside, whichever sign it has.
    let up = |number: i128| {
        let (whole, remainder) = (number.checked_div(times)?, number.checked_rem(times)?);
        let inside = remainder != 0 && (remainder > 0) == (times > 0);
        Some(whole.saturating_add(inside.into()))
    };
    let down = |number: i128| {
        let (whole, remainder) = (number.checked_div(times)?, number.checked_rem(times)?);
        let inside = remainder != 0 && (remainder > 0) != (times > 0);
        Some(whole.saturating_sub(inside.into()))
    };
    Some(Interval::new(up(least)?, down(most)?))
}

fn bounded(mut states: Vec<AbstractState>) -> Vec<AbstractState> {
    if states.len() <= STATES_MAX {
        return states;
    }
    let Some(first) = states.pop() else {
        return states;
    };
    vec![states.iter().fold(first, AbstractState::or)]
}

fn each(
    states: Vec<AbstractState>,
    step: impl Fn(AbstractState) -> Vec<AbstractState>,
) -> Vec<AbstractState> {
    bounded(states.into_iter().flat_map(step).collect())
}

/// What is left of the worlds when all the parts hold, never many ([`STATES_MAX`]).
pub(super) fn narrowed<P>(
    mut states: Vec<AbstractState>,
    parts: &[P],
    step: impl Fn(AbstractState, &P) -> Vec<AbstractState>,
) -> Vec<AbstractState> {
    // Twice, since a later part may have left less to an earlier one.
    for part in parts.iter().chain(parts) {
        states = each(states, |state| step(state, part));
    }
    states
}

/// A relation between two numbers: what the first less the second may be.
fn relation(name: &str, holds: bool) -> Option<Vec<Interval>> {
    let (low, high) = (i128::from(i64::MIN) * 2, i128::from(i64::MAX) * 2);
    let (less, more) = (Interval::new(low, -1), Interval::new(1, high));
    let (at_most, at_least) = (Interval::new(low, 0), Interval::new(0, high));
    Some(match (name, holds) {
        (op::LESS, true) | (op::GREATER_EQUALS, false) => vec![less],
        (op::GREATER, true) | (op::LESS_EQUALS, false) => vec![more],
        (op::LESS_EQUALS, true) | (op::GREATER, false) => vec![at_most],
        (op::GREATER_EQUALS, true) | (op::LESS, false) => vec![at_least],
        (op::EQUALS, true) | (op::NOT_EQUALS, false) => vec![Interval::only(0)],
        (op::EQUALS, false) | (op::NOT_EQUALS, true) => vec![less, more],
        _ => return None,
    })
}

impl Narrower<'_> {
    /// The worlds in which the condition of a rule holds for an activity of this kind.
    pub(super) fn condition(
        self,
        state: AbstractState,
        shape: ActivityShape,
        condition: &Condition,
    ) -> Vec<AbstractState> {
        self.with_condition(state, shape, condition)
            .map_or_else(Vec::new, |state| vec![state])
    }

    fn with_condition(
        self,
        state: AbstractState,
        shape: ActivityShape,
        condition: &Condition,
    ) -> Option<AbstractState> {
        let above = |counter: &CounterIndex, above: i64, state: AbstractState| {
            let asked = self.counters.get(*counter)?;
            let more = Interval::new(i128::from(above).saturating_add(1), Interval::ALL.most);
            shape.has_subject(asked.per).then_some(())?;
            state.with(Variable::Counter(counter.0), more)
        };
        match condition {
            Condition::Listed { list, inside } => listed(state, shape, &list.members, *inside),
            Condition::Velocity {
                counter,
                above: more,
            }
            | Condition::SamePair {
                counter,
                above: more,
            } => above(counter, *more, state),
            Condition::Amount(threshold) => {
                shape.amount?;
                state.with(Variable::Amount, bound(*threshold))
            }
            Condition::Points(threshold) => {
                shape.points?;
                state.with(Variable::Points, bound(*threshold))
            }
            Condition::TimeOfDay(time) => {
                let hour = state.number(Variable::Hour).single()?;
                let weekday = state.number(Variable::Weekday).single()?;
                let (hour, weekday) = (u16::try_from(hour).ok()?, u8::try_from(weekday).ok()?);
                let begin = hour.saturating_mul(60);
                let mut minutes = begin..begin.saturating_add(60);
                minutes
                    .any(|minute| time.holds(minute, weekday))
                    .then_some(state)
            }
            Condition::FirstSeen {
                attribute,
                seen,
                different,
            } => {
                let met = self.counters.get(*different)?;
                (shape.has(*attribute) && shape.has_subject(met.per)).then_some(())?;
                let own = i64::from(shape.includes_current(met));
                let state = state.with(Variable::Counter(seen.0), Interval::only(0))?;
                above(different, own, state)
            }
            Condition::UnusualAmount {
                count,
                factor,
                at_least,
                ..
            } => {
                shape.amount?;
                let own = i64::from(shape.includes_current(self.counters.get(*count)?));
                let before = at_least.saturating_add(own).saturating_sub(1);
                // An average of earlier payments is a fen at least.
                let more = Interval::new(i128::from(*factor).saturating_add(1), Interval::ALL.most);
                above(count, before, state.with(Variable::Amount, more)?)
            }
            Condition::Structuring {
                counter,
                band: (least, most),
                above: more,
            } => {
                shape.amount?;
                let band = Interval::new(least.get().into(), most.get().into());
                above(counter, *more, state.with(Variable::Amount, band)?)
            }
            Condition::OwnMerchant => state.with_flag("own_merchant", true),
            Condition::Farming {
                refunds,
                above: more,
                ..
            } => above(refunds, *more, state),
        }
    }

    /// Whether one more look may be taken. If not, what is asked for is taken to hold: that says
    /// too much, and never too little.
    fn take_step(self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// The worlds in which an expression that is true or false is so.
    pub(super) fn expression(
        self,
        state: AbstractState,
        at: &IdedExpr,
        holds: bool,
    ) -> Vec<AbstractState> {
        if !self.take_step() {
            return vec![state];
        }
        let call = match &at.expr {
            Expr::Literal(LiteralValue::Boolean(is)) => {
                return if *is.inner() == holds {
                    vec![state]
                } else {
                    vec![]
                };
            }
            Expr::Ident(name) => {
                let flag = ["has_customer", "own_merchant"]
                    .into_iter()
                    .find(|one| one == name);
                let left = flag.and_then(|flag| state.with_flag(flag, holds));
                return left.into_iter().collect();
            }
            Expr::Call(call) => call,
            Expr::Literal(_)
            | Expr::Select(_)
            | Expr::List(_)
            | Expr::Map(_)
            | Expr::Struct(_)
            | Expr::Comprehension(_)
            | Expr::Unspecified => return vec![state],
        };
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (op::LOGICAL_NOT, [inner]) => self.expression(state, inner, !holds),
            (op::LOGICAL_AND | op::LOGICAL_OR, parts) => {
                if (name == op::LOGICAL_AND) == holds {
                    return self.all_of(state, parts, holds);
                }
                let sides = parts.iter();
                let sides = sides.flat_map(|part| self.expression(state.clone(), part, holds));
                bounded(sides.collect())
            }
            (op::CONDITIONAL, [when, yes, no]) => {
                let then = self.expression(state.clone(), when, true);
                let then = each(then, |state| self.expression(state, yes, holds));
                let other = self.expression(state, when, false);
                let other = each(other, |state| self.expression(state, no, holds));
                bounded(then.into_iter().chain(other).collect())
            }
            (op::IN, [what, list]) => self.is_in(state, at, (what, list), holds),
            (op::EQUALS | op::NOT_EQUALS, [one, two]) if !is_number(one) => {
                let same = (name == op::EQUALS) == holds;
                self.same(state, at, (one, two), same, holds)
            }
            (_, [one, two]) if call.target.is_none() => match relation(name, holds) {
                Some(differences) => self.compare(&state, at, (one, two), &differences, holds),
                None => opaque(state, at, holds),
            },
            _ => matches(state, at, call, holds),
        }
    }

    fn all_of(self, state: AbstractState, parts: &[IdedExpr], holds: bool) -> Vec<AbstractState> {
        narrowed(vec![state], parts, |state, part| {
            self.expression(state, part, holds)
        })
    }

    fn compare(
        self,
        state: &AbstractState,
        at: &IdedExpr,
        (one, two): (&IdedExpr, &IdedExpr),
        differences: &[Interval],
        holds: bool,
    ) -> Vec<AbstractState> {
        let linear = self.linear(one).zip(self.linear(two));
        let left = differences.iter().flat_map(|difference| {
            let state = state.clone();
            if let Some((one, two)) = &linear {
                let sum = LinearSum {
                    times: BTreeMap::new(),
                    more: 0,
                };
                let apart = sum.plus(one, 1).plus(two, -1);
                return apart.within(state, *difference).into_iter().collect();
            }
            let Some(second) = self.value(&state, two) else {
                return vec![];
            };
            let narrowed = self.narrow(state, one, second.plus(*difference));
            each(narrowed, |state| {
                let Some(first) = self.value(&state, one) else {
                    return vec![];
                };
                self.narrow(state, two, first.minus(*difference))
            })
        });
        let left = bounded(left.collect());
        each(left, |state| opaque(state, at, holds))
    }

    /// The worlds in which a number is in a range.
    fn narrow(self, state: AbstractState, at: &IdedExpr, range: Interval) -> Vec<AbstractState> {
        if let Some(linear) = self.linear(at) {
            return linear.within(state, range).into_iter().collect();
        }
        let Some(value) = self.value(&state, at) else {
            return vec![];
        };
        if value.and(range).is_empty() {
            return vec![];
        }
        let Expr::Call(call) = &at.expr else {
            return vec![state];
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (op::CONDITIONAL, [when, yes, no]) => {
                let then = self.expression(state.clone(), when, true);
                let then = each(then, |state| self.narrow(state, yes, range));
                let other = self.expression(state, when, false);
                let other = each(other, |state| self.narrow(state, no, range));
                bounded(then.into_iter().chain(other).collect())
            }
            (op::DIVIDE, [whole, by]) => {
                let by = self.value(&state, by).and_then(Interval::single);
                // What is cut off is less than the divisor, on the side away from 0.
                let Some(by) = by.filter(|by| *by > 0) else {
                    return vec![state];
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
                self.narrow(state, whole, Interval::new(least, most))
            }
            _ => vec![state],
        }
    }

    /// What a number may be; none if it has no value in this world, such as what is divided by 0.
    fn value(self, state: &AbstractState, at: &IdedExpr) -> Option<Interval> {
        if let Some(linear) = self.linear(at) {
            let value = linear.in_state(state, None).and(Interval::ALL);
            return (!value.is_empty()).then_some(value);
        }
        let Expr::Call(call) = &at.expr else {
            return Some(Interval::ALL);
        };
        let value = match (call.func_name.as_str(), call.args.as_slice()) {
            (op::CONDITIONAL, [when, yes, no]) => {
                let branch = |holds: bool, part: &IdedExpr| {
                    let states = self.expression(state.clone(), when, holds);
                    let values = states.iter().filter_map(|state| self.value(state, part));
                    values.reduce(Interval::or)
                };
                match (branch(true, yes), branch(false, no)) {
                    (Some(yes), Some(no)) => yes.or(no),
                    (one, other) => one.or(other)?,
                }
            }
            (op::ADD, [one, two]) => self.value(state, one)?.plus(self.value(state, two)?),
            (op::SUBSTRACT, [one, two]) => self.value(state, one)?.minus(self.value(state, two)?),
            (op::MULTIPLY, [one, two]) => self.value(state, one)?.times(self.value(state, two)?),
            (op::NEGATE, [one]) => Interval::only(0).minus(self.value(state, one)?),
            (op::DIVIDE, [one, two]) => quotient(self.value(state, one)?, self.value(state, two)?)?,
            (op::MODULO, [one, two]) => {
                remainder(self.value(state, one)?, self.value(state, two)?)?
            }
            ("size", args) => {
                let what = call.target.as_deref().or(args.first())?;
                size(state, what)
            }
            _ => Interval::ALL,
        };
        let value = value.and(Interval::ALL);
        (!value.is_empty()).then_some(value)
    }

    /// A sum of numbers, if it is one.
    fn linear(self, at: &IdedExpr) -> Option<LinearSum> {
        let number = |number| LinearSum {
            times: BTreeMap::from([(number, 1)]),
            more: 0,
        };
        let call = match &at.expr {
            Expr::Literal(LiteralValue::Int(literal)) => {
                return Some(LinearSum {
                    times: BTreeMap::new(),
                    more: i128::from(*literal.inner()),
                });
            }
            Expr::Ident(name) => return number_named(name).map(number),
            Expr::Select(select) => {
                let counter = self.counters.named(&select.field)?;
                return Some(number(Variable::Counter(counter.0)));
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
                let nothing = LinearSum {
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
                let nothing = LinearSum {
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
        state: AbstractState,
        at: &IdedExpr,
        (one, two): (&IdedExpr, &IdedExpr),
        same: bool,
        holds: bool,
    ) -> Vec<AbstractState> {
        if !is_text(one) {
            let both = [true, false].into_iter().flat_map(|is| {
                let first = self.expression(state.clone(), one, is);
                each(first, |state| self.expression(state, two, is == same))
            });
            return bounded(both.collect());
        }
        let narrow = |state: AbstractState, this: &IdedExpr, other: &IdedExpr| {
            let Some(texts) = texts_of(&state, other) else {
                return Some(state);
            };
            // What may be one of several may also be another one than this is.
            if !same && texts.len() > 1 {
                return Some(state);
            }
            if let Some(name) = named_text(this) {
                return text_is(state, name, texts, same);
            }
            let Some(known) = texts_of(&state, this) else {
                return Some(state);
            };
            let possible = if same {
                !known.is_disjoint(&texts)
            } else {
                known != texts
            };
            possible.then_some(state)
        };
        let narrowed = narrow(state, one, two);
        let narrowed = narrowed.and_then(|state| narrow(state, two, one));
        let states = narrowed.into_iter().collect();
        each(states, |state| opaque(state, at, holds))
    }

    fn is_in(
        self,
        state: AbstractState,
        at: &IdedExpr,
        (what, list): (&IdedExpr, &IdedExpr),
        holds: bool,
    ) -> Vec<AbstractState> {
        let Expr::List(list) = &list.expr else {
            return opaque(state, at, holds);
        };
        if is_number(what) {
            let equals = |state: &AbstractState, item: &IdedExpr, holds| {
                let differences = relation(op::EQUALS, holds).unwrap_or_default();
                self.compare(state, item, (what, item), &differences, holds)
            };
            if holds {
                let some = list
                    .elements
                    .iter()
                    .flat_map(|item| equals(&state, item, true));
                // What was said of each is not what was written.
                let some = some.map(|mut state: AbstractState| {
                    state.assumed.clear();
                    state
                });
                return bounded(some.collect());
            }
            return list.elements.iter().fold(vec![state], |states, item| {
                each(states, |state| {
                    let mut left = equals(&state, item, false);
                    for left in &mut left {
                        left.assumed.clone_from(&state.assumed);
                    }
                    left
                })
            });
        }
        let texts = list.elements.iter().map(|item| texts_of(&state, item));
        let texts: Option<Vec<BTreeSet<String>>> = texts.collect();
        let texts: BTreeSet<String> = texts.unwrap_or_default().into_iter().flatten().collect();
        match named_text(what) {
            Some(name) => text_is(state, name, texts, holds).into_iter().collect(),
            None => opaque(state, at, holds),
        }
    }
}

/// What says nothing about any number: it holds or it does not, and not both.
fn opaque(mut state: AbstractState, at: &IdedExpr, holds: bool) -> Vec<AbstractState> {
    let before = state.assumed.insert(source_text(at), holds);
    if before.is_some_and(|before| before != holds) {
        return vec![];
    }
    vec![state]
}

fn size(state: &AbstractState, what: &IdedExpr) -> Interval {
    if let Expr::List(list) = &what.expr {
        return Interval::only(i128::try_from(list.elements.len()).unwrap_or(0));
    }
    let all = Interval::new(0, Interval::ALL.most);
    let Some(texts) = texts_of(state, what) else {
        return all;
    };
    let sizes = texts.iter().map(|text| text.chars().count());
    let sizes = sizes.map(|size| Interval::only(i128::try_from(size).unwrap_or(i128::MAX)));
    sizes.reduce(Interval::or).unwrap_or(all)
}

/// What a text may be, if that can be told one by one.
fn texts_of(state: &AbstractState, at: &IdedExpr) -> Option<BTreeSet<String>> {
    if let Expr::Literal(LiteralValue::String(text)) = &at.expr {
        return Some(BTreeSet::from([text.inner().to_owned()]));
    }
    if let Some(name) = named_text(at) {
        return state.texts.get(name)?.each().cloned();
    }
    let Expr::Call(call) = &at.expr else {
        return None;
    };
    let (op::CONDITIONAL, [_, yes, no]) = (call.func_name.as_str(), call.args.as_slice()) else {
        return None;
    };
    let (yes, no) = (texts_of(state, yes)?, texts_of(state, no)?);
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
fn matches(
    state: AbstractState,
    at: &IdedExpr,
    call: &CallExpr,
    holds: bool,
) -> Vec<AbstractState> {
    let (Some(target), [part]) = (call.target.as_deref(), call.args.as_slice()) else {
        return opaque(state, at, holds);
    };
    let (Some(texts), Some(parts)) = (texts_of(&state, target), texts_of(&state, part)) else {
        return opaque(state, at, holds);
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
        return opaque(state, at, holds);
    }
    let left: BTreeSet<String> = texts
        .into_iter()
        .filter(|text| fits(text) == holds)
        .collect();
    if left.is_empty() {
        return vec![];
    }
    match named_text(target) {
        Some(name) => text_is(state, name, left, true).into_iter().collect(),
        None => vec![state],
    }
}

fn bound(threshold: Threshold) -> Interval {
    match threshold {
        Threshold::Above(bound) => {
            Interval::new(i128::from(bound).saturating_add(1), Interval::ALL.most)
        }
        Threshold::Below(bound) => {
            Interval::new(Interval::ALL.least, i128::from(bound).saturating_sub(1))
        }
        Threshold::Between(least, most) => Interval::new(least.into(), most.into()),
    }
}

/// Somebody or something is in a list, or is not. What is not known is in none.
fn listed(
    state: AbstractState,
    shape: ActivityShape,
    members: &Members,
    inside: bool,
) -> Option<AbstractState> {
    let (name, known) = match members {
        Members::Customers(_) => ("customer", shape.customer),
        Members::Merchants(_) => ("merchant", shape.merchant),
        Members::Devices(_) => ("device", shape.device),
        Members::Addresses(_) => return (shape.address || !inside).then_some(state),
    };
    if !known {
        return (!inside).then_some(state);
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
            return Some(state);
        }
    };
    text_is(state, name, texts, inside)
}

/// A text is one of these, or none of them.
fn text_is(
    state: AbstractState,
    name: &'static str,
    texts: BTreeSet<String>,
    inside: bool,
) -> Option<AbstractState> {
    if inside {
        return state.with_text(name, texts);
    }
    // Other than all of several that something else may be: that can always be.
    state.without_text(name, &texts)
}

fn number_named(name: &str) -> Option<Variable> {
    Some(match name {
        "amount_fen" => Variable::Amount,
        "points" => Variable::Points,
        "hour" => Variable::Hour,
        "weekday" => Variable::Weekday,
        "customer_age_days" => Variable::Age,
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

fn quotient(whole: Interval, by: Interval) -> Option<Interval> {
    if by == Interval::only(0) {
        return None;
    }
    let parts = [
        by.and(Interval::new(1, by.most)),
        by.and(Interval::new(by.least, -1)),
    ];
    let values = parts.into_iter().filter(|by| !by.is_empty()).map(|by| {
        let one = |whole: i128, by: i128| whole.checked_div(by).unwrap_or(0);
        let corners = [
            one(whole.least, by.least),
            one(whole.least, by.most),
            one(whole.most, by.least),
            one(whole.most, by.most),
        ];
        Interval::hull(corners)
    });
    values.reduce(Interval::or)
}

fn remainder(whole: Interval, by: Interval) -> Option<Interval> {
    if by == Interval::only(0) {
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
    Some(Interval::new(
        least.max(whole.least.min(0)),
        most.min(whole.most.max(0)),
    ))
}

/// An expression as a person would write it.
pub(super) fn source_text(at: &IdedExpr) -> String {
    let call = match &at.expr {
        Expr::Literal(LiteralValue::Int(number)) => return number.inner().to_string(),
        Expr::Literal(LiteralValue::Boolean(is)) => return is.inner().to_string(),
        Expr::Literal(LiteralValue::String(text)) => return format!("'{}'", text.inner()),
        Expr::Ident(name) => return name.clone(),
        Expr::Select(select) => {
            return format!("{}.{}", source_text(&select.operand), select.field);
        }
        Expr::List(list) => {
            let items: Vec<String> = list.elements.iter().map(source_text).collect();
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
        let text = source_text(at);
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
            let args: Vec<String> = args.iter().map(source_text).collect();
            format!("{}.{name}({})", inner(target), args.join(", "))
        }
        ("size", None, args) => {
            let args: Vec<String> = args.iter().map(source_text).collect();
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
pub(super) fn numbers(at: &IdedExpr, counters: &CounterTable, found: &mut BTreeSet<Variable>) {
    match &at.expr {
        Expr::Ident(name) => found.extend(number_named(name)),
        Expr::Select(select) => {
            let counter = counters.named(&select.field);
            found.extend(counter.map(|counter| Variable::Counter(counter.0)));
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
