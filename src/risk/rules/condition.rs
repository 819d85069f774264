//! The kinds of conditions: when a rule fires.

use std::sync::Arc;

use super::{
    context::{ActivityContext, CounterReading},
    counter_table::CounterIndex,
    list::List,
};
use crate::{primitives::Money, risk::Attribute};

/// One kind of condition with its numbers. Where an activity lacks what a condition is about (no
/// amount, no device), the condition does not hold.
#[derive(Debug)]
pub(crate) enum Condition {
    /// The customer, merchant, address or device is in the list, or is not (one that is not known
    /// is not).
    Listed {
        list: Arc<List>,
        inside: bool,
    },
    /// The counter says more than `above`.
    Velocity {
        counter: CounterIndex,
        above: i64,
    },
    /// The amount, in fen.
    Amount(Threshold),
    Points(Threshold),
    TimeOfDay(TimeOfDay),
    /// Never met with this customer, who was met with another before: a new customer has not met
    /// any.
    FirstSeen {
        attribute: Attribute,
        seen: CounterIndex,
        different: CounterIndex,
    },
    /// More than `factor` times what the customer's earlier activities were about on average, if
    /// there are `at_least` so many.
    UnusualAmount {
        count: CounterIndex,
        sum: CounterIndex,
        factor: i64,
        at_least: i64,
    },
    /// The amount is in the band just under a limit, and so were more than `above` activities.
    Structuring {
        counter: CounterIndex,
        band: (Money, Money),
        above: i64,
    },
    /// The merchant pays itself.
    OwnMerchant,
    /// The same customer at the same merchant, more than `above` times.
    SamePair {
        counter: CounterIndex,
        above: i64,
    },
    /// More than `above` refunds, and at least so many percent of the payments.
    Farming {
        refunds: CounterIndex,
        share: Option<(CounterIndex, u8)>,
        above: i64,
    },
}

/// A bound of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    Above(i64),
    Below(i64),
    /// Both included.
    Between(i64, i64),
}

/// From one minute of the day to before another, at UTC+8; over midnight if `from` is the later. On
/// the weekdays on which it begins (1 is Monday).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeOfDay {
    pub(crate) from: u16,
    pub(crate) to: u16,
    /// Bit n is weekday n.
    pub(crate) weekdays: u8,
}

/// The numbers that made a condition hold. Made into words only for a rule that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The condition says it all.
    Plain,
    Number(i64),
    /// Earlier activities, and what they were about together.
    Average {
        amount: i64,
        count: i64,
        sum: i64,
    },
    Share {
        refunds: i64,
        payments: Option<i64>,
    },
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConditionResult {
    No,
    Yes(Evidence),
    /// It depends on a number that could not be had.
    Missing,
}

impl ConditionResult {
    fn of(reading: CounterReading, test: impl FnOnce(i64) -> bool) -> Self {
        match reading {
            CounterReading::Number(number) if test(number) => Self::Yes(Evidence::Number(number)),
            CounterReading::Number(_) | CounterReading::NoSubject => Self::No,
            CounterReading::Missing => Self::Missing,
        }
    }

    fn plain(holds: bool) -> Self {
        if holds {
            Self::Yes(Evidence::Plain)
        } else {
            Self::No
        }
    }
}

impl Threshold {
    fn holds(self, number: i64) -> bool {
        match self {
            Self::Above(bound) => number > bound,
            Self::Below(bound) => number < bound,
            Self::Between(least, most) => (least..=most).contains(&number),
        }
    }

    fn evaluate(self, number: Option<i64>) -> ConditionResult {
        number.map_or(ConditionResult::No, |number| {
            ConditionResult::of(CounterReading::Number(number), |number| self.holds(number))
        })
    }
}

impl TimeOfDay {
    pub(super) fn holds(self, minute: u16, weekday: u8) -> bool {
        let on = |weekday: u8| self.weekdays & (1 << weekday) != 0;
        if self.from < self.to {
            return (self.from..self.to).contains(&minute) && on(weekday);
        }
        let yesterday = if weekday == 1 { 7 } else { weekday - 1 };
        (minute >= self.from && on(weekday)) || (minute < self.to && on(yesterday))
    }
}

impl Condition {
    /// The counters whose numbers it needs.
    pub(super) fn counters(&self) -> [Option<CounterIndex>; 2] {
        match self {
            Self::Listed { .. }
            | Self::Amount(_)
            | Self::Points(_)
            | Self::TimeOfDay(_)
            | Self::OwnMerchant => [None, None],
            Self::Velocity { counter, .. }
            | Self::SamePair { counter, .. }
            | Self::Structuring { counter, .. } => [Some(*counter), None],
            Self::FirstSeen {
                seen, different, ..
            } => [Some(*seen), Some(*different)],
            Self::UnusualAmount { count, sum, .. } => [Some(*count), Some(*sum)],
            Self::Farming { refunds, share, .. } => {
                [Some(*refunds), share.map(|(payments, _)| payments)]
            }
        }
    }

    pub(super) fn evaluate(&self, known: &ActivityContext<'_>) -> ConditionResult {
        match self {
            Self::Listed { list, inside } => {
                ConditionResult::plain(list.contains(known.facts) == *inside)
            }
            Self::Velocity { counter, above } | Self::SamePair { counter, above } => {
                ConditionResult::of(known.read(*counter), |number| number > *above)
            }
            Self::Amount(threshold) => threshold.evaluate(known.amount()),
            Self::Points(threshold) => threshold.evaluate(known.points()),
            Self::TimeOfDay(time) => {
                let (minute, weekday) = known.local_time();
                ConditionResult::plain(time.holds(minute, weekday))
            }
            Self::FirstSeen {
                attribute,
                seen,
                different,
            } => first_seen(known, *attribute, *seen, *different),
            Self::UnusualAmount {
                count,
                sum,
                factor,
                at_least,
            } => unusual(known, *count, *sum, *factor, *at_least),
            Self::Structuring {
                counter,
                band: (least, most),
                above,
            } => {
                let amount = known.facts.amount;
                if amount.is_none_or(|amount| amount < *least || amount > *most) {
                    return ConditionResult::No;
                }
                ConditionResult::of(known.read(*counter), |number| number > *above)
            }
            Self::OwnMerchant => ConditionResult::plain(known.facts.own_merchant),
            Self::Farming {
                refunds,
                share,
                above,
            } => farming(known, *refunds, *share, *above),
        }
    }
}

fn first_seen(
    known: &ActivityContext<'_>,
    attribute: Attribute,
    seen: CounterIndex,
    different: CounterIndex,
) -> ConditionResult {
    if !known.has(attribute) {
        return ConditionResult::No;
    }
    match known.read(seen) {
        CounterReading::Number(0) => {}
        CounterReading::Number(_) | CounterReading::NoSubject => return ConditionResult::No,
        CounterReading::Missing => return ConditionResult::Missing,
    }
    // This one is among them if this activity is counted.
    let own = i64::from(known.includes_current(different));
    match known.read(different) {
        CounterReading::Number(number) if number > own => {
            ConditionResult::Yes(Evidence::Number(number.saturating_sub(own)))
        }
        CounterReading::Number(_) | CounterReading::NoSubject => ConditionResult::No,
        CounterReading::Missing => ConditionResult::Missing,
    }
}

fn unusual(
    known: &ActivityContext<'_>,
    count: CounterIndex,
    sum: CounterIndex,
    factor: i64,
    at_least: i64,
) -> ConditionResult {
    let Some(amount) = known.amount() else {
        return ConditionResult::No;
    };
    let (count_all, sum_all) = match (known.read(count), known.read(sum)) {
        (CounterReading::Number(count), CounterReading::Number(sum)) => (count, sum),
        (CounterReading::NoSubject, _) | (_, CounterReading::NoSubject) => {
            return ConditionResult::No;
        }
        (CounterReading::Missing, _) | (_, CounterReading::Missing) => {
            return ConditionResult::Missing;
        }
    };
    // The history is what came before this activity.
    let own = known.includes_current(count);
    let count = count_all.saturating_sub(i64::from(own));
    let sum = sum_all.saturating_sub(if own { amount } else { 0 }).max(0);
    let (left, right) = (
        i128::from(amount) * i128::from(count),
        i128::from(factor) * i128::from(sum),
    );
    if count >= at_least && left > right {
        ConditionResult::Yes(Evidence::Average { amount, count, sum })
    } else {
        ConditionResult::No
    }
}

fn farming(
    known: &ActivityContext<'_>,
    refunds: CounterIndex,
    share: Option<(CounterIndex, u8)>,
    above: i64,
) -> ConditionResult {
    let refunds = match known.read(refunds) {
        CounterReading::Number(number) if number > above => number,
        CounterReading::Number(_) | CounterReading::NoSubject => return ConditionResult::No,
        CounterReading::Missing => return ConditionResult::Missing,
    };
    let Some((payments, percent)) = share else {
        return ConditionResult::Yes(Evidence::Share {
            refunds,
            payments: None,
        });
    };
    match known.read(payments) {
        CounterReading::Number(payments)
            if i128::from(refunds) * 100 >= i128::from(percent) * i128::from(payments) =>
        {
            ConditionResult::Yes(Evidence::Share {
                refunds,
                payments: Some(payments),
            })
        }
        CounterReading::Number(_) | CounterReading::NoSubject => ConditionResult::No,
        CounterReading::Missing => ConditionResult::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_may_wrap_midnight() {
        const EVERY: u8 = 0b1111_1110;
        let day = TimeOfDay {
            from: 540,
            to: 1020,
            weekdays: EVERY,
        };
        assert!(day.holds(540, 1) && day.holds(1019, 7));
        assert!(!day.holds(539, 1) && !day.holds(1020, 1));
        // Friday 22:00 to Saturday 06:00.
        let night = TimeOfDay {
            from: 1320,
            to: 360,
            weekdays: 1 << 5,
        };
        assert!(night.holds(1320, 5) && night.holds(1439, 5));
        assert!(night.holds(0, 6) && night.holds(359, 6));
        assert!(!night.holds(360, 6) && !night.holds(1319, 5));
        assert!(!night.holds(0, 5) && !night.holds(1320, 6));
        // Sunday's night ends on Monday.
        let sunday = TimeOfDay {
            from: 1320,
            to: 360,
            weekdays: 1 << 7,
        };
        assert!(sunday.holds(10, 1) && !sunday.holds(10, 2));
        let whole = TimeOfDay {
            from: 0,
            to: 1440,
            weekdays: 1 << 3,
        };
        assert!(whole.holds(0, 3) && whole.holds(1439, 3) && !whole.holds(0, 4));
    }
}
