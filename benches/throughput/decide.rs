//! Decisions alone, with their numbers from Redis. What the service computes for one is in
//! `benches/pure`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use zhangfang::{
    cache::Cache,
    config::RedisSettings,
    facts::Stage,
    primitives::{Clock as _, SystemClock},
    risk::Risk,
};

use super::{
    cpu::Parties,
    load,
    report::{Measured, Report},
    rules,
    stage::{Scratch, open},
};

/// Long enough that what Redis does is never missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decisions with counters in Redis: `activities` of 50,000 customers and ten merchants, of which
/// `in_flight` at one time.
pub(crate) async fn evaluate(activities: usize, in_flight: usize, report: &mut Report) {
    let scratch = Scratch::make("risk").await;
    let db = open(&scratch.service).await;
    let parties = Parties::find(None, &scratch.service).await;
    let url = std::env::var("REDIS_URL").expect("run this with ./dev bench");
    let cache = Cache::start(&RedisSettings::at(url)).await.unwrap();
    for (name, text, stage) in [
        (
            "risk_ask_create",
            rules::of_the_project(),
            Stage::PaymentCreate,
        ),
        (
            "risk_ask_credit",
            rules::of_the_project(),
            Stage::PointsCredit,
        ),
        ("risk_ask_thirty", rules::thirty(), Stage::PointsCredit),
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
                    let facts = rules::facts(stage, number as u64, SystemClock.now());
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
