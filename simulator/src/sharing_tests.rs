//! Profit sharing from outside.

use http::StatusCode;
use serde_json::{Value, json};
use time::macros::datetime;

use super::test_merchant::{Merchant, SUB_MCHID, merge};
use super::*;

const ADD: &str = "/v3/profitsharing/receivers/add";
const DELETE: &str = "/v3/profitsharing/receivers/delete";
pub(super) const SHARE: &str = "/v3/profitsharing/orders";
const UNFREEZE: &str = "/v3/profitsharing/orders/unfreeze";
pub(super) const RETURN: &str = "/v3/profitsharing/return-orders";
pub(super) const BRAND: &str = "1900000777";

pub(super) async fn start() -> Merchant {
    let at = datetime!(2026-11-21 12:00:00 +8);
    Merchant::start(at, SimulatorSettings::default()).await
}

fn encrypted(merchant: &Merchant, name: &str) -> String {
    let key = merchant.keys.wechat(KeyKind::PublicKey);
    key.encrypt(name.as_bytes())
}

fn receiver(merchant: &Merchant) -> Value {
    json!({
        "sub_mchid": SUB_MCHID, "appid": merchant.keys.app_id(), "type": "MERCHANT_ID",
        "account": BRAND, "name": encrypted(merchant, "品牌有限公司"), "relation_type": "BRAND",
    })
}

pub(super) fn share(
    merchant: &Merchant,
    transaction_id: &str,
    number: &str,
    amount_fen: i64,
) -> Value {
    json!({
        "sub_mchid": SUB_MCHID, "appid": merchant.keys.app_id(), "transaction_id": transaction_id,
        "out_order_no": number, "unfreeze_unsplit": false,
        "receivers": [{
            "type": "MERCHANT_ID", "account": BRAND, "amount": amount_fen, "description": "品牌",
        }],
    })
}

pub(super) async fn add(merchant: &Merchant, more: Value) {
    let mut body = receiver(merchant);
    merge(&mut body, more);
    let (status, reply) = merchant.post(ADD, &body).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
}

pub(super) async fn frozen(merchant: &Merchant, number: &str, total_fen: i64) -> String {
    let settle = json!({"settle_info": {"profit_sharing": true}});
    merchant.paid(number, total_fen, settle).await
}

pub(super) async fn unsplit_fen(merchant: &Merchant, transaction_id: &str) -> i64 {
    let target = format!("/v3/profitsharing/transactions/{transaction_id}/amounts");
    let (status, reply) = merchant.get(&target).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    reply["unsplit_amount"].as_i64().unwrap()
}

async fn ask(merchant: &Merchant, transaction_id: &str, number: &str) -> Value {
    let target = format!("{SHARE}/{number}?transaction_id={transaction_id}&sub_mchid={SUB_MCHID}");
    merchant.get(&target).await.1
}

#[tokio::test]
async fn a_share_is_processed_then_finished_and_the_rest_is_what_the_fee_leaves() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    assert_eq!(unsplit_fen(&merchant, &id).await, 9_940);
    let body = share(&merchant, &id, "S-1", 1_000);
    merchant.turn(59);
    assert_eq!(merchant.refused(SHARE, &body).await, "400 INVALID_REQUEST");
    merchant.turn(1);
    let (status, reply) = merchant.post(SHARE, &body).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["state"], "PROCESSING");
    assert_eq!(reply["receivers"][0]["result"], "PENDING");
    assert_eq!(
        reply["receivers"][0]["finish_time"],
        "1970-01-01T08:00:00+08:00"
    );
    assert_eq!(unsplit_fen(&merchant, &id).await, 8_940);
    merchant.turn(29);
    assert_eq!(ask(&merchant, &id, "S-1").await["state"], "PROCESSING");
    merchant.turn(1);
    let reply = ask(&merchant, &id, "S-1").await;
    assert_eq!(reply["state"], "FINISHED");
    let part = &reply["receivers"][0];
    assert_eq!(
        (&part["result"], &part["amount"]),
        (&json!("SUCCESS"), &json!(1_000))
    );
    assert_eq!(part["finish_time"], "2026-11-21T12:01:30+08:00");
    assert!(part.get("fail_reason").is_none());

    // Repeated, it gives the same answer; anything else under that number is refused.
    let (_, again) = merchant.post(SHARE, &body).await;
    assert_eq!(again, reply);
    let other = share(&merchant, &id, "S-1", 999);
    assert_eq!(merchant.refused(SHARE, &other).await, "400 INVALID_REQUEST");
    // Somebody else's share does not exist.
    let foreign = format!("{SHARE}/S-1?transaction_id={id}&sub_mchid=1900000110");
    assert_eq!(merchant.get(&foreign).await.0, StatusCode::NOT_FOUND);
    let config = format!("/v3/profitsharing/merchant-configs/{SUB_MCHID}");
    assert_eq!(merchant.get(&config).await.1["max_ratio"], 3_000);
}

#[tokio::test]
async fn more_than_the_ratio_and_more_than_is_left_is_refused() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = |number: &str, fen| share(&merchant, &id, number, fen);
    let refused = merchant.refused(SHARE, &body("S-1", 3_001)).await;
    assert_eq!(refused, "400 INVALID_REQUEST");
    assert_eq!(merchant.post(SHARE, &body("S-1", 3_000)).await.0, 200);
    // The ratio is over all requests together.
    let refused = merchant.refused(SHARE, &body("S-2", 1)).await;
    assert_eq!(refused, "400 INVALID_REQUEST");
    let generous = MerchantRules {
        max_ratio: 10_000,
        ..MerchantRules::default()
    };
    merchant.simulator.set_merchant(SUB_MCHID, generous);
    let refused = merchant.refused(SHARE, &body("S-2", 6_941)).await;
    assert_eq!(refused, "403 NOT_ENOUGH");
    assert_eq!(merchant.post(SHARE, &body("S-2", 6_940)).await.0, 200);
    assert_eq!(unsplit_fen(&merchant, &id).await, 0);
}

#[tokio::test]
async fn only_frozen_orders_and_known_receivers() {
    let merchant = start().await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    let plain = merchant.paid("ORDER-2", 10_000, json!({})).await;
    merchant.turn(60);
    let body = |id: &str, number: &str| share(&merchant, id, number, 100);
    let (_, reply) = merchant.post(SHARE, &body(&id, "S-1")).await;
    assert_eq!(reply["code"], "INVALID_REQUEST");
    assert!(
        reply["message"]
            .as_str()
            .unwrap()
            .contains("接收方关系不存在")
    );
    add(&merchant, json!({})).await;
    assert_eq!(merchant.post(SHARE, &body(&id, "S-1")).await.0, 200);
    for id in [plain.as_str(), "4200000000000000000000000000"] {
        let (_, reply) = merchant.post(SHARE, &body(id, "S-2")).await;
        assert_eq!(reply["message"], "非分账订单不支持分账");
    }
    // Deleted while it is under way, the receiver gets nothing.
    let gone = json!({
        "sub_mchid": SUB_MCHID, "appid": merchant.keys.app_id(), "type": "MERCHANT_ID", "account": BRAND,
    });
    for _ in 0..2 {
        assert_eq!(merchant.post(DELETE, &gone).await.0, StatusCode::OK);
    }
    merchant.turn(30);
    let reply = ask(&merchant, &id, "S-1").await;
    assert_eq!(reply["receivers"][0]["result"], "CLOSED");
    assert_eq!(reply["receivers"][0]["fail_reason"], "NO_RELATION");
    assert_eq!(unsplit_fen(&merchant, &id).await, 9_940);
}

#[tokio::test]
async fn names_are_decrypted_with_the_key_that_was_named_and_compared() {
    let merchant = start().await;
    let person = json!({
        "type": "PERSONAL_OPENID", "account": "oChef", "relation_type": "STAFF",
        "name": encrypted(&merchant, "张三"),
    });
    let forced = ForcedReceiver {
        name: Some("李四".to_owned()),
        ..ForcedReceiver::default()
    };
    merchant.simulator.force_receiver("oChef", forced);
    let mut body = receiver(&merchant);
    merge(&mut body, person);
    let (_, reply) = merchant.post(ADD, &body).await;
    assert_eq!(reply["message"], "微信用户姓名与实名不一致");
    body["name"] = json!(encrypted(&merchant, "李四"));
    assert_eq!(merchant.post(ADD, &body).await.0, StatusCode::OK);

    // In the clear, to the other key, and without the key's name.
    body["name"] = json!("李四");
    let (_, reply) = merchant.post(ADD, &body).await;
    assert_eq!(reply["code"], "PARAM_ERROR");
    assert!(!reply.to_string().contains("李四"));
    let certificate = merchant.keys.wechat(KeyKind::Certificate);
    body["name"] = json!(certificate.encrypt("李四".as_bytes()));
    assert_eq!(merchant.refused(ADD, &body).await, "400 PARAM_ERROR");
    let serial = merchant.keys.serial(KeyKind::Certificate).to_owned();
    let text = body.to_string();
    let reply = merchant
        .call(http::Method::POST, ADD, &text, Some(&serial))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.body);
    let reply = merchant.call(http::Method::POST, ADD, &text, None).await;
    assert_eq!(reply.json()["code"], "PARAM_ERROR");

    let cases = [
        json!({"type": "PERSONAL_WECHATID"}),
        json!({"account": "x-1"}),
        json!({"name": null}),
        json!({"relation_type": "FRIEND"}),
        json!({"relation_type": "CUSTOM"}),
        json!({"appid": null}),
        json!({"appid": "wx0000000000000000"}),
        json!({"sub_mchid": merchant.keys.sp_mchid()}),
        json!({"surprise": 1}),
        json!({"type": "PERSONAL_SUB_OPENID", "account": "oChef"}),
    ];
    for case in cases {
        let mut body = receiver(&merchant);
        merge(&mut body, case.clone());
        assert!(
            merchant.refused(ADD, &body).await.starts_with("400"),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_repeated_share_with_a_name_is_the_same_though_its_ciphertext_is_not() {
    let merchant = start().await;
    let person = json!({"type": "PERSONAL_OPENID", "account": "oChef", "relation_type": "STAFF"});
    add(&merchant, person).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = |name: &str| {
        let mut body = share(&merchant, &id, "S-1", 100);
        body["receivers"] = json!([{
            "type": "PERSONAL_OPENID", "account": "oChef", "amount": 100, "description": "x",
            "name": encrypted(&merchant, name),
        }]);
        body
    };
    let wrong = body("别人");
    assert_eq!(merchant.refused(SHARE, &wrong).await, "400 INVALID_REQUEST");
    let (first, second) = (body("品牌有限公司"), body("品牌有限公司"));
    assert_ne!(first, second);
    let (status, reply) = merchant.post(SHARE, &first).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(merchant.post(SHARE, &second).await.1, reply);
}

#[tokio::test]
async fn unfreezing_is_final() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    let body = json!({
        "sub_mchid": SUB_MCHID, "transaction_id": id, "out_order_no": "U-1", "description": "解冻",
    });
    assert_eq!(
        merchant.refused(UNFREEZE, &body).await,
        "400 INVALID_REQUEST"
    );
    merchant.turn(60);
    let first = share(&merchant, &id, "S-1", 1_000);
    assert_eq!(merchant.post(SHARE, &first).await.0, 200);
    // The number of a share is spent.
    let mut spent = body.clone();
    spent["out_order_no"] = json!("S-1");
    assert_eq!(
        merchant.refused(UNFREEZE, &spent).await,
        "400 INVALID_REQUEST"
    );
    let (status, reply) = merchant.post(UNFREEZE, &body).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["receivers"][0]["account"], SUB_MCHID);
    assert_eq!(reply["receivers"][0]["amount"], 8_940);
    assert_eq!(reply["receivers"][0]["description"], "解冻给分账方");
    assert_eq!(unsplit_fen(&merchant, &id).await, 0);
    let second = share(&merchant, &id, "S-2", 1);
    assert_eq!(merchant.refused(SHARE, &second).await, "403 NOT_ENOUGH");
    merchant.turn(30);
    assert_eq!(ask(&merchant, &id, "U-1").await["state"], "FINISHED");

    // After thirty days it happens by itself.
    let id = frozen(&merchant, "ORDER-2", 10_000).await;
    merchant.turn(30 * 86_400 - 1);
    assert_eq!(unsplit_fen(&merchant, &id).await, 9_940);
    merchant.turn(1);
    assert_eq!(unsplit_fen(&merchant, &id).await, 0);
}

#[tokio::test]
async fn a_receiver_may_get_nothing_by_force_and_by_switch() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let switched = Faults {
        sharing: SharingFaults {
            receiver_high_risk: PerMille::ALWAYS,
            ..SharingFaults::default()
        },
        ..Faults::default()
    };
    merchant.simulator.set_faults(switched);
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = |number: &str| share(&merchant, &id, number, 100);
    merchant.post(SHARE, &body("S-1")).await;
    let forced = ForcedReceiver {
        share: Some(ShareResult::Closed(ShareFailure::AccountAbnormal)),
        ..ForcedReceiver::default()
    };
    merchant.simulator.force_receiver(BRAND, forced);
    merchant.post(SHARE, &body("S-2")).await;
    merchant.turn(30);
    for (number, reason) in [("S-1", "RECEIVER_HIGH_RISK"), ("S-2", "ACCOUNT_ABNORMAL")] {
        let reply = ask(&merchant, &id, number).await;
        // Finished is not success.
        assert_eq!(reply["state"], "FINISHED");
        assert_eq!(reply["receivers"][0]["result"], "CLOSED");
        assert_eq!(reply["receivers"][0]["fail_reason"], reason);
    }
    assert_eq!(unsplit_fen(&merchant, &id).await, 9_940);
}

#[tokio::test]
async fn the_merchant_of_direct_mode_shares_without_a_sub_merchant() {
    let merchant = start().await;
    let settle = json!({"settle_info": {"profit_sharing": true}});
    let id = merchant.paid_directly("ORDER-1", 10_000, settle).await;
    merchant.turn(60);
    add(&merchant, json!({"sub_mchid": null})).await;
    let mut body = share(&merchant, &id, "S-1", 1_000);
    // As a sub-merchant's, the order does not exist.
    assert_eq!(merchant.refused(SHARE, &body).await, "400 INVALID_REQUEST");
    merge(&mut body, json!({"sub_mchid": null}));
    let (status, reply) = merchant.post(SHARE, &body).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert!(reply.get("sub_mchid").is_none());
    merchant.turn(30);
    let target = format!("{SHARE}/S-1?transaction_id={id}");
    assert_eq!(merchant.get(&target).await.1["state"], "FINISHED");
}

#[tokio::test]
async fn a_share_whose_answer_was_lost_is_repeated_and_happens_once() {
    let merchant = start().await;
    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = share(&merchant, &id, "S-1", 1_000);
    let lost = CallFaults {
        commit_then_system_error: PerMille::ALWAYS,
        ..CallFaults::default()
    };
    merchant.simulator.set_faults(Faults {
        calls: [(Endpoint::Sharing, lost)].into(),
        ..Faults::default()
    });
    let (status, _) = merchant.post(SHARE, &body).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    merchant.simulator.set_faults(Faults::default());
    assert_eq!(merchant.post(SHARE, &body).await.0, StatusCode::OK);
    assert_eq!(unsplit_fen(&merchant, &id).await, 8_940);
}

#[tokio::test]
async fn the_control_calls_do_what_the_methods_do() {
    let merchant = start().await;
    let put = async |path: &str, body: Value| {
        let url = merchant.simulator.base_url().join(path).unwrap();
        let http = reqwest::Client::new();
        let answer = http.put(url).json(&body).send().await.unwrap();
        answer.status()
    };
    let forced = json!({
        "account": BRAND, "share": {"closed": "ACCOUNT_ABNORMAL"},
        "return_failure": "BALANCE_NOT_ENOUGH", "name": "品牌有限公司",
    });
    assert!(put("/sim/receivers", forced).await.is_success());
    let misspelt = json!({"account": BRAND, "shar": "success"});
    assert!(put("/sim/receivers", misspelt).await.is_client_error());
    let terms = format!("/sim/merchants/{SUB_MCHID}");
    assert!(put(&terms, json!({"max_ratio": 5_000})).await.is_success());
    assert!(put(&terms, json!({"ratio": 1})).await.is_client_error());
    let bills = json!({"ready_at_once": true, "url_seconds": 30});
    assert!(put("/sim/bills", bills).await.is_success());
    assert!(
        put("/sim/bills", json!({"at_once": true}))
            .await
            .is_client_error()
    );
    let faults = json!({"sharing": {"receipt_limit": 1000}});
    assert!(put("/sim/faults", faults).await.is_success());

    add(&merchant, json!({})).await;
    let id = frozen(&merchant, "ORDER-1", 10_000).await;
    merchant.turn(60);
    let body = share(&merchant, &id, "S-1", 5_000);
    assert_eq!(merchant.post(SHARE, &body).await.0, 200);
    merchant.turn(30);
    let reply = ask(&merchant, &id, "S-1").await;
    assert_eq!(reply["receivers"][0]["fail_reason"], "ACCOUNT_ABNORMAL");
    let bill = "/v3/bill/tradebill?bill_date=2026-11-21";
    assert_eq!(merchant.get(bill).await.0, StatusCode::OK);
}
