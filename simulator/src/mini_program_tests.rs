//! The mini-program's server API from outside.

use http::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use time::macros::datetime;

use super::test_merchant::{Merchant, SUB_MCHID, merge};
use super::*;

const TEMPLATE: &str = "0123456789012345678901234567890123456789abc";

async fn start() -> Merchant {
    let at = datetime!(2026-11-21 12:00:00 +8);
    Merchant::start(at, SimulatorSettings::default()).await
}

/// Calls without a signature; gives the content type and the body.
async fn post(merchant: &Merchant, target: &str, body: &Value) -> (String, Vec<u8>) {
    let url = merchant.simulator.base_url().join(target).unwrap();
    let request = reqwest::Client::new().post(url).body(body.to_string());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (kind, answer.bytes().await.unwrap().to_vec())
}

async fn answer_of(merchant: &Merchant, target: &str, body: &Value) -> Value {
    serde_json::from_slice(&post(merchant, target, body).await.1).unwrap()
}

async fn errcode(merchant: &Merchant, target: &str, body: &Value) -> i64 {
    let reply = answer_of(merchant, target, body).await;
    reply["errcode"].as_i64().unwrap()
}

fn asks_for_token(merchant: &Merchant) -> Value {
    json!({
        "grant_type": "client_credential", "appid": merchant.keys.app_id(),
        "secret": merchant.keys.app_secret().expose_secret(),
    })
}

async fn token(merchant: &Merchant) -> String {
    let reply = answer_of(merchant, "/cgi-bin/stable_token", &asks_for_token(merchant)).await;
    reply["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_call_needs_a_token_that_is_in_force() {
    let merchant = start().await;
    let first = token(&merchant).await;
    assert_eq!(token(&merchant).await, first);
    let mut asked = asks_for_token(&merchant);
    merge(&mut asked, json!({"secret": "wrong"}));
    assert_eq!(
        errcode(&merchant, "/cgi-bin/stable_token", &asked).await,
        40125
    );
    let mut asked = asks_for_token(&merchant);
    merge(&mut asked, json!({"force_refresh": true}));
    let forced = answer_of(&merchant, "/cgi-bin/stable_token", &asked).await;
    let second = forced["access_token"].as_str().unwrap();
    assert_ne!(first, second);
    let calls = [
        "/wxa/getwxacodeunlimit",
        "/cgi-bin/message/subscribe/send",
        "/wxa/sec/order/upload_shipping_info",
    ];
    for call in calls {
        let with = |token: &str| format!("{call}?access_token={token}");
        assert_eq!(errcode(&merchant, call, &json!({})).await, 41001);
        assert_eq!(errcode(&merchant, &with(&first), &json!({})).await, 40001);
        let broken = errcode(&merchant, &with(second), &json!("no object")).await;
        assert_eq!(broken, 47001);
    }
    merchant.simulator.expire_access_tokens();
    let late = format!("{}?access_token={second}", calls[0]);
    assert_eq!(errcode(&merchant, &late, &json!({})).await, 42001);
    assert_ne!(token(&merchant).await, second);
}

#[tokio::test]
async fn a_code_is_a_picture_and_a_refusal_is_json() {
    let merchant = start().await;
    let target = format!(
        "/wxa/getwxacodeunlimit?access_token={}",
        token(&merchant).await
    );
    let asked = json!({"scene": "c=0190", "page": "pages/pay/index"});
    let (kind, picture) = post(&merchant, &target, &asked).await;
    assert_eq!(kind, "image/png");
    assert!(picture.starts_with(b"\x89PNG"));
    let with = |more: Value| {
        let mut body = asked.clone();
        merge(&mut body, more);
        body
    };
    let cases = [
        (json!({"scene": "x".repeat(33)}), 40169),
        (json!({"scene": "a%20b"}), 40169),
        (json!({"page": "/pages/pay/index"}), 41030),
        (json!({"page": "pages/pay/index?a=1"}), 41030),
        (json!({"width": 279}), 40097),
    ];
    for (more, expected) in cases {
        let code = errcode(&merchant, &target, &with(more.clone())).await;
        assert_eq!(code, expected, "{more}");
    }
    merchant
        .simulator
        .set_pages(Some(vec!["pages/home/index".to_owned()]));
    assert_eq!(errcode(&merchant, &target, &asked).await, 41030);
    let (kind, _) = post(&merchant, &target, &with(json!({"check_path": false}))).await;
    assert_eq!(kind, "image/png");
}

#[tokio::test]
async fn one_consent_is_one_message() {
    let merchant = start().await;
    let token = token(&merchant).await;
    let target = format!("/cgi-bin/message/subscribe/send?access_token={token}");
    let openid = openid_for("demo-customer-1");
    let message = json!({
        "touser": openid, "template_id": TEMPLATE, "page": "pages/order?no=1",
        "data": {"thing1": {"value": "面馆"}, "amount2": {"value": "¥12.80"}},
    });
    assert_eq!(errcode(&merchant, &target, &message).await, 43101);
    merchant.simulator.consent(&openid, TEMPLATE, 1);
    let with = |more: Value| {
        let mut body = message.clone();
        merge(&mut body, more);
        body
    };
    let bad = with(json!({"data": {"phrase1": {"value": "太长的短语值"}}}));
    let refused = answer_of(&merchant, &target, &bad).await;
    assert_eq!(refused["errcode"], 47003);
    assert!(
        refused["errmsg"]
            .as_str()
            .unwrap()
            .contains("data.phrase1.value")
    );
    let nobody = with(json!({"touser": "customer"}));
    assert_eq!(errcode(&merchant, &target, &nobody).await, 40003);
    let unknown = with(json!({"template_id": "TPL-1"}));
    assert_eq!(errcode(&merchant, &target, &unknown).await, 40037);
    // What was refused did not use up the consent.
    assert_eq!(errcode(&merchant, &target, &message).await, 0);
    assert_eq!(errcode(&merchant, &target, &message).await, 43101);
    let sent = merchant.simulator.messages();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (&sent[0].openid, &*sent[0].data["amount2"]),
        (&openid, "¥12.80")
    );
}

#[tokio::test]
async fn a_merchant_reports_the_delivery_of_a_payment_to_its_payer() {
    let merchant = start().await;
    let transaction_id = merchant.paid("ORDER-1", 1280, json!({})).await;
    let token = token(&merchant).await;
    let target = format!("/wxa/sec/order/upload_shipping_info?access_token={token}");
    let reply = json!({
        "order_key": {"order_number_type": 2, "transaction_id": transaction_id},
        "logistics_type": 4, "delivery_mode": 1, "shipping_list": [{"item_desc": "牛肉面"}],
        "upload_time": "2026-11-21T12:00:00.120+08:00", "payer": {"openid": "oUser-1"},
    });
    let with = |more: Value| {
        let mut body = reply.clone();
        merge(&mut body, more);
        body
    };
    let by_number = |mchid: &str, number: &str| json!({"order_key": {"order_number_type": 1, "mchid": mchid, "out_trade_no": number}});
    let cases = [
        (by_number(SUB_MCHID, "ORDER-9"), 10_060_001),
        (by_number("1900000110", "ORDER-1"), 10_060_001),
        (json!({"payer": {"openid": "oOther"}}), 10_060_031),
        (json!({"order_key": {"order_number_type": 1}}), 10_060_014),
        (json!({}), 0),
    ];
    for (more, expected) in cases {
        let code = errcode(&merchant, &target, &with(more.clone())).await;
        assert_eq!(code, expected, "{more}");
    }
    let mut later = with(by_number(SUB_MCHID, "ORDER-1"));
    merge(
        &mut later,
        json!({"upload_time": "2026-11-21T12:00:01+08:00"}),
    );
    assert_eq!(errcode(&merchant, &target, &later).await, 0);
    assert_eq!(errcode(&merchant, &target, &later).await, 10_060_003);
    let kept = merchant.simulator.shipping();
    assert_eq!(
        (kept.len(), kept[0].uploads, &*kept[0].items[0]),
        (1, 2, "牛肉面")
    );
}

#[tokio::test]
async fn a_busy_mini_program_side_says_so_and_the_same_call_again_may_do() {
    let merchant = start().await;
    let asked = asks_for_token(&merchant);
    merchant.simulator.set_faults(Faults {
        mini_program_busy: PerMille::ALWAYS,
        ..Faults::default()
    });
    assert_eq!(
        errcode(&merchant, "/cgi-bin/stable_token", &asked).await,
        -1
    );
    merchant.simulator.set_faults(Faults::default());
    token(&merchant).await;
    assert_eq!(merchant.simulator.stats().mini_program_refused, 1);
}
