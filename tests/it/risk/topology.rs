//! Counters in a cluster and behind sentinels.

use zhangfang::{cache::Cache, risk::Action};

use super::{
    FIRST_SEEN, action, activities::counts_once_and_takes_back, at_most, from, passed, payment,
    risk, somebody,
};
use crate::harness::{TestApp, ask, cluster, eventually, replicated, sentinels};

async fn up(caches: [&Cache; 2]) {
    for cache in caches {
        eventually("Redis is whole", || async {
            (*cache.availability().borrow() && cache.is_up()).then_some(())
        })
        .await;
    }
}

/// Rules on everything that an activity has, so that a decision needs several servers.
fn many_subjects() -> String {
    let customer = at_most(10, "1h");
    let address = at_most(1_000, "1h")
        .replace("rules:\n", "")
        .replace("many-payments", "busy-address")
        .replace("priority: 1", "priority: 2")
        .replace("per: customer", "per: address");
    let device = address
        .replace("busy-address", "busy-device")
        .replace("priority: 2", "priority: 3")
        .replace("per: address", "per: device");
    format!("{customer}{address}{device}")
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_a_decision_asks_several_servers_at_once() {
    let Some((mut servers, ports, url)) = cluster("risk-cluster").await else {
        return;
    };
    let app = TestApp::without_jobs().await;
    let (one, cache_one) = risk(&many_subjects(), app.db(), &url).await;
    let (two, cache_two) = risk(&many_subjects(), app.db(), &url).await;
    for _ in 0..24 {
        assert_eq!(passed(&one, &two, somebody()).await, 10);
    }
    // All three subjects of an activity are measured, wherever they live.
    for last in 0..12 {
        let facts = from(payment(somebody()), &format!("203.0.113.{last}"));
        let evaluation = one.evaluate(facts).await;
        let measured = &evaluation.decision().unwrap().measured.0;
        assert_eq!(measured.len(), 3);
        assert!(
            measured
                .iter()
                .all(|value| value.is_some_and(|value| value > 0))
        );
    }
    for port in &ports {
        let size = ask(*port, &["DBSIZE".to_owned()]).await;
        assert_ne!(size.as_deref(), Some("0"), "nothing is kept on {port}");
    }
    // What is not done is taken back in a cluster too.
    for _ in 0..8 {
        counts_once_and_takes_back(&one).await;
    }
    // What is seen is noted in a cluster too.
    let (seeing, _) = risk(FIRST_SEEN, app.db(), &url).await;
    let customer = somebody();
    let home = || from(payment(customer), "203.0.113.7");
    assert_eq!(action(&seeing, home()).await, Action::Allow);
    let abroad = from(payment(customer), "198.51.100.7");
    assert_eq!(action(&seeing, abroad).await, Action::Verify);

    // Half a cluster is none.
    servers.kill(2);
    eventually("the absence is felt", || async {
        let lost = action(&one, payment(somebody())).await == Action::Review;
        (lost && !*cache_one.availability().borrow()).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(action(&one, payment(somebody())).await, Action::Review);
    }
    servers.again(2);
    up([&cache_one, &cache_two]).await;
    for _ in 0..12 {
        assert_eq!(passed(&one, &two, somebody()).await, 10);
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_sentinels_the_counters_follow_the_master() {
    let Some((mut servers, replica, url)) = sentinels("risk-sentinel").await else {
        return;
    };
    let app = TestApp::without_jobs().await;
    let (one, cache_one) = risk(&many_subjects(), app.db(), &url).await;
    let (two, cache_two) = risk(&many_subjects(), app.db(), &url).await;
    let counted = somebody();
    assert_eq!(passed(&one, &two, counted).await, 10);
    replicated(replica).await;

    servers.kill(0);
    let replication: Vec<_> = ["INFO", "replication"].map(str::to_owned).into();
    eventually("the replica is master", || async {
        let said = ask(replica, &replication).await?;
        said.contains("role:master").then_some(())
    })
    .await;
    for risk in [&one, &two] {
        // Whoever asks meanwhile is answered.
        action(risk, payment(somebody())).await;
    }
    eventually("the new master is found", || async {
        let there = cache_one.is_up() && cache_two.is_up();
        there.then_some(())
    })
    .await;
    assert_eq!(passed(&one, &two, somebody()).await, 10);
    // What was replicated is remembered.
    assert_eq!(action(&one, payment(counted)).await, Action::Block);
    app.finish().await;
}
