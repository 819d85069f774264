//! Rules from their text to what they decide.

mod actions;
mod conditions;
mod expressions;
mod random;

use crate::{
    facts::{Device, Facts, Stage},
    primitives::{CustomerId, Id, Lane, MerchantId, Money, Points, TenantId, Timestamp},
    risk::{Counter, CounterValues, Decision, RuleSet},
};

/// A Monday, 10:30 in Beijing.
const NOW: &str = "2026-11-09T02:30:00Z";

fn customer(number: u64) -> CustomerId {
    CustomerId::new(Id::mint(1_790_000_000_000, number, Lane(3)))
}

fn merchant() -> MerchantId {
    MerchantId::new(Id::mint(1_780_000_000_000, 1, Lane(0)))
}

/// An activity of which everything is known.
fn facts(stage: Stage) -> Facts {
    let mut facts = Facts::new(stage, TenantId(1), Timestamp::parse_rfc3339(NOW).unwrap());
    facts.customer = Some(customer(1));
    facts.merchant = Some(merchant());
    facts.amount = Some(Money::constant(1_000));
    facts.points = Some(Points::constant(10));
    facts.origin.address = Some("203.0.113.7".parse().unwrap());
    facts.origin.device = Some(Device::parse("phone-1").unwrap());
    facts
}

/// What the counters say, each by itself.
fn measured(set: &RuleSet, stage: Stage, says: impl Fn(&Counter) -> Option<i64>) -> CounterValues {
    let usages = set.counter_usages(stage);
    let read = usages.iter().filter(|usage| usage.read);
    CounterValues(read.map(|usage| says(usage.counter)).collect())
}

fn evaluate(set: &RuleSet, facts: &Facts, says: impl Fn(&Counter) -> Option<i64>) -> Decision {
    set.evaluate(1, facts, &measured(set, facts.stage, says), None)
}

/// The ids of the rules that fired.
fn fired(decision: &Decision) -> Vec<&str> {
    decision
        .fired
        .iter()
        .map(|fired| fired.rule.as_str())
        .collect()
}

/// A file with one rule that blocks or reviews at `stage`, with this condition.
fn one_rule(stage: &str, condition: &str) -> RuleSet {
    let action = if stage == "login" { "block" } else { "review" };
    let text = format!(
        "lists:\n  people: {{customers: [{}]}}\n  places: {{merchants: [{}]}}\n  phones: {{devices: [phone-1, '7']}}\n  here: {{addresses: [203.0.113.0/24]}}\n\
         counters:\n  rapid: {{measure: count, of: payment.create, per: customer, within: 1m}}\n  by_phone: {{measure: count, of: payment.create, per: device, within: 1m}}\n\
         defaults: {{on_missing: allow}}\n\
         rules:\n  - id: it\n    name: It\n    stages: [{stage}]\n    action: {action}\n    {condition}\n",
        customer(1),
        merchant(),
    );
    RuleSet::parse(&text).unwrap_or_else(|errors| panic!("{condition}: {errors}"))
}
