//! A debt beside points that are held: whatever makes them free repays it, and everybody is told
//! one number.

use std::sync::Arc;

use serde_json::json;
use wechat_pay_simulator::Faults;
use zhangfang::{
    facts::Facts,
    jobs,
    payments::PointsShortfall,
    primitives::PointsTransactionId,
    risk::{Action, Risk},
};

use super::{Counter, expects, reviews::decide};
use crate::harness::{TestApp, per_mille};

/// Twelve points of which eight are held, and a refund of all of them on its way: eight are
/// missing, and owed.
async fn owing(app: TestApp, sub_mchid: &str, what: &str) -> (Counter, PointsTransactionId) {
    let counter = Counter::at(app).await;
    counter
        .app
        .set_policy(|terms| terms.points_shortfall = PointsShortfall::Negative)
        .await;
    let merchant = counter.app.merchant("茶里巷", sub_mchid).await;
    let order_no = counter
        .app
        .pay(&counter.li, &merchant.code, 1_200, "k")
        .await;
    let held = counter.ask(what, 8, "h").await.expect(201);
    // Nobody tells of the refund, and nobody asks: it stays on its way.
    counter.app.simulator.set_faults(Faults {
        lost: per_mille(1_000),
        ..Faults::default()
    });
    let refunds = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let reason = json!({ "reason": "缺货" });
    let refund = merchant.owner.keyed("f").post(&refunds, &reason).await;
    refund.expect(201);
    assert_eq!(counter.shown().await, [12, 0, 20, -8, 8]);
    (counter, held["id"].as_str().unwrap().parse().unwrap())
}

impl Counter {
    /// What back ends are shown; it is what the customer is shown.
    async fn shown(&self) -> [i64; 5] {
        let shown = self.balance().await;
        let own = self.li.get("/api/v1/customer/points").await.expect(200);
        let own = ["posted", "pending", "held", "available", "debt"]
            .map(|name| own[name].as_i64().unwrap());
        assert_eq!(own, shown);
        shown
    }

    async fn cannot_spend(&self) {
        for what in ["deductions", "redemptions", "holds"] {
            let refused = self.ask(what, 1, "more").await;
            expects(&refused, 409, "points_insufficient", "at most 0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_released_repays_what_is_owed() {
    let (counter, hold) = owing(TestApp::without_jobs().await, "1900000175", "holds").await;
    counter.cannot_spend().await;
    counter.release(hold).await.expect(200);
    assert_eq!(counter.shown().await, [12, 0, 12, 0, 0]);
    counter.cannot_spend().await;
    // Once more it is the same release.
    counter.release(hold).await.expect(200);
    assert_eq!(counter.shown().await, [12, 0, 12, 0, 0]);
    let records = counter.li.get("/api/v1/customer/points/records").await;
    let records = records.expect(200);
    let newest = &records["items"][0];
    assert_eq!(
        (
            &newest["change_type"],
            &newest["points_change"],
            &newest["source"]
        ),
        (&json!("repay"), &json!(-8), &json!("merchant-crm")),
        "{records}"
    );
    counter.award(3, "a").await;
    assert_eq!(counter.shown().await, [15, 0, 12, 3, 0]);
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_part_of_a_hold_leaves_repays_what_is_owed() {
    let (counter, hold) = owing(TestApp::without_jobs().await, "1900000176", "holds").await;
    let one = json!({ "points": 1 });
    counter.capture(hold, &one).await.expect(200);
    assert_eq!(counter.shown().await, [11, 0, 12, -1, 1]);
    counter.cannot_spend().await;
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_whose_time_is_over_repays_what_is_owed() {
    let (counter, hold) = owing(TestApp::without_jobs().await, "1900000177", "holds").await;
    counter.age(hold).await;
    assert!(jobs::holds_round(counter.app.db()).await.unwrap());
    assert_eq!(counter.shown().await, [12, 0, 12, 0, 0]);
    counter.cannot_spend().await;
    counter.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redemption_that_a_review_refuses_repays_what_is_owed() {
    let risk = Risk::fixed(Arc::new(|facts: &Facts| match &facts.source {
        Some(_) if facts.points.is_some_and(|points| points.get() == 8) => Action::Review,
        Some(_) | None => Action::Allow,
    }));
    let app = TestApp::with_risk_without_jobs(risk).await;
    let (counter, transaction) = owing(app, "1900000178", "redemptions").await;
    let payments = counter.app.app.payments();
    decide(payments, counter.app.tenant.id, transaction, false)
        .await
        .unwrap();
    assert_eq!(counter.shown().await, [12, 0, 12, 0, 0]);
    counter.app.finish().await;
}
