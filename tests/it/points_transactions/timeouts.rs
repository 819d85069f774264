//! Time decides: points transactions under review that nobody looked at, and holds that were under
//! review.

use std::sync::Arc;

use zhangfang::{
    facts::{Facts, Stage},
    jobs,
    points::{self, PointsTransactionState},
    primitives::{Clock as _, MockClock, PointsTransactionId, SystemClock},
    risk::{Action, ReviewPolicy, Risk, TimeoutDecision},
};

use super::{Counter, today_plus};
use crate::harness::TestApp;

/// Without jobs. From 500 points on everything is reviewed, and after its time-out decided so.
async fn counter(then: TimeoutDecision) -> Counter {
    Counter::at(TestApp::with_risk_without_jobs(judging(then)).await).await
}

fn judging(then: TimeoutDecision) -> Risk {
    let risk = Risk::fixed(Arc::new(|facts: &Facts| match facts.points {
        Some(points) if points.get() >= 500 => Action::Review,
        Some(_) | None => Action::Allow,
    }));
    let terms = ReviewPolicy {
        on_timeout: then,
        ..ReviewPolicy::default()
    };
    risk.with_review_policy(terms)
}

impl Counter {
    async fn under_review(&self, what: &str, points: i64) -> PointsTransactionId {
        let transaction = self.ask(what, points, what).await.expect(201);
        assert_eq!(transaction["state"], "under_review");
        transaction["id"].as_str().unwrap().parse().unwrap()
    }

    /// Both jobs look once. Whether either found anything to do.
    async fn rounds(&self) -> [bool; 2] {
        let payments = self.app.app.payments();
        [
            jobs::reviews_round(payments).await.unwrap(),
            jobs::holds_round(self.app.db()).await.unwrap(),
        ]
    }

    async fn time_of_reviews_is_over(&self) {
        self.app
            .execute("UPDATE risk_reviews SET due_at = created_at WHERE due_at IS NOT NULL")
            .await;
    }

    async fn state(&self, transaction: PointsTransactionId) -> PointsTransactionState {
        let transaction =
            points::find_points_transaction(self.app.db(), self.app.tenant.id, transaction).await;
        transaction.unwrap().unwrap().state
    }
}

const LAPSED: &str = "SELECT COUNT(*) FROM risk_reviews v JOIN points_transactions d ON d.id = CONCAT(SUBSTR(v.id, 1, 15), x'00') \
                      WHERE v.decided_by = 'timeout' AND v.due_at IS NULL AND (v.state = 5 AND d.state IN (1, 2) OR v.state = 6 AND d.state = 6)";

#[tokio::test(flavor = "multi_thread")]
async fn reviews_that_time_out_refuse_and_nothing_is_left_pending() {
    let counter = counter(TimeoutDecision::Reject).await;
    for index in 0..6 {
        counter.award(400, &format!("a{index}")).await;
    }
    let award = counter.under_review("awards", 500).await;
    let redemption = counter.under_review("redemptions", 600).await;
    // The hold's own time passes first: it does not run while nobody has said that it is one.
    let hold = counter.under_review("holds", 700).await;
    counter
        .app
        .execute(
            "UPDATE points_transactions SET hold_until = created_at WHERE hold_until IS NOT NULL",
        )
        .await;
    assert_eq!(counter.balance().await, [2_400, 500, 1_300, 1_100, 0]);
    assert_eq!(counter.rounds().await, [false, false], "nothing is due");
    counter.time_of_reviews_is_over().await;
    assert_eq!(counter.rounds().await, [true, false]);
    for transaction in [award, redemption, hold] {
        assert_eq!(
            counter.state(transaction).await,
            PointsTransactionState::Refused
        );
    }
    assert_eq!(counter.balance().await, [2_400, 0, 0, 2_400, 0]);
    assert_eq!(counter.app.count(LAPSED).await, 3);
    // It stays timed out.
    assert_eq!(counter.rounds().await, [false, false]);
    let stages: Vec<String> = reviews_of(&counter, Stage::Redeem).await;
    assert_eq!(stages, ["timed_out", "timed_out"]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_that_time_out_release_and_a_hold_begins_then_and_ends_in_its_time() {
    let counter = counter(TimeoutDecision::Approve).await;
    for index in 0..6 {
        counter.award(400, &format!("a{index}")).await;
    }
    let award = counter.under_review("awards", 500).await;
    let redemption = counter.under_review("redemptions", 600).await;
    let hold = counter.under_review("holds", 700).await;
    counter
        .app
        .execute("UPDATE risk_reviews SET due_at = created_at WHERE due_at IS NOT NULL")
        .await;
    assert_eq!(counter.rounds().await, [true, false]);
    assert_eq!(counter.state(award).await, PointsTransactionState::Done);
    assert_eq!(
        counter.state(redemption).await,
        PointsTransactionState::Done
    );
    assert_eq!(counter.state(hold).await, PointsTransactionState::Held);
    // 2,400 and the award, less the 600 that are spent; 700 held.
    assert_eq!(counter.balance().await[..3], [2_300, 0, 700]);
    assert_eq!(counter.app.count(LAPSED).await, 3);
    assert_eq!(counter.rounds().await, [false, false], "the hold has begun");

    counter.age(hold).await;
    assert_eq!(counter.rounds().await, [false, true]);
    assert_eq!(counter.state(hold).await, PointsTransactionState::Expired);
    assert_eq!(counter.balance().await[..3], [2_300, 0, 0]);
    assert_eq!(counter.rounds().await, [false, false]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_that_has_expired_when_its_review_is_released_repays_nothing() {
    let clock = Arc::new(MockClock::at(SystemClock.now()));
    let risk = judging(TimeoutDecision::Approve);
    let counter = Counter::at(TestApp::with_risk_on_clock(clock.clone(), risk).await).await;
    let mut body = counter.body(900, "soon");
    body["last_usable_on"] = today_plus(0).into();
    let path = "/api/v1/open/points/awards";
    counter.crm.post(path, &body).await.expect(201);
    clock.advance_seconds(2 * 86_400);
    counter.time_of_reviews_is_over().await;
    assert_eq!(counter.rounds().await, [true, false]);
    let standing = points::balance(counter.app.db(), counter.app.tenant.id, counter.id).await;
    let standing = standing.unwrap();
    assert_eq!(
        (standing.posted.get(), standing.available.get()),
        (900, 0),
        "the next sweep takes them"
    );
    counter.app.finish().await;
}

/// The states of the reviews of a stage, as people read them.
async fn reviews_of(counter: &Counter, stage: Stage) -> Vec<String> {
    let path = format!("/api/v1/admin/risk/reviews?stage={stage}");
    let page = counter.app.admin().get(&path).await.expect(200);
    let items = page["items"].as_array().unwrap();
    let word = |item: &serde_json::Value| item["state"].as_str().unwrap().to_owned();
    items.iter().map(word).collect()
}
