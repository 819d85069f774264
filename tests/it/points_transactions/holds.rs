//! Holds: captured, released or timed out; one of these, once.

use serde_json::json;
use zhangfang::{jobs, points};

use super::{Counter, expects, grant_expired, today_plus};
use crate::harness::{TestApp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_spent_whole_or_in_part_or_released() {
    let counter = Counter::open().await;
    counter.award(100, "a").await;
    let whole = counter.hold(30, "whole").await;
    let part = counter.hold(20, "part").await;
    let back = counter.hold(10, "back").await;
    assert_eq!(counter.balance().await, [100, 0, 60, 40, 0]);

    for points in [json!(0), json!(21)] {
        let body = json!({ "points": points });
        let refused = counter.capture(part, &body).await;
        expects(&refused, 422, "field_invalid", "1 to 20");
    }
    let spent = counter.capture(whole, &json!({})).await.expect(200);
    assert_eq!(
        (&spent["state"], &spent["captured"]),
        (&json!("done"), &json!(30))
    );
    let spent = counter
        .capture(part, &json!({ "points": 5 }))
        .await
        .expect(200);
    assert_eq!(
        (&spent["state"], &spent["captured"]),
        (&json!("done"), &json!(5))
    );
    let gone = counter.release(back).await.expect(200);
    assert_eq!(gone["state"], "released");
    assert!(gone.get("captured").is_none());
    assert_eq!(counter.balance().await, [65, 0, 0, 65, 0]);

    // Twice is once; anything else is told how things stand.
    assert_eq!(
        counter
            .capture(part, &json!({ "points": 5 }))
            .await
            .expect(200),
        spent
    );
    assert_eq!(counter.release(back).await.expect(200), gone);
    for other in [json!({}), json!({ "points": 6 })] {
        let refused = counter.capture(part, &other).await;
        expects(
            &refused,
            409,
            "points_transaction_state_conflict",
            "held; it is done",
        );
    }
    let refused = counter.release(whole).await;
    expects(
        &refused,
        409,
        "points_transaction_state_conflict",
        "held; it is done",
    );
    let refused = counter.capture(back, &json!({})).await;
    expects(
        &refused,
        409,
        "points_transaction_state_conflict",
        "held; it is released",
    );
    // What was asked for first is still answered, with what became of it.
    let again = counter.ask("holds", 10, "back").await.expect(200);
    assert_eq!(again["state"], "released");
    // A redemption at once is no hold, and neither is an award.
    let award = counter.award(1, "b").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    counter
        .capture(award, &json!({}))
        .await
        .refused(409, "points_transaction_state_conflict");
    counter
        .release(award)
        .await
        .refused(409, "points_transaction_state_conflict");
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_expires_when_its_time_has_passed() {
    let counter = Counter::at(TestApp::without_jobs().await).await;
    counter.award(100, "a").await;
    let (over, lasting) = (
        counter.hold(30, "over").await,
        counter.hold(20, "lasting").await,
    );
    let captured = counter.hold(10, "captured").await;
    counter.capture(captured, &json!({})).await.expect(200);
    counter.age(over).await;
    // Nobody has looked yet, and still nothing can be spent.
    let refused = counter.capture(over, &json!({})).await;
    expects(
        &refused,
        409,
        "points_transaction_state_conflict",
        "held; it is expired",
    );

    let db = counter.app.db();
    assert!(jobs::holds_round(db).await.unwrap());
    assert!(!jobs::holds_round(db).await.unwrap(), "nothing more is due");
    assert_eq!(counter.balance().await, [90, 0, 20, 70, 0]);
    for refused in [
        counter.capture(over, &json!({})).await,
        counter.release(over).await,
    ] {
        expects(
            &refused,
            409,
            "points_transaction_state_conflict",
            "held; it is expired",
        );
    }
    // A job that comes too late, or for what has not timed out, does nothing.
    let tenant = counter.app.tenant.id;
    assert!(points::time_out(db, tenant, over).await.unwrap());
    assert!(!points::time_out(db, tenant, captured).await.unwrap());
    assert!(!points::time_out(db, tenant, lasting).await.unwrap());
    assert_eq!(counter.balance().await, [90, 0, 20, 70, 0]);
    counter.app.finish().await;
}

/// Two processes look at the same time, and one that had taken a hold died: it falls due again.
#[tokio::test(flavor = "multi_thread")]
async fn holds_are_ended_by_whoever_looks_and_once() {
    let counter = Counter::at(TestApp::without_jobs().await).await;
    counter.award(1_000, "a").await;
    let mut holds = Vec::new();
    for index in 0..20 {
        holds.push(counter.hold(10, &format!("h{index}")).await);
    }
    for hold in &holds {
        counter.age(*hold).await;
    }
    let taken = points::claim_expired_holds(counter.app.db()).await.unwrap();
    assert_eq!(taken.len(), 20);
    let other = counter.app.another_db().await;
    assert!(!jobs::holds_round(&other).await.unwrap(), "they are taken");
    for hold in &holds {
        counter.age(*hold).await; // whoever took them is dead, and its time is up
    }
    let (one, another) = tokio::join!(
        jobs::holds_round(counter.app.db()),
        jobs::holds_round(&other)
    );
    assert!(one.unwrap() || another.unwrap());
    assert_eq!(counter.balance().await, [1_000, 0, 0, 1_000, 0]);
    let ended = counter
        .app
        .count("SELECT COUNT(*) FROM points_transactions WHERE state = 4")
        .await;
    assert_eq!(ended, 20);
    other.close().await;
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_ends_holds_by_itself() {
    let counter = Counter::open().await;
    counter.award(10, "a").await;
    let hold = counter.hold(10, "h").await;
    counter.age(hold).await;
    eventually("the hold has timed out", || async {
        (counter.balance().await == [10, 0, 0, 10, 0]).then_some(())
    })
    .await;
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_are_gone_at_the_turn_of_their_day_and_the_soonest_are_spent_first() {
    let counter = Counter::without_jobs().await;
    grant_expired(&counter, 40).await;
    counter.award_until(30, "late", &today_plus(20)).await;
    counter.award_until(20, "soon", &today_plus(5)).await;
    assert_eq!(counter.balance().await, [90, 0, 0, 50, 0]);
    for what in ["deductions", "redemptions", "holds"] {
        let refused = counter.ask(what, 51, "r").await;
        expects(&refused, 409, "points_insufficient", "at most 50");
    }
    let hold = counter.hold(50, "h").await;
    assert_eq!(counter.balance().await, [90, 0, 50, 0, 0]);
    counter.release(hold).await.expect(200);
    counter.app.finish().await;
}
