//! Another system of the same merchant, from outside.

use http::StatusCode;
use serde_json::{Value, json};

use super::sharing_tests::{frozen, unsplit_fen};
use super::test_merchant::{Merchant, SUB_MCHID};
use super::tests::receiver;
use super::*;

async fn start() -> Merchant {
    // By the machine's clock, since the receiver of callbacks judges by it.
    Merchant::start(WallClock::system().now(), SimulatorSettings::default()).await
}

async fn pull(merchant: &Merchant, lever: &str, body: Value) -> (StatusCode, Value) {
    let url = merchant.simulator.base_url().join(lever).unwrap();
    let answer = reqwest::Client::new().post(url).json(&body);
    let answer = answer.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_refund_of_another_system_is_a_refund_like_ours_under_its_own_number() {
    let merchant = start().await;
    let (reply, url) = receiver().await;
    merchant.paid("ORDER-1", 1_000, json!({})).await;
    let lever = "/sim/elsewhere/refunds";
    let (status, answer) = pull(
        &merchant,
        lever,
        json!({"out_trade_no": "ORDER-1", "refund_fen": 300, "notify_url": url}),
    )
    .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let number = answer["out_refund_no"].as_str().unwrap();
    assert!(number.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(merchant.simulator.balance_fen(SUB_MCHID), 700);
    let done = merchant
        .simulator
        .settle_refund_now(number, RefundFate::Success);
    assert_eq!(done.unwrap().refund_fen, 300);
    merchant.simulator.idle().await;
    let reply: Vec<Value> = reply.verdicts.lock().unwrap().drain(..).flatten().collect();
    assert_eq!(reply.len(), 1, "{reply:?}");
    assert_eq!(reply[0]["out_refund_no"], number);
    assert_eq!(reply[0]["refund_status"], "SUCCESS");
    let sp_mchid = merchant.keys.sp_mchid();
    let order = format!(
        "/v3/pay/partner/transactions/out-trade-no/ORDER-1?sp_mchid={sp_mchid}&sub_mchid={SUB_MCHID}"
    );
    assert_eq!(merchant.get(&order).await.1["trade_state"], "REFUND");

    // The rules are everybody's, and its numbers are not ours to use again.
    merchant.turn(60);
    let again = json!({"out_trade_no": "ORDER-1", "refund_fen": 701});
    assert_eq!(
        pull(&merchant, lever, again).await.1["code"],
        "INVALID_REQUEST"
    );
    let again = json!({"out_trade_no": "ORDER-1", "refund_fen": 1, "out_refund_no": number});
    assert_eq!(
        pull(&merchant, lever, again).await.1["code"],
        "INVALID_REQUEST"
    );
    let rest = merchant.simulator.refund_elsewhere(RefundElsewhere {
        out_trade_no: "ORDER-1".to_owned(),
        ..RefundElsewhere::default()
    });
    assert_eq!(rest.unwrap().refund_fen, 700);
    let unpaid = merchant.simulator.refund_elsewhere(RefundElsewhere {
        out_trade_no: "ORDER-2".to_owned(),
        ..RefundElsewhere::default()
    });
    assert_eq!(unpaid.unwrap_err().code, "ORDER_NOT_EXIST");
}

#[tokio::test]
async fn a_share_of_another_system_takes_from_what_is_left_and_notifies_the_receiver() {
    let merchant = start().await;
    let (reply, url) = receiver().await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    let share = json!({"out_trade_no": "ORDER-1", "account": "1900000888", "amount_fen": 994,
        "notify_url": url});
    let early = pull(&merchant, "/sim/elsewhere/shares", share.clone()).await;
    assert_eq!(early.1["code"], "INVALID_REQUEST");
    merchant.turn(60);
    let (status, answer) = pull(&merchant, "/sim/elsewhere/shares", share).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["state"], "PROCESSING");
    assert_eq!(unsplit_fen(&merchant, &id).await, 10_000 - 60 - 994);
    merchant.simulator.idle().await;
    let reply: Vec<Value> = reply.verdicts.lock().unwrap().drain(..).flatten().collect();
    assert_eq!(reply.len(), 1, "{reply:?}");
    assert_eq!(reply[0]["event_type"], "TRANSACTION.SUCCESS");
    assert_eq!(reply[0]["original_type"], "profitsharing");
    assert_eq!(reply[0]["receiver"]["amount"], 994);
    assert_eq!(reply[0]["out_order_no"], answer["out_order_no"]);
}
