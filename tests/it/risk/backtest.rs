//! Stored decisions told and judged again, at the command line.

use std::process::Command;

use serde_json::{Value, json};
use zhangfang::primitives::OrderNo;

use super::at_most;
use crate::harness::{Folder, Merchant, TestApp};

/// Stops payments of more than ¥10, counts what today's rules do not, and would stop the third
/// payment in ten minutes if it could.
const OTHERS: &str = "\
defaults: {on_missing: allow}
rules:
  - id: small-only
    name: 只许小额
    stages: [payment.create]
    action: block
    amount_fen: {above: 1000}
  - id: third
    name: 第三笔
    stages: [payment.create]
    action: review
    shadow: true
    velocity: {measure: count, per: customer, within: 10m, above: 2}
";

async fn books() -> (TestApp, Merchant, String) {
    let app = TestApp::with_rules(&at_most(3, "1h")).await;
    let merchant = app.merchant("茶里巷", "1900000181").await;
    let customer = app.customer("li").await;
    let mut first = None;
    for (number, fen) in [900, 1_100, 1_000, 2_000].into_iter().enumerate() {
        let body = json!({ "code": merchant.code, "amount_fen": fen });
        let asked = customer
            .keyed(&format!("k{number}"))
            .post("/api/v1/customer/payments", &body)
            .await;
        if number < 3 {
            let order = asked.expect(201);
            first.get_or_insert(order["order_no"].as_str().unwrap().to_owned());
        } else {
            asked.refused(403, "risk_blocked");
        }
    }
    (app, merchant, first.unwrap())
}

/// What the command line says, as JSON.
fn said(app: &TestApp, words: &[&str]) -> Result<Value, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_zhangfang"))
        .args(words)
        .env("DATABASE_URL", app.scratch.service_url())
        .env("ZHANGFANG_LOG__FILTER", "error")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() {
        return Err(errors);
    }
    Ok(serde_json::from_slice(&done.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_are_tried_on_what_was() {
    let (app, _merchant, _) = books().await;
    let folder = Folder::new("backtest");
    let file = folder.file("others.yaml", OTHERS);
    let answer = said(
        &app,
        &[
            "risk",
            "backtest",
            file.to_str().unwrap(),
            "--from",
            "2026-01-01",
            "--to",
            "2199-01-01",
            "--json",
        ],
    )
    .unwrap();
    let of_creation: Vec<_> = answer["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|outcome| outcome["stage"] == "payment.create")
        .map(|outcome| {
            let word = |name: &str| outcome[name].as_str().unwrap().to_owned();
            (
                word("was"),
                word("would_be"),
                outcome["count"].as_i64().unwrap(),
                outcome["amount_fen"].as_i64().unwrap(),
            )
        })
        .collect();
    let was = |was: &str, new: &str, count, fen| (was.to_owned(), new.to_owned(), count, fen);
    assert_eq!(
        of_creation,
        [
            was("allow", "allow", 2, 1_900),
            was("allow", "block", 1, 1_100),
            was("block", "block", 1, 2_000),
        ]
    );
    let rule = |id: &str| {
        let rules = answer["rules"].as_array().unwrap();
        rules
            .iter()
            .find(|rule| rule["rule"] == id)
            .cloned()
            .unwrap()
    };
    // Counted again, since nobody counted it then: the third and the fourth.
    assert_eq!(
        rule("third"),
        json!({ "rule": "third", "fired_then": 0, "live": 0, "aside": 2 })
    );
    assert_eq!(rule("small-only")["live"], 2);
    assert_eq!(rule("many-payments")["fired_then"], 1);

    let broken = folder.file("broken.yaml", "rules:\n  - id: x\n");
    let broken = broken.to_str().unwrap();
    let complaint = said(&app, &["risk", "backtest", broken, "--from", "2026-01-01"]).unwrap_err();
    assert!(complaint.contains(":2:"), "{complaint}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_s_decisions_are_explained() {
    let (app, _merchant, order_no) = books().await;
    let answer = said(&app, &["risk", "explain", "--order", &order_no, "--json"]).unwrap();
    let answer = answer.as_array().unwrap();
    assert_eq!(answer.len(), 1, "{answer:?}");
    assert_eq!(answer[0]["stage"], "payment.create");
    assert_eq!(answer[0]["action"], "allow");
    assert_eq!(answer[0]["counters"][0]["said"], 1);
    assert_eq!(answer[0]["facts"]["address"], "127.0.0.x");
    let order: OrderNo = order_no.parse().unwrap();
    let by_id = answer[0]["id"].as_str().unwrap();
    assert!(by_id.starts_with("rd_"), "{order:?}");
    let again = said(&app, &["risk", "explain", "--decision", by_id, "--json"]).unwrap();
    assert_eq!(again.as_array().unwrap(), answer);
    let nobody = "06D8R5MKTS7J0T4V3C9Q2W00";
    assert!(said(&app, &["risk", "explain", "--order", nobody]).is_err());
    app.finish().await;
}
