//! What nobody should be able to say.

use serde_json::json;

use super::{DRY_RUN, RULE, id_of, rule_of};
use crate::harness::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_is_refused_and_changes_nothing() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000513").await;
    let id = id_of(&merchant).await;
    let admin = app.admin();
    let now = app.app.now();
    let past = now.plus_seconds(-60).to_string();
    let far = now.plus_seconds(367 * 86_400).to_string();
    for (body, field) in [
        (json!({ "ratio": "-1" }), "ratio"),
        (json!({ "ratio": "10000.1" }), "ratio"),
        (json!({ "ratio": "1.00001" }), "ratio"),
        (json!({ "ratio": "99999999999999999999999999" }), "ratio"),
        (json!({ "ratio": "NaN" }), "ratio"),
        (json!({ "ratio": "1e3" }), "ratio"),
        (json!({ "ratio": "" }), "ratio"),
        (
            json!({ "ratio": "1", "amount_min_fen": -1 }),
            "amount_min_fen",
        ),
        (
            json!({ "ratio": "1", "amount_min_fen": 5, "amount_max_fen": 4 }),
            "amount_max_fen",
        ),
        (json!({ "ratio": "1", "daily_cap": -1 }), "daily_cap"),
        (json!({ "ratio": "1", "total_cap": i64::MIN }), "total_cap"),
        (json!({ "ratio": "1", "expiry_days": 0 }), "expiry_days"),
        (
            json!({ "ratio": "1", "expiry_days": 9, "validity": { "kind": "never" } }),
            "expiry_days",
        ),
        (
            json!({ "ratio": "1", "validity": { "kind": "days", "count": 36_501 } }),
            "validity",
        ),
        (
            json!({ "ratio": "1", "validity": { "kind": "end_of_month", "count": 1_201 } }),
            "validity",
        ),
        (
            json!({ "ratio": "1", "validity": { "kind": "end_of_year", "count": 101 } }),
            "validity",
        ),
        (
            json!({ "ratio": "1", "effective_from": past }),
            "effective_from",
        ),
        (
            json!({ "ratio": "1", "effective_from": far }),
            "effective_from",
        ),
        (
            json!({ "ratio": "1", "effective_from": "0000-01-01T00:00:00Z" }),
            "effective_from",
        ),
    ] {
        for path in [RULE.to_owned(), rule_of(&id)] {
            let answer = admin.put(&path, &body).await;
            assert_eq!(answer.status, 422, "{body}");
            let reply = String::from_utf8_lossy(&answer.bytes).into_owned();
            assert!(reply.contains(field), "{body}: {reply}");
        }
    }
    for body in [
        json!({}),
        json!({ "ratio": 1 }),
        json!({ "ratio": "1", "rounding": "sideways" }),
        json!({ "ratio": "1", "validity": { "kind": "never", "count": 1 } }),
        json!({ "ratio": "1", "validity": { "kind": "days" } }),
        json!({ "ratio": "1", "merchant_id": id }),
        json!({ "ratio": "1", "effective_from": "tomorrow" }),
        json!({ "ratio": "1", "daily_cap": 1.5 }),
        json!([]),
    ] {
        admin.put(RULE, &body).await.refused(422, "json_unexpected");
    }
    let stranger = "me_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00";
    let fine = json!({ "ratio": "1" });
    admin
        .put(&rule_of(stranger), &fine)
        .await
        .refused(404, "merchant_not_found");
    admin
        .get(&rule_of(stranger))
        .await
        .refused(404, "merchant_not_found");
    admin
        .delete(&rule_of(stranger))
        .await
        .refused(404, "merchant_not_found");
    admin
        .put(&rule_of("me_x"), &fine)
        .await
        .refused(404, "not_found");
    let query = format!("{}?effective_from={past}", rule_of(&id));
    assert_eq!(admin.delete(&query).await.status, 422);
    assert_eq!(
        admin
            .delete(&format!("{}?later=yes", rule_of(&id)))
            .await
            .status,
        400
    );
    for (body, status) in [
        (json!({ "amount_fen": 0 }), 422),
        (json!({ "amount_fen": -5 }), 422),
        (json!({ "amount_fen": 1, "at": past }), 422),
        (json!({ "amount_fen": 1, "at": far }), 422),
        (json!({ "amount_fen": 1, "merchant_id": stranger }), 404),
        (
            json!({ "amount_fen": 1, "customer_id": "cu_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00" }),
            404,
        ),
        (json!({ "amount_fen": 1, "terms": { "ratio": "-1" } }), 422),
        (
            json!({ "amount_fen": 1, "terms": { "ratio": "1", "effective_from": far } }),
            422,
        ),
        (json!({ "amount_fen": 1, "points": 9 }), 422),
    ] {
        assert_eq!(admin.post(DRY_RUN, &body).await.status, status, "{body}");
    }
    // The most that can be asked, and no overflow anywhere.
    let most = json!({ "amount_fen": i64::MAX, "terms": { "ratio": "10000", "rounding": "up" } });
    assert_eq!(
        admin.post(DRY_RUN, &most).await.expect(200)["points"],
        i64::MAX
    );
    for caller in [
        app.anyone(),
        app.customer("li").await,
        merchant.owner.clone(),
    ] {
        for answer in [
            caller.get(RULE).await,
            caller.put(RULE, &fine).await,
            caller.delete(&rule_of(&id)).await,
            caller.post(DRY_RUN, &most).await,
        ] {
            assert!(matches!(answer.status, 401 | 403), "{}", answer.status);
        }
    }
    assert_eq!(app.count("SELECT COUNT(*) FROM points_rules").await, 1);
    assert_eq!(
        app.count("SELECT COUNT(*) FROM audit_logs WHERE action LIKE 'points_rule%'")
            .await,
        0
    );
    app.finish().await;
}
