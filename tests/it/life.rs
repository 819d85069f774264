//! An order's life beyond "paid": no callback, the end of its time, prepay ids that grow old, a
//! merchant that shows a code, a tenant that collects for itself.

use serde_json::json;
use wechat_pay_simulator::{CallFault, Endpoint, Fault, Payment, openid_for};

use crate::harness::{TestApp, eventually};

async fn state_at_wechat(app: &TestApp, order_no: &str) -> String {
    let url = format!("{}sim/orders?limit=10000", app.simulator.base_url());
    let orders: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let orders = orders["orders"].as_array().unwrap();
    let order = orders
        .iter()
        .find(|order| order["out_trade_no"] == order_no);
    order.unwrap()["trade_state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_callback_is_lost_is_found_by_asking() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000160").await;
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 1000, "k").await;
    app.simulator
        .pay(&order_no, Payment::with([Fault::Lost]))
        .await
        .unwrap();
    // Nobody asks but the job.
    let order = app.settled(&li, &order_no).await;
    assert_eq!(order["points_earned"], 10);
    eventually("nothing is watched any more", || async {
        (app.count("SELECT COUNT(*) FROM order_watches").await == 0).then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_time_is_over_is_closed_at_wechat_and_here() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000161").await;
    let li = app.customer("li").await;
    let unpaid = app.create(&li, &merchant.code, 1000, "unpaid").await;
    let paid = app.create(&li, &merchant.code, 2000, "paid").await;
    app.simulator
        .pay(&paid, Payment::with([Fault::Lost]))
        .await
        .unwrap();
    // Somebody enters the password just then, and the first answer to the close is lost.
    app.simulator.set_paying(&unpaid, true).unwrap();
    app.simulator
        .force_call(Endpoint::Close, &unpaid, CallFault::CommitThenCut);
    app.execute("UPDATE payment_orders SET expires_at = NOW(6) - INTERVAL 1 MINUTE")
        .await;
    app.settled(&li, &paid).await;
    app.simulator.set_paying(&unpaid, false).unwrap();
    let path = format!("/api/v1/customer/payments/{unpaid}");
    eventually("the order expires", || async {
        (li.get(&path).await.expect(200)["state"] == "expired").then_some(())
    })
    .await;
    assert_eq!(state_at_wechat(&app, &unpaid).await, "CLOSED");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_prepay_id_is_renewed_under_the_same_number() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000162").await;
    let li = app.customer("li").await;
    let body = json!({ "code": merchant.code, "amount_fen": 1000 });
    let create = || async {
        let made = li
            .keyed("k")
            .post("/api/v1/customer/payments", &body)
            .await
            .expect(201);
        (
            made["order_no"].clone(),
            made["wechat_pay"]["package"].clone(),
        )
    };
    let first = create().await;
    assert_eq!(create().await, first, "one prepay id while it lasts");
    app.execute("UPDATE payment_orders SET prepaid_at = NOW(6) - INTERVAL 3 HOUR")
        .await;
    // The merchant has a new name; what WeChat compares is the order's own.
    app.execute("UPDATE merchants SET name = '另一个名字'")
        .await;
    let again = create().await;
    assert_eq!(again.0, first.0, "the same order");
    assert_ne!(again.1, first.1, "a fresh prepay id");
    let order_no = first.0.as_str().unwrap();
    app.simulator.pay(order_no, Payment::clean()).await.unwrap();
    app.settled(&li, order_no).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_scans_the_merchants_picture_pays_and_gets_the_points() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000163").await;
    let request = json!({ "amount_fen": 1500 });
    let shown = merchant
        .owner
        .keyed("show")
        .post("/api/v1/merchant/payments", &request)
        .await
        .expect(201);
    let again = merchant
        .owner
        .keyed("show")
        .post("/api/v1/merchant/payments", &request)
        .await
        .expect(201);
    assert_eq!(again["order_no"], shown["order_no"]);
    let order_no = shown["order_no"].as_str().unwrap();
    // WeChat's address lasts for two hours, and an order may be open for longer: a dead one is not
    // shown, and the same key renews it.
    let picture = format!("/api/v1/merchant/payments/{order_no}/code.svg");
    assert_eq!(merchant.owner.get(&picture).await.status, 200);
    app.execute("UPDATE payment_orders SET prepaid_at = NOW(6) - INTERVAL 3 HOUR")
        .await;
    merchant
        .owner
        .get(&picture)
        .await
        .refused(409, "payment_code_absent");
    let again = merchant
        .owner
        .keyed("show")
        .post("/api/v1/merchant/payments", &request)
        .await
        .expect(201);
    assert_eq!(again["order_no"], shown["order_no"]);
    assert_ne!(again["code_url"], shown["code_url"]);
    assert_eq!(merchant.owner.get(&picture).await.status, 200);
    let code_url = again["code_url"].as_str().unwrap();
    assert!(code_url.starts_with("weixin://"), "{code_url}");
    app.simulator
        .pay_native(code_url, &openid_for("wang"), Payment::with([Fault::Twin]))
        .await
        .unwrap();
    let path = format!("/api/v1/merchant/payments/{order_no}");
    eventually("the merchant sees the money", || async {
        (merchant.owner.get(&path).await.expect(200)["state"] == "paid").then_some(())
    })
    .await;
    // Who paid comes in for the first time now, and the points are there.
    let wang = app.customer("wang").await;
    let points = wang.get("/api/v1/customer/points").await.expect(200);
    assert_eq!(points["posted"], 15);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_collects_for_itself_is_paid_and_refunds() {
    let app = TestApp::direct().await;
    let own = app.simulator.credentials().sp_mchid.clone();
    let merchant = app.merchant("自营店", &own).await;
    let other = app
        .admin()
        .keyed("other")
        .post(
            "/api/v1/admin/merchants/me_00000000000000000000000000000000/approve",
            &json!({ "sub_mchid": "1900000109" }),
        )
        .await;
    other.refused(422, "field_invalid");
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 1000, "k").await;
    app.simulator
        .pay(&order_no, Payment::clean())
        .await
        .unwrap();
    app.settled(&li, &order_no).await;
    let refund = merchant
        .owner
        .keyed("r")
        .post(
            &format!("/api/v1/merchant/payments/{order_no}/refunds"),
            &json!({ "reason": "退货" }),
        )
        .await
        .expect(201);
    let path = format!(
        "/api/v1/merchant/refunds/{}",
        refund["refund_no"].as_str().unwrap()
    );
    eventually("the refund arrives", || async {
        (merchant.owner.get(&path).await.expect(200)["state"] == "succeeded").then_some(())
    })
    .await;
    app.finish().await;
}
