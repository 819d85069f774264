//! Risk: what is counted, where, and by whose rules.

mod activities;
mod backtest;
mod counting;
mod decisions;
mod file;
mod replay;
mod script;
mod topology;
mod without_redis;

use std::time::Duration;

use zhangfang::{
    cache::Cache,
    config::RedisSettings,
    db::Db,
    facts::{Device, Facts, Stage},
    primitives::{CustomerId, Id, Money, TenantId, Timestamp},
    risk::{Action, Risk},
};

/// More than so many payments of one customer within this time are stopped; without counters they
/// are reviewed.
fn at_most(above: u32, within: &str) -> String {
    format!(
        "\
rules:
  - id: many-payments
    name: 付款过多
    stages: [payment.create]
    action: block
    priority: 1
    velocity: {{measure: count, of: payment.create, per: customer, within: {within}, above: {above}}}
    on_missing: review
    reason: more payments than a person makes
"
    )
}

/// Verifies a customer who pays from a network for the first time, but not the first time of all.
const FIRST_SEEN: &str = "\
rules:
  - id: new-network
    name: 新网络
    stages: [payment.create]
    action: verify
    priority: 1
    first_seen: {attribute: network, within: 30d}
    on_missing: verify
    reason: a network that the customer was never in
";

async fn cache(url: &str) -> Cache {
    Cache::start(&RedisSettings::at(url.to_owned()))
        .await
        .unwrap()
}

/// Risk as a process of its own has it: with a cache of its own. Patient, since the machine may be
/// busy.
async fn risk(rules: &str, db: &Db, url: &str) -> (Risk, Cache) {
    let cache = cache(url).await;
    let patience = Duration::from_secs(1);
    let risk = Risk::with_rules(rules, patience, db.clone(), &cache).await;
    (risk.unwrap(), cache)
}

/// Somebody whom Redis has never heard of.
fn somebody() -> CustomerId {
    CustomerId::new(Id::from_bytes(rand::random()))
}

fn payment(customer: CustomerId) -> Facts {
    let at = Timestamp::from_micros(1_800_000_000_000_000);
    let mut facts = Facts::new(Stage::PaymentCreate, TenantId(1), at);
    facts.customer = Some(customer);
    facts.amount = Some(Money::parse(1_000).unwrap());
    facts
}

fn from(facts: Facts, address: &str) -> Facts {
    let mut facts = facts;
    facts.origin.address = Some(address.parse().unwrap());
    facts.origin.device = Some(Device::parse("a-phone-with-a-name").unwrap());
    facts
}

async fn action(risk: &Risk, facts: Facts) -> Action {
    risk.evaluate(facts).await.action()
}

/// Two processes make fifteen payments of one customer together; how many pass.
async fn passed(one: &Risk, two: &Risk, customer: CustomerId) -> usize {
    let all = (0..15).map(|number| {
        let risk = if number % 2 == 0 { one } else { two };
        action(risk, payment(customer))
    });
    let actions = futures_util::future::join_all(all).await;
    for action in &actions {
        let counted = matches!(action, Action::Allow | Action::Block);
        assert!(counted, "{action} though the counters were there");
    }
    let is_allowed = |action: &&Action| **action == Action::Allow;
    actions.iter().filter(is_allowed).count()
}
