//! Finding payments and refunds, and being told what one needs to know.

use serde_json::{Value, json};

use crate::harness::{Caller, TestApp, eventually};

async fn found(caller: &Caller, path: &str, query: &str) -> Vec<String> {
    let page = caller.get(&format!("{path}?{query}")).await.expect(200);
    let name = if path.ends_with("refunds") {
        "refund_no"
    } else {
        "order_no"
    };
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item[name].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn payments_and_refunds_are_found_by_number_time_and_amount() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000190").await;
    let other = app.merchant("老张面馆", "1900000191").await;
    let li = app.customer("li").await;
    let mut orders = Vec::new();
    for (key, amount) in [("a", 1000), ("b", 2000), ("c", 1000)] {
        orders.push(app.pay(&li, &merchant.code, amount, key).await);
    }
    let admin = app.admin();
    let shown = async |order: &str| -> Value {
        let path = format!("/api/v1/admin/payments/{order}");
        admin.get(&path).await.expect(200)
    };
    let (second, third) = (shown(&orders[1]).await, shown(&orders[2]).await);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let number = text(&second["wechat_transaction_id"]);
    let (from, to) = (text(&second["created_at"]), text(&third["created_at"]));
    // One form, so that they sort.
    assert_eq!((from.len(), to.len()), (27, 27), "{from} {to}");
    assert!(from < to);

    let (payments, refunds) = ("/api/v1/admin/payments", "/api/v1/admin/refunds");
    let own = "/api/v1/merchant/payments";
    let by_number = format!("wechat_transaction_id={number}");
    assert_eq!(found(&admin, payments, &by_number).await, [&orders[1][..]]);
    assert_eq!(
        found(&merchant.owner, own, &by_number).await,
        [&orders[1][..]]
    );
    assert!(found(&other.owner, own, &by_number).await.is_empty());
    let nobodys = "wechat_transaction_id=4200000000000000000000000000";
    assert!(found(&admin, payments, nobodys).await.is_empty());

    let since = format!("created_from={from}");
    assert_eq!(
        found(&admin, payments, &since).await,
        [&orders[2][..], &orders[1][..]]
    );
    let between = format!("created_from={from}&created_to={to}");
    assert_eq!(
        found(&merchant.owner, own, &between).await,
        [&orders[1][..]]
    );
    let before = format!("created_to={from}");
    assert_eq!(found(&admin, payments, &before).await, [&orders[0][..]]);

    let long_ago = "created_from=2026-01-01T00:00:00Z";
    let first = text(&shown(&orders[0]).await["created_at"]);
    let thousand = format!("amount_fen=1000&created_from={first}");
    assert_eq!(
        found(&admin, payments, &thousand).await,
        [&orders[2][..], &orders[0][..]]
    );
    // Page by page, with everything else as it was.
    let page = admin
        .get(&format!("{payments}?{thousand}&limit=1"))
        .await
        .expect(200);
    let cursor = text(&page["next_cursor"]);
    let rest = format!("{thousand}&limit=1&cursor={cursor}");
    assert_eq!(found(&admin, payments, &rest).await, [&orders[0][..]]);
    for (wrong, field) in [
        ("amount_fen=1000".to_owned(), "created_from"),
        (format!("amount_fen=1000&{long_ago}"), "created_from"),
        (format!("amount_fen=0&{since}"), "amount_fen"),
        (format!("created_from={to}&created_to={from}"), "created_to"),
        (
            "wechat_transaction_id=42%2000".to_owned(),
            "wechat_transaction_id",
        ),
        ("wechat_transaction_id=".to_owned(), "wechat_transaction_id"),
    ] {
        for path in [payments, refunds] {
            let answer = admin.get(&format!("{path}?{wrong}")).await;
            answer.refused(422, "field_invalid");
            assert_eq!(answer.expect(422)["field"]["name"], field, "{wrong}");
        }
    }

    let request = json!({ "amount_fen": 500, "reason": "缺货" });
    let path = format!("{own}/{}/refunds", orders[1]);
    let made = merchant
        .owner
        .keyed("r")
        .post(&path, &request)
        .await
        .expect(201);
    let refund = text(&made["refund_no"]);
    let path = format!("{refunds}/{refund}");
    let reply = eventually("WeChat has it", || async {
        let reply = admin.get(&path).await.expect(200);
        reply["wechat_refund_id"].is_string().then_some(reply)
    })
    .await;
    let number = text(&reply["wechat_refund_id"]);
    // Another one, of which none of it is true.
    let request = json!({ "amount_fen": 600, "reason": "缺货" });
    let path = format!("{own}/{}/refunds", orders[2]);
    let later = merchant
        .owner
        .keyed("r2")
        .post(&path, &request)
        .await
        .expect(201);
    let path = format!("{refunds}/{}", text(&later["refund_no"]));
    let until = text(&admin.get(&path).await.expect(200)["created_at"]);
    let own = "/api/v1/merchant/refunds";
    for query in [
        format!("wechat_refund_id={number}"),
        format!("order_no={}", orders[1]),
        by_number.clone(),
        format!("amount_fen=500&{since}"),
        format!("created_from={to}&created_to={until}"),
    ] {
        assert_eq!(
            found(&admin, refunds, &query).await,
            [&refund[..]],
            "{query}"
        );
        assert_eq!(
            found(&merchant.owner, own, &query).await,
            [&refund[..]],
            "{query}"
        );
        assert!(found(&other.owner, own, &query).await.is_empty(), "{query}");
    }
    assert!(found(&admin, refunds, &between).await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn problems_say_which_order_and_how_much_is_left() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000192").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1000, "k").await;
    let refund = async |key: &str, amount: i64| {
        let body = json!({ "amount_fen": amount, "reason": "缺货" });
        let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
        merchant.owner.keyed(key).post(&path, &body).await
    };
    refund("first", 300).await.expect(201);
    let answer = refund("second", 701).await;
    answer.refused(422, "refund_exceeds_refundable");
    assert_eq!(answer.expect(422)["refundable_fen"], 700);
    refund("third", 700).await.expect(201);
    let answer = refund("fourth", 1).await;
    assert_eq!(answer.expect(422)["refundable_fen"], 0);
    // The request that made the order, once more.
    let body = json!({ "code": merchant.code, "amount_fen": 1000 });
    let answer = li.keyed("k").post("/api/v1/customer/payments", &body).await;
    answer.refused(409, "order_already_paid");
    assert_eq!(answer.expect(409)["order_no"], order_no.as_str());
    app.finish().await;
}
