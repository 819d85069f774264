//! Dry runs: told before anybody pays.

use serde_json::{Value, json};
use zhangfang::primitives::BusinessDay;

use super::{DRY_RUN, RULE, id_of, id_of_customer, rule_of};
use crate::harness::TestApp;

/// Payment for payment: what is told is what is credited, whatever the terms, the customer and the
/// merchant.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_is_then_credited() {
    let app = TestApp::start().await;
    let (own, plain) = (
        app.merchant("茶里巷", "1900000508").await,
        app.merchant("面馆", "1900000509").await,
    );
    let (own_id, plain_id) = (id_of(&own).await, id_of(&plain).await);
    let customers = [app.customer("li").await, app.customer("wang").await];
    let mut ids = Vec::new();
    for customer in &customers {
        ids.push(id_of_customer(customer).await);
    }
    let admin = app.admin();
    let days = |kind: &str, count: i64| json!({ "kind": kind, "count": count });
    let rules = [
        json!({ "ratio": "1" }),
        json!({ "ratio": "0.3333", "rounding": "half_up", "validity": days("end_of_month", 0) }),
        json!({ "ratio": "1.5", "rounding": "up", "daily_cap": 40, "validity": days("days", 30) }),
        json!({ "ratio": "2", "amount_min_fen": 300, "amount_max_fen": 1_000, "total_cap": 45, "validity": days("end_of_year", 2) }),
        json!({ "ratio": "0" }),
        json!({ "ratio": "12.3456", "rounding": "down", "daily_cap": 333, "total_cap": 500, "validity": { "kind": "never" } }),
    ];
    // A fixed sequence that looks like chance.
    let mut dice: u64 = 20_261_121;
    let mut roll = |sides: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((dice >> 33) % sides).unwrap()
    };
    let mut cut = 0;
    for index in 0..36 {
        // The last ones use up a total cap for certain.
        let is_last = index >= 32;
        match roll(4) {
            _ if index == 32 => {
                admin.put(&rule_of(&own_id), &rules[3]).await.expect(200);
            }
            _ if is_last => {}
            0 => {
                admin.put(RULE, &rules[roll(6)]).await.expect(200);
            }
            1 => {
                let own = &rules[roll(6)];
                admin.put(&rule_of(&own_id), own).await.expect(200);
            }
            2 if roll(3) == 0 => {
                // Refused where there is nothing to withdraw.
                admin.delete(&rule_of(&own_id)).await;
            }
            _ => {}
        }
        let (merchant, merchant_id) = if is_last || roll(2) == 0 {
            (&own, &own_id)
        } else {
            (&plain, &plain_id)
        };
        let who = roll(2);
        let amounts = [999, 1, 33, 299, 300, 1_001, 5_000];
        let amount = amounts[if is_last { 0 } else { roll(7) }];
        let question =
            json!({ "merchant_id": merchant_id, "customer_id": ids[who], "amount_fen": amount });
        let answer = admin.post(DRY_RUN, &question).await.expect(200);
        let order_no = app
            .pay(
                &customers[who],
                &merchant.code,
                amount,
                &format!("k{index}"),
            )
            .await;
        let path = format!("/api/v1/admin/payments/{order_no}");
        let order = admin.get(&path).await.expect(200);
        assert_eq!(
            answer["points"], order["points"],
            "{question}: {answer}\n{order}"
        );
        assert_eq!(
            answer["rule"]["version"], order["rule_version"],
            "{answer}\n{order}"
        );
        let expires: Option<time::Date> =
            sqlx::query_scalar("SELECT points_expired_from FROM payment_orders WHERE id = ?")
                .bind(
                    order_no
                        .parse::<zhangfang::primitives::OrderNo>()
                        .unwrap()
                        .id(),
                )
                .fetch_one(app.db().pool())
                .await
                .unwrap();
        let expires = expires.unwrap().to_string();
        let last = answer["last_usable_on"].as_str().unwrap_or("9999-12-31");
        let expected = BusinessDay::parse(last).unwrap().plus_days(1).to_string();
        assert_eq!(expires, expected, "{answer}");
        cut += i64::from(answer["earning"]["points"] != answer["points"]);
    }
    assert!(cut > 2, "the caps were never reached");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_why_and_changes_nothing() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000510").await;
    let id = id_of(&merchant).await;
    let li = app.customer("li").await;
    let admin = app.admin();
    admin
        .put(
            RULE,
            &json!({ "ratio": "1.5", "daily_cap": 20, "amount_max_fen": 2_000, "expiry_days": 30 }),
        )
        .await
        .expect(200);
    app.pay(&li, &merchant.code, 1_000, "k").await;
    let me = id_of_customer(&li).await;
    let counts = "SELECT (SELECT COUNT(*) FROM transfers) + (SELECT COUNT(*) FROM points_rules) + (SELECT COUNT(*) FROM audit_logs) + (SELECT COUNT(*) FROM payment_orders)";
    let before = app.count(counts).await;

    let question = json!({ "merchant_id": id, "customer_id": me, "amount_fen": 2_450 });
    let answer = admin.post(DRY_RUN, &question).await.expect(200);
    assert_eq!(answer["points"], 5);
    assert_eq!(
        answer["earning"],
        json!({ "amount_fen": 2_450, "below_minimum": false, "counted_fen": 2_000, "before_rounding": "30", "points": 30 })
    );
    assert_eq!(
        answer["daily_cap"],
        json!({ "cap": 20, "earned_before": 15, "room": 5 })
    );
    assert_eq!(
        (&answer["rule"]["of"], &answer["rule"]["version"]),
        (&json!("tenant"), &json!(2))
    );
    let why: Vec<_> = answer["why"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert_eq!(why[1], "Of ¥24.50 only ¥20.00 counts.");
    assert_eq!(
        why[2],
        "¥20.00 times 1.5 points per yuan is 30, rounded down: 30 points."
    );
    assert!(
        why[3].starts_with("The customer may earn 20 points a day and has earned 15 on"),
        "{}",
        why[3]
    );
    assert!(
        why[4].starts_with("5 points are credited, to be used until "),
        "{}",
        why[4]
    );

    // Tomorrow the day's cap is whole again; terms to try know nothing of what was handed out.
    let tomorrow = app.app.now().plus_seconds(86_400).to_string();
    let answer = admin
        .post(
            DRY_RUN,
            &json!({ "merchant_id": id, "customer_id": me, "amount_fen": 2_450, "at": tomorrow }),
        )
        .await
        .expect(200);
    assert_eq!(answer["points"], 20);
    let terms = json!({ "ratio": "2", "total_cap": 7, "amount_min_fen": 100, "rounding": "up", "validity": { "kind": "never" } });
    let answer = admin
        .post(DRY_RUN, &json!({ "amount_fen": 1_001, "terms": terms }))
        .await
        .expect(200);
    assert_eq!(
        (
            &answer["points"],
            &answer["rule"]["of"],
            &answer["last_usable_on"]
        ),
        (&json!(7), &json!("tried"), &Value::Null)
    );
    assert_eq!(answer["earning"]["points"], 21);
    let answer = admin
        .post(DRY_RUN, &json!({ "amount_fen": 99, "terms": terms }))
        .await
        .expect(200);
    assert_eq!(
        answer["why"][1],
        "¥0.99 is less than ¥1.00, and earns nothing."
    );
    assert_eq!(app.count(counts).await, before);
    app.finish().await;
}
