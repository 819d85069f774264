//! Points that risk holds for a review: the money does not wait, the points do, and whoever
//! decides, they are decided once.

mod crash;
mod damage;
mod processes;
mod queue;
mod refunds;
mod settle;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use zhangfang::{
    facts::{Facts, Stage},
    jobs, outbox,
    outbox::Event,
    payments::PointsReview,
    points::PointsMove,
    primitives::{OrderId, OrderNo, Points, ReviewId},
    risk::{Action, ReviewPolicy, Risk, TimeoutDecision},
};

use crate::{
    harness::{ApiAnswer, Caller, TestApp},
    refund_core::RefundSetup,
};

/// A merchant whose payments are judged as the test says.
pub(crate) struct Bench {
    pub(crate) setup: RefundSetup,
    says: Arc<Mutex<Action>>,
    of_creation: Arc<Mutex<Action>>,
    of_refunds: Arc<Mutex<Action>>,
    asked: Arc<Mutex<Vec<Facts>>>,
}

impl Bench {
    /// Risk wants everything reviewed, until the test says something else.
    pub(crate) async fn open() -> Self {
        Self::with(ReviewPolicy::default()).await
    }

    pub(crate) async fn with(terms: ReviewPolicy) -> Self {
        let says = Arc::new(Mutex::new(Action::Review));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (word, seen) = (Arc::clone(&says), Arc::clone(&asked));
        let of_creation = Arc::new(Mutex::new(Action::Allow));
        let of_refunds = Arc::new(Mutex::new(Action::Allow));
        let (first_word, last_word) = (Arc::clone(&of_creation), Arc::clone(&of_refunds));
        let risk = Risk::fixed(Arc::new(move |facts: &Facts| {
            match facts.stage {
                Stage::PointsCredit => {}
                Stage::PaymentCreate => return *first_word.lock().unwrap(),
                Stage::Refund => return *last_word.lock().unwrap(),
                Stage::Login | Stage::Redeem => return Action::Allow,
            }
            seen.lock().unwrap().push(facts.clone());
            *word.lock().unwrap()
        }));
        let setup =
            RefundSetup::at(TestApp::with_risk_without_jobs(risk.with_review_policy(terms)).await)
                .await;
        Self {
            setup,
            says,
            of_creation,
            of_refunds,
            asked,
        }
    }

    /// What risk says when an order is made: at first, that it is allowed.
    pub(crate) fn says_of_creation(&self, action: Action) {
        *self.of_creation.lock().unwrap() = action;
    }

    /// What risk says of a refund: at first, that it is allowed.
    pub(crate) fn says_of_refunds(&self, action: Action) {
        *self.of_refunds.lock().unwrap() = action;
    }

    pub(crate) fn says(&self, action: Action) {
        *self.says.lock().unwrap() = action;
    }

    pub(crate) fn asked(&self) -> Vec<Facts> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn app(&self) -> &TestApp {
        &self.setup.app
    }

    pub(crate) async fn finish(self) {
        Box::pin(self.setup.app.finish()).await;
    }

    /// What the customer reads of a payment.
    pub(crate) async fn seen(&self, order: OrderId) -> Value {
        let path = format!("/api/v1/customer/payments/{}", OrderNo::from(order));
        self.setup.customer.get(&path).await.expect(200)
    }

    /// What the customer has: posted, available and pending points.
    pub(crate) async fn points(&self) -> (i64, i64, i64) {
        let has = self.setup.customer.get("/api/v1/customer/points").await;
        let has = has.expect(200);
        let of = |field: &str| has[field].as_i64().unwrap();
        (of("posted"), of("available"), of("pending"))
    }

    pub(crate) async fn review_of(&self, order: OrderId) -> Value {
        let path = path_of(order);
        self.app().admin().get(&path).await.expect(200)
    }

    pub(crate) async fn state(&self, order: OrderId) -> (String, Option<bool>) {
        let review = self.review_of(order).await;
        let state = review["state"].as_str().unwrap().to_owned();
        (state, review["released"].as_bool())
    }

    pub(crate) async fn approve(&self, order: OrderId, who: &str) -> ApiAnswer {
        let who = self.app().operator(who).keyed(&format!("approve-{who}"));
        approve(&who, order).await
    }

    pub(crate) async fn reject(&self, order: OrderId, who: &str) -> ApiAnswer {
        let path = format!("{}/reject", path_of(order));
        let who = self.app().operator(who).keyed(&format!("reject-{who}"));
        who.post(&path, &json!({ "note": "同一设备反复下单" }))
            .await
    }

    pub(crate) async fn claim(&self, order: OrderId, who: &str) -> ApiAnswer {
        let path = format!("{}/claim", path_of(order));
        self.app().operator(who).post(&path, &json!({})).await
    }

    pub(crate) async fn order_says(&self, order: OrderId) -> PointsReview {
        self.setup.order(order).await.review
    }

    /// The job looks once, after every time-out is over.
    pub(crate) async fn time_is_over(&self) {
        self.time_runs_out().await;
        self.round().await;
    }

    /// Every time-out is over.
    pub(crate) async fn time_runs_out(&self) {
        self.app()
            .execute("UPDATE risk_reviews SET due_at = created_at WHERE due_at IS NOT NULL")
            .await;
    }

    /// The job looks once.
    pub(crate) async fn round(&self) {
        let payments = self.app().app.payments();
        jobs::reviews_round(payments).await.unwrap();
    }

    /// Every movement of points that was told, in the order of one committer, with how many.
    pub(crate) async fn moves(&self) -> Vec<(PointsMove, i64)> {
        let commits: Vec<(Vec<u8>,)> =
            sqlx::query_as("SELECT events FROM commits ORDER BY committed_at, committer, seq")
                .fetch_all(self.app().db().pool())
                .await
                .unwrap();
        let mut moves = Vec::new();
        for (events,) in commits {
            for event in outbox::unpack(&events).unwrap() {
                if let Event::PointsMoved {
                    what,
                    points,
                    source,
                    rule_version,
                    ..
                } = event
                {
                    assert_eq!((source.as_str(), rule_version), ("payment", 1));
                    moves.push((PointsMove::from_code(what).unwrap(), points.get()));
                }
            }
        }
        moves
    }
}

pub(crate) fn path_of(order: OrderId) -> String {
    format!("/api/v1/admin/risk/reviews/{}", ReviewId::of(order.id()))
}

pub(crate) async fn approve(who: &Caller, order: OrderId) -> ApiAnswer {
    let path = format!("{}/approve", path_of(order));
    who.post(&path, &json!({ "note": "已核对小票" })).await
}

pub(crate) fn on_timeout(then: TimeoutDecision) -> ReviewPolicy {
    ReviewPolicy {
        on_timeout: then,
        ..ReviewPolicy::default()
    }
}

pub(crate) fn two_above(points: i64) -> ReviewPolicy {
    ReviewPolicy {
        second_person_above: Points::parse(points).unwrap(),
        ..ReviewPolicy::default()
    }
}
