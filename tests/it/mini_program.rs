//! The mini-program's calls against the simulated WeChat: tokens, reports, messages and codes as
//! WeChat takes them.

use serde_json::{Value, json};
use wechat_pay_simulator::openid_for;

use crate::harness::{TestApp, eventually};

/// Real ids of templates have 43 characters, and the simulator knows no others.
const TEMPLATE: &str = "0123456789012345678901234567890123456789abc";

async fn set(app: &TestApp, shipping: &str) {
    let settings = json!({
        "shipping": shipping,
        "payment_message": {
            "template_id": TEMPLATE,
            "fields": {
                "merchant": "thing1", "amount": "amount2", "at": "time3",
                "order_no": "character_string4", "points": "number5",
            },
        },
        "message_page": "pages/order/index",
        "code_page": "pages/pay/index",
    });
    let path = "/api/v1/admin/delivery-settings";
    app.admin().put(path, &settings).await.expect(200);
}

/// Waits for the one delivery of this kind to get there.
async fn reached(app: &TestApp, kind: &str, state: &str) -> Value {
    let path = format!("/api/v1/admin/deliveries?kind={kind}&state={state}");
    eventually("the delivery gets there", || async {
        let page = app.admin().get(&path).await.expect(200);
        page["items"].as_array().unwrap().first().cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wechat_takes_our_reports_and_our_messages() {
    let app = TestApp::start().await;
    set(&app, "self_pickup").await;
    let merchant = app.merchant("老王面馆", "1900000109").await;
    let customer = app.customer("subscriber").await;
    app.simulator
        .consent(&openid_for("subscriber"), TEMPLATE, 1);
    let order_no = app.pay(&customer, &merchant.code, 1_280, "wx-1").await;
    let reported = reached(&app, "shipping_info", "delivered").await;
    assert_eq!(reported["order_no"], order_no.as_str());
    reached(&app, "payment_message", "delivered").await;

    let shipping = app.simulator.shipping();
    assert_eq!(shipping.len(), 1);
    assert_eq!(shipping[0].out_trade_no, order_no);
    assert_eq!((shipping[0].logistics_type, shipping[0].uploads), (4, 1));
    assert_eq!(shipping[0].items, ["老王面馆 到店消费"]);
    let messages = app.simulator.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].data["thing1"], "老王面馆");
    assert_eq!(messages[0].data["amount2"], "¥12.80");
    assert_eq!(messages[0].data["character_string4"], order_no);
    assert_eq!(messages[0].data["number5"], "12");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_consent_is_dropped_and_a_token_that_ended_is_renewed() {
    let app = TestApp::start().await;
    set(&app, "virtual").await;
    let merchant = app.merchant("茶里", "1900000109").await;
    let customer = app.customer("silent").await;
    app.pay(&customer, &merchant.code, 500, "wx-2").await;
    let dropped = reached(&app, "payment_message", "dropped").await;
    assert_eq!(dropped["last_error"], "the customer has not subscribed");
    reached(&app, "shipping_info", "delivered").await;

    // As after two hours: the next call is refused with 42001, and goes through with another token.
    app.simulator.expire_access_tokens();
    app.simulator.consent(&openid_for("silent"), TEMPLATE, 1);
    let retry = format!(
        "/api/v1/admin/deliveries/{}/retry",
        dropped["id"].as_str().unwrap()
    );
    app.admin().post(&retry, &json!({})).await.expect(200);
    let delivered = reached(&app, "payment_message", "delivered").await;
    assert_eq!(delivered["attempts"], 1);
    assert_eq!(app.simulator.messages().len(), 1);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_code_is_drawn_by_wechat_once() {
    let app = TestApp::start().await;
    set(&app, "off").await;
    let merchant = app.merchant("茶里", "1900000109").await;
    let path = format!("/api/v1/merchant/codes/{}/wxacode.png", merchant.code);
    app.simulator
        .set_pages(Some(vec!["pages/home/index".to_owned()]));
    let refused = merchant.owner.get(&path).await;
    refused.refused(409, "mini_program_code_refused");
    app.simulator.set_pages(None);
    let drawn = merchant.owner.get(&path).await;
    assert_eq!(drawn.status, 200);
    assert_eq!(drawn.headers["content-type"], "image/png");
    // Kept: the page may even disappear.
    app.simulator.set_pages(Some(Vec::new()));
    assert_eq!(merchant.owner.get(&path).await.bytes, drawn.bytes);
    app.finish().await;
}
