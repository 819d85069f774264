//! A Redis that is killed under load and comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use zhangfang::risk::{Action, Risk};

use super::{at_most, cache, payment, somebody};
use crate::harness::{Server, TestApp, dev, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_under_load_costs_no_decision_time_and_rules_count_again_by_themselves() {
    let redis = Server::in_folder("risk-kill");
    let start = || {
        let said = dev(&["server", "start", "redis", &redis.dir]);
        said.trim().lines().last().unwrap().to_owned()
    };
    let url = tokio::task::block_in_place(start);
    let app = TestApp::without_jobs().await;
    let cache = cache(&url).await;
    // As it is set when nothing is set.
    let patience = Duration::from_millis(20);
    let rules = at_most(10, "1h");
    let risk = Risk::with_rules(&rules, patience, app.db().clone(), &cache).await;
    let risk = risk.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (risk, done) = (risk.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let action = risk.evaluate(payment(somebody())).await.action();
                    seen.push((action, began.elapsed()));
                    // Without Redis a decision waits for nothing, and eight of these would leave
                    // nobody else a processor.
                    tokio::task::yield_now().await;
                }
                seen
            })
        })
        .collect();
    eventually("it counts", || async {
        let action = risk.evaluate(payment(somebody())).await.action();
        (action == Action::Allow).then_some(())
    })
    .await;
    tokio::task::block_in_place(|| dev(&["server", "kill", &redis.dir]));
    let presence = cache.availability();
    eventually("the absence is told", || async {
        (!*presence.borrow()).then_some(())
    })
    .await;
    for _ in 0..100 {
        let action = risk.evaluate(payment(somebody())).await.action();
        assert_eq!(action, Action::Review, "what on_missing says");
    }
    tokio::task::block_in_place(start);
    eventually("it counts again", || async {
        let action = risk.evaluate(payment(somebody())).await.action();
        (action == Action::Allow).then_some(())
    })
    .await;
    done.store(true, Ordering::Relaxed);

    let mut took = Vec::new();
    let (mut counted, mut without) = (0, 0);
    for task in load {
        for (action, elapsed) in task.await.unwrap() {
            match action {
                Action::Allow => counted += 1,
                Action::Review => without += 1,
                Action::Verify | Action::Block => panic!("{action}"),
            }
            took.push(elapsed);
        }
    }
    assert!(counted > 0 && without > 0, "{counted} and {without}");
    took.sort_unstable();
    // Waiting for Redis to connect would be a second each time; single ones may have waited for a
    // busy machine.
    let middle = took[took.len() / 2];
    assert!(middle < Duration::from_millis(500), "{middle:?}");
    // Once it has settled, everything is as before.
    eventually("eleven are eleven again", || async {
        let (one, customer) = (&risk, somebody());
        let mut allowed = 0;
        for _ in 0..11 {
            allowed += u32::from(one.evaluate(payment(customer)).await.action() == Action::Allow);
        }
        (allowed == 10).then_some(())
    })
    .await;
    app.finish().await;
}
