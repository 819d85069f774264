//! Rules and facts that decisions are measured by, here and in `benches/pure`.

use std::{fmt::Write as _, path::Path};

use zhangfang::{
    facts::{Device, Facts, Stage},
    primitives::{CustomerId, Id, Lane, MerchantId, Money, Points, TenantId, Timestamp},
};

/// The file at the top level.
pub(crate) fn of_the_project() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("risk-rules.yaml");
    std::fs::read_to_string(file).unwrap()
}

/// Thirty rules before points are credited, each of which asks for a number of its own, and none
/// of which stops anybody.
pub(crate) fn thirty() -> String {
    let mut text = String::from("defaults:\n  on_missing: review\nrules:\n");
    let measures = ["count", "sum_fen"];
    for (index, per) in ["customer", "merchant", "pair"]
        .iter()
        .cycle()
        .take(30)
        .enumerate()
    {
        let (measure, hours) = (measures[index % 2], index / 2 + 1);
        write!(
            text,
            "  - id: bench_{index}\n    name: bench {index}\n    stages: [points.credit]\n    action: review\n    priority: {}\n    \
             velocity: {{measure: {measure}, of: points.credit, per: {per}, within: {hours}h, above: 1000000000}}\n",
            index + 1
        )
        .unwrap();
    }
    text
}

/// An activity like any other, of one of 50,000 customers at one of ten merchants: no rule of the
/// file fires for its first.
pub(crate) fn facts(stage: Stage, number: u64, now: Timestamp) -> Facts {
    let id = |number| Id::mint(1_800_000_000_000, number, Lane(1));
    let mut facts = Facts::new(stage, TenantId(1), now);
    facts.customer = Some(CustomerId::new(id(number % 50_000)));
    facts.merchant = Some(MerchantId::new(id(number % 10)));
    facts.amount = Money::parse(1_288).ok();
    facts.points = Points::parse(12).ok();
    facts.origin.address = Some("203.0.113.7".parse().unwrap());
    facts.origin.device = Device::parse("phone-1").ok();
    facts
}
