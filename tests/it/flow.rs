//! The main job: scan, pay, callback, money and points; and everything that WeChat may do to it.

use serde_json::{Value, json};
use wechat_pay_simulator::{Fault, Payment};

use crate::harness::{TestApp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_pays_a_merchant_and_gets_points() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000109").await;
    let li = app.customer("li").await;

    let resolved = app
        .anyone()
        .get(&format!("/api/v1/codes/{}", merchant.code))
        .await
        .expect(200);
    assert_eq!(resolved["merchant_name"], "茶里巷");
    assert_eq!(resolved["amount_fen"], Value::Null);

    let body = json!({ "code": merchant.code, "amount_fen": 1299 });
    let made = li
        .keyed("k1")
        .post("/api/v1/customer/payments", &body)
        .await
        .expect(201);
    assert_eq!(made["amount_fen"], 1299);
    assert_eq!(made["wechat_pay"]["signType"], "RSA");
    let order_no = made["order_no"].as_str().unwrap();

    app.simulator.pay(order_no, Payment::clean()).await.unwrap();
    let order = app.settled(&li, order_no).await;
    assert_eq!(order["points_earned"], 12);

    let points = li.get("/api/v1/customer/points").await.expect(200);
    assert_eq!(
        (
            points["posted"].as_i64(),
            points["held"].as_i64(),
            points["available"].as_i64()
        ),
        (Some(12), Some(0), Some(12))
    );
    let records = li.get("/api/v1/customer/points/records").await.expect(200);
    assert_eq!(records["items"][0]["points_change"], 12);
    assert_eq!(records["items"][0]["points_balance"], 12);
    assert_eq!(records["items"][0]["change_type"], "earn");
    assert_eq!(records["items"][0]["order_no"], order_no);
    assert_eq!(
        app.count("SELECT points_change FROM points_records").await,
        12
    );

    let seen = merchant
        .owner
        .get(&format!("/api/v1/merchant/payments/{order_no}"))
        .await
        .expect(200);
    assert_eq!(seen["state"], "paid");
    let day = app.app.now().business_day();
    eventually("the merchant's totals are projected", || async {
        let totals = merchant
            .owner
            .get(&format!("/api/v1/merchant/totals?from={day}&to={day}"))
            .await
            .expect(200);
        (totals["days"][0]["paid_fen"] == 1299 && totals["days"][0]["orders"] == 1).then_some(())
    })
    .await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_wechat_does_to_its_callbacks_a_payment_is_credited_once() {
    let app = TestApp::start().await;
    let merchant = app.merchant("老张面馆", "1900000110").await;
    let li = app.customer("li").await;
    for (index, fault) in Fault::ALL.into_iter().enumerate() {
        let order_no = app
            .create(&li, &merchant.code, 1000, &format!("k{index}"))
            .await;
        app.simulator
            .pay(&order_no, Payment::with([fault]))
            .await
            .unwrap();
        if fault == Fault::Lost {
            let asked = li
                .post(
                    &format!("/api/v1/customer/payments/{order_no}/confirm"),
                    &json!({}),
                )
                .await;
            assert_eq!(asked.expect(200)["state"], "paid");
        }
        if fault == Fault::OutOfOrder {
            // It is held back until a later payment's callback has gone out.
            app.pay(&li, &merchant.code, 1000, "later").await;
        }
        app.settled(&li, &order_no).await;
    }
    app.simulator.idle().await;
    let paid = i64::try_from(Fault::ALL.len() + 1).unwrap();
    assert_eq!(app.count("SELECT COUNT(*) FROM transfers").await, 2 * paid);
    let points = li.get("/api/v1/customer/points").await.expect(200);
    assert_eq!(points["posted"], 10 * paid);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_callback_of_another_amount_or_merchant_is_stored_with_an_alarm_and_never_credited()
 {
    let app = TestApp::start().await;
    let merchant = app.merchant("西街书店", "1900000111").await;
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 5000, "k1").await;
    app.simulator
        .pay(
            &order_no,
            Payment::with([Fault::WrongAmount, Fault::WrongMerchant]),
        )
        .await
        .unwrap();
    let order = app.settled(&li, &order_no).await;
    assert_eq!(
        (
            order["amount_fen"].as_i64(),
            order["points_earned"].as_i64()
        ),
        (Some(5000), Some(50))
    );
    app.simulator.idle().await;
    let alarms = app
        .admin()
        .get("/api/v1/admin/callback-alarms")
        .await
        .expect(200);
    let mut reasons: Vec<&str> = alarms["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alarm| alarm["reason"].as_str().unwrap())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["wrong_amount", "wrong_merchant"]);
    assert_eq!(
        app.count("SELECT COUNT(*) FROM callback_events WHERE outcome = 3")
            .await,
        2
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_copies_of_a_callback_at_once_credit_once() {
    let app = TestApp::start().await;
    let merchant = app.merchant("山海咖啡", "1900000112").await;
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 880, "k1").await;
    app.simulator
        .pay(&order_no, Payment::silent())
        .await
        .unwrap();
    let callback = app.simulator.callback_for(&order_no).unwrap();
    let path = format!("/api/v1/wechat/notify/{}/payments", app.tenant.id);
    let headers: Vec<(String, String)> = callback
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let sending = (0..20).map(|_| {
        let (anyone, path, headers, body) = (
            app.anyone(),
            path.clone(),
            headers.clone(),
            callback.body.to_vec(),
        );
        async move {
            let headers: Vec<(&str, String)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            anyone.raw(&path, &headers, body).await.status
        }
    });
    let statuses = futures_util::future::join_all(sending).await;
    assert!(statuses.iter().all(|status| *status == 204), "{statuses:?}");
    assert_eq!(app.count("SELECT COUNT(*) FROM transfers").await, 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_callback_are_turned_away_and_nothing_is_written() {
    let app = TestApp::start().await;
    let path = format!("/api/v1/wechat/notify/{}/payments", app.tenant.id);
    let signed = |signature: &str| {
        vec![
            ("Wechatpay-Timestamp", app.app.now().seconds().to_string()),
            ("Wechatpay-Nonce", "n".to_owned()),
            ("Wechatpay-Signature", signature.to_owned()),
            (
                "Wechatpay-Serial",
                app.simulator.credentials().public_key_id.clone(),
            ),
        ]
    };
    let hostile = vec![
        (Vec::new(), b"{}".to_vec()),
        (signed("WECHATPAY/SIGNTEST/abc"), b"{}".to_vec()),
        (signed("AAAA"), b"\xff\xfe\x00".to_vec()),
        (signed("not base64!"), vec![b'['; 60_000]),
        (signed(""), Vec::new()),
    ];
    for (headers, body) in hostile {
        let answer = app.anyone().raw(&path, &headers, body).await;
        assert_eq!(
            answer.status,
            401,
            "{}",
            String::from_utf8_lossy(&answer.bytes)
        );
    }
    let too_large = app
        .anyone()
        .raw(&path, &signed("AAAA"), vec![b'x'; 1 << 20])
        .await;
    assert_eq!(too_large.status, 413);
    // Kept with the reason, and nothing else is; the probe is not, nor what is larger than any
    // callback, nor what comes without the signature's headers.
    assert_eq!(
        app.count("SELECT COUNT(*) FROM callback_events WHERE outcome <> 6")
            .await,
        0
    );
    assert_eq!(
        app.count("SELECT COUNT(*) FROM callback_events WHERE outcome = 6 AND reason IS NOT NULL")
            .await,
        1
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_payment() {
    let app = TestApp::start().await;
    let merchant = app.merchant("良品便利", "1900000113").await;
    let li = app.customer("li").await;
    let body = json!({ "code": merchant.code, "amount_fen": 300 });

    let at_once = (0..10).map(|_| {
        let (li, body) = (li.keyed("same"), body.clone());
        async move {
            li.post("/api/v1/customer/payments", &body)
                .await
                .expect(201)["order_no"]
                .clone()
        }
    });
    let orders = futures_util::future::join_all(at_once).await;
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");

    let other = json!({ "code": merchant.code, "amount_fen": 301 });
    let path = "/api/v1/customer/payments";
    let reused = li.keyed("same").post(path, &other).await;
    reused.refused(422, "idempotency_key_reused");
    assert_eq!(reused.expect(422)["order_no"], orders[0]);
    li.post("/api/v1/customer/payments", &body)
        .await
        .refused(400, "idempotency_key_missing");
    // Another customer's key is another key.
    let wang = app.customer("wang").await;
    let hers = wang
        .keyed("same")
        .post("/api/v1/customer/payments", &body)
        .await
        .expect(201);
    assert_ne!(hers["order_no"], orders[0]);
    assert_eq!(app.count("SELECT COUNT(*) FROM payment_orders").await, 2);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_is_not_theirs() {
    let app = TestApp::start().await;
    let merchant = app.merchant("青禾花店", "1900000114").await;
    let other_merchant = app.merchant("红砖烘焙", "1900000115").await;
    let (li, wang) = (app.customer("li").await, app.customer("wang").await);
    let order_no = app.pay(&li, &merchant.code, 100, "k1").await;

    let path = format!("/api/v1/customer/payments/{order_no}");
    wang.get(&path).await.refused(404, "order_not_found");
    wang.post(&format!("{path}/confirm"), &json!({}))
        .await
        .refused(404, "order_not_found");
    other_merchant
        .owner
        .get(&format!("/api/v1/merchant/payments/{order_no}"))
        .await
        .refused(404, "order_not_found");
    assert_eq!(
        wang.get("/api/v1/customer/payments").await.expect(200)["items"],
        json!([])
    );
    assert_eq!(
        other_merchant
            .owner
            .get("/api/v1/merchant/payments")
            .await
            .expect(200)["items"],
        json!([])
    );

    li.get("/api/v1/merchant/payments")
        .await
        .refused(403, "forbidden");
    li.get("/api/v1/admin/merchants")
        .await
        .refused(403, "forbidden");
    merchant
        .owner
        .get("/api/v1/customer/points")
        .await
        .refused(403, "forbidden");
    app.anyone()
        .get("/api/v1/customer/points")
        .await
        .refused(401, "token_missing");
    app.anyone()
        .with_token("x.y.z")
        .get("/api/v1/customer/points")
        .await
        .refused(401, "token_invalid");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_clear_answer_and_leaves_nothing() {
    let app = TestApp::start().await;
    let merchant = app.merchant("小满水果", "1900000116").await;
    let li = app.customer("li").await;
    let pay = |body: Value| {
        let li = li.keyed("bad");
        async move { li.post("/api/v1/customer/payments", &body).await }
    };
    let code = merchant.code.as_str();
    pay(json!({ "code": code }))
        .await
        .refused(422, "amount_required");
    pay(json!({ "code": code, "amount_fen": 0 }))
        .await
        .refused(422, "amount_out_of_range");
    pay(json!({ "code": code, "amount_fen": 5_000_001 }))
        .await
        .refused(422, "amount_out_of_range");
    pay(json!({ "code": "'; DROP --", "amount_fen": 1 }))
        .await
        .refused(404, "collection_code_not_found");
    pay(json!({ "code": "ZZZZZZZZZZZZ", "amount_fen": 1 }))
        .await
        .refused(404, "collection_code_not_found");
    for nonsense in [
        json!({ "code": code, "amount_fen": 1.5 }),
        json!({ "code": code, "amount_fen": -1 }),
        json!({ "code": code, "amount_fen": 1, "extra": 1 }),
        json!([]),
    ] {
        let answer = pay(nonsense.clone()).await;
        assert!(
            matches!(answer.status, 400 | 422),
            "{nonsense}: {}",
            answer.status
        );
        assert!(answer.expect(answer.status)["code"].is_string());
    }
    li.get("/api/v1/customer/payments/not-a-number")
        .await
        .refused(404, "not_found");
    assert_eq!(app.anyone().get("/api/v1/nothing").await.status, 404);

    merchant
        .owner
        .keyed("d")
        .post(
            &format!("/api/v1/merchant/codes/{code}/disable"),
            &json!({}),
        )
        .await
        .expect(200);
    pay(json!({ "code": code, "amount_fen": 1 }))
        .await
        .refused(409, "collection_code_disabled");
    assert_eq!(app.count("SELECT COUNT(*) FROM payment_orders").await, 0);
    assert_eq!(app.count("SELECT COUNT(*) FROM idempotency_keys WHERE effect_id IS NULL AND answer_status IS NULL").await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_to_their_end_page_by_page() {
    let app = TestApp::start().await;
    let merchant = app.merchant("山海咖啡", "1900000117").await;
    let li = app.customer("li").await;
    for index in 0..7 {
        app.pay(&li, &merchant.code, 100 + index, &format!("k{index}"))
            .await;
    }
    for path in [
        "/api/v1/customer/payments",
        "/api/v1/customer/points/records",
    ] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = li.get(&format!("{path}?limit=3{cursor}")).await.expect(200);
            seen.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["order_no"].clone()),
            );
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen.len(), 7, "{path}");
        let mut unique = seen.clone();
        unique.dedup();
        assert_eq!(unique.len(), 7);
    }
    li.get("/api/v1/customer/payments?limit=0")
        .await
        .refused(422, "field_invalid");
    li.get("/api/v1/customer/payments?cursor=!!")
        .await
        .refused(400, "cursor_invalid");
    app.finish().await;
}

/// Phones lose the network in the middle of anything.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_hang_up_at_any_moment_leave_one_order_each_or_none() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000118").await;
    let li = app.customer("li").await;
    for index in 0..60_u64 {
        let body = json!({ "code": merchant.code, "amount_fen": 100 });
        let hasty = li.keyed(&format!("k{index}"));
        let sending = hasty.post("/api/v1/customer/payments", &body);
        let patience = std::time::Duration::from_micros(index * 400);
        let _ = tokio::time::timeout(patience, sending).await;
    }
    // Each asks again, with the key that it had.
    for index in 0..60 {
        app.create(&li, &merchant.code, 100, &format!("k{index}"))
            .await;
    }
    assert_eq!(app.count("SELECT COUNT(*) FROM payment_orders").await, 60);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_can_be_printed_with_the_merchants_name_until_it_is_disabled() {
    let app = TestApp::start().await;
    let merchant = app.merchant("老张面馆 <一号店>", "1900000119").await;
    let other = app.merchant("西街书店", "1900000129").await;
    let path = format!("/api/v1/merchant/codes/{}", merchant.code);
    let svg = merchant.owner.get(&format!("{path}/picture.svg")).await;
    assert_eq!(
        (svg.status, svg.headers["content-type"].to_str().unwrap()),
        (200, "image/svg+xml")
    );
    let text = String::from_utf8(svg.bytes).unwrap();
    assert!(
        text.contains("老张面馆 &lt;一号店&gt;"),
        "the name, escaped"
    );
    let png = merchant.owner.get(&format!("{path}/picture.png")).await;
    assert!(png.bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    other
        .owner
        .get(&format!("{path}/picture.png"))
        .await
        .refused(404, "collection_code_not_found");

    // Resolved, and so in the cache; then disabled, and gone for everybody at once.
    let public = format!("/api/v1/codes/{}", merchant.code);
    app.anyone().get(&public).await.expect(200);
    other
        .owner
        .post(&format!("{path}/disable"), &json!({}))
        .await
        .refused(404, "collection_code_not_found");
    merchant
        .owner
        .post(&format!("{path}/disable"), &json!({}))
        .await
        .expect(200);
    app.anyone()
        .get(&public)
        .await
        .refused(409, "collection_code_disabled");
    let listed = merchant
        .owner
        .get("/api/v1/merchant/codes")
        .await
        .expect(200);
    assert_eq!(listed["items"][0]["state"], "disabled");
    app.finish().await;
}
