//! The inputs of rules: an activity's facts and its counter values.

use super::counter_table::{CounterIndex, CounterTable};
use crate::{
    facts::Facts,
    primitives::{Money, Points},
    risk::{Attribute, Counter, CounterValues, Per},
};

/// The value of a counter for this activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CounterReading {
    Number(i64),
    /// The activity has no such customer, merchant, address or device: there is nothing to count it
    /// by, and the rule does not apply.
    NoSubject,
    /// There is one, and its value is missing.
    Missing,
}

/// Everything that conditions and expressions read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ActivityContext<'a> {
    pub(super) facts: &'a Facts,
    counters: &'a CounterTable,
    /// For each counter its place in what is measured, if it is read at the activity's stage.
    positions: &'a [Option<usize>],
    measured: &'a CounterValues,
}

impl<'a> ActivityContext<'a> {
    pub(super) fn new(
        counters: &'a CounterTable,
        positions: &'a [Option<usize>],
        facts: &'a Facts,
        measured: &'a CounterValues,
    ) -> Self {
        Self {
            facts,
            counters,
            positions,
            measured,
        }
    }

    fn counter(&self, number: CounterIndex) -> Option<&'a Counter> {
        self.counters.get(number)
    }

    pub(super) fn counter_named(&self, name: &str) -> Option<CounterIndex> {
        self.counters.named(name)
    }

    pub(super) fn read(&self, number: CounterIndex) -> CounterReading {
        let Some(counter) = self.counter(number) else {
            return CounterReading::Missing;
        };
        if !has_subject(counter.per, self.facts) {
            return CounterReading::NoSubject;
        }
        let position = self.positions.get(number.0).copied().flatten();
        let said = position.and_then(|position| self.measured.0.get(position).copied().flatten());
        said.map_or(CounterReading::Missing, CounterReading::Number)
    }

    /// Whether the counter's number includes this very activity (if the counter is not only about
    /// some amounts).
    pub(super) fn includes_current(&self, number: CounterIndex) -> bool {
        self.counter(number)
            .is_some_and(|counter| counter.of.matches(self.facts))
    }

    /// In fen.
    pub(super) fn amount(&self) -> Option<i64> {
        self.facts.amount.map(Money::get)
    }

    pub(super) fn points(&self) -> Option<i64> {
        self.facts.points.map(Points::get)
    }

    /// The minute of the day, from 0, and the day of the week, Monday being 1, at UTC+8.
    pub(super) fn local_time(&self) -> (u16, u8) {
        let seconds = self.facts.at.seconds().saturating_add(8 * 3_600);
        let minute = seconds.rem_euclid(86_400) / 60;
        // The 1st of January 1970 was a Thursday.
        let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7) + 1;
        (
            u16::try_from(minute).unwrap_or(0),
            u8::try_from(weekday).unwrap_or(1),
        )
    }

    /// Whole days since the customer was first met: their id says when.
    pub(super) fn customer_age_days(&self) -> i64 {
        let since = self.facts.customer.map(|customer| customer.id().millis());
        let age = since.map_or(0, |since| self.facts.at.millis().saturating_sub(since));
        i64::try_from(age / 86_400_000).unwrap_or(i64::MAX)
    }

    pub(super) fn has(&self, attribute: Attribute) -> bool {
        let facts = self.facts;
        match attribute {
            Attribute::Customer => facts.customer.is_some(),
            Attribute::Merchant => facts.merchant.is_some(),
            Attribute::Address | Attribute::Network => facts.origin.address.is_some(),
            Attribute::Device => facts.origin.device.is_some(),
        }
    }
}

fn has_subject(per: Per, facts: &Facts) -> bool {
    match per {
        Per::Customer => facts.customer.is_some(),
        Per::Merchant => facts.merchant.is_some(),
        Per::Address => facts.origin.address.is_some(),
        Per::Device => facts.origin.device.is_some(),
        Per::Pair => facts.customer.is_some() && facts.merchant.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Stage,
        primitives::{CustomerId, Id, Lane, TenantId, Timestamp},
    };

    #[test]
    fn days_and_hours_are_those_of_china() {
        let counters = CounterTable::default();
        let measured = CounterValues::default();
        for (at, minute, weekday) in [
            ("1970-01-01T00:00:00Z", 8 * 60, 4),
            ("2026-11-08T15:59:59Z", 23 * 60 + 59, 7),
            ("2026-11-08T16:00:00Z", 0, 1),
            ("1969-12-31T15:59:00Z", 23 * 60 + 59, 3),
        ] {
            let at = Timestamp::parse_rfc3339(at).unwrap();
            let facts = Facts::new(Stage::Login, TenantId(1), at);
            let known = ActivityContext::new(&counters, &[], &facts, &measured);
            assert_eq!(known.local_time(), (minute, weekday), "{at}");
        }
    }

    #[test]
    fn a_customer_is_as_old_as_their_id() {
        let counters = CounterTable::default();
        let measured = CounterValues::default();
        let at = Timestamp::from_micros(100 * 86_400_000_000);
        let mut facts = Facts::new(Stage::Login, TenantId(1), at);
        assert_eq!(
            ActivityContext::new(&counters, &[], &facts, &measured).customer_age_days(),
            0
        );
        for (day, age) in [(100, 0), (99, 1), (90, 10), (101, 0)] {
            facts.customer = Some(CustomerId::new(Id::mint(day * 86_400_000, 0, Lane(0))));
            assert_eq!(
                ActivityContext::new(&counters, &[], &facts, &measured).customer_age_days(),
                age
            );
        }
    }
}
