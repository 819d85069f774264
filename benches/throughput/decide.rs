//! Decisions alone: what the service computes, and what it costs to ask Redis.

use std::{
    hint::black_box,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use zhangfang::{
    cache::Cache,
    config::RedisSettings,
    facts::{Device, Facts, Stage},
    primitives::{
        Clock as _, CustomerId, Id, Lane, MerchantId, Money, Points, SystemClock, TenantId,
    },
    risk::{CounterValues, Risk, RuleSet},
};

use super::{
    cpu::Parties,
    load,
    report::{Measured, Report},
    stage::{Rules, Scratch, open},
};

const DECISIONS: usize = 200_000;
/// Long enough that what Redis does is never missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decisions by rules and numbers that are there.
pub(crate) fn compute(report: &mut Report) {
    for (name, text, stage) in [
        ("risk_decide_create", file(), Stage::PaymentCreate),
        ("risk_decide_credit", file(), Stage::PointsCredit),
        ("risk_decide_thirty", Rules::thirty(), Stage::PointsCredit),
    ] {
        let set = RuleSet::parse(&text).unwrap();
        let facts = facts(stage, 1);
        let numbers = set
            .counter_usages(stage)
            .iter()
            .filter(|usage| usage.read)
            .count();
        let measured = CounterValues(vec![Some(1); numbers]);
        let began = Instant::now();
        for _ in 0..DECISIONS {
            black_box(set.evaluate(1, black_box(&facts), black_box(&measured), None));
        }
        report.add_rate(name, DECISIONS, began.elapsed());
    }
}

/// Decisions with counters in Redis: `activities` of 50,000 customers and ten merchants, of which
/// `in_flight` at one time.
pub(crate) async fn evaluate(activities: usize, in_flight: usize, report: &mut Report) {
    let scratch = Scratch::make("risk").await;
    let db = open(&scratch.service).await;
    let parties = Parties::find(std::process::id(), &scratch.service).await;
    let url = std::env::var("REDIS_URL").expect("run this with ./dev bench");
    let cache = Cache::start(&RedisSettings::at(url)).await.unwrap();
    for (name, text, stage) in [
        ("risk_ask_create", file(), Stage::PaymentCreate),
        ("risk_ask_credit", file(), Stage::PointsCredit),
        ("risk_ask_thirty", Rules::thirty(), Stage::PointsCredit),
    ] {
        let risk = Risk::with_rules(&text, PATIENCE, db.clone(), &cache);
        let risk = risk.await.unwrap();
        let before = parties.used();
        let mut measured = evaluate_stage(&risk, stage, activities, in_flight).await;
        measured.cpu = Some(parties.used() - before);
        report.add(name, &measured);
    }
    db.close().await;
    scratch.drop().await;
}

async fn evaluate_stage(
    risk: &Risk,
    stage: Stage,
    activities: usize,
    in_flight: usize,
) -> Measured {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (risk, next) = (risk.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let (mut latencies, mut errors) = (Vec::new(), 0);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= activities {
                        return (latencies, errors);
                    }
                    let facts = facts(stage, number as u64);
                    let began = Instant::now();
                    let evaluation = risk.evaluate(facts).await;
                    latencies.push(began.elapsed().as_micros() as u32);
                    let decision = evaluation.decision().unwrap();
                    errors += usize::from(decision.measured.0.contains(&None));
                }
            })
        })
        .collect();
    load::gather(workers, started).await
}

fn file() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("risk-rules.yaml");
    std::fs::read_to_string(file).unwrap()
}

/// An activity like any other: no rule of the file fires for its first.
fn facts(stage: Stage, number: u64) -> Facts {
    let id = |number| Id::mint(1_800_000_000_000, number, Lane(1));
    let mut facts = Facts::new(stage, TenantId(1), SystemClock.now());
    facts.customer = Some(CustomerId::new(id(number % 50_000)));
    facts.merchant = Some(MerchantId::new(id(number % 10)));
    facts.amount = Money::parse(1_288).ok();
    facts.points = Points::parse(12).ok();
    facts.origin.address = Some("203.0.113.7".parse().unwrap());
    facts.origin.device = Device::parse("phone-1").ok();
    facts
}
