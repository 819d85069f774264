//! What rules count: the words that the rule file, the engine and the counters in Redis share.

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Facts, Stage},
    primitives::Money,
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

/// What can be counted as different, or be met for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    Customer,
    Merchant,
    Address,
    /// The first 24 bits of an IPv4 address, the first 48 of an IPv6 address: where somebody usually is, though the address changes.
    Network,
    Device,
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
    /// Whether this one was met before, in an activity that was not stopped: 1 or 0.
    Seen(Attribute),
}

/// Which activities of a stage are counted, where a stage has activities of more than one kind: points are
/// credited for payments, and awarded by back ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActivityKind {
    #[default]
    All,
    /// Points that payments earn.
    Payments,
    /// Points that back ends give.
    Awards,
}

/// What a counter counts, by the word that rule files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityFilter {
    pub stage: Stage,
    pub kind: ActivityKind,
}

/// One number that rules ask for. Two rules that ask for the same number share a counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    pub measure: Measure,
    /// These activities are counted, if they are done.
    pub of: ActivityFilter,
    /// So is what was only tried: stopped by rules, or not possible. Not of [`Measure::Seen`].
    pub attempts: bool,
    pub per: Per,
    /// Over the last so many seconds.
    pub within_seconds: u32,
    /// Only activities about at least and at most so much money.
    pub between: Option<(Money, Money)>,
}

impl ActivityFilter {
    /// Everything that can be counted.
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

    /// Whether the activity is one of these.
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

/// What to do with a counter at a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterUsage<'a> {
    pub counter: &'a Counter,
    /// What it is called where it is kept, apart from whose it is.
    pub name: &'a str,
    /// This activity is of the stage that it counts.
    pub counts: bool,
    /// A rule of this stage wants to know it. What is fed and read at once includes this activity.
    pub read: bool,
}

/// What the counters said, one for each that a stage reads, in the rule set's order; none where it could not be had. Counts, fen or points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterValues(pub Vec<Option<i64>>);
