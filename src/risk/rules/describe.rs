//! Descriptions of conditions and their findings, for a person of the tenant. They hold numbers and
//! names from the file, and no personal data.

use super::{
    condition::{Condition, Evidence, Threshold, TimeOfDay},
    counter_table::{CounterIndex, CounterTable},
    list::Members,
    settings::Window,
};
use crate::{
    primitives::Money,
    risk::{Attribute, Counter, Measure},
};

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The condition in one line: `more than 10 payment.create per customer within 1m`.
pub(super) fn condition(condition: &Condition, counters: &CounterTable) -> String {
    let spell = |number: &CounterIndex| counters.get(*number).map(counter).unwrap_or_default();
    match condition {
        Condition::Listed { list, inside } => {
            let what = match &list.members {
                Members::Customers(_) => "customer",
                Members::Merchants(_) => "merchant",
                Members::Devices(_) => "device",
                Members::Addresses(_) => "address",
            };
            let inside = if *inside { "in" } else { "not in" };
            format!("{what} {inside} the list {} ({})", list.name, list.len())
        }
        Condition::Velocity { counter, above } => {
            let unit = counters.get(*counter).map_or("", unit);
            format!("more than {above}{unit} {}", spell(counter))
        }
        Condition::Amount(threshold) => format!("amount {}", bound(*threshold, " fen")),
        Condition::Points(threshold) => format!("points {}", bound(*threshold, "")),
        Condition::TimeOfDay(time) => time_of_day(*time),
        Condition::FirstSeen {
            attribute, seen, ..
        } => {
            let (of, within) = source(*seen, counters);
            format!(
                "a {} that the customer was not met with at {of} within {within}, with another before",
                attribute.name()
            )
        }
        Condition::UnusualAmount {
            count,
            factor,
            at_least,
            ..
        } => {
            let (of, within) = source(*count, counters);
            format!(
                "amount above {factor} times the customer's average of {of} within {within}, of at least {at_least}"
            )
        }
        Condition::OwnMerchant => "a merchant paying itself".to_owned(),
        Condition::SamePair { counter, above } | Condition::Structuring { counter, above, .. } => {
            format!("more than {above} {}", spell(counter))
        }
        Condition::Farming {
            refunds,
            share,
            above,
        } => {
            let share = share.map_or_else(String::new, |(_, percent)| {
                format!(", at least {percent}% of the payments")
            });
            format!("more than {above} {}{share}", spell(refunds))
        }
    }
}

/// What made the condition hold: `12 payment.create per customer within 1m, more than 10`.
pub(super) fn found(condition: &Condition, found: Evidence, counters: &CounterTable) -> String {
    let spell = |number: &CounterIndex| counters.get(*number).map(counter).unwrap_or_default();
    match (condition, found) {
        (
            Condition::Velocity { counter, above }
            | Condition::SamePair { counter, above }
            | Condition::Structuring { counter, above, .. },
            Evidence::Number(number),
        ) => {
            let unit = counters.get(*counter).map_or("", unit);
            format!("{number}{unit} {}, more than {above}", spell(counter))
        }
        (Condition::Amount(threshold), Evidence::Number(number)) => {
            format!("{number} fen, {}", bound(*threshold, ""))
        }
        (Condition::Points(threshold), Evidence::Number(number)) => {
            format!("{number} points, {}", bound(*threshold, ""))
        }
        (Condition::FirstSeen { attribute, .. }, Evidence::Number(others)) => {
            format!("a new {}, after {others} other", attribute.name())
        }
        (Condition::UnusualAmount { factor, .. }, Evidence::Average { amount, count, sum }) => {
            format!(
                "{amount} fen, more than {factor} times the average of {count} earlier about {sum} fen together"
            )
        }
        (Condition::Farming { above, .. }, Evidence::Share { refunds, payments }) => {
            let payments =
                payments.map_or_else(String::new, |payments| format!(", of {payments} payments"));
            format!("{refunds} refunds{payments}, more than {above}")
        }
        (
            _,
            Evidence::Plain
            | Evidence::Number(_)
            | Evidence::Average { .. }
            | Evidence::Share { .. },
        ) => self::condition(condition, counters),
    }
}

/// `payment.create per customer within 1m`.
pub(super) fn counter(counter: &Counter) -> String {
    let of = counter.of.name();
    let of = if counter.attempts {
        format!("attempts at {of}")
    } else {
        of.to_owned()
    };
    let within = Window(counter.within_seconds);
    let per = counter.per.in_words();
    let between = counter.between.map_or_else(String::new, |(least, most)| {
        format!(" of {} to {} fen", Money::get(least), Money::get(most))
    });
    format!("{of}{between} per {per} within {within}")
}

/// What its numbers are, with a blank before.
const fn unit(counter: &Counter) -> &'static str {
    match counter.measure {
        Measure::Count => "",
        Measure::SumFen => " fen of",
        Measure::SumPoints => " points of",
        Measure::Distinct(attribute) => match attribute {
            Attribute::Customer => " different customers of",
            Attribute::Merchant => " different merchants of",
            Attribute::Address => " different addresses of",
            Attribute::Network => " different networks of",
            Attribute::Device => " different devices of",
        },
        Measure::Seen(_) => " seen of",
    }
}

fn source(number: CounterIndex, counters: &CounterTable) -> (&'static str, Window) {
    counters.get(number).map_or(("", Window(0)), |counter| {
        (counter.of.name(), Window(counter.within_seconds))
    })
}

fn bound(threshold: Threshold, unit: &str) -> String {
    match threshold {
        Threshold::Above(bound) => format!("above {bound}{unit}"),
        Threshold::Below(bound) => format!("below {bound}{unit}"),
        Threshold::Between(least, most) => format!("between {least} and {most}{unit}"),
    }
}

fn time_of_day(time: TimeOfDay) -> String {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let (from, to) = (clock(time.from), clock(time.to));
    let days: Vec<&str> = (1..)
        .zip(WEEKDAYS)
        .filter(|(day, _)| time.weekdays & (1 << *day) != 0)
        .map(|(_, name)| name)
        .collect();
    if days.len() == WEEKDAYS.len() {
        format!("from {from} to {to} (UTC+8)")
    } else {
        format!("from {from} to {to} (UTC+8) on {}", days.join(", "))
    }
}
