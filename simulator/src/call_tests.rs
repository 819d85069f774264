//! Native orders, the race of closing, and calls that go wrong, from outside.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::macros::datetime;

use super::test_merchant::{Merchant, SUB_MCHID, merge};
use super::*;

const PREPAY: &str = "/v3/pay/partner/transactions/jsapi";
const REFUNDS: &str = "/v3/refund/domestic/refunds";

async fn start(faults: Faults) -> Merchant {
    let settings = SimulatorSettings {
        faults,
        ..SimulatorSettings::default()
    };
    Merchant::start(datetime!(2026-11-21 12:00:00 +8), settings).await
}

fn order(merchant: &Merchant, number: &str) -> Value {
    json!({
        "sp_appid": merchant.keys.app_id(), "sp_mchid": merchant.keys.sp_mchid(),
        "sub_mchid": SUB_MCHID, "description": "面馆", "out_trade_no": number,
        "notify_url": "http://127.0.0.1:1/n", "amount": {"total": 1280},
        "payer": {"sp_openid": "oUser-1"},
    })
}

fn query(merchant: &Merchant, number: &str) -> String {
    let sp_mchid = merchant.keys.sp_mchid();
    format!(
        "/v3/pay/partner/transactions/out-trade-no/{number}?sp_mchid={sp_mchid}&sub_mchid={SUB_MCHID}"
    )
}

async fn close(merchant: &Merchant, number: &str) -> (StatusCode, Value) {
    let target = format!("/v3/pay/partner/transactions/out-trade-no/{number}/close");
    let owner = json!({"sp_mchid": merchant.keys.sp_mchid(), "sub_mchid": SUB_MCHID});
    merchant.post(&target, &owner).await
}

#[tokio::test]
async fn a_native_order_is_paid_by_whoever_scans_the_newest_code() {
    let merchant = start(Faults::default()).await;
    let simulator = &merchant.simulator;
    let mut body = order(&merchant, "ORDER-1");
    let native = "/v3/pay/partner/transactions/native";
    assert_eq!(merchant.refused(native, &body).await, "400 PARAM_ERROR");
    merge(&mut body, json!({"payer": null}));
    let code = async || {
        let (status, reply) = merchant.post(native, &body).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        reply["code_url"].as_str().unwrap().to_owned()
    };
    let (first, second) = (code().await, code().await);
    assert!(first.starts_with("weixin://wxpay/bizpayurl?pr="));
    let dead = simulator
        .pay_native(&first, "oScanner-1", Payment::silent())
        .await;
    assert_eq!(dead, Err(PayError::CodeExpired));
    let paid = simulator
        .pay_native(&second, "oScanner-1", Payment::silent())
        .await;
    let paid = paid.unwrap();
    let (_, reply) = merchant.get(&query(&merchant, "ORDER-1")).await;
    assert_eq!(reply["trade_type"], "NATIVE");
    assert_eq!(reply["payer"]["sp_openid"], "oScanner-1");
    assert_eq!(reply["transaction_id"], paid.transaction_id.as_str());

    assert!(reply["payer"].get("sub_openid").is_none());
    // Under the sub-merchant's own app the same person has another openid.
    merge(
        &mut body,
        json!({"out_trade_no": "ORDER-3", "sub_appid": "wx8888888888888888"}),
    );
    let (_, reply) = merchant.post(native, &body).await;
    let third = reply["code_url"].as_str().unwrap();
    let paid = simulator
        .pay_native(third, "oScanner-1", Payment::silent())
        .await;
    assert!(paid.is_ok());
    let (_, reply) = merchant.get(&query(&merchant, "ORDER-3")).await;
    let sub_openid = reply["payer"]["sub_openid"].as_str().unwrap();
    assert!(sub_openid.starts_with('o') && sub_openid != "oScanner-1");

    // Direct mode, with everything around it.
    let direct = json!({
        "appid": merchant.keys.app_id(), "mchid": merchant.keys.sp_mchid(), "description": "x",
        "out_trade_no": "ORDER-2", "notify_url": "http://127.0.0.1:1/n", "amount": {"total": 5},
    });
    let (_, reply) = merchant.post("/v3/pay/transactions/native", &direct).await;
    let code = reply["code_url"].as_str().unwrap();
    let paid = simulator
        .pay_native(code, "oScanner-2", Payment::silent())
        .await
        .unwrap();
    let mchid = merchant.keys.sp_mchid();
    let by_id = format!(
        "/v3/pay/transactions/id/{}?mchid={mchid}",
        paid.transaction_id
    );
    let (_, reply) = merchant.get(&by_id).await;
    assert_eq!(reply["payer"]["openid"], "oScanner-2");
    assert!(reply["mchid"].is_string() && reply.get("sp_mchid").is_none());
}

#[tokio::test]
async fn closing_loses_the_race_against_the_password_and_against_paying() {
    let merchant = start(Faults::default()).await;
    let simulator = &merchant.simulator;
    for number in ["ORDER-1", "ORDER-2"] {
        let body = order(&merchant, number);
        assert_eq!(merchant.post(PREPAY, &body).await.0, StatusCode::OK);
    }
    simulator.set_paying("ORDER-1", true).unwrap();
    let (status, reply) = close(&merchant, "ORDER-1").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply["code"], "FREQUENCY_LIMITED");
    simulator.pay("ORDER-1", Payment::silent()).await.unwrap();
    assert_eq!(close(&merchant, "ORDER-1").await.1["code"], "ORDERPAID");

    simulator.set_faults(Faults {
        close_while_paying: PerMille::ALWAYS,
        ..Faults::default()
    });
    let (status, _) = close(&merchant, "ORDER-2").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    simulator.set_faults(Faults::default());
    for _ in 0..2 {
        assert_eq!(close(&merchant, "ORDER-2").await.0, StatusCode::NO_CONTENT);
    }
    let (_, reply) = merchant.get(&query(&merchant, "ORDER-2")).await;
    assert_eq!(reply["trade_state"], "CLOSED");
}

#[tokio::test]
async fn an_order_past_its_time_cannot_be_paid_and_stays_unpaid_until_closed() {
    let merchant = start(Faults::default()).await;
    let mut body = order(&merchant, "ORDER-1");
    merge(
        &mut body,
        json!({"time_expire": "2026-11-21T12:05:00+08:00"}),
    );
    merchant.post(PREPAY, &body).await;
    merchant.turn(300);
    let paid = merchant.simulator.pay("ORDER-1", Payment::silent()).await;
    assert_eq!(paid, Err(PayError::Expired));
    let (_, reply) = merchant.get(&query(&merchant, "ORDER-1")).await;
    assert_eq!(reply["trade_state"], "NOTPAY");
    assert_eq!(close(&merchant, "ORDER-1").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn faults_strike_as_forced_and_what_is_committed_is_committed() {
    let merchant = start(Faults {
        calls: [(
            Endpoint::Prepay,
            CallFaults {
                hang_ms: 10,
                ..CallFaults::default()
            },
        )]
        .into(),
        ..Faults::default()
    })
    .await;
    let simulator = &merchant.simulator;
    let serial = merchant.keys.serial(KeyKind::PublicKey).to_owned();
    let strike = async |number: &str, fault| {
        simulator.force_call(Endpoint::Prepay, number, fault);
        let body = order(&merchant, number).to_string();
        let reply = merchant
            .call(Method::POST, PREPAY, &body, Some(&serial))
            .await;
        let signed = reply.is_signed_by(KeyKind::PublicKey);
        let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
        (reply.status.as_u16(), signed, code)
    };
    let reply = |status, signed, code: &str| (status, signed, code.to_owned());
    let cases = [
        (CallFault::Slow, reply(200, true, ""), 1),
        (CallFault::BadGateway, reply(502, false, ""), 0),
        (CallFault::SystemError, reply(500, true, "SYSTEM_ERROR"), 0),
        (
            CallFault::RateLimited,
            reply(429, true, "RATELIMIT_EXCEEDED"),
            0,
        ),
        (
            CallFault::RateLimitedUnsigned,
            reply(429, false, "RATELIMIT_EXCEEDED"),
            0,
        ),
        (CallFault::CommitThenTimeout, reply(502, false, ""), 1),
        (
            CallFault::CommitThenRateLimited,
            reply(429, true, "FREQUENCY_LIMITED"),
            1,
        ),
        (
            CallFault::CommitThenSystemError,
            reply(500, true, "SYSTEM_ERROR"),
            1,
        ),
        (CallFault::WrongSignature, reply(200, false, ""), 1),
        (CallFault::Probe, reply(200, false, ""), 1),
        (CallFault::Unsigned, reply(200, false, ""), 1),
    ];
    simulator.set_faults(Faults {
        calls: [(
            Endpoint::Prepay,
            CallFaults {
                slow_ms: 1,
                hang_ms: 1,
                ..CallFaults::default()
            },
        )]
        .into(),
        ..Faults::default()
    });
    for (n, (fault, expected, made)) in cases.into_iter().enumerate() {
        let before = simulator.orders_kept();
        let number = format!("ORDER-{n}");
        assert_eq!(strike(&number, fault).await, expected, "{fault:?}");
        assert_eq!(simulator.orders_kept() - before, made, "{fault:?}");
        // Once only: the same call again goes well.
        let (status, reply) = merchant.post(PREPAY, &order(&merchant, &number)).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
    }
    assert_eq!(simulator.stats().call_faults, 11);
}

#[tokio::test]
async fn a_cut_connection_leaves_the_refund_done_and_the_merchant_without_an_answer() {
    let merchant = start(Faults::default()).await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    merchant
        .simulator
        .force_call(Endpoint::Refund, "R-1", CallFault::CommitThenCut);
    let body = json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": "ORDER-1", "out_refund_no": "R-1",
        "amount": {"refund": 1, "total": 1000, "currency": "CNY"},
    });
    let answer = merchant
        .try_call(Method::POST, REFUNDS, &body.to_string(), None)
        .await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(merchant.simulator.refund("R-1").is_some());
    assert_eq!(merchant.post(REFUNDS, &body).await.0, StatusCode::OK);
    assert_eq!(merchant.simulator.refunds().len(), 1);
}

#[tokio::test]
async fn queries_go_wrong_too() {
    let merchant = start(Faults::default()).await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    let target = query(&merchant, "ORDER-1");
    let force = |fault| {
        merchant
            .simulator
            .force_call(Endpoint::Query, "ORDER-1", fault);
    };
    force(CallFault::NotFound);
    let (status, reply) = merchant.get(&target).await;
    assert_eq!(
        (status, &reply["code"]),
        (StatusCode::NOT_FOUND, &json!("ORDER_NOT_EXIST"))
    );
    force(CallFault::Probe);
    let reply = merchant.call(Method::GET, &target, "", None).await;
    let signature = reply.headers["wechatpay-signature"].to_str().unwrap();
    assert!(signature.starts_with("WECHATPAY/SIGNTEST/"));
    force(CallFault::BadGateway);
    assert_eq!(merchant.get(&target).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(merchant.get(&target).await.1["trade_state"], "SUCCESS");
}

#[tokio::test]
async fn too_many_failing_refunds_are_held_off_while_limits_are_on() {
    let merchant = start(Faults {
        rate_limits: true,
        ..Faults::default()
    })
    .await;
    let body = json!({"out_refund_no": "R-1"});
    // At once, so that some second holds more than six of them however slow the machine is.
    let calls = (0..60).map(|_| merchant.refused(REFUNDS, &body));
    let codes = futures_util::future::join_all(calls).await;
    let count = |code: &str| codes.iter().filter(|reply| *reply == code).count();
    assert!(count("400 PARAM_ERROR") >= 6, "{codes:?}");
    assert!(count("429 RATELIMIT_EXCEEDED") > 0, "{codes:?}");
    let limited = u64::try_from(count("429 RATELIMIT_EXCEEDED")).unwrap();
    assert_eq!(merchant.simulator.stats().calls_limited, limited);
}

#[tokio::test]
async fn everything_can_be_pulled_over_http_too() {
    let merchant = start(Faults {
        refund_delay_ms: u32::MAX,
        ..Faults::default()
    })
    .await;
    let http = reqwest::Client::new();
    let sim = async |method: Method, path: &str, body: Value| {
        let url = merchant.simulator.base_url().join(path).unwrap();
        let answer = http.request(method, url).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap_or_default())
    };
    let mut body = order(&merchant, "ORDER-1");
    merge(&mut body, json!({"payer": null}));
    let (_, reply) = merchant
        .post("/v3/pay/partner/transactions/native", &body)
        .await;
    let code = reply["code_url"].as_str().unwrap();
    let password = |entering| json!({"out_trade_no": "ORDER-1", "entering": entering});
    assert_eq!(
        sim(Method::POST, "/sim/password", password(true)).await.0,
        204
    );
    assert_eq!(
        close(&merchant, "ORDER-1").await.1["code"],
        "FREQUENCY_LIMITED"
    );
    let mut sheet = merchant.simulator.base_url().join("/sim/scan").unwrap();
    sheet.query_pairs_mut().append_pair("code_url", code);
    let page = http.get(sheet).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("¥12.80"), "{page}");
    let scan = json!({"code_url": code, "openid": "oUser-1", "faults": ["lost"]});
    let (status, reply) = sim(Method::POST, "/sim/scan", scan.clone()).await;
    assert_eq!((status, &reply["out_trade_no"]), (200, &json!("ORDER-1")));
    assert_eq!(sim(Method::POST, "/sim/scan", scan).await.0, 409);

    let balance = format!("/sim/balances/{SUB_MCHID}");
    let too_much = sim(Method::PUT, &balance, json!({"withdraw_fen": 1281})).await;
    assert_eq!(too_much, (409, json!({"balance_fen": 1280})));
    let some = sim(Method::PUT, &balance, json!({"withdraw_fen": 280})).await;
    assert_eq!(some, (200, json!({"balance_fen": 1000})));
    let balances = sim(Method::GET, "/sim/balances", Value::Null).await.1;
    assert_eq!(balances[SUB_MCHID], 1000);

    let forced = json!({"call": "refund", "number": "R-1", "fault": "system_error"});
    assert_eq!(sim(Method::POST, "/sim/calls", forced).await.0, 204);
    let plan = json!({"out_refund_no": "R-1", "faults": ["lost"]});
    assert_eq!(sim(Method::POST, "/sim/refunds/plan", plan).await.0, 204);
    let refund = json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": "ORDER-1", "out_refund_no": "R-1",
        "amount": {"refund": 1, "total": 1280, "currency": "CNY"},
        "notify_url": "http://127.0.0.1:1/n",
    });
    let status = merchant.post(REFUNDS, &refund).await.0;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(merchant.post(REFUNDS, &refund).await.0, StatusCode::OK);
    let settle = "/sim/refunds/R-1/settle";
    let (status, reply) = sim(Method::POST, settle, json!({"fate": "success"})).await;
    assert_eq!((status, &reply["status"]), (200, &json!("SUCCESS")));
    let again = sim(Method::POST, settle, json!({"fate": "closed"})).await;
    assert_eq!(again.0, 409);
    let list = sim(Method::GET, "/sim/refunds", Value::Null).await.1;
    assert_eq!(
        (&list[0]["out_refund_no"], &list[1]),
        (&json!("R-1"), &Value::Null)
    );
    assert_eq!(merchant.simulator.stats().callbacks_lost, 2);
}
