//! The definition of counters, shared by the rule file, the rules and the counters in Redis.

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Facts, Stage},
    primitives::{Money, coded},
};

/// Who or what a counter is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Customer,
    Merchant,
    /// One IPv4 address, or the first 64 bits of an IPv6 address.
    Address,
    Device,
    /// One customer at one merchant.
    Pair,
}

impl Per {
    /// Returns the words for it in descriptions.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Merchant => "merchant",
            Self::Address => "address",
            Self::Device => "device",
            Self::Pair => "customer and merchant",
        }
    }
}

coded! {
    /// What can be counted as different, or be seen for the first time.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Attribute: Serde {
        Customer => "customer",
        Merchant => "merchant",
        Address => "address",
        /// The first 24 bits of an IPv4 address, the first 48 of an IPv6 address: where somebody
        /// usually is, though the address changes.
        Network => "network",
        Device => "device",
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// How many activities.
    Count,
    /// How much money they were about, in fen.
    SumFen,
    /// How many points they were about.
    SumPoints,
    /// How many different ones.
    Distinct(Attribute),
    /// Whether this one was seen before, in an activity that was not stopped: 1 or 0.
    Seen(Attribute),
}

/// Which activities of a stage are counted, where a stage has activities of more than one kind:
/// points are credited for payments, and awarded by back ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActivityKind {
    #[default]
    All,
    /// Points that payments earn.
    Payments,
    /// Points that back ends give.
    Awards,
}

/// Which activities a counter counts, by the word of the rule file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityFilter {
    pub stage: Stage,
    pub kind: ActivityKind,
}

/// A number that rules use. Rules that use the same number share a counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    pub measure: Measure,
    /// Which activities are counted, if they are done.
    pub of: ActivityFilter,
    /// Also those that were not done: stopped by rules, or refused. Not with [`Measure::Seen`].
    pub attempts: bool,
    pub per: Per,
    /// Over the last so many seconds.
    pub within_seconds: u32,
    /// Only activities about at least and at most so much money.
    pub between: Option<(Money, Money)>,
}

impl ActivityFilter {
    /// All filters.
    pub const ALL: [Self; 7] = [
        Self::all(Stage::Login),
        Self::all(Stage::PaymentCreate),
        Self::all(Stage::PointsCredit),
        Self::PAYMENTS,
        Self::AWARDS,
        Self::all(Stage::Redeem),
        Self::all(Stage::Refund),
    ];
    pub const PAYMENTS: Self = Self {
        stage: Stage::PointsCredit,
        kind: ActivityKind::Payments,
    };
    pub const AWARDS: Self = Self {
        stage: Stage::PointsCredit,
        kind: ActivityKind::Awards,
    };

    /// Every activity of a stage.
    pub const fn all(stage: Stage) -> Self {
        Self {
            stage,
            kind: ActivityKind::All,
        }
    }

    pub const fn name(self) -> &'static str {
        match self.kind {
            ActivityKind::All => self.stage.name(),
            ActivityKind::Payments => "points.credit.payment",
            ActivityKind::Awards => "points.credit.award",
        }
    }

    /// Whether the activity passes the filter.
    pub const fn matches(self, facts: &Facts) -> bool {
        // A back end that gives points says its name.
        let fits = match self.kind {
            ActivityKind::All => true,
            ActivityKind::Payments => facts.source.is_none(),
            ActivityKind::Awards => facts.source.is_some(),
        };
        fits && self.stage.code() == facts.stage.code()
    }
}

/// What an activity of a stage does with a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterUsage<'a> {
    pub counter: &'a Counter,
    /// Its name in Redis, without the subject.
    pub name: &'a str,
    /// The counter counts activities of this stage.
    pub counts: bool,
    /// A rule of this stage uses its value. A value that is counted and read at once includes this
    /// activity.
    pub read: bool,
}

/// The values of the counters that a stage reads, in the rule set's order; none where one is
/// missing. Counts, fen or points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterValues(pub Vec<Option<i64>>);
