//! The simulator from outside: a merchant that signs, a receiver that judges.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::signature::{SIGNATURE_TYPE, answer_message};
use crate::test_merchant::keys;

async fn start(settings: SimulatorSettings) -> Simulator {
    let keys = Some(keys());
    Simulator::start(SimulatorSettings {
        keys,
        resend_compression: 200,
        ..settings
    })
    .await
    .unwrap()
}

/// Calls the merchant API as a merchant; gives the status and, if it was signed, the body.
async fn call(
    simulator: &Simulator,
    method: Method,
    target: &str,
    body: &str,
    serial: Option<&str>,
) -> (StatusCode, Value) {
    let keys = keys();
    let now = WallClock::system().now().unix_timestamp();
    let message = format!("{method}\n{target}\n{now}\nNONCE\n{body}\n");
    let authorization = format!(
        r#"{SIGNATURE_TYPE} mchid="{}",nonce_str="NONCE",timestamp="{now}",serial_no="{}",signature="{}""#,
        keys.sp_mchid(),
        keys.merchant_serial(),
        keys.merchant().sign(message.as_bytes()),
    );
    let url = simulator.base_url().join(target).unwrap();
    let mut request = reqwest::Client::new()
        .request(method, url)
        .header("authorization", authorization)
        .header("user-agent", "test")
        .header("accept", "application/json");
    if !body.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
    }
    if let Some(serial) = serial {
        request = request.header("wechatpay-serial", serial);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
    assert!(headers.contains_key("request-id"));
    if status == StatusCode::BAD_GATEWAY {
        assert!(!headers.contains_key("wechatpay-signature"));
        return (status, Value::Null);
    }
    assert_eq!(judge(&headers, &body), Ok(()));
    let signer = headers["wechatpay-serial"].to_str().unwrap();
    assert_eq!(signer, serial.unwrap_or(keys.serial(KeyKind::Certificate)));
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// What a careful receiver does before it reads: time, then signature.
fn judge(headers: &HeaderMap, body: &[u8]) -> Result<(), &'static str> {
    let keys = keys();
    let text = |name: &str| headers[name].to_str().unwrap();
    let stamp: i64 = text("wechatpay-timestamp").parse().unwrap();
    if stamp.abs_diff(WallClock::system().now().unix_timestamp()) > 300 {
        return Err("time");
    }
    let message = answer_message(text("wechatpay-timestamp"), text("wechatpay-nonce"), body);
    let kind = keys.kind_named(text("wechatpay-serial")).ok_or("serial")?;
    if !keys
        .wechat(kind)
        .verify(&message, text("wechatpay-signature"))
    {
        return Err("signature");
    }
    Ok(())
}

/// A service that keeps what it was told and refuses what does not hold.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) verdicts: Mutex<Vec<Result<Value, &'static str>>>,
    /// How many genuine callbacks are answered with 500 first.
    failing: Mutex<u32>,
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let verdict = judge(&headers, &body).map(|()| {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let part = |name: &str| body["resource"][name].as_str().unwrap().to_owned();
        let plain = keys().decrypt(
            &part("nonce"),
            &part("associated_data"),
            &part("ciphertext"),
        );
        let mut reply: Value = serde_json::from_slice(&plain.unwrap()).unwrap();
        reply["notification_id"] = body["id"].clone();
        reply["event_type"] = body["event_type"].clone();
        reply["original_type"] = body["resource"]["original_type"].clone();
        reply
    });
    let refused = verdict.is_err();
    receiver.verdicts.lock().unwrap().push(verdict);
    if refused {
        return StatusCode::UNAUTHORIZED;
    }
    let mut failing = receiver.failing.lock().unwrap();
    if *failing > 0 {
        *failing -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}

pub(super) async fn receiver() -> (Arc<Receiver>, String) {
    let receiver = Arc::new(Receiver::default());
    let app = Router::new()
        .route("/notify", post(receive))
        .with_state(Arc::clone(&receiver));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    (receiver, url)
}

fn body(out_trade_no: &str, notify_url: &str) -> Value {
    json!({
        "sp_appid": keys().app_id(), "sp_mchid": keys().sp_mchid(), "sub_mchid": "1900000109",
        "description": "面馆", "out_trade_no": out_trade_no, "attach": "table 4",
        "notify_url": notify_url, "amount": {"total": 1280, "currency": "CNY"},
        "payer": {"sp_openid": openid_for("demo-customer-1")},
    })
}

const PREPAY: &str = "/v3/pay/partner/transactions/jsapi";

async fn prepay(simulator: &Simulator, out_trade_no: &str, notify_url: &str) -> String {
    let body = body(out_trade_no, notify_url).to_string();
    let (status, answer) = call(simulator, Method::POST, PREPAY, &body, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["prepay_id"].as_str().unwrap().to_owned()
}

fn query(out_trade_no: &str) -> String {
    let mchid = keys().sp_mchid().to_owned();
    format!(
        "/v3/pay/partner/transactions/out-trade-no/{out_trade_no}?sp_mchid={mchid}&sub_mchid=1900000109"
    )
}

#[tokio::test]
async fn an_order_goes_from_prepay_to_paid_and_every_answer_is_signed() {
    let simulator = start(SimulatorSettings::default()).await;
    let first = prepay(&simulator, "ORDER-1", "http://127.0.0.1:1/n").await;
    assert_ne!(
        first,
        prepay(&simulator, "ORDER-1", "http://127.0.0.1:1/n").await
    );
    let keys = keys();
    for serial in [
        keys.serial(KeyKind::PublicKey),
        keys.serial(KeyKind::Certificate),
    ] {
        let (_, reply) = call(&simulator, Method::GET, &query("ORDER-1"), "", Some(serial)).await;
        assert_eq!(reply["trade_state"], "NOTPAY");
        assert!(reply.get("attach").is_none() && reply.get("payer").is_none());
    }
    let other = body("ORDER-1", "http://127.0.0.1:2/n").to_string();
    let (status, reply) = call(&simulator, Method::POST, PREPAY, &other, None).await;
    assert_eq!(
        (status, &reply["code"]),
        (StatusCode::BAD_REQUEST, &json!("INVALID_REQUEST"))
    );

    let paid = simulator
        .pay_prepay(&first, Payment::silent())
        .await
        .unwrap();
    let (_, reply) = call(&simulator, Method::GET, &query("ORDER-1"), "", None).await;
    assert_eq!(reply["trade_state"], "SUCCESS");
    assert_eq!(reply["transaction_id"], paid.transaction_id.as_str());
    assert_eq!(reply["attach"], "table 4");
    let by_id = format!(
        "/v3/pay/partner/transactions/id/{}?sp_mchid={}&sub_mchid=1900000109",
        paid.transaction_id,
        keys.sp_mchid()
    );
    assert_eq!(
        call(&simulator, Method::GET, &by_id, "", None).await.1,
        reply
    );
    let foreign = query("ORDER-1").replace("109", "110");
    let (status, _) = call(&simulator, Method::GET, &foreign, "", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let callback = simulator.callback_for("ORDER-1").unwrap();
    assert_eq!(judge(&callback.headers, &callback.body), Ok(()));
    simulator.stop().await;
}

#[tokio::test]
async fn closing_is_repeatable_and_a_paid_order_is_not_closed() {
    let simulator = start(SimulatorSettings::default()).await;
    prepay(&simulator, "ORDER-1", "http://127.0.0.1:1/n").await;
    prepay(&simulator, "ORDER-2", "http://127.0.0.1:1/n").await;
    simulator.pay("ORDER-2", Payment::silent()).await.unwrap();
    let owner = json!({"sp_mchid": keys().sp_mchid(), "sub_mchid": "1900000109"}).to_string();
    let close = async |number: &str| {
        let target = format!("/v3/pay/partner/transactions/out-trade-no/{number}/close");
        call(&simulator, Method::POST, &target, &owner, None).await
    };
    assert_eq!(close("ORDER-1").await.0, StatusCode::NO_CONTENT);
    assert_eq!(close("ORDER-1").await.0, StatusCode::NO_CONTENT);
    assert_eq!(close("ORDER-2").await.1["code"], "ORDERPAID");
    assert_eq!(close("ORDER-3").await.1["code"], "ORDER_NOT_EXIST");
    assert_eq!(
        simulator.pay("ORDER-1", Payment::clean()).await,
        Err(PayError::Closed)
    );
    let again = body("ORDER-1", "http://127.0.0.1:1/n").to_string();
    let (_, reply) = call(&simulator, Method::POST, PREPAY, &again, None).await;
    assert_eq!(reply["code"], "ORDER_CLOSED");
    simulator.stop().await;
}

#[tokio::test]
async fn all_spoiled_attempts_are_refused_and_the_genuine_one_follows() {
    let simulator = start(SimulatorSettings::default()).await;
    let (receiver, url) = receiver().await;
    prepay(&simulator, "ORDER-1", &url).await;
    let faults = [
        Fault::Tampered,
        Fault::WrongKey,
        Fault::StaleTime,
        Fault::FutureTime,
        Fault::Probe,
        Fault::WrongAmount,
        Fault::WrongMerchant,
        Fault::Duplicate,
        Fault::Twin,
        Fault::NoAttach,
    ];
    simulator
        .pay("ORDER-1", Payment::with(faults))
        .await
        .unwrap();
    simulator.idle().await;

    let verdicts = receiver.verdicts.lock().unwrap().clone();
    let (held, refused): (Vec<_>, Vec<_>) = verdicts.into_iter().partition(Result::is_ok);
    let mut refused: Vec<_> = refused.into_iter().map(Result::unwrap_err).collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        ["signature", "signature", "signature", "time", "time"]
    );
    let held: Vec<_> = held.into_iter().map(Result::unwrap).collect();
    let reply = |reply: &Value| (reply["amount"]["total"].clone(), reply["sub_mchid"].clone());
    let reply: Vec<_> = held.iter().map(reply).collect();
    let genuine = (json!(1280), json!("1900000109"));
    assert_eq!(reply[0], (json!(1281), json!("1900000109")));
    assert_eq!(reply[1].1, "1900000107");
    assert_eq!(reply[2..], vec![genuine; 3]);
    assert!(held.iter().all(|reply| reply.get("attach").is_none()));
    let id = |n: usize| &held[n]["notification_id"];
    assert!(id(2) == id(3) && id(3) == id(4) && id(0) != id(2));
    let stats = simulator.stats();
    assert_eq!(
        (stats.callbacks_sent, stats.callbacks_acknowledged),
        (10, 3)
    );
    assert_eq!((stats.forgeries_sent, stats.forgeries_acknowledged), (5, 0));
    simulator.stop().await;
}

#[tokio::test]
async fn a_refused_callback_comes_again_and_a_lost_one_never() {
    let simulator = start(SimulatorSettings::default()).await;
    let (receiver, url) = receiver().await;
    *receiver.failing.lock().unwrap() = 2;
    prepay(&simulator, "ORDER-1", &url).await;
    prepay(&simulator, "ORDER-2", &url).await;
    simulator.pay("ORDER-1", Payment::clean()).await.unwrap();
    simulator
        .pay("ORDER-2", Payment::with([Fault::Lost, Fault::Duplicate]))
        .await
        .unwrap();
    simulator.idle().await;
    let stats = simulator.stats();
    assert_eq!(
        (stats.callbacks_refused, stats.callbacks_acknowledged),
        (2, 1)
    );
    assert_eq!(stats.callbacks_lost, 1);
    assert_eq!(receiver.verdicts.lock().unwrap().len(), 3);
    simulator.stop().await;
}

#[tokio::test]
async fn later_callbacks_overtake_those_out_of_order() {
    let simulator = start(SimulatorSettings::default()).await;
    let (receiver, url) = receiver().await;
    for number in ["ORDER-1", "ORDER-2", "ORDER-3"] {
        prepay(&simulator, number, &url).await;
        // Paid together below: a prepay takes longer than the compressed second of holding.
    }
    for number in ["ORDER-1", "ORDER-2", "ORDER-3"] {
        simulator
            .pay(number, Payment::with([Fault::OutOfOrder]))
            .await
            .unwrap();
    }
    simulator.idle().await;
    let verdicts = receiver.verdicts.lock().unwrap();
    let order: Vec<_> = verdicts
        .iter()
        .map(|v| v.as_ref().unwrap()["out_trade_no"].clone())
        .collect();
    assert_eq!(order, ["ORDER-3", "ORDER-2", "ORDER-1"]);
}

#[tokio::test]
async fn stopping_does_not_wait_for_callbacks_that_nobody_takes() {
    let simulator = start(SimulatorSettings::default()).await;
    prepay(&simulator, "ORDER-1", "http://127.0.0.1:1/n").await;
    simulator.pay("ORDER-1", Payment::clean()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), simulator.stop())
        .await
        .unwrap();
}

#[tokio::test]
async fn keys_and_settings_are_kept_in_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = std::env::temp_dir().join(format!("zhangfang-sim-{}", std::process::id()));
    let settings = || SimulatorSettings {
        dir: Some(dir.clone()),
        env_prefix: "TEA_STREET_WECHAT_".to_owned(),
        ..SimulatorSettings::default()
    };
    let one = Simulator::start(settings()).await.unwrap();
    let two = Simulator::start(settings()).await.unwrap();
    let names = |simulator: &Simulator| {
        let given = simulator.credentials().clone();
        (
            given.app_id,
            given.public_key_pem,
            given.platform_certificate_pem,
        )
    };
    assert_eq!(names(&one), names(&two));
    for entry in std::fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    let env = std::fs::read_to_string(dir.join("wechat.env")).unwrap();
    for line in env.lines() {
        let (key, value) = line.split_once('=').unwrap();
        assert!(key.starts_with("TEA_STREET_WECHAT_"));
        assert!(
            !key.ends_with("_FILE") || std::path::Path::new(value).is_file(),
            "{line}"
        );
    }
    assert!(env.contains(two.base_url().as_str().trim_end_matches('/')));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn refusals_and_unpaid_orders_are_worded_as_wechat_words_them() {
    let simulator = start(SimulatorSettings::default()).await;
    prepay(&simulator, "ORDER-1", "http://127.0.0.1:1/n").await;
    let (_, reply) = call(&simulator, Method::GET, &query("ORDER-1"), "", None).await;
    assert_eq!(reply["trade_state"], "NOTPAY");
    assert_eq!(
        reply["amount"],
        json!({"total": 1280, "payer_currency": "CNY"})
    );
    assert_eq!(reply["promotion_detail"], json!([]));
    assert!(reply["scene_info"].is_object() && reply.get("success_time").is_none());

    // A field that is missing is named by where it should be.
    let mut short = body("ORDER-2", "http://127.0.0.1:1/n");
    short["amount"].as_object_mut().unwrap().remove("total");
    let (status, reply) = call(&simulator, Method::POST, PREPAY, &short.to_string(), None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(reply["code"], "PARAM_ERROR");
    let message = reply["message"].as_str().unwrap();
    assert!(message.contains("/body/amount/total") && message.contains("必填性规则校验失败"));
    assert_eq!(reply["detail"]["location"], "body");
    // One that is there and wrong, with what was sent.
    let mut dollars = body("ORDER-2", "http://127.0.0.1:1/n");
    dollars["amount"]["currency"] = json!("USD");
    let dollars = dollars.to_string();
    let (status, reply) = call(&simulator, Method::POST, PREPAY, &dollars, None).await;
    assert_eq!(
        (status.as_u16(), &reply["code"]),
        (400, &json!("PARAM_ERROR"))
    );
    let detail = &reply["detail"];
    assert_eq!(
        (&detail["location"], &detail["field"], &detail["value"]),
        (&json!("body"), &json!("/amount/currency"), &json!("USD"))
    );
    assert!(detail["issue"].is_string());

    // Other parameters under the same number, in either of its words.
    let mut dearer = body("ORDER-1", "http://127.0.0.1:1/n");
    dearer["amount"]["total"] = json!(1281);
    let dearer = dearer.to_string();
    let (status, reply) = call(&simulator, Method::POST, PREPAY, &dearer, None).await;
    assert_eq!(
        (status.as_u16(), &reply["code"]),
        (400, &json!("INVALID_REQUEST"))
    );
    assert_eq!(reply["message"], "201 商户订单号重复");
    simulator.set_faults(Faults {
        number_says_used: PerMille::ALWAYS,
        close_says_paying: PerMille::ALWAYS,
        no_certificates: PerMille::ALWAYS,
        ..Faults::default()
    });
    let (status, reply) = call(&simulator, Method::POST, PREPAY, &dearer, None).await;
    assert_eq!(
        (status.as_u16(), &reply["code"]),
        (403, &json!("OUT_TRADE_NO_USED"))
    );

    // Close while the user is at the password, and certificates that are not there.
    simulator.set_paying("ORDER-1", true).unwrap();
    let mchid = keys().sp_mchid().to_owned();
    let close = "/v3/pay/partner/transactions/out-trade-no/ORDER-1/close";
    let who = json!({"sp_mchid": mchid, "sub_mchid": "1900000109"}).to_string();
    let (status, reply) = call(&simulator, Method::POST, close, &who, None).await;
    assert_eq!(
        (status.as_u16(), &reply["code"]),
        (202, &json!("USERPAYING"))
    );
    let (status, reply) = call(&simulator, Method::GET, "/v3/certificates", "", None).await;
    assert_eq!(
        (status.as_u16(), &reply["code"]),
        (404, &json!("RESOURCE_NOT_EXISTS"))
    );
}

#[tokio::test]
async fn a_coupon_pays_some_and_a_refund_is_divided_as_the_payment_was() {
    let simulator = start(SimulatorSettings::default()).await;
    let (receiver, url) = receiver().await;
    prepay(&simulator, "ORDER-1", &url).await;
    let whole = Payment::clean().with_coupon(Coupon::cash(1280));
    let refused = simulator.pay("ORDER-1", whole).await;
    assert_eq!(refused.unwrap_err(), PayError::CouponTooLarge);
    let paying = Payment::clean().with_coupon(Coupon::no_cash(80));
    simulator.pay("ORDER-1", paying).await.unwrap();
    simulator.idle().await;
    // What the merchant itself gave it does not get.
    assert_eq!(simulator.balance_fen("1900000109"), 1200);
    let reply = receiver.verdicts.lock().unwrap()[0].clone().unwrap();
    assert_eq!(reply["amount"]["total"], 1280);
    assert_eq!(reply["amount"]["payer_total"], 1200);
    assert_eq!(reply["promotion_detail"][0]["amount"], 80);
    assert_eq!(reply["promotion_detail"][0]["type"], "NOCASH");
    let (_, reply) = call(&simulator, Method::GET, &query("ORDER-1"), "", None).await;
    assert_eq!(reply["amount"]["payer_total"], 1200);

    let refund = json!({
        "sub_mchid": "1900000109", "out_trade_no": "ORDER-1", "out_refund_no": "R-1",
        "amount": {"refund": 640, "total": 1280, "currency": "CNY"},
    });
    let target = "/v3/refund/domestic/refunds";
    let (status, reply) = call(&simulator, Method::POST, target, &refund.to_string(), None).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["amount"]["refund"], 640);
    assert_eq!(reply["amount"]["payer_refund"], 600);
    assert_eq!(reply["amount"]["discount_refund"], 40);
    assert_eq!(reply["amount"]["settlement_refund"], 600);
    assert_eq!(reply["amount"]["settlement_total"], 1200);
    assert_eq!(reply["promotion_detail"][0]["refund_amount"], 40);
    assert_eq!(simulator.balance_fen("1900000109"), 600);
}
