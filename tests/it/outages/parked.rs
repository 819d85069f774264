//! A commit that cannot be projected: it waits alone, people see it, and it is projected once it
//! can be.

use std::process::Command;

use sqlx::ConnectOptions as _;
use zhangfang::{
    deliveries::SettingsCache,
    jobs::{self, ParkedCommit},
    primitives::{CommitterId, OrderNo},
};

use crate::harness::TestApp;

async fn parked(app: &TestApp) -> Vec<ParkedCommit> {
    jobs::list_parked(app.db()).await.unwrap()
}

async fn as_owner(app: &TestApp, statement: String) {
    let mut conn = app.scratch.owner.clone().connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut conn)
        .await
        .unwrap();
}

async fn history_of(app: &TestApp, order_no: &str) -> i64 {
    let order = order_no.parse::<OrderNo>().unwrap().id();
    sqlx::query_scalar("SELECT COUNT(*) FROM payment_order_history WHERE order_id = ?")
        .bind(order)
        .fetch_one(app.db().pool())
        .await
        .unwrap()
}

/// What `zhangfang relay` says, and whether it says that all is well.
fn relay(app: &TestApp, arguments: &[&str]) -> (String, bool) {
    let done = Command::new(env!("CARGO_BIN_EXE_zhangfang"))
        .arg("relay")
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", app.scratch.service_url())
        .output()
        .unwrap();
    (
        String::from_utf8_lossy(&done.stdout).into_owned(),
        done.status.success(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_projected_is_parked_and_the_relay_goes_on() {
    let app = TestApp::without_jobs().await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let customer = app.customer("li").await;
    jobs::drain(app.db()).await.unwrap();
    let refused = app.create(&customer, &merchant.code, 1000, "refused").await;
    let id = refused.parse::<OrderNo>().unwrap().id();
    as_owner(
        &app,
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON payment_order_history FOR EACH ROW \
             BEGIN IF NEW.order_id = x'{}' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF; END",
            hex::encode(id.bytes())
        ),
    )
    .await;
    // Others before and after it, some in the same committer.
    let mut others = Vec::new();
    for number in 0..8 {
        let someone = app.customer(&format!("c{number}")).await;
        let key = format!("k{number}");
        others.push(app.create(&someone, &merchant.code, 500, &key).await);
    }
    jobs::drain(app.db()).await.unwrap();
    for order in &others {
        assert!(
            history_of(&app, order).await > 0,
            "{order} waits behind the parked one"
        );
    }
    assert_eq!(history_of(&app, &refused).await, 0);
    let waiting = parked(&app).await;
    assert!(!waiting.is_empty());
    assert!(
        waiting
            .iter()
            .all(|commit| commit.reason.contains("not this one")),
        "{waiting:?}"
    );

    // People see it, and so does the verification.
    let answer = app.admin().get("/api/v1/admin/exceptions?open=true").await;
    let answer = answer.expect(200)["items"].as_array().unwrap().clone();
    assert_eq!(answer.len(), waiting.len(), "{answer:?}");
    assert!(
        answer.iter().all(|one| one["kind"] == "not_projected"),
        "{answer:?}"
    );
    let (list, fine) = relay(&app, &["list"]);
    assert!(fine && list.contains("not this one"), "{list}");
    assert!(
        !app.verify().await.is_clean(),
        "a hole in a history is no violation"
    );

    // Tried by hand while the cause is there: it is counted, and stays.
    let (_, fine) = relay(&app, &["retry", "--all"]);
    assert!(!fine);
    let again = parked(&app).await;
    assert_eq!(again.len(), waiting.len());
    assert!(again.iter().all(|commit| commit.attempts == 2), "{again:?}");

    as_owner(&app, "DROP TRIGGER refuse".to_owned()).await;
    // The later first: its order does not matter.
    let settings = SettingsCache::start(app.db().clone());
    for commit in again.iter().rev() {
        let committer = CommitterId(commit.committer);
        let done = jobs::retry_parked(app.db(), &settings, committer, commit.seq).await;
        assert!(done.unwrap());
        let twice = jobs::retry_parked(app.db(), &settings, committer, commit.seq).await;
        assert!(!twice.unwrap(), "projected twice");
    }
    assert!(parked(&app).await.is_empty());
    assert!(history_of(&app, &refused).await > 0);
    let open = "SELECT COUNT(*) FROM payment_exceptions WHERE resolved_at IS NULL";
    assert_eq!(app.count(open).await, 0);
    app.finish().await;
}

/// Nothing of this order can be projected: the database says so with this state.
async fn refuse(app: &TestApp, name: &str, order_no: &str, state: &str) {
    let id = order_no.parse::<OrderNo>().unwrap().id();
    as_owner(
        app,
        format!(
            "CREATE TRIGGER {name} BEFORE INSERT ON payment_order_history FOR EACH ROW \
             BEGIN IF NEW.order_id = x'{}' THEN SIGNAL SQLSTATE '{state}' SET MESSAGE_TEXT = 'not this one'; END IF; END",
            hex::encode(id.bytes())
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_commit_that_cannot_even_be_tried_holds_up_no_other() {
    let app = TestApp::without_jobs().await;
    let merchant = app.merchant("茶里巷", "1900000143").await;
    let customer = app.customer("li").await;
    jobs::drain(app.db()).await.unwrap();
    let mut orders = Vec::new();
    for name in ["earlier", "later"] {
        let order = app.create(&customer, &merchant.code, 500, name).await;
        refuse(&app, name, &order, "45000").await;
        jobs::drain(app.db()).await.unwrap();
        orders.push(order);
    }
    // The earlier one fails now as if the database could not do it, the later one could be
    // projected.
    for name in ["earlier", "later"] {
        as_owner(&app, format!("DROP TRIGGER {name}")).await;
    }
    refuse(&app, "earlier", &orders[0], "42000").await;
    as_owner(
        &app,
        "UPDATE relay_parked SET next_attempt_at = parked_at".to_owned(),
    )
    .await;
    let before = parked(&app).await.len();
    app.create(&customer, &merchant.code, 500, "news").await;
    let round = jobs::drain(app.db()).await;
    assert!(round.is_err(), "what failed is not told");
    assert!(history_of(&app, &orders[1]).await > 0);
    let waiting = parked(&app).await;
    assert!(!waiting.is_empty() && waiting.len() < before, "{waiting:?}");
    // Nobody's fault: no attempt is counted.
    assert!(
        waiting.iter().all(|commit| commit.attempts == 1),
        "{waiting:?}"
    );
    as_owner(&app, "DROP TRIGGER earlier".to_owned()).await;
    app.create(&customer, &merchant.code, 500, "more-news")
        .await;
    jobs::drain(app.db()).await.unwrap();
    assert!(parked(&app).await.is_empty());
    assert!(history_of(&app, &orders[0]).await > 0);
    app.finish().await;
}

/// Written by a program that is newer than this one, or by nobody of ours.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_read_hold_up_nobody() {
    let app = TestApp::with(|options| options.committers = 1).await;
    let merchant = app.merchant("茶里巷", "1900000141").await;
    let customer = app.customer("li").await;
    app.create(&customer, &merchant.code, 500, "before").await;
    as_owner(
        &app,
        "INSERT INTO commits (committer, seq, committed_at, events, seal) \
         SELECT committer, MAX(seq) + 1, NOW(6), x'00000001FF', REPEAT(x'00', 32) FROM commits GROUP BY committer"
            .to_owned(),
    )
    .await;
    let after = app.create(&customer, &merchant.code, 500, "after").await;
    jobs::drain(app.db()).await.unwrap();
    let waiting = parked(&app).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(
        waiting[0].reason.contains("unreadable events"),
        "{waiting:?}"
    );
    assert!(history_of(&app, &after).await > 0);
    app.db().close().await;
}
