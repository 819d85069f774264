//! Refunds from outside: what is taken on, how it ends, and what is told.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use time::macros::datetime;

use super::test_merchant::{Merchant, SUB_MCHID, merge};
use super::tests::receiver;
use super::*;

const REFUNDS: &str = "/v3/refund/domestic/refunds";

async fn start(faults: Faults) -> Merchant {
    let settings = SimulatorSettings {
        faults,
        ..SimulatorSettings::default()
    };
    Merchant::start(datetime!(2026-11-21 12:00:00 +8), settings).await
}

/// Nothing ends by itself.
fn held() -> Faults {
    Faults {
        refund_delay_ms: u32::MAX,
        ..Faults::default()
    }
}

fn refund(number: &str, order: &str, refund_fen: i64, total_fen: i64) -> Value {
    json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": order, "out_refund_no": number,
        "amount": {"refund": refund_fen, "total": total_fen, "currency": "CNY"},
    })
}

async fn ask(merchant: &Merchant, number: &str) -> (StatusCode, Value) {
    merchant
        .get(&format!("{REFUNDS}/{number}?sub_mchid={SUB_MCHID}"))
        .await
}

#[tokio::test]
async fn a_refund_is_taken_on_once_and_ends_when_it_will() {
    let merchant = start(held()).await;
    let transaction_id = merchant.paid("ORDER-1", 1000, json!({})).await;
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 1000);
    let body = refund("R-1", "ORDER-1", 300, 1000);
    let (status, first) = merchant.post(REFUNDS, &body).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["status"], "PROCESSING");
    assert_eq!(first["transaction_id"], transaction_id.as_str());
    assert_eq!(first["amount"]["settlement_refund"], 300);
    assert_eq!(first["refund_id"].as_str().unwrap().len(), 29);
    assert!(first.get("success_time").is_none());
    assert_eq!(merchant.post(REFUNDS, &body).await.1, first);
    assert_eq!(merchant.simulator.refunds().len(), 1);
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 700);

    let sp_mchid = merchant.keys.sp_mchid();
    let order = format!(
        "/v3/pay/partner/transactions/out-trade-no/ORDER-1?sp_mchid={sp_mchid}&sub_mchid={SUB_MCHID}"
    );
    let (_, answer) = merchant.get(&order).await;
    assert_eq!(answer["trade_state"], "REFUND");
    assert_eq!(answer["amount"]["total"], 1000);

    let ended = merchant
        .simulator
        .settle_refund_now("R-1", RefundFate::Success);
    assert_eq!(ended.unwrap().state.word(), "SUCCESS");
    let again = merchant
        .simulator
        .settle_refund_now("R-1", RefundFate::Closed);
    assert_eq!(again, Err(RefundError::Ended));
    let (_, answer) = ask(&merchant, "R-1").await;
    assert_eq!(answer["status"], "SUCCESS");
    assert_eq!(answer["success_time"], "2026-11-21T12:00:00+08:00");
    assert_eq!(ask(&merchant, "R-2").await.0, StatusCode::NOT_FOUND);
    let foreign = format!("{REFUNDS}/R-1?sub_mchid=1900000110");
    assert_eq!(
        merchant.get(&foreign).await.1["code"],
        "RESOURCE_NOT_EXISTS"
    );
    let bare = format!("{REFUNDS}/R-1");
    assert_eq!(merchant.get(&bare).await.1["code"], "PARAM_ERROR");
    // The timer of a refund that was ended by hand does not keep the simulator busy.
    let idle = tokio::time::timeout(Duration::from_secs(5), merchant.simulator.idle());
    idle.await.unwrap();
}

#[tokio::test]
async fn what_wechat_would_refuse_is_refused() {
    let merchant = start(held()).await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    merchant.paid_directly("ORDER-2", 500, json!({})).await;
    merchant.paid("ORDER-3", 1000, json!({})).await;
    let good = || refund("R-1", "ORDER-1", 600, 1000);
    let with = |more: Value| {
        let mut body = good();
        merge(&mut body, more);
        body
    };
    let amount = |refund: i64, total: i64| {
        with(json!({"amount": {"refund": refund, "total": total, "currency": "CNY"}}))
    };
    let cases = [
        (with(json!({"sub_mchid": null})), "400 PARAM_ERROR"),
        (
            with(json!({"sub_mchid": "1900000110"})),
            "404 RESOURCE_NOT_EXISTS",
        ),
        (with(json!({"out_trade_no": "ORDER-2"})), "400 PARAM_ERROR"),
        (
            with(json!({"out_trade_no": "ORDER-9"})),
            "404 RESOURCE_NOT_EXISTS",
        ),
        (with(json!({"surprise": 1})), "400 PARAM_ERROR"),
        (amount(600, 999), "400 INVALID_REQUEST"),
        (amount(1001, 1001), "400 INVALID_REQUEST"),
    ];
    for (body, expected) in cases {
        assert_eq!(merchant.refused(REFUNDS, &body).await, expected, "{body}");
    }
    assert_eq!(merchant.simulator.refunds(), []);

    assert_eq!(merchant.post(REFUNDS, &good()).await.0, StatusCode::OK);
    // The number is this refund's now.
    let other = amount(599, 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &other).await,
        "400 INVALID_REQUEST"
    );
    let soon = refund("R-2", "ORDER-1", 400, 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &soon).await,
        "429 FREQUENCY_LIMITED"
    );
    let elsewhere = refund("R-3", "ORDER-3", 400, 1000);
    assert_eq!(merchant.post(REFUNDS, &elsewhere).await.0, StatusCode::OK);
    merchant.turn(60);
    let too_much = refund("R-2", "ORDER-1", 401, 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &too_much).await,
        "400 INVALID_REQUEST"
    );
    assert_eq!(merchant.post(REFUNDS, &soon).await.0, StatusCode::OK);
    merchant.turn(366 * 86_400);
    let late = refund("R-4", "ORDER-3", 1, 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &late).await,
        "400 INVALID_REQUEST"
    );

    // Direct mode: the same path, without a sub-merchant.
    merchant.paid_directly("ORDER-4", 500, json!({})).await;
    let mut direct = refund("R-5", "ORDER-4", 500, 500);
    merge(&mut direct, json!({"sub_mchid": null}));
    assert_eq!(merchant.post(REFUNDS, &direct).await.0, StatusCode::OK);
    assert_eq!(
        merchant.get(&format!("{REFUNDS}/R-5")).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_order_has_fifty_refunds_and_no_more() {
    let merchant = start(Faults {
        refunds_at_once: true,
        ..held()
    })
    .await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    for n in 0..50 {
        let body = refund(&format!("R-{n}"), "ORDER-1", 1, 1000);
        assert_eq!(merchant.post(REFUNDS, &body).await.0, StatusCode::OK);
    }
    let last = refund("R-50", "ORDER-1", 1, 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &last).await,
        "400 INVALID_REQUEST"
    );
}

#[tokio::test]
async fn a_merchant_without_money_cannot_refund_until_it_has_some() {
    let merchant = start(held()).await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    assert!(merchant.simulator.withdraw(SUB_MCHID, 500));
    assert!(!merchant.simulator.withdraw(SUB_MCHID, 501));
    let body = refund("R-1", "ORDER-1", 1000, 1000);
    assert_eq!(merchant.refused(REFUNDS, &body).await, "403 NOT_ENOUGH");
    assert_eq!(merchant.simulator.refund("R-1"), None);
    merchant.simulator.set_balance(SUB_MCHID, 1000);
    assert_eq!(merchant.post(REFUNDS, &body).await.0, StatusCode::OK);
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 0);

    // A closed refund gives the money back, frees the amount, and uses up its number.
    let closed = merchant
        .simulator
        .settle_refund_now("R-1", RefundFate::Closed);
    assert_eq!(closed.unwrap().state, RefundState::Closed);
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 1000);
    assert_eq!(
        merchant.refused(REFUNDS, &body).await,
        "400 INVALID_REQUEST"
    );
    merchant.turn(60);
    let anew = refund("R-2", "ORDER-1", 1000, 1000);
    assert_eq!(merchant.post(REFUNDS, &anew).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_abnormal_refund_is_sent_on_its_way_again() {
    let merchant = start(held()).await;
    merchant.paid("ORDER-1", 1000, json!({})).await;
    let body = refund("R-1", "ORDER-1", 1000, 1000);
    let (_, answer) = merchant.post(REFUNDS, &body).await;
    let target = format!(
        "{REFUNDS}/{}/apply-abnormal-refund",
        answer["refund_id"].as_str().unwrap()
    );
    let again =
        json!({"sub_mchid": SUB_MCHID, "out_refund_no": "R-1", "type": "MERCHANT_BANK_CARD"});
    assert_eq!(
        merchant.refused(&target, &again).await,
        "400 INVALID_REQUEST"
    );
    let settled = merchant
        .simulator
        .settle_refund_now("R-1", RefundFate::Abnormal);
    assert_eq!(settled.unwrap().state, RefundState::Abnormal);
    let mut other = again.clone();
    merge(&mut other, json!({"out_refund_no": "R-2"}));
    assert_eq!(
        merchant.refused(&target, &other).await,
        "404 RESOURCE_NOT_EXISTS"
    );
    let (status, answer) = merchant.post(&target, &again).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::OK, &json!("PROCESSING"))
    );
    let settled = merchant
        .simulator
        .settle_refund_now("R-1", RefundFate::Success);
    assert_eq!(
        settled.unwrap().destination,
        RefundDestination::MerchantBankCard
    );
    let (_, answer) = ask(&merchant, "R-1").await;
    assert_eq!(answer["user_received_account"], "商户结算银行账户");

    // Or somebody decides it on the merchant platform: then the money is back, and once only.
    merchant.paid("ORDER-2", 500, json!({})).await;
    let body = refund("R-2", "ORDER-2", 500, 500);
    assert_eq!(merchant.post(REFUNDS, &body).await.0, StatusCode::OK);
    let decide = |fate| {
        let refund = merchant.simulator.settle_refund_now("R-2", fate);
        refund.map(|refund| refund.state)
    };
    assert_eq!(decide(RefundFate::Abnormal), Ok(RefundState::Abnormal));
    assert_eq!(decide(RefundFate::Abnormal), Err(RefundError::Ended));
    assert_eq!(decide(RefundFate::Closed), Ok(RefundState::Closed));
    assert_eq!(decide(RefundFate::Success), Err(RefundError::Ended));
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 500);
}

#[tokio::test]
async fn refunds_end_as_planned_after_the_compressed_delay_and_call_back() {
    let (receiver, url) = receiver().await;
    let settings = SimulatorSettings {
        resend_compression: 200,
        ..SimulatorSettings::default()
    };
    let merchant = Merchant::start(WallClock::system().now(), settings).await;
    let plans = [
        (
            "R-1",
            RefundPlan::ending(RefundFate::Success).with([Fault::Duplicate]),
        ),
        (
            "R-2",
            RefundPlan::ending(RefundFate::Abnormal).with([Fault::Tampered, Fault::Probe]),
        ),
        ("R-3", RefundPlan::ending(RefundFate::Closed).with([])),
        (
            "R-4",
            RefundPlan::ending(RefundFate::Success).with([Fault::WrongAmount]),
        ),
        (
            "R-5",
            RefundPlan::ending(RefundFate::Success).with([Fault::Lost]),
        ),
    ];
    for (n, (number, plan)) in plans.into_iter().enumerate() {
        let order = format!("ORDER-{n}");
        merchant.paid(&order, 1000, json!({})).await;
        merchant.simulator.plan_refund(number, plan);
        let mut body = refund(number, &order, 10, 1000);
        merge(&mut body, json!({"notify_url": url}));
        let (status, answer) = merchant.post(REFUNDS, &body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    merchant.simulator.idle().await;
    let states = merchant
        .simulator
        .refunds()
        .into_iter()
        .map(|refund| refund.state.word());
    let states: Vec<_> = states.collect();
    assert_eq!(
        states,
        ["SUCCESS", "ABNORMAL", "CLOSED", "SUCCESS", "SUCCESS"]
    );

    let verdicts = receiver.verdicts.lock().unwrap().clone();
    let refused = verdicts.iter().filter(|verdict| verdict.is_err()).count();
    assert_eq!(refused, 2);
    let answer = |number: &str| -> Vec<&Value> {
        let held = verdicts.iter().filter_map(|verdict| verdict.as_ref().ok());
        held.filter(|answer| answer["out_refund_no"] == number)
            .collect()
    };
    let first = answer("R-1");
    assert_eq!(first.len(), 2);
    assert_eq!(first[0]["event_type"], "REFUND.SUCCESS");
    assert_eq!(first[0]["original_type"], "refund");
    assert_eq!(first[0]["refund_status"], "SUCCESS");
    assert_eq!(first[0]["sub_mchid"], SUB_MCHID);
    assert_eq!(first[0]["amount"]["payer_refund"], 10);
    assert!(first[0]["success_time"].is_string() && first[0].get("mchid").is_none());
    let (second, third) = (answer("R-2"), answer("R-3"));
    assert_eq!((second.len(), third.len()), (1, 1));
    assert_eq!(second[0]["event_type"], "REFUND.ABNORMAL");
    assert!(second[0].get("success_time").is_none());
    assert_eq!(third[0]["event_type"], "REFUND.CLOSED");
    let fourth: Vec<_> = answer("R-4")
        .iter()
        .map(|answer| answer["amount"]["refund"].clone())
        .collect();
    assert_eq!(fourth, [json!(11), json!(10)]);
    assert_eq!(answer("R-5"), Vec::<&Value>::new());
    let callback = merchant.simulator.refund_callback_for("R-5").unwrap();
    assert!(callback.headers.contains_key("wechatpay-signature"));
    let counts = merchant.simulator.stats();
    assert_eq!(
        (counts.refunds, counts.refunds_ended, counts.callbacks_lost),
        (5, 5, 6)
    );
}

#[tokio::test]
async fn drawn_fates_follow_the_switches() {
    let fate = |faults: Faults| {
        let drawn = (0..50).map(|n| faults.draw_refund(3, &format!("R-{n}")));
        drawn.collect::<Vec<_>>()
    };
    let always = |faults: Faults, expected| {
        assert!(fate(faults).into_iter().all(|fate| fate == expected));
    };
    always(Faults::default(), RefundFate::Success);
    let on = PerMille::ALWAYS;
    always(
        Faults {
            refund_closed: on,
            ..Faults::default()
        },
        RefundFate::Closed,
    );
    always(
        Faults {
            refund_slow: on,
            ..Faults::default()
        },
        RefundFate::Slow,
    );
    always(
        Faults {
            refund_abnormal: on,
            ..Faults::default()
        },
        RefundFate::Abnormal,
    );
    let some = Faults {
        refund_abnormal: PerMille::new(500),
        ..Faults::default()
    };
    let drawn = fate(some.clone());
    assert!(drawn.contains(&RefundFate::Abnormal) && drawn.contains(&RefundFate::Success));
    assert_eq!(drawn, fate(some));
}
