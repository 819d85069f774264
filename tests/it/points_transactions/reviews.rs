//! What risk makes of points transactions: stopped, or pending until a person decides.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use zhangfang::{
    audit::Actor,
    facts::{Facts, Stage},
    payments::{self, DecideReview, Payments, ReviewCommand},
    points::{self, PointsTransaction, PointsTransactionState},
    primitives::{PointsTransactionId, ReviewId, TenantId},
    risk::{Action, ReviewError, ReviewRow, Risk},
};

use super::Counter;
use crate::harness::TestApp;

/// Decides by the number of points that a back end asks for: 666 are stopped, 500 and more
/// reviewed, 400 and more challenged.
fn by_points(asked: &Arc<AtomicUsize>) -> Risk {
    let asked = Arc::clone(asked);
    Risk::fixed(Arc::new(move |facts: &Facts| {
        // Logins and payments are judged, too.
        let Some(source) = &facts.source else {
            return Action::Allow;
        };
        asked.fetch_add(1, Ordering::SeqCst);
        assert!(matches!(facts.stage, Stage::PointsCredit | Stage::Redeem));
        assert!(facts.customer.is_some() && source == "merchant-crm");
        match facts.points.unwrap().get() {
            666 => Action::Block,
            500.. => Action::Review,
            400.. => Action::Verify,
            _ => Action::Allow,
        }
    }))
}

async fn counter() -> (Counter, Arc<AtomicUsize>) {
    let asked = Arc::default();
    let counter = Counter::at(TestApp::with_risk_without_jobs(by_points(&asked)).await).await;
    (counter, asked)
}

/// A person's word on the review of a points transaction.
pub(super) async fn decide(
    payments: &Payments,
    tenant: TenantId,
    transaction: PointsTransactionId,
    approve: bool,
) -> Result<ReviewRow, ReviewError> {
    let decision = DecideReview {
        tenant,
        id: ReviewId::of(transaction.id()),
        command: if approve {
            ReviewCommand::Approve(String::new())
        } else {
            ReviewCommand::Reject("no".into())
        },
        by: Actor::operator("lin"),
        claim: None,
    };
    payments::decide_review(payments, decision).await
}

impl Counter {
    async fn decide(
        &self,
        transaction: PointsTransactionId,
        approve: bool,
    ) -> Result<PointsTransaction, ReviewError> {
        decide(
            self.app.app.payments(),
            self.app.tenant.id,
            transaction,
            approve,
        )
        .await?;
        let transaction =
            points::find_points_transaction(self.app.db(), self.app.tenant.id, transaction).await;
        Ok(transaction.unwrap().unwrap())
    }

    /// Asks for what risk wants reviewed.
    async fn reviewed(&self, what: &str, points: i64, reference: &str) -> PointsTransactionId {
        let transaction = self.ask(what, points, reference).await.expect(201);
        assert_eq!(transaction["state"], "under_review");
        transaction["id"].as_str().unwrap().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_points_by_hand_does_not_let_them_in() {
    let risk = Risk::fixed(Arc::new(|facts: &Facts| match facts.stage {
        Stage::PointsCredit => Action::Review,
        Stage::Login | Stage::PaymentCreate | Stage::Redeem | Stage::Refund => Action::Allow,
    }));
    let counter = Counter::at(TestApp::with_risk_without_jobs(risk).await).await;
    let [lin, wang] = ["lin", "wang"].map(|name| counter.app.operator(name));
    let body = counter.body(50, "by-hand");
    let given = lin.post("/api/v1/open/points/awards", &body).await;
    let transaction = given.expect(201)["id"].as_str().unwrap().to_owned();
    let transaction: PointsTransactionId = transaction.parse().unwrap();
    let review = ReviewId::of(transaction.id());
    let approve = format!("/api/v1/admin/risk/reviews/{review}/approve");
    for key in ["one", "two"] {
        let word = lin.keyed(key).post(&approve, &json!({})).await;
        word.refused(403, "review_needs_second_person");
    }
    assert_eq!(counter.balance().await[0], 0);
    let word = wang.keyed("three").post(&approve, &json!({})).await;
    assert_eq!(word.expect(200)["state"], "approved");
    assert_eq!(counter.balance().await, [50, 0, 0, 50, 0]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_risk_stops_is_kept_refused_and_stays_so() {
    let (counter, asked) = counter().await;
    counter.award(100, "a").await;
    for what in ["awards", "redemptions"] {
        counter
            .ask(what, 666, "bad")
            .await
            .refused(403, "risk_blocked");
        counter
            .ask(what, 666, "bad")
            .await
            .refused(403, "risk_blocked");
        counter
            .ask(what, 1, "bad")
            .await
            .refused(422, "reference_reused");
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        3,
        "whoever repeats is not judged again"
    );
    assert_eq!(counter.balance().await, [100, 0, 0, 100, 0]);
    let decisions = "SELECT COUNT(*) FROM risk_decisions r JOIN points_transactions d ON d.id = CONCAT(SUBSTR(r.id, 1, 15), x'00') \
                     WHERE r.action = 3 AND d.state = 6 AND r.points = 666";
    assert_eq!(counter.app.count(decisions).await, 2);
    assert_eq!(
        counter
            .app
            .count("SELECT COUNT(*) FROM risk_decisions WHERE stage IN (3, 4)")
            .await,
        3
    );
    // What a back end may take away is nothing for risk.
    counter.ask("deductions", 100, "d").await.expect(201);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let list = counter
        .crm
        .get("/api/v1/open/points/transactions?state=refused")
        .await
        .expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_award_under_review_is_pending_until_it_is_credited_or_voided() {
    let (counter, _) = counter().await;
    let (good, bad) = (
        counter.reviewed("awards", 500, "good").await,
        counter.reviewed("awards", 400, "bad").await, // nobody there to answer a challenge
    );
    assert_eq!(counter.balance().await, [0, 900, 0, 0, 0]);
    counter
        .ask("redemptions", 1, "r")
        .await
        .refused(409, "points_insufficient");
    counter
        .release(good)
        .await
        .refused(409, "points_transaction_state_conflict");
    counter
        .capture(good, &json!({}))
        .await
        .refused(409, "points_transaction_state_conflict");

    assert_eq!(
        counter.decide(good, true).await.unwrap().state,
        PointsTransactionState::Done
    );
    assert_eq!(
        counter.decide(bad, false).await.unwrap().state,
        PointsTransactionState::Refused
    );
    for (transaction, approve) in [(good, true), (good, false), (bad, true), (bad, false)] {
        let again = counter.decide(transaction, approve).await;
        assert!(
            matches!(again, Err(ReviewError::AlreadyDecided(_))),
            "{again:?}"
        );
    }
    assert_eq!(counter.balance().await, [500, 0, 0, 500, 0]);
    // The reference still leads to it; a person, not risk, refused it.
    let again = counter.ask("awards", 400, "bad").await.expect(200);
    assert_eq!(again["state"], "refused");
    let words: Vec<_> = counter
        .li
        .get("/api/v1/customer/points/records")
        .await
        .expect(200)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["change_type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(words, ["voided", "credited", "held", "held"]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_credited_after_a_review_repay_a_debt() {
    let (counter, _) = counter().await;
    // Owed as a refund would have it: a shortfall, and taken back.
    let merchant = counter.app.merchant("茶里巷", "1900000175").await;
    let order_no = counter
        .app
        .pay(&counter.li, &merchant.code, 1_000, "k")
        .await;
    counter.ask("redemptions", 10, "r").await.expect(201);
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let refund = merchant
        .owner
        .keyed("f")
        .post(&refunds, &json!({ "reason": "缺货" }))
        .await;
    refund.expect(201);
    let award = counter.reviewed("awards", 500, "a").await;
    let [_, pending, .., debt] = counter.balance().await;
    assert_eq!((pending, debt), (500, 10), "what is pending repays nothing");
    counter.decide(award, true).await.unwrap();
    let [_, pending, _, available, debt] = counter.balance().await;
    assert_eq!((pending, available, debt), (0, 490, 0));
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redemption_under_review_is_held() {
    let (counter, _) = counter().await;
    for index in 0..8 {
        counter.award(399, &format!("a{index}")).await;
    }
    let spent = counter.reviewed("redemptions", 500, "spent").await;
    let stopped = counter.reviewed("redemptions", 600, "stopped").await;
    let (held, dropped) = (
        counter.reviewed("holds", 700, "held").await,
        counter.reviewed("holds", 800, "dropped").await,
    );
    assert_eq!(counter.balance().await, [3_192, 0, 2_600, 592, 0]);
    counter
        .capture(held, &json!({}))
        .await
        .refused(409, "points_transaction_state_conflict");
    assert_eq!(
        counter.decide(spent, true).await.unwrap().state,
        PointsTransactionState::Done
    );
    counter.decide(stopped, false).await.unwrap();
    counter.decide(dropped, false).await.unwrap();
    let held = counter.decide(held, true).await.unwrap();
    assert_eq!(held.state, PointsTransactionState::Held);
    assert_eq!(counter.balance().await, [2_692, 0, 700, 1_992, 0]);
    counter
        .capture(held.id, &json!({ "points": 300 }))
        .await
        .expect(200);
    assert_eq!(counter.balance().await, [2_392, 0, 0, 2_392, 0]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_who_decide_at_once_decide_once() {
    let (counter, _) = counter().await;
    let other = counter.app.another_db().await;
    for index in 0..12 {
        let transaction = counter.reviewed("awards", 500, &format!("a{index}")).await;
        let tenant = counter.app.tenant.id;
        let elsewhere = Payments {
            db: other.clone(),
            ..counter.app.app.payments().clone()
        };
        let (one, another) = tokio::join!(
            decide(counter.app.app.payments(), tenant, transaction, true),
            decide(&elsewhere, tenant, transaction, false)
        );
        let (one, another) = (one.is_ok(), another.is_ok());
        assert!(one ^ another, "exactly one of them");
    }
    other.close().await;
    counter.app.finish().await;
}
