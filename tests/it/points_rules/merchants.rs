//! A merchant's own rule, caps at their edges, and refunds after the rule changed.

use serde_json::{Value, json};

use super::{RULE, earned, id_of, rule_of};
use crate::harness::{TestApp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_earns_by_its_own_rule_until_that_is_withdrawn() {
    let app = TestApp::start().await;
    let (own, plain) = (
        app.merchant("茶里巷", "1900000500").await,
        app.merchant("面馆", "1900000501").await,
    );
    let (id, li) = (id_of(&own).await, app.customer("li").await);
    let admin = app.operator("lin");
    let terms = json!({ "ratio": "3", "rounding": "up", "validity": { "kind": "end_of_year", "count": 0 } });
    let set = admin.put(&rule_of(&id), &terms).await.expect(200);
    assert_eq!(
        (&set["version"], &set["merchant_id"]),
        (&json!(2), &json!(id))
    );
    assert_eq!(
        set["validity"],
        json!({ "kind": "end_of_year", "count": 0 })
    );
    assert_eq!(set["expiry_days"], Value::Null);

    assert_eq!(earned(&app, &li, &own.code, 101, "a").await, 4); // 3.03, rounded up
    assert_eq!(earned(&app, &li, &plain.code, 101, "b").await, 1);
    let answer = own
        .owner
        .get("/api/v1/merchant/points-rule")
        .await
        .expect(200);
    assert_eq!(
        (&answer["of"], &answer["rule"]["ratio"]),
        (&json!("merchant"), &json!("3"))
    );
    let answer = plain
        .owner
        .get("/api/v1/merchant/points-rule")
        .await
        .expect(200);
    assert_eq!(
        (&answer["of"], &answer["rule"]["version"]),
        (&json!("tenant"), &json!(1))
    );

    // The tenant's next rule is not the merchant's.
    admin.put(RULE, &json!({ "ratio": "2" })).await.expect(200);
    assert_eq!(earned(&app, &li, &own.code, 101, "c").await, 4);
    assert_eq!(earned(&app, &li, &plain.code, 101, "d").await, 2);

    let now = admin.delete(&rule_of(&id)).await.expect(200);
    assert_eq!(
        (&now["of"], &now["withdrawn_by"]),
        (&json!("tenant"), &json!(4))
    );
    assert_eq!(now["rule"]["version"], 3);
    assert_eq!(earned(&app, &li, &own.code, 101, "e").await, 2);
    let again = admin.delete(&rule_of(&id)).await;
    again.refused(404, "points_rule_not_overridden");
    let log = admin.get("/api/v1/admin/audit-logs").await.expect(200);
    let of_rules: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["action"].as_str().unwrap().starts_with("points_rule"))
        .collect();
    assert_eq!(of_rules.len(), 3, "{log}");
    assert_eq!(of_rules[0]["action"], "points_rule.withdrawn");
    assert_eq!(
        (&of_rules[0]["subject"], &of_rules[0]["actor"]),
        (&json!(id), &json!("operator:lin"))
    );
    assert_eq!(of_rules[1]["subject"], "points_rule");
    assert_eq!(of_rules[2]["subject"], id.as_str());
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_are_full_at_their_edge_and_no_point_later() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000511").await;
    let (li, wang) = (app.customer("li").await, app.customer("wang").await);
    let admin = app.admin();
    admin
        .put(
            RULE,
            &json!({ "ratio": "1", "daily_cap": 20, "total_cap": 35 }),
        )
        .await
        .expect(200);
    let mut credited = Vec::new();
    for (customer, yuan, key) in [
        (&li, 19, "a"),
        (&li, 1, "b"),
        (&li, 1, "c"),
        (&wang, 14, "a"),
        (&wang, 2, "b"),
        (&wang, 1, "c"),
    ] {
        credited.push(earned(&app, customer, &merchant.code, yuan * 100, key).await);
    }
    assert_eq!(credited, [19, 1, 0, 14, 1, 0]);
    // A new version has a budget of its own; what was earned that day still counts.
    admin
        .put(
            RULE,
            &json!({ "ratio": "1", "daily_cap": 20, "total_cap": 3 }),
        )
        .await
        .expect(200);
    assert_eq!(earned(&app, &wang, &merchant.code, 900, "d").await, 3);
    assert_eq!(earned(&app, &li, &merchant.code, 900, "d").await, 0);
    // A cap of nothing is a cap.
    admin
        .put(RULE, &json!({ "ratio": "1", "daily_cap": 0 }))
        .await
        .expect(200);
    assert_eq!(earned(&app, &wang, &merchant.code, 900, "e").await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_goes_by_what_the_order_earned_whatever_the_rule_says_now() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000512").await;
    let id = id_of(&merchant).await;
    let li = app.customer("li").await;
    let admin = app.admin();
    admin
        .put(&rule_of(&id), &json!({ "ratio": "4" }))
        .await
        .expect(200);
    let order_no = app.pay(&li, &merchant.code, 1_000, "a").await;
    admin
        .put(
            &rule_of(&id),
            &json!({ "ratio": "100", "rounding": "up", "expiry_days": 1 }),
        )
        .await
        .expect(200);
    admin.delete(&rule_of(&id)).await.expect(200);
    admin.put(RULE, &json!({ "ratio": "0" })).await.expect(200);
    let body = json!({ "amount_fen": 500, "reason": "缺货" });
    let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
    merchant.owner.keyed("r").post(&path, &body).await;
    eventually("the points are back", || async {
        let balance = li.get("/api/v1/customer/points").await.expect(200);
        (balance["posted"] == 20).then_some(())
    })
    .await;
    app.finish().await;
}
