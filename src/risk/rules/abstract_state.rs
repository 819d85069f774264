//! The possible values of an activity's facts and counters: for `risk check`, which asks whether a
//! rule can ever fire.
//!
//! An [`ActivityShape`] says which facts an activity of a stage has, and hence which counters have
//! a subject. An [`AbstractState`] says which values numbers, texts and flags may have: an interval
//! for each number, a set or the complement of a set for each text. Conditions narrow states
//! (`narrow.rs`), and a rule that leaves no state of any shape can never fire.
//!
//! A state may contain too much, since it ignores how numbers depend on each other (an hour has no
//! more activities than a day), but never too little: no warning is given about a rule that can
//! fire.

use std::collections::{BTreeMap, BTreeSet};

use super::counter_table::{CounterIndex, CounterTable};
use crate::{
    facts::{Device, Stage},
    primitives::{CustomerId, MerchantId},
    risk::{ActivityFilter, Attribute, Counter, DISTINCT_MAX, Measure, Per},
};

/// The most that a payment is about, in fen, and a refund with it.
const AMOUNT_MAX: i128 = 5_000_000;
/// The most that a payment earns: ten thousand points a yuan.
const EARNED_MAX: i128 = 500_000_000;
/// The most points of one points transaction.
const POINTS_TRANSACTION_MAX: i128 = 1_000_000_000;

/// Whole numbers from one to another, both included. None are in it when the first is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) least: i128,
    pub(super) most: i128,
}

impl Interval {
    /// What an expression can calculate with; anything beyond is an error, and no value.
    pub(super) const ALL: Self = Self {
        least: -9_223_372_036_854_775_808,
        most: 9_223_372_036_854_775_807,
    };

    pub(super) const fn new(least: i128, most: i128) -> Self {
        Self { least, most }
    }

    pub(super) const fn only(number: i128) -> Self {
        Self::new(number, number)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.least > self.most
    }

    pub(super) const fn single(self) -> Option<i128> {
        if self.least == self.most {
            Some(self.least)
        } else {
            None
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self::new(self.least.max(other.least), self.most.min(other.most))
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::new(self.least.min(other.least), self.most.max(other.most))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self::new(
            self.least.saturating_add(other.least),
            self.most.saturating_add(other.most),
        )
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.plus(other.times(Self::only(-1)))
    }

    pub(super) fn times(self, other: Self) -> Self {
        let corners = [
            self.least.saturating_mul(other.least),
            self.least.saturating_mul(other.most),
            self.most.saturating_mul(other.least),
            self.most.saturating_mul(other.most),
        ];
        Self::hull(corners)
    }

    pub(super) fn hull(numbers: [i128; 4]) -> Self {
        let [a, b, c, d] = numbers;
        Self::new(a.min(b).min(c).min(d), a.max(b).max(c).max(d))
    }
}

/// A number that conditions and expressions ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variable {
    Amount,
    Points,
    Hour,
    Weekday,
    Age,
    Counter(usize),
}

/// What a text may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TextSet {
    OneOf(BTreeSet<String>),
    AnyBut(BTreeSet<String>),
}

impl TextSet {
    fn only(text: &str) -> Self {
        Self::OneOf(BTreeSet::from([text.to_owned()]))
    }

    fn known() -> Self {
        Self::AnyBut(BTreeSet::from([String::new()]))
    }

    /// What it may be, if that can be told one by one.
    pub(super) const fn each(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::OneOf(texts) => Some(texts),
            Self::AnyBut(_) => None,
        }
    }

    fn has(&self, text: &str) -> bool {
        match self {
            Self::OneOf(texts) => texts.contains(text),
            Self::AnyBut(texts) => !texts.contains(text),
        }
    }

    fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::OneOf(one), Self::OneOf(two)) => Self::OneOf(one | two),
            (Self::AnyBut(one), Self::AnyBut(two)) => Self::AnyBut(one & two),
            (Self::OneOf(some), Self::AnyBut(not)) | (Self::AnyBut(not), Self::OneOf(some)) => {
                Self::AnyBut(not - some)
            }
        }
    }
}

/// What numbers, texts and flags may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AbstractState {
    pub(super) numbers: BTreeMap<Variable, Interval>,
    pub(super) texts: BTreeMap<&'static str, TextSet>,
    /// Whether it may be false, and whether it may be true.
    pub(super) flags: BTreeMap<&'static str, [bool; 2]>,
    /// What else was assumed, as it is written, and whether it was to hold.
    pub(super) assumed: BTreeMap<String, bool>,
}

impl AbstractState {
    pub(super) fn number(&self, number: Variable) -> Interval {
        self.numbers.get(&number).copied().unwrap_or(Interval::ALL)
    }

    /// None when nothing is left.
    pub(super) fn with(mut self, number: Variable, range: Interval) -> Option<Self> {
        let left = self.number(number).and(range);
        self.numbers.insert(number, left);
        (!left.is_empty()).then_some(self)
    }

    /// With a text that is one of these; none when it cannot be.
    pub(super) fn with_text(
        mut self,
        name: &'static str,
        texts: impl IntoIterator<Item = String>,
    ) -> Option<Self> {
        let known = self.texts.get(name)?;
        let may_be = |text: &String| known.has(text) && can_name(name, text);
        let left: BTreeSet<String> = texts.into_iter().filter(may_be).collect();
        let some = !left.is_empty();
        self.texts.insert(name, TextSet::OneOf(left));
        some.then_some(self)
    }

    /// With a text that is none of these; none when it cannot be anything else.
    pub(super) fn without_text(
        mut self,
        name: &'static str,
        texts: &BTreeSet<String>,
    ) -> Option<Self> {
        let left = match self.texts.get(name)? {
            TextSet::OneOf(known) => TextSet::OneOf(known - texts),
            TextSet::AnyBut(known) => TextSet::AnyBut(known | texts),
        };
        let some = left.each().is_none_or(|left| !left.is_empty());
        self.texts.insert(name, left);
        some.then_some(self)
    }

    pub(super) fn with_flag(mut self, name: &'static str, is: bool) -> Option<Self> {
        let [may_not, may] = *self.flags.get(name)?;
        let possible = if is { may } else { may_not };
        self.flags.insert(name, [!is, is]);
        possible.then_some(self)
    }

    /// Where something was assumed that is no longer told apart: the least that covers both.
    pub(super) fn or(mut self, other: &Self) -> Self {
        for (number, range) in &mut self.numbers {
            *range = range.or(other.number(*number));
        }
        for (name, text) in &mut self.texts {
            if let Some(other) = other.texts.get(name) {
                *text = text.or(other);
            }
        }
        for (name, [may_not, may]) in &mut self.flags {
            if let Some([other_not, other]) = other.flags.get(name) {
                *may_not |= other_not;
                *may |= other;
            }
        }
        self.assumed
            .retain(|what, is| other.assumed.get(what) == Some(is));
        self
    }
}

/// Whether there is any such customer, merchant or device as this text names.
fn can_name(name: &str, text: &str) -> bool {
    let named = match name {
        "customer" => text.parse::<CustomerId>().is_ok(),
        "merchant" => text.parse::<MerchantId>().is_ok(),
        "device" => Device::parse(text).is_ok(),
        _ => true,
    };
    named || text.is_empty()
}

/// Which facts an activity of a stage has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each thing is known or is not, in any combination"
)]
pub(super) struct ActivityShape {
    pub(super) stage: Stage,
    pub(super) customer: bool,
    pub(super) merchant: bool,
    pub(super) amount: Option<Interval>,
    pub(super) points: Option<Interval>,
    pub(super) address: bool,
    pub(super) device: bool,
    pub(super) source: bool,
}

const EITHER: [bool; 2] = [false, true];

impl ActivityShape {
    /// Every kind of activity at a stage: what the table in the comments of `risk-rules.yaml` says.
    pub(super) fn all(stage: Stage) -> Vec<Self> {
        let nothing = Self {
            stage,
            customer: true,
            merchant: false,
            amount: None,
            points: None,
            address: false,
            device: false,
            source: false,
        };
        let from_anywhere = |shape: Self| {
            let each = EITHER.into_iter().flat_map(move |address| {
                EITHER.map(|device| Self {
                    address,
                    device,
                    ..shape
                })
            });
            each.collect::<Vec<_>>()
        };
        let paid = Self {
            merchant: true,
            amount: Some(Interval::new(1, AMOUNT_MAX)),
            ..nothing
        };
        let by_back_end = Self {
            points: Some(Interval::new(1, POINTS_TRANSACTION_MAX)),
            source: true,
            ..nothing
        };
        let perhaps_at_a_merchant = EITHER.map(|merchant| Self {
            merchant,
            ..by_back_end
        });
        match stage {
            Stage::Login => EITHER
                .into_iter()
                .flat_map(|customer| {
                    from_anywhere(Self {
                        customer,
                        ..nothing
                    })
                })
                .collect(),
            Stage::PaymentCreate => {
                let at_a_till = Self {
                    customer: false,
                    ..paid
                };
                let mut shapes = from_anywhere(paid);
                shapes.push(at_a_till);
                shapes
            }
            Stage::PointsCredit => {
                let mut shapes = from_anywhere(Self {
                    points: Some(Interval::new(1, EARNED_MAX)),
                    ..paid
                });
                shapes.extend(perhaps_at_a_merchant);
                shapes
            }
            Stage::Redeem => perhaps_at_a_merchant.to_vec(),
            Stage::Refund => EITHER
                .map(|customer| Self {
                    customer,
                    // What is asked about may be nothing, which is refused afterwards.
                    amount: Some(Interval::new(0, AMOUNT_MAX)),
                    ..paid
                })
                .to_vec(),
        }
    }

    /// What is known of its activities, by the counters of these numbers, at these hours and days.
    pub(super) fn state(
        self,
        counters: &CounterTable,
        asked: &BTreeSet<usize>,
        (weekday, hour): (Interval, Interval),
    ) -> AbstractState {
        let or_none = |range: Option<Interval>| range.unwrap_or(Interval::only(0));
        let mut numbers = BTreeMap::from([
            (Variable::Amount, or_none(self.amount)),
            (Variable::Points, or_none(self.points)),
            (Variable::Weekday, weekday),
            (Variable::Hour, hour),
            (
                Variable::Age,
                Interval::new(0, if self.customer { 36_500 } else { 0 }),
            ),
        ]);
        for number in asked {
            if let Some(counter) = counters.get(CounterIndex(*number)) {
                numbers.insert(Variable::Counter(*number), self.says(counter));
            }
        }
        let text = |known: bool| {
            if known {
                TextSet::known()
            } else {
                TextSet::only("")
            }
        };
        let own_merchant = self.customer && self.merchant && !self.source;
        AbstractState {
            numbers,
            texts: BTreeMap::from([
                ("customer", text(self.customer)),
                ("merchant", text(self.merchant)),
                ("device", text(self.device)),
                ("source", text(self.source)),
                ("stage", TextSet::only(self.stage.name())),
            ]),
            flags: BTreeMap::from([
                ("has_customer", [!self.customer, self.customer]),
                ("own_merchant", [true, own_merchant]),
            ]),
            assumed: BTreeMap::new(),
        }
    }

    /// Whether the counter counts activities of this kind.
    fn is_of(self, of: ActivityFilter) -> bool {
        let award = self.source && self.stage == Stage::PointsCredit;
        let fits = match of.kind {
            crate::risk::ActivityKind::All => true,
            crate::risk::ActivityKind::Payments => !award,
            crate::risk::ActivityKind::Awards => award,
        };
        fits && of.stage == self.stage
    }

    pub(super) const fn has_subject(self, per: Per) -> bool {
        match per {
            Per::Customer => self.customer,
            Per::Merchant => self.merchant,
            Per::Address => self.address,
            Per::Device => self.device,
            Per::Pair => self.customer && self.merchant,
        }
    }

    pub(super) const fn has(self, attribute: Attribute) -> bool {
        match attribute {
            Attribute::Customer => self.customer,
            Attribute::Merchant => self.merchant,
            Attribute::Address | Attribute::Network => self.address,
            Attribute::Device => self.device,
        }
    }

    /// What an activity of this kind adds to a counter of it.
    fn adds(self, counter: &Counter) -> Option<Interval> {
        let fits = match (counter.between, self.amount) {
            (None, _) => true,
            (Some((least, most)), Some(amount)) => {
                let band = Interval::new(least.get().into(), most.get().into());
                !band.and(amount).is_empty()
            }
            (Some(_), None) => false,
        };
        if !fits || !self.is_of(counter.of) || !self.has_subject(counter.per) {
            return None;
        }
        match counter.measure {
            Measure::Count => Some(Interval::only(1)),
            Measure::SumFen => self.amount,
            Measure::SumPoints => self.points,
            Measure::Distinct(attribute) | Measure::Seen(attribute) => {
                self.has(attribute).then_some(Interval::only(1))
            }
        }
    }

    /// What a counter may say of an activity of this kind; 0 where there is nobody to count for.
    fn says(self, counter: &Counter) -> Interval {
        let mut shapes = Self::all(counter.of.stage).into_iter();
        let ever = shapes.find_map(|shape| shape.adds(counter));
        if !self.has_subject(counter.per) || ever.is_none() {
            return Interval::only(0);
        }
        let most = match counter.measure {
            Measure::Count | Measure::SumFen | Measure::SumPoints => Interval::ALL.most,
            Measure::Distinct(_) => DISTINCT_MAX.into(),
            Measure::Seen(_) => 1,
        };
        let is_seen = matches!(counter.measure, Measure::Seen(_));
        // It counts itself, unless only some amounts are counted.
        let own = self
            .adds(counter)
            .filter(|_| !is_seen && counter.between.is_none());
        Interval::new(own.map_or(0, |own| own.least.max(0)), most)
    }

    /// Whether a counter's number includes an activity of this kind.
    pub(super) fn includes_current(self, counter: &Counter) -> bool {
        self.is_of(counter.of)
    }
}
