//! A Redis of many servers: a cluster that loses a master, sentinels that promote a replica.

use super::{allowed, cache, five, five_together, somebody};
use crate::harness::{ask, cluster, eventually, replicated, sentinels};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_the_limits_of_all_processes() {
    let Some((mut servers, ports, url)) = cluster("limits-cluster").await else {
        return;
    };
    let (cache_one, cache_two) = (cache(&url).await, cache(&url).await);
    let (one, two) = (five(&cache_one), five(&cache_two));
    // Subjects on all three masters.
    for number in 0..24 {
        let passed = five_together(&one, &two, &somebody(number)).await;
        assert_eq!(passed, 5, "subject {number}");
    }
    assert!(cache_one.is_up() && cache_two.is_up());
    let counted: Vec<_> = {
        let mut counted = Vec::new();
        for port in &ports {
            counted.push(ask(*port, &["DBSIZE".to_owned()]).await);
        }
        counted
    };
    assert!(!counted.contains(&Some("0".to_owned())), "{counted:?}");

    // Half a cluster is none: each process goes on by itself.
    servers.kill(2);
    let presence = cache_one.availability();
    eventually("the absence is seen", || async {
        allowed(&one, &somebody(100)).await;
        let seen = !*presence.borrow() && !*cache_two.availability().borrow();
        seen.then_some(())
    })
    .await;
    assert_eq!(
        five_together(&one, &five(&cache_one), &somebody(101)).await,
        10
    );

    // And when it is whole again, it is one again.
    servers.again(2);
    for cache in [&cache_one, &cache_two] {
        eventually("the cluster is whole again", || async {
            (*cache.availability().borrow() && cache.is_up()).then_some(())
        })
        .await;
    }
    for number in 102..112 {
        let passed = five_together(&one, &two, &somebody(number)).await;
        assert_eq!(passed, 5, "subject {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_sentinels_the_limits_follow_the_master() {
    let Some((mut servers, replica, url)) = sentinels("limits-sentinel").await else {
        return;
    };
    let replication: Vec<_> = ["INFO", "replication"].map(str::to_owned).into();
    let (cache_one, cache_two) = (cache(&url).await, cache(&url).await);
    let (one, two) = (five(&cache_one), five(&cache_two));
    assert_eq!(five_together(&one, &two, &somebody(1)).await, 5);
    replicated(replica).await;

    servers.kill(0);
    eventually("the replica is master", || async {
        let said = ask(replica, &replication).await?;
        said.contains("role:master").then_some(())
    })
    .await;
    // Whoever asks meanwhile is answered, and before long together again.
    allowed(&one, &somebody(2)).await;
    allowed(&two, &somebody(2)).await;
    for cache in [&cache_one, &cache_two] {
        eventually("the new master is found", || async {
            cache.is_up().then_some(())
        })
        .await;
    }
    assert_eq!(five_together(&one, &two, &somebody(3)).await, 5);
    // What was replicated is remembered.
    assert!(!allowed(&five(&cache_one), &somebody(1)).await);
}
