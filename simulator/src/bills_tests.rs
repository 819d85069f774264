//! Bills from outside.

use std::io::Read;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::read::GzDecoder;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::test_merchant::{Answer, Merchant, SUB_MCHID};
use super::*;

const NOON: OffsetDateTime = datetime!(2026-11-21 12:00:00 +8);
const HOUR: i64 = 3_600;

async fn start() -> Merchant {
    // The end of a refund is not what is looked at here.
    let faults = Faults {
        refund_delay_ms: 1,
        refunds_at_once: true,
        ..Faults::default()
    };
    Merchant::start(
        NOON,
        SimulatorSettings {
            faults,
            ..SimulatorSettings::default()
        },
    )
    .await
}

async fn fetch(merchant: &Merchant, url: &str) -> Answer {
    let target = &url[url.find("/v3/").unwrap()..];
    merchant.call(Method::GET, target, "", None).await
}

/// The lines of a bill, without the byte order mark.
async fn bill(merchant: &Merchant, target: &str) -> Vec<String> {
    let (status, answer) = merchant.get(target).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let url = answer["download_url"].as_str().unwrap();
    assert!(url.starts_with(merchant.simulator.base_url().as_str()));
    let file = fetch(merchant, url).await;
    assert_eq!(file.status, StatusCode::OK);
    assert!(!file.headers.contains_key("wechatpay-signature"));
    let mut plain = Vec::new();
    if target.contains("tar_type") {
        GzDecoder::new(&file.body[..])
            .read_to_end(&mut plain)
            .unwrap();
    } else {
        plain = file.body.to_vec();
    }
    let hash = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &plain));
    assert_eq!(
        (&answer["hash_type"], &answer["hash_value"]),
        (&json!("SHA1"), &json!(hash))
    );
    let text = String::from_utf8(plain).unwrap();
    let text = text.strip_prefix('\u{feff}').unwrap().strip_suffix("\r\n");
    text.unwrap().split("\r\n").map(str::to_owned).collect()
}

async fn refusal(merchant: &Merchant, target: &str) -> (u16, Value) {
    let (status, answer) = merchant.get(target).await;
    (status.as_u16(), answer["code"].clone())
}

async fn refund(merchant: &Merchant, order: &str, number: &str, fen: i64, total_fen: i64) {
    let body = json!({
        "sub_mchid": SUB_MCHID, "out_trade_no": order, "out_refund_no": number,
        "amount": {"refund": fen, "total": total_fen, "currency": "CNY"},
    });
    let (status, answer) = merchant.post("/v3/refund/domestic/refunds", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn until_refunded(merchant: &Merchant, number: &str) {
    let target = format!("/v3/refund/domestic/refunds/{number}?sub_mchid={SUB_MCHID}");
    let done = async {
        while merchant.get(&target).await.1["status"] != "SUCCESS" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), done)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bill_is_there_at_ten_the_next_day_and_for_three_months() {
    let merchant = start().await;
    merchant.paid("ORDER-1", 1_280, json!({})).await;
    merchant
        .paid("ORDER-2", 99, json!({"sub_mchid": "1900000110"}))
        .await;
    let day = "/v3/bill/tradebill?bill_date=2026-11-21";
    let creating = (400, json!("STATEMENT_CREATING"));
    assert_eq!(refusal(&merchant, day).await, creating);
    merchant.turn(22 * HOUR - 1);
    assert_eq!(refusal(&merchant, day).await, creating);
    merchant.turn(1);
    assert_eq!(bill(&merchant, day).await.len(), 5);
    let packed = format!("{day}&tar_type=GZIP&bill_type=ALL");
    assert_eq!(bill(&merchant, &packed).await, bill(&merchant, day).await);
    let of_merchant = bill(&merchant, &format!("{day}&sub_mchid={SUB_MCHID}")).await;
    assert_eq!(of_merchant.len(), 4);
    assert!(of_merchant[1].contains(",`ORDER-1,") && of_merchant[3].starts_with("`1,`12.80,"));

    let none = (400, json!("NO_STATEMENT_EXIST"));
    let empty = "/v3/bill/tradebill?bill_date=2026-11-20";
    assert_eq!(refusal(&merchant, empty).await, none);
    assert_eq!(
        refusal(&merchant, &format!("{day}&bill_type=REFUND")).await,
        none
    );
    assert_eq!(
        refusal(&merchant, &format!("{day}&sub_mchid=1900000111")).await,
        none
    );
    let wrong = (400, json!("INVALID_REQUEST"));
    for date in ["2026-11-23", "2026-08-21", "20261121", "2026-11-32"] {
        let target = format!("/v3/bill/tradebill?bill_date={date}");
        assert_eq!(refusal(&merchant, &target).await, wrong, "{date}");
    }
    let oldest = "/v3/bill/tradebill?bill_date=2026-08-22";
    assert_eq!(refusal(&merchant, oldest).await, none);
    let bad = (400, json!("PARAM_ERROR"));
    for target in [
        "/v3/bill/tradebill".to_owned(),
        format!("{day}&bill_type=EVERYTHING"),
        format!("{day}&tar_type=ZIP"),
        "/v3/bill/fundflowbill?bill_date=2026-11-21&account_type=MINE".to_owned(),
    ] {
        assert_eq!(refusal(&merchant, &target).await, bad, "{target}");
    }
}

#[tokio::test]
async fn an_address_works_five_minutes_and_only_signed() {
    let merchant = start().await;
    merchant.paid("ORDER-1", 1_280, json!({})).await;
    merchant.turn(24 * HOUR);
    let day = "/v3/bill/tradebill?bill_date=2026-11-21";
    let url = merchant.get(day).await.1["download_url"].clone();
    let url = url.as_str().unwrap();
    let unsigned = reqwest::Client::new()
        .get(url)
        .header("accept", "*/*")
        .header("user-agent", "test");
    assert_eq!(
        unsigned.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    merchant.turn(299);
    for _ in 0..2 {
        assert_eq!(fetch(&merchant, url).await.status, StatusCode::OK);
    }
    merchant.turn(1);
    let answer = fetch(&merchant, url).await;
    assert_eq!(answer.json()["code"], "INVALID_REQUEST");
    assert!(answer.is_signed_by(KeyKind::Certificate));

    merchant.simulator.set_bills(BillSettings {
        url_seconds: 30,
        ..BillSettings::default()
    });
    let url = merchant.get(day).await.1["download_url"].clone();
    merchant.turn(30);
    let answer = fetch(&merchant, url.as_str().unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_was_paid_and_refunded_is_in_the_bill_with_its_fees() {
    let merchant = start().await;
    let texts = json!({
        "description": "面, \"大\"", "attach": r#"{"table":4,"x":[1,2]}"#,
    });
    let id = merchant.paid("ORDER-1", 10_000, texts).await;
    refund(&merchant, "ORDER-1", "R-1", 3_333, 10_000).await;
    until_refunded(&merchant, "R-1").await;
    refund(&merchant, "ORDER-1", "R-2", 6_667, 10_000).await;
    until_refunded(&merchant, "R-2").await;
    merchant.turn(22 * HOUR);
    let day = "/v3/bill/tradebill?bill_date=2026-11-21";
    let lines = bill(&merchant, day).await;
    assert_eq!(lines.len(), 6);
    let line = |part: &str| {
        let mut found = lines.iter().filter(|line| line.contains(part));
        let line = found.next().unwrap().clone();
        assert!(found.next().is_none());
        line
    };
    let paid = line(",`SUCCESS,`OTHERS,");
    let app = merchant.keys.app_id();
    let mchid = merchant.keys.sp_mchid();
    let start = format!(
        "`2026-11-21 12:00:00,`{app},`{mchid},`{SUB_MCHID},`,`{id},`ORDER-1,`oUser-1,`JSAPI,`SUCCESS,"
    );
    assert!(paid.starts_with(&start), "{paid}");
    let end = ",`面, \"大\",`{\"table\":4,\"x\":[1,2]},`0.60000,`0.60%,`100.00,`0.00,`";
    assert!(paid.ends_with(end), "{paid}");
    // The fee on 66.67 yuan is 0.40; the rest of it comes back with the rest of the money.
    let first = line(",`R-1,`33.33,`0.00,`ORIGINAL,`SUCCESS,");
    assert!(
        first.contains(",`-0.20000,`0.60%,`0.00,`33.33,`"),
        "{first}"
    );
    let second = line(",`R-2,`66.67,`0.00,`ORIGINAL,`SUCCESS,");
    assert!(
        second.contains(",`-0.40000,`0.60%,`0.00,`66.67,`"),
        "{second}"
    );
    assert_eq!(
        lines[5],
        "`3,`100.00,`100.00,`0.00,`0.00000,`100.00,`100.00"
    );

    let success = bill(&merchant, &format!("{day}&bill_type=SUCCESS")).await;
    assert_eq!(success[3], "`1,`100.00,`0.60000,`100.00");
    let refunds = bill(&merchant, &format!("{day}&bill_type=REFUND")).await;
    assert_eq!(refunds[0].split(',').count(), 29);
    assert_eq!(refunds[4], "`2,`0.00,`100.00,`0.00,`-0.60000,`0.00,`100.00");
    // Another merchant, another rate.
    let dear = MerchantRules {
        fee_basis_points: 100,
        ..MerchantRules::default()
    };
    merchant.simulator.set_merchant(SUB_MCHID, dear);
    let success = bill(&merchant, &format!("{day}&bill_type=SUCCESS")).await;
    assert!(
        success[1].ends_with(",`1.00000,`1.00%,`100.00,`"),
        "{}",
        success[1]
    );
}

#[tokio::test]
async fn a_refund_is_of_its_own_day_and_frozen_as_the_bill_was_made() {
    let merchant = start().await;
    let simulator = &merchant.simulator;
    merchant.paid("ORDER-1", 10_000, json!({})).await;
    // The evening of the next day in Beijing. The refunds end when they are told to.
    merchant.turn(30 * HOUR);
    simulator.set_faults(Faults {
        refund_delay_ms: 3_600_000,
        refunds_at_once: true,
        ..Faults::default()
    });
    for number in ["R-1", "R-2", "R-3"] {
        refund(&merchant, "ORDER-1", number, 1_000, 10_000).await;
    }
    merchant.turn(HOUR);
    simulator
        .settle_refund_now("R-1", RefundFate::Success)
        .unwrap();
    simulator
        .settle_refund_now("R-2", RefundFate::Closed)
        .unwrap();
    // A minute past nine the next morning: too late for the bill of the day before.
    merchant.turn(14 * HOUR + 60);
    simulator
        .settle_refund_now("R-3", RefundFate::Success)
        .unwrap();
    merchant.turn(HOUR);
    let paid = bill(&merchant, "/v3/bill/tradebill?bill_date=2026-11-21").await;
    assert_eq!(paid.len(), 4);
    assert!(paid[1].contains(",`SUCCESS,`OTHERS,"));
    let refunded = bill(&merchant, "/v3/bill/tradebill?bill_date=2026-11-22").await;
    assert_eq!(refunded.len(), 6);
    let line = |part: &str| refunded.iter().find(|line| line.contains(part)).unwrap();
    assert!(line("R-1").starts_with("`2026-11-22 18:00:00,"));
    assert!(line("R-1").contains(",`ORIGINAL,`SUCCESS,"));
    assert!(line("R-1").contains(",`-0.06000,"));
    assert!(line("R-2").contains(",`ORIGINAL,`FAIL,"));
    assert!(line("R-2").contains(",`0.00000,"));
    assert!(line("R-3").contains(",`ORIGINAL,`PROCESSING,"));
    let refunds = "/v3/bill/tradebill?bill_date=2026-11-22&bill_type=REFUND";
    let refunds = bill(&merchant, refunds).await;
    let times = "`2026-11-22 18:00:00,`2026-11-22 19:00:00,";
    assert!(
        refunds.iter().any(|line| line.contains(times)),
        "{refunds:?}"
    );
}

#[tokio::test]
async fn todays_bill_and_an_early_one_are_a_switch_away() {
    let merchant = start().await;
    merchant.paid("ORDER-1", 1_280, json!({})).await;
    merchant.simulator.set_bills(BillSettings {
        ready_at_once: true,
        early_era: true,
        ..BillSettings::default()
    });
    let today = bill(&merchant, "/v3/bill/tradebill?bill_date=2026-11-21").await;
    assert!(today[0].contains(",子商户号,") && today[0].contains(",总金额,企业红包金额,"));
    assert!(today[0].ends_with(",手续费,费率"));
    assert!(today[1].ends_with(",`0.08000,`0.60%"));
    let tomorrow = "/v3/bill/tradebill?bill_date=2026-11-22";
    assert_eq!(refusal(&merchant, tomorrow).await.1, "INVALID_REQUEST");
}

#[tokio::test]
async fn the_fund_flow_is_the_merchants_own_account() {
    let merchant = start().await;
    merchant.paid("ORDER-1", 10_000, json!({})).await;
    merchant.turn(24 * HOUR);
    let first = "/v3/bill/fundflowbill?bill_date=2026-11-21";
    let none = (400, json!("NO_STATEMENT_EXIST"));
    // A merchant's payment does not pass through the service provider.
    assert_eq!(refusal(&merchant, first).await, none);

    // A share does: from the merchant to the service provider.
    let settle = json!({"settle_info": {"profit_sharing": true}});
    let id = merchant.paid("ORDER-2", 10_000, settle).await;
    let own = merchant.keys.sp_mchid().to_owned();
    let name = merchant.keys.wechat(KeyKind::PublicKey).encrypt(b"ours");
    let receiver = json!({
        "sub_mchid": SUB_MCHID, "appid": merchant.keys.app_id(), "type": "MERCHANT_ID", "account": own,
        "name": name, "relation_type": "SERVICE_PROVIDER",
    });
    let (status, answer) = merchant
        .post("/v3/profitsharing/receivers/add", &receiver)
        .await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    merchant.turn(60);
    let share = json!({
        "sub_mchid": SUB_MCHID, "transaction_id": id, "out_order_no": "S-1", "unfreeze_unsplit": true,
        "receivers": [{
            "type": "MERCHANT_ID", "account": own, "amount": 150, "description": "服务费",
        }],
    });
    let (status, answer) = merchant.post("/v3/profitsharing/orders", &share).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    merchant.turn(30);
    // And a payment of its own, of which a part goes back.
    merchant.paid_directly("ORDER-3", 1_000, json!({})).await;
    let body = json!({
        "out_trade_no": "ORDER-3", "out_refund_no": "R-1", "reason": "凉了",
        "amount": {"refund": 400, "total": 1_000, "currency": "CNY"},
    });
    let (status, answer) = merchant.post("/v3/refund/domestic/refunds", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    merchant.turn(24 * HOUR);

    let lines = bill(
        &merchant,
        "/v3/bill/fundflowbill?bill_date=2026-11-22&tar_type=GZIP",
    )
    .await;
    assert_eq!(lines.len(), 8);
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(
        has("`分账,`分账,`收入,`1.50,`1.50,`system,`,`S-1"),
        "{lines:?}"
    );
    assert!(has("`交易,`交易,`收入,`10.00,"));
    assert!(has("`扣除交易手续费,`扣除交易手续费,`支出,`0.06,"));
    assert!(has("`退款,`退款,`支出,`4.00,"));
    assert!(has(",`凉了,`R-1"));
    assert_eq!(lines[7], "`5,`3,`11.52,`2,`4.06");
    let fees = "/v3/bill/fundflowbill?bill_date=2026-11-22&account_type=FEES";
    assert_eq!(refusal(&merchant, fees).await, none);
}
