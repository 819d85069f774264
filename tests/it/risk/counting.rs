//! Counters on a real Redis: many at once, windows that pass, what was seen before.

use zhangfang::{
    primitives::{ChallengeId, Id},
    risk::{Action, CounterValues, Effect},
};

use super::{FIRST_SEEN, action, at_most, cache, from, passed, payment, risk, somebody};
use crate::harness::{TestApp, eventually, redis_url};

async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis_url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn eleven_at_once_by_two_processes_are_counted_as_eleven() {
    let app = TestApp::without_jobs().await;
    let rules = at_most(10, "1h");
    let (one, _) = risk(&rules, app.db(), &redis_url()).await;
    let (two, _) = risk(&rules, app.db(), &redis_url()).await;
    for _ in 0..20 {
        assert_eq!(passed(&one, &two, somebody()).await, 10);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_window_passes_and_what_it_held_leaves_nothing_behind() {
    let app = TestApp::without_jobs().await;
    let (risk, _) = risk(&at_most(2, "10s"), app.db(), &redis_url()).await;
    let customer = somebody();
    let first = risk.evaluate(payment(customer)).await;
    assert_eq!(
        first.decision().unwrap().measured,
        CounterValues(vec![Some(1)]),
        "it counts itself"
    );
    action(&risk, payment(customer)).await;
    assert_eq!(action(&risk, payment(customer)).await, Action::Block);
    // Who keeps trying keeps being counted, so the test waits for the key itself to go.
    let mut connection = redis().await;
    eventually("nothing is kept of the customer", || {
        let mut connection = connection.clone();
        async move {
            let kept = keys_of(&mut connection, customer).await;
            kept.is_empty().then_some(())
        }
    })
    .await;
    assert_eq!(action(&risk, payment(customer)).await, Action::Allow);
    assert_eq!(keys_of(&mut connection, customer).await.len(), 1);
    app.finish().await;
}

/// What Redis keeps of a customer of the first tenant.
async fn keys_of(
    connection: &mut redis::aio::MultiplexedConnection,
    customer: zhangfang::primitives::CustomerId,
) -> Vec<String> {
    use aws_lc_rs::digest::{SHA256, digest};
    let text = format!("1:person:{}", customer.id());
    let hash = hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8]);
    redis::cmd("KEYS")
        .arg(format!("zf:risk:{{{hash}}}:*"))
        .query_async(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn keys_expire_and_hold_no_personal_data() {
    let app = TestApp::without_jobs().await;
    let (risk, _) = risk(FIRST_SEEN, app.db(), &redis_url()).await;
    let customer = somebody();
    let facts = || from(payment(customer), "203.0.113.77");
    let first = risk.evaluate(facts()).await;
    assert_eq!(first.action(), Action::Allow);
    first.conclude(true).await;
    let mut connection = redis().await;
    // The set of what was met, and the set of what was seen, which nobody waited for.
    let keys = eventually("it is noted", || {
        let mut connection = connection.clone();
        async move {
            let keys = keys_of(&mut connection, customer).await;
            (keys.len() == 2).then_some(keys)
        }
    })
    .await;
    for key in keys {
        let rest: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert!((1..=30 * 86_400_000).contains(&rest), "{key}: {rest}");
        let members: Vec<String> = redis::cmd("ZRANGE")
            .arg(&key)
            .arg(0)
            .arg(-1)
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(members.len(), 1);
        for text in members.iter().chain([&key]) {
            assert!(!text.contains("203") || text.len() == 16, "{text}");
            assert!(
                !text.contains("phone") && !text.contains("113.77"),
                "{text}"
            );
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn what_was_seen_is_what_was_done() {
    let app = TestApp::without_jobs().await;
    let (risk, cache) = risk(FIRST_SEEN, app.db(), &redis_url()).await;
    let customer = somebody();
    let home = || from(payment(customer), "203.0.113.7");
    let abroad = || from(payment(customer), "198.51.100.7");
    let first = risk.evaluate(home()).await;
    assert_eq!(first.action(), Action::Allow, "a new customer");
    first.conclude(true).await;
    // Stopped, so it stays unknown, however often one tries.
    for _ in 0..3 {
        let stopped = risk.evaluate(abroad()).await;
        assert_eq!(stopped.action(), Action::Verify);
        stopped.conclude(false).await;
    }
    assert_eq!(action(&risk, home()).await, Action::Allow);
    // Nor was anything met by what was let through and refused then: who tried is new still, and
    // the place as unknown as any.
    let newcomer = somebody();
    let at = |address: &str| from(payment(newcomer), address);
    let refused = risk.evaluate(at("192.0.2.7")).await;
    assert_eq!(refused.action(), Action::Allow, "a new customer");
    refused.conclude(false).await;
    let first = risk.evaluate(at("203.0.113.7")).await;
    assert_eq!(first.action(), Action::Allow, "still a new customer");
    first.conclude(true).await;
    assert_eq!(action(&risk, at("192.0.2.7")).await, Action::Verify);

    // The answer to a challenge lets it through without counting it again, and makes it known.
    let stopped = risk.evaluate(abroad()).await;
    let challenge = ChallengeId::new(Id::from_bytes([9; 16]));
    let answered = risk.reevaluate_answered(&stopped, challenge);
    assert_eq!(answered.action(), Action::Allow);
    answered.conclude(true).await;
    let (before, after) = (stopped.decision().unwrap(), answered.decision().unwrap());
    assert_eq!(after.measured, before.measured);
    assert_eq!(after.answered, Some(challenge));
    assert_eq!(after.fired[0].effect, Effect::Answered);
    eventually("the network is known", || async {
        (action(&risk, abroad()).await == Action::Allow).then_some(())
    })
    .await;
    // An address of the same 24 bits is the same network; one without any is none.
    let nearby = from(payment(customer), "198.51.100.200");
    assert_eq!(action(&risk, nearby).await, Action::Allow);
    assert!(cache.is_up());
    app.finish().await;
}

#[tokio::test]
async fn answering_a_challenge_counts_nothing_twice() {
    let app = TestApp::without_jobs().await;
    let verify = at_most(1, "1h").replace("action: block", "action: verify");
    let (risk, _) = risk(&verify, app.db(), &redis_url()).await;
    let customer = somebody();
    action(&risk, payment(customer)).await;
    let second = risk.evaluate(payment(customer)).await;
    assert_eq!(second.action(), Action::Verify);
    let challenge = ChallengeId::new(Id::from_bytes([9; 16]));
    for _ in 0..5 {
        assert_eq!(
            risk.reevaluate_answered(&second, challenge).action(),
            Action::Allow
        );
    }
    let third = risk.evaluate(payment(customer)).await;
    assert_eq!(
        third.decision().unwrap().measured,
        CounterValues(vec![Some(3)])
    );
    app.finish().await;
}

#[tokio::test]
async fn what_an_activity_does_not_have_is_not_measured_and_not_missing() {
    let app = TestApp::without_jobs().await;
    let rules = at_most(1, "1h").replace("per: customer", "per: device");
    let (risk, _) = risk(&rules, app.db(), &redis_url()).await;
    for _ in 0..3 {
        let evaluation = risk.evaluate(payment(somebody())).await;
        assert_eq!(evaluation.action(), Action::Allow);
        assert_eq!(
            evaluation.decision().unwrap().measured,
            CounterValues(vec![Some(0)])
        );
    }
    app.finish().await;
}

#[tokio::test]
async fn tenants_count_apart_and_rules_that_ask_for_the_same_count_once() {
    let app = TestApp::without_jobs().await;
    let (one, _) = risk(&at_most(2, "1h"), app.db(), &redis_url()).await;
    // Another file with the same question: what was counted is known to it.
    let (other, _) = risk(&at_most(3, "1h"), app.db(), &redis_url()).await;
    let customer = somebody();
    for _ in 0..2 {
        assert_eq!(action(&one, payment(customer)).await, Action::Allow);
    }
    assert_eq!(action(&other, payment(customer)).await, Action::Allow);
    assert_eq!(action(&other, payment(customer)).await, Action::Block);
    let mut elsewhere = payment(customer);
    elsewhere.tenant = zhangfang::primitives::TenantId(2);
    assert_eq!(action(&one, elsewhere).await, Action::Allow);
    app.finish().await;
}

#[tokio::test]
async fn without_redis_rules_do_what_they_do_without_counters_and_nobody_waits() {
    let app = TestApp::without_jobs().await;
    // A port that nobody listens on, taken and given back.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("redis://127.0.0.1:{port}");
    let (risk, _) = risk(&at_most(10, "1h"), app.db(), &url).await;
    let began = std::time::Instant::now();
    for _ in 0..500 {
        let evaluation = risk.evaluate(payment(somebody())).await;
        assert_eq!(evaluation.action(), Action::Review);
        assert_eq!(
            evaluation.decision().unwrap().measured,
            CounterValues(vec![None])
        );
    }
    let took = began.elapsed();
    // Each may wait a second.
    assert!(took < std::time::Duration::from_secs(100), "{took:?}");
    drop(cache(&url).await);
    app.finish().await;
}
