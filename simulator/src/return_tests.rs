//! Shared money on its way back, from outside.

use http::StatusCode;
use serde_json::json;

use super::sharing_tests::{BRAND, RETURN, SHARE, add, frozen, share, start, unsplit_fen};
use super::test_merchant::{SUB_MCHID, merge};
use super::*;

#[tokio::test]
async fn a_merchant_gives_back_what_it_got_and_no_more() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let (_, shared) = merchant
        .post(SHARE, &share(&merchant, &id, "S-1", 1_000))
        .await;
    let body = |number: &str, fen: i64| {
        json!({
            "sub_mchid": SUB_MCHID, "out_order_no": "S-1", "out_return_no": number,
            "return_mchid": BRAND, "amount": fen, "description": "退货",
        })
    };
    // Not before it has it.
    let early = merchant.refused(RETURN, &body("B-1", 1)).await;
    assert_eq!(early, "400 INVALID_REQUEST");
    merchant.turn(30);
    let more = merchant.refused(RETURN, &body("B-1", 1_001)).await;
    assert_eq!(more, "403 NOT_ENOUGH");
    let (status, answer) = merchant.post(RETURN, &body("B-1", 600)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["result"], "PROCESSING");
    assert_eq!(answer["order_id"], shared["order_id"]);
    let more = merchant.refused(RETURN, &body("B-2", 401)).await;
    assert_eq!(more, "403 NOT_ENOUGH");
    // By WeChat's number of the share as well.
    let mut by_id = body("B-2", 400);
    merge(
        &mut by_id,
        json!({"out_order_no": null, "order_id": shared["order_id"]}),
    );
    assert_eq!(merchant.post(RETURN, &by_id).await.0, 200);
    merchant.turn(30);
    let target = format!("{RETURN}/B-1?out_order_no=S-1&sub_mchid={SUB_MCHID}");
    assert_eq!(merchant.get(&target).await.1["result"], "SUCCESS");
    let (_, again) = merchant.post(RETURN, &body("B-1", 600)).await;
    assert_eq!(again["result"], "SUCCESS");
    let other = merchant.refused(RETURN, &body("B-1", 599)).await;
    assert_eq!(other, "400 INVALID_REQUEST");

    // What failed may be tried under another number.
    let id = frozen(&merchant, "ORDER-2", 10_000).await;
    merchant.turn(60);
    merchant
        .post(SHARE, &share(&merchant, &id, "S-2", 500))
        .await;
    merchant.turn(30);
    let forced = ForcedReceiver {
        return_failure: Some(ReturnFailure::BalanceNotEnough),
        ..ForcedReceiver::default()
    };
    merchant.simulator.force_receiver(BRAND, forced);
    let mut body = body("B-3", 500);
    body["out_order_no"] = json!("S-2");
    merchant.post(RETURN, &body).await;
    merchant.turn(30);
    let target = format!("{RETURN}/B-3?out_order_no=S-2&sub_mchid={SUB_MCHID}");
    let (_, answer) = merchant.get(&target).await;
    assert_eq!(answer["result"], "FAILED");
    assert_eq!(answer["fail_reason"], "BALANCE_NOT_ENOUGH");
    merchant
        .simulator
        .force_receiver(BRAND, ForcedReceiver::default());
    body["out_return_no"] = json!("B-4");
    assert_eq!(merchant.post(RETURN, &body).await.0, 200);
}

#[tokio::test]
async fn a_refund_takes_from_what_is_not_shared_yet() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    merchant
        .post(SHARE, &share(&merchant, &id, "S-1", 1_000))
        .await;
    let refund = json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": "ORDER-1", "out_refund_no": "R-1",
        "amount": {"refund": 5_000, "total": 10_000, "currency": "CNY"},
    });
    let (status, answer) = merchant.post("/v3/refund/domestic/refunds", &refund).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // 50.00 stay, less a fee of 0.30, less the share.
    assert_eq!(unsplit_fen(&merchant, &id).await, 3_970);
    let body = share(&merchant, &id, "S-2", 3_971);
    assert_eq!(merchant.refused(SHARE, &body).await, "403 NOT_ENOUGH");
}

#[tokio::test]
async fn what_was_shared_is_brought_back_before_the_user_gets_everything() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = share(&merchant, &id, "S-1", 3_000);
    assert_eq!(merchant.post(SHARE, &body).await.0, 200);
    // Nobody asks how far it has come; the money is gone all the same.
    merchant.turn(30);
    let refund = json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": "ORDER-1", "out_refund_no": "R-1",
        "amount": {"refund": 10_000, "total": 10_000, "currency": "CNY"},
    });
    let target = "/v3/refund/domestic/refunds";
    assert_eq!(merchant.refused(target, &refund).await, "403 NOT_ENOUGH");
    let back = json!({
        "sub_mchid": SUB_MCHID, "out_order_no": "S-1", "out_return_no": "B-1",
        "return_mchid": BRAND, "amount": 3_000, "description": "退货",
    });
    assert_eq!(merchant.post(RETURN, &back).await.0, 200);
    merchant.turn(30);
    let (status, answer) = merchant.post(target, &refund).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(unsplit_fen(&merchant, &id).await, 0);
    assert_eq!(merchant.simulator.balance_fen(BRAND), 0);
}
