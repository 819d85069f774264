//! A merchant that is suspended: nothing is collected for it any more, and none of its people sends
//! money on its way.

use serde_json::{Value, json};
use wechat_pay_simulator::{Fault, Payment};
use zhangfang::payments::{claim_watches, reconcile_order};

use crate::{
    harness::{Merchant, TestApp, eventually},
    refunds::{ask, clerk, policy, set_policy, text},
};

async fn suspend(app: &TestApp, merchant: &Merchant) {
    let profile = merchant
        .owner
        .get("/api/v1/merchant/profile")
        .await
        .expect(200);
    let path = format!("/api/v1/admin/merchants/{}/suspend", text(&profile, "id"));
    let because = json!({ "reason": "投诉" });
    app.admin()
        .keyed("suspend")
        .post(&path, &because)
        .await
        .expect(200);
}

async fn why_it_ended(app: &TestApp, order_no: &str) -> Value {
    zhangfang::jobs::drain(app.db()).await.unwrap();
    let path = format!("/api/v1/admin/payments/{order_no}/history");
    let history = app.admin().get(&path).await.expect(200);
    history["timeline"].as_array().unwrap().last().unwrap()["why"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_merchants_open_orders_are_closed_and_only_the_tenant_gives_money_back() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000173").await;
    let li = app.customer("li").await;
    let paid = app.pay(&li, &merchant.code, 5_000, "paid").await;
    let unpaid = app.create(&li, &merchant.code, 1_000, "unpaid").await;
    let unnotified = app.create(&li, &merchant.code, 2_000, "unnotified").await;
    app.simulator
        .pay(&unnotified, Payment::with([Fault::Lost]))
        .await
        .unwrap();
    set_policy(&app, &policy(100, 500_000, "debt")).await;
    let clerk = clerk(&app, &merchant).await;
    let waiting = ask(&clerk, &paid, "merchant", 200, "waits").await;
    assert_eq!(waiting["state"], "awaiting_approval");

    suspend(&app, &merchant).await;

    // Whatever was paid before WeChat closed it counts; the rest is closed there and here.
    app.settled(&li, &unnotified).await;
    let path = format!("/api/v1/customer/payments/{unpaid}");
    eventually("the open order is closed", || async {
        (li.get(&path).await.expect(200)["state"] == "closed").then_some(())
    })
    .await;
    assert_eq!(why_it_ended(&app, &unpaid).await, "merchant_suspended");

    let refunds = format!("/api/v1/merchant/payments/{paid}/refunds");
    let body = json!({ "amount_fen": 50, "reason": "缺货" });
    for who in [&merchant.owner, &clerk] {
        who.keyed("after")
            .post(&refunds, &body)
            .await
            .refused(403, "merchant_suspended");
    }
    let waiting = format!("/api/v1/merchant/refunds/{}", text(&waiting, "refund_no"));
    merchant
        .owner
        .keyed("agree")
        .post(&format!("{waiting}/approve"), &json!({}))
        .await
        .refused(403, "merchant_suspended");
    let rejected = merchant
        .owner
        .keyed("reject")
        .post(&format!("{waiting}/reject"), &json!({ "reason": "暂停" }))
        .await
        .expect(200);
    assert_eq!(rejected["state"], "rejected");
    ask(&app.admin(), &paid, "admin", 50, "by-the-tenant").await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_not_expedited_is_closed_when_its_watch_is_due() {
    let app = TestApp::without_jobs().await;
    let merchant = app.merchant("茶里巷", "1900000174").await;
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 1_000, "k").await;
    suspend(&app, &merchant).await;
    // Its turn has come at once.
    let due = "SELECT COUNT(*) FROM order_watches WHERE due_at <= UTC_TIMESTAMP(6)";
    assert_eq!(app.count(due).await, 1);
    // As if the process had died between the suspension and the spur, and the order's turn had
    // come.
    app.execute("DELETE FROM order_watches").await;
    app.execute("INSERT INTO order_watches (order_id, tenant_id, due_at, queries) SELECT id, tenant_id, NOW(6) - INTERVAL 1 DAY, 0 FROM payment_orders WHERE state IN (1, 2)")
        .await;
    // Nobody gets a prepay id for it meanwhile.
    let body = json!({ "code": merchant.code, "amount_fen": 1_000 });
    li.keyed("k")
        .post("/api/v1/customer/payments", &body)
        .await
        .refused(409, "merchant_not_active");
    let payments = app.app.payments();
    for watch in claim_watches(payments).await.unwrap() {
        reconcile_order(payments, watch).await.unwrap();
    }
    assert_eq!(why_it_ended(&app, &order_no).await, "merchant_suspended");
    app.finish().await;
}
