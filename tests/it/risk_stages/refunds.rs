//! Who may give money back alone.

use std::sync::Arc;

use serde_json::json;
use wechat_pay_simulator::Payment;
use zhangfang::{
    facts::Stage,
    payments::{self, CloseBy, LatePayment},
    primitives::{Money, OrderNo},
    risk::Action,
};

use super::{RiskSetup, blocked};
use crate::harness::{Channel, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_blocked_or_awaits_a_second_person() {
    let setup = RiskSetup::open().await;
    let no = setup
        .app
        .pay(&setup.customer, &setup.merchant.code, 1_000, "k")
        .await;
    setup.says(Stage::Refund, Action::Block);
    let decision = blocked(&setup.refund(&no, 300, "r1").await);
    let refunds = "SELECT COUNT(*) FROM refunds";
    assert_eq!(setup.app.count(refunds).await, 0);
    let facts = setup.scripted.asked_at(Stage::Refund).pop().unwrap();
    assert_eq!(facts.customer, Some(setup.customer_id("li").await));
    assert_eq!(facts.amount, Some(Money::constant(300)));
    assert!(facts.merchant.is_some());
    // Another merchant's order does not exist for them, and risk hears nothing of it.
    let stranger = setup.app.merchant("隔壁", "1900000141").await;
    let path = format!("/api/v1/merchant/payments/{no}/refunds");
    let body = json!({ "amount_fen": 300, "reason": "不想要了" });
    let refused = stranger.owner.keyed("r1").post(&path, &body).await;
    refused.refused(404, "order_not_found");
    assert_eq!(setup.scripted.asked_at(Stage::Refund).len(), 1);

    // A small one, which the owner would make alone.
    for (key, action) in [("r2", Action::Review), ("r3", Action::Verify)] {
        setup.says(Stage::Refund, action);
        let made = setup.refund(&no, 100, key).await.expect(201);
        assert_eq!(made["state"], "awaiting_approval");
        let refund_no = made["refund_no"].as_str().unwrap();
        let path = format!("/api/v1/admin/refunds/{refund_no}/approve");
        let agreed = setup.app.admin().keyed(key).post(&path, &json!({})).await;
        assert_ne!(agreed.expect(200)["state"], "awaiting_approval");
        // Now risk would stop it; it was made before.
        setup.says(Stage::Refund, Action::Block);
        let again = setup.refund(&no, 100, key).await.expect(201);
        assert_eq!(again["refund_no"], refund_no);
    }
    setup.says(Stage::Refund, Action::Allow);
    let made = setup.refund(&no, 100, "r4").await.expect(201);
    assert_ne!(made["state"], "awaiting_approval");
    let decisions = setup.decisions(Stage::Refund).await;
    let actions: Vec<_> = decisions.iter().map(|(_, action)| *action).collect();
    assert_eq!(
        actions,
        [Action::Block, Action::Review, Action::Verify, Action::Allow]
    );
    assert_eq!(decisions[0].0, decision);
    let of_refunds = "SELECT COUNT(*) FROM refunds r JOIN risk_decisions d ON d.id = CONCAT(LEFT(r.id, 15), x'05')";
    assert_eq!(setup.app.count(of_refunds).await, 3);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_own_refund_of_a_late_payment_is_not_asked_about() {
    let setup = RiskSetup::open().await;
    setup
        .app
        .set_policy(|terms| terms.late_payment = LatePayment::Refund)
        .await;
    setup.says(Stage::Refund, Action::Block);
    let no = setup
        .app
        .create(&setup.customer, &setup.merchant.code, 900, "k")
        .await;
    // Closed here, and not at WeChat: there it can still be paid.
    let order = no.parse::<OrderNo>().unwrap().id();
    let here = setup.app.through(&Arc::new(Channel::default()));
    payments::close_payment(&here, setup.app.tenant.id, order, CloseBy::Customer)
        .await
        .unwrap();
    setup
        .app
        .simulator
        .pay(&no, Payment::clean())
        .await
        .unwrap();
    eventually("the money goes back", || async {
        let sql = "SELECT COUNT(*) FROM refunds WHERE late = 1";
        (setup.app.count(sql).await == 1).then_some(())
    })
    .await;
    assert!(setup.scripted.asked_at(Stage::Refund).is_empty());
    setup.app.finish().await;
}
