//! What operators see and set: roles, the policy, exceptions, stored callbacks, a payment's whole
//! history; and what a merchant shows at its counter.

use std::process::Command;

use serde_json::{Value, json};
use wechat_pay_simulator::{CallFault, Endpoint, Payment, SignedCallback};
use zhangfang::{
    auth::OperatorRole,
    payments::{RefundStatus, RefusalKind},
    primitives::{Lane, OrderId, OrderNo},
};

use crate::{
    harness::{ChannelReply, TestApp, eventually},
    refund_core::RefundSetup,
    refunds::{ask, clerk, operator, policy, set_policy, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_sees_everything_and_moves_nothing() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000166").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k").await;
    let refund = ask(&merchant.owner, &order_no, "merchant", 100, "r").await;
    let refund_no = text(&refund, "refund_no");
    let auditor = operator(&app, "sun", OperatorRole::Auditor);
    for path in [
        "payments".to_owned(),
        format!("payments/{order_no}"),
        format!("payments/{order_no}/history"),
        "refunds".to_owned(),
        format!("refunds/{refund_no}"),
        "payment-policy".to_owned(),
        "exceptions".to_owned(),
        "callbacks".to_owned(),
    ] {
        let path = format!("/api/v1/admin/{path}");
        auditor.get(&path).await.expect(200);
        merchant.owner.get(&path).await.refused(403, "forbidden");
        li.get(&path).await.refused(403, "forbidden");
    }
    let id = "0".repeat(32);
    let (reason, nothing) = (json!({ "reason": "缺货" }), json!({}));
    for (path, body) in [
        (format!("payments/{order_no}/close"), &nothing),
        (format!("payments/{order_no}/confirm"), &nothing),
        (format!("payments/{order_no}/refunds"), &reason),
        (format!("refunds/{refund_no}/approve"), &nothing),
        (format!("refunds/{refund_no}/reject"), &reason),
        (format!("refunds/{refund_no}/redirect"), &nothing),
        (format!("refunds/{refund_no}/retry"), &nothing),
        (
            format!("exceptions/ex_{id}/resolve"),
            &json!({ "resolution": "x" }),
        ),
        (format!("callbacks/{id}/replay"), &nothing),
    ] {
        let path = format!("/api/v1/admin/{path}");
        auditor
            .keyed("a")
            .post(&path, body)
            .await
            .refused(403, "forbidden");
    }
    let set = auditor
        .put("/api/v1/admin/payment-policy", &policy(1, 1, "debt"))
        .await;
    set.refused(403, "forbidden");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_versioned_and_nonsense_is_refused_by_name() {
    let app = TestApp::start().await;
    let path = "/api/v1/admin/payment-policy";
    let admin = app.admin();
    let first = admin.get(path).await.expect(200);
    assert_eq!(
        (&first["version"], &first["order_minutes"]),
        (&json!(0), &json!(30))
    );
    let set = set_policy(&app, &policy(100, 200, "negative")).await;
    assert_eq!(set["version"], 1);
    assert_eq!(admin.get(path).await.expect(200), set);
    for (field, wrong) in [
        ("order_minutes", json!(0)),
        ("order_minutes", json!(1_441)),
        ("late_payment", json!("perhaps")),
        ("points_shortfall", json!("")),
        ("clerk_refund_max_fen", json!(-1)),
        ("clerk_refund_day_max_fen", json!(-1)),
        ("refund_review_above_fen", json!(-1)),
        ("fee_ppm", json!(100_001)),
    ] {
        let mut body = policy(100, 200, "debt");
        body[field] = wrong;
        let refused = admin.put(path, &body).await;
        refused.refused(422, "field_invalid");
        assert_eq!(refused.expect(422)["field"]["name"], field);
    }
    let mut partial = policy(100, 200, "debt");
    partial.as_object_mut().unwrap().remove("fee_ppm");
    admin
        .put(path, &partial)
        .await
        .refused(422, "json_unexpected");
    assert_eq!(admin.get(path).await.expect(200)["version"], 1);
    let logs = admin.get("/api/v1/admin/audit-logs").await.expect(200);
    assert_eq!(logs["items"][0]["action"], "payment_policy.set");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_open_until_somebody_says_what_was_done() {
    let app = TestApp::start().await;
    let mut sql = app.sql().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO payment_exceptions (id, tenant_id, kind, detail, created_at) VALUES \
         (x'01', {tenant}, 'paid_twice', 'first', NOW(6)), (x'02', {tenant}, 'foreign_refund', 'second', NOW(6)), (x'03', {tenant} + 1, 'paid_twice', 'another tenant''s', NOW(6))",
        tenant = app.tenant.id
    )))
    .execute(&mut sql)
    .await
    .unwrap();
    let admin = app.admin();
    let list = async |query: &str| {
        let found = admin.get(&format!("/api/v1/admin/exceptions{query}")).await;
        let found = found.expect(200);
        let ids = found["items"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|item| text(item, "id")).collect();
        (ids, found["next_cursor"].as_str().map(str::to_owned))
    };
    let (open, _) = list("?open=true").await;
    assert_eq!(open.len(), 2, "{open:?}");
    let (page, cursor) = list("?open=true&limit=1").await;
    assert_eq!(page, open[..1]);
    let (page, _) = list(&format!("?open=true&limit=1&cursor={}", cursor.unwrap())).await;
    assert_eq!(page, open[1..]);

    // By kind, and by order.
    assert_eq!(list("?kind=paid_twice").await.0, open[1..]);
    assert!(list("?kind=late_payment").await.0.is_empty());
    let order = OrderId::new(app.db().new_id(Lane(3)));
    let raised = "UPDATE payment_exceptions SET order_id = ? WHERE detail = 'second'";
    sqlx::query(raised)
        .bind(order)
        .execute(&mut sql)
        .await
        .unwrap();
    let of = |order: OrderId| format!("?open=true&order_no={}", OrderNo::from(order));
    assert_eq!(list(&of(order)).await.0, open[..1]);
    let another = OrderId::new(app.db().new_id(Lane(3)));
    assert!(list(&of(another)).await.0.is_empty());
    for (wrong, field) in [("kind=paid", "kind"), ("order_no=17", "order_no")] {
        let path = format!("/api/v1/admin/exceptions?{wrong}");
        let answer = admin.get(&path).await;
        answer.refused(422, "field_invalid");
        assert_eq!(answer.expect(422)["field"]["name"], field, "{wrong}");
    }
    // There is no such order, which the books would say.
    sqlx::query("UPDATE payment_exceptions SET order_id = NULL")
        .execute(&mut sql)
        .await
        .unwrap();

    let path = format!("/api/v1/admin/exceptions/{}/resolve", open[0]);
    let said = json!({ "resolution": "已与商户核对" });
    let blank = json!({ "resolution": "  " });
    admin
        .keyed("e0")
        .post(&path, &blank)
        .await
        .refused(422, "field_invalid");
    let resolved = admin.keyed("e1").post(&path, &said).await.expect(200);
    assert_eq!(resolved["resolution"], "已与商户核对");
    assert_eq!(resolved["resolved_by"], "operator:admin");
    let again = admin.keyed("e1").post(&path, &said).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(200), resolved);
    let twice = admin.keyed("e2").post(&path, &said).await;
    twice.refused(409, "exception_already_resolved");
    assert_eq!(list("?open=true").await.0, open[1..]);
    assert_eq!(list("").await.0.len(), 2);
    sqlx::raw_sql("UPDATE payment_exceptions SET order_id = NULL WHERE id = x'02'")
        .execute(&mut sql)
        .await
        .unwrap();
    let another = format!("/api/v1/admin/exceptions/ex_03{}/resolve", "0".repeat(30));
    let another = admin.keyed("e3").post(&another, &said).await;
    another.refused(404, "exception_not_found");
    app.finish().await;
}

/// Each of WeChat's notifications stands there once, by what became of it, however often it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_about_what_is_paid_already_is_kept_as_a_duplicate() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000167").await;
    let li = app.customer("li").await;
    let path = format!("/api/v1/wechat/notify/{}/payments", app.tenant.id);
    let call_back = async |callback: &SignedCallback| {
        let headers = callback.headers.iter();
        let headers: Vec<(&str, String)> = headers
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned()))
            .collect();
        let body = callback.body.to_vec();
        let reply = app.anyone().raw(&path, &headers, body).await;
        assert_eq!(reply.status, 204);
    };
    let admin = app.admin();
    let kept = async |outcome: &str| {
        let path = format!("/api/v1/admin/callbacks?outcome={outcome}");
        let kept = admin.get(&path).await.expect(200);
        kept["items"].as_array().unwrap().len()
    };
    // Found paid when WeChat was asked: what WeChat tells then changes nothing.
    let asked = app.create(&li, &merchant.code, 1_000, "asked").await;
    app.simulator.pay(&asked, Payment::silent()).await.unwrap();
    li.post(
        &format!("/api/v1/customer/payments/{asked}/confirm"),
        &json!({}),
    )
    .await
    .expect(200);
    app.settled(&li, &asked).await;
    assert_eq!((kept("settled").await, kept("duplicate").await), (0, 0));
    let late = app.simulator.callback_for(&asked).unwrap();
    for _ in 0..2 {
        call_back(&late).await;
        assert_eq!((kept("settled").await, kept("duplicate").await), (0, 1));
    }
    // Settled by a callback: that one repeated is not kept again, another is a duplicate.
    let notified = app.create(&li, &merchant.code, 2_000, "notified").await;
    app.simulator
        .pay(&notified, Payment::silent())
        .await
        .unwrap();
    let first = app.simulator.callback_for(&notified).unwrap();
    for _ in 0..2 {
        call_back(&first).await;
        assert_eq!((kept("settled").await, kept("duplicate").await), (1, 1));
    }
    let second = app.simulator.callback_for(&notified).unwrap();
    for _ in 0..2 {
        call_back(&second).await;
        assert_eq!((kept("settled").await, kept("duplicate").await), (1, 2));
    }
    let shown = admin.get("/api/v1/admin/callbacks?outcome=duplicate").await;
    let mut bodies = Vec::new();
    for item in shown.expect(200)["items"].as_array().unwrap() {
        let path = format!("/api/v1/admin/callbacks/{}", text(item, "id"));
        bodies.push(text(&admin.get(&path).await.expect(200), "body").into_bytes());
    }
    for callback in [&late, &second] {
        assert!(bodies.contains(&callback.body.to_vec()));
    }
    // Told at once, and twice of each: one settles, the others are duplicates or that one again.
    let at_once = app.create(&li, &merchant.code, 3_000, "at-once").await;
    app.simulator
        .pay(&at_once, Payment::silent())
        .await
        .unwrap();
    let callbacks = [(); 3].map(|()| app.simulator.callback_for(&at_once).unwrap());
    let telling = callbacks.iter().chain(&callbacks).map(call_back);
    futures_util::future::join_all(telling).await;
    assert_eq!((kept("settled").await, kept("duplicate").await), (2, 4));
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_callback_is_kept_shown_and_unverified_again() {
    let app = TestApp::start().await;
    let notify = format!("/api/v1/wechat/notify/{}/refunds", app.tenant.id);
    let headers = [
        ("Wechatpay-Timestamp", app.app.now().seconds().to_string()),
        ("Wechatpay-Nonce", "n".to_owned()),
        ("Wechatpay-Signature", "AAAA".to_owned()),
        (
            "Wechatpay-Serial",
            app.simulator.credentials().public_key_id.clone(),
        ),
    ];
    let body = br#"{"id":"of a stranger"}"#;
    let answer = app.anyone().raw(&notify, &headers, body.to_vec()).await;
    assert_eq!(answer.status, 401);

    let admin = app.admin();
    let list = async |outcome: &str| {
        let path = format!("/api/v1/admin/callbacks?outcome={outcome}");
        admin.get(&path).await.expect(200)["items"].clone()
    };
    let kept = list("unverified").await;
    assert_eq!(kept[0]["outcome"], "unverified", "{kept}");
    assert_eq!(kept[0]["reason"], "bad_signature");
    assert_eq!(list("settled").await, json!([]));
    let wrong = admin.get("/api/v1/admin/callbacks?outcome=lost").await;
    wrong.refused(422, "field_invalid");

    let path = format!("/api/v1/admin/callbacks/{}", text(&kept[0], "id"));
    let shown = admin.get(&path).await.expect(200);
    assert_eq!(shown["body"], r#"{"id":"of a stranger"}"#);
    let replayed = admin.post(&format!("{path}/replay"), &json!({})).await;
    replayed.refused(409, "callback_unverified");
    let unknown = format!("/api/v1/admin/callbacks/{}", "0".repeat(32));
    admin.get(&unknown).await.refused(404, "callback_not_found");
    let unknown = admin.post(&format!("{unknown}/replay"), &json!({})).await;
    unknown.refused(404, "callback_not_found");

    // The callbacks on the terminal.
    let (shown, done) = command(&app, &["callbacks", "list", "--tenant", "demo", "--json"]);
    assert!(done, "{shown}");
    let listed: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(listed[0]["id"], kept[0]["id"]);
    let id = text(&kept[0], "id");
    let (shown, _) = command(&app, &["callbacks", "show", "--tenant", "demo", &id]);
    assert!(
        shown.contains("unverified") && shown.contains("of a stranger"),
        "{shown}"
    );
    let (_, done) = command(&app, &["callbacks", "show", "--tenant", "nobody", &id]);
    assert!(!done);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payments_whole_history_is_one_answer() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000167").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_299, "k").await;
    let lin = operator(&app, "lin", OperatorRole::Admin);
    let refund = ask(&lin, &order_no, "admin", 1_299, "r").await;
    zhangfang::jobs::drain(app.db()).await.unwrap();

    let path = format!("/api/v1/admin/payments/{order_no}/history");
    let history = lin.get(&path).await.expect(200);
    let steps = history["timeline"].as_array().unwrap();
    let find = |what: &str, state: &str| {
        let found = |step: &&Value| step["what"] == what && step["state"] == state;
        steps
            .iter()
            .find(found)
            .unwrap_or_else(|| panic!("{what} {state}: {history}"))
    };
    assert_eq!(find("payment", "created")["who"], "customer");
    assert_eq!(find("payment", "paid")["who"], "wechat");
    let accepted = find("refund", "accepted");
    assert_eq!(accepted["who"], "operator:lin");
    assert_eq!(accepted["refund_no"], refund["refund_no"]);
    let times: Vec<&str> = steps
        .iter()
        .map(|step| step["at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");

    let entries = history["entries"].as_array().unwrap();
    let entry = |kind: &str| {
        let found = entries.iter().find(|entry| entry["kind"] == kind);
        found.unwrap_or_else(|| panic!("{kind}: {history}"))
    };
    let settled = &entry("settlement")["transfers"];
    assert_eq!(
        settled[0],
        json!({ "phase": "posted", "debit": "channel_receivable", "credit": "merchant_payable", "amount": 1299, "asset": "cny_fen" })
    );
    assert_eq!(settled[1]["points_after"], 12);
    let held = &entry("refund_clawback")["transfers"][0];
    assert_eq!(
        (&held["phase"], &held["amount"]),
        (&json!("pending"), &json!(12))
    );
    assert_eq!(entry("refund_accepted")["refund_no"], refund["refund_no"]);

    // The merchant's own view has the steps and not the tenant's people, nor the books.
    let path = format!("/api/v1/merchant/payments/{order_no}/history");
    let own = merchant.owner.get(&path).await.expect(200);
    assert!(!own.to_string().contains("operator"), "{own}");
    assert!(own.get("entries").is_none());

    // Filters find it, and nothing else.
    let me = text(&li.get("/api/v1/customer/me").await.expect(200), "id");
    let merchant_id = text(&history["payment"], "merchant_id");
    for (query, found) in [
        (format!("customer_id={me}"), 1),
        (format!("merchant_id={merchant_id}"), 1),
        (format!("customer_id={me}&merchant_id={merchant_id}"), 1),
        ("state=created".to_owned(), 0),
        (format!("merchant_id=me_{}", "0".repeat(32)), 0),
    ] {
        let list = lin.get(&format!("/api/v1/admin/payments?{query}")).await;
        let list = list.expect(200);
        assert_eq!(
            list["items"].as_array().unwrap().len(),
            found,
            "{query}: {list}"
        );
    }

    let (reply, done) = command(&app, &["payment", "show", &order_no]);
    assert!(
        done && reply.contains("channel_receivable") && reply.contains("¥12.99"),
        "{reply}"
    );
    let (reply, _) = command(&app, &["payment", "show", &order_no, "--json"]);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["payment"]["order_no"], order_no.as_str());
    let (_, done) = command(&app, &["payment", "show", &"0".repeat(24)]);
    assert!(!done);
    app.finish().await;
}

/// Answers that WeChat seems not to have signed, for as many calls about this number.
fn is_forged(app: &TestApp, endpoint: Endpoint, number: &str) {
    for _ in 0..4 {
        app.simulator
            .force_call(endpoint, number, CallFault::WrongSignature);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_says_why_wechat_was_not_understood_until_it_is() {
    let app = TestApp::without_jobs().await;
    let merchant = app.merchant("茶里巷", "1900000193").await;
    let li = app.customer("li").await;
    let order_no = app.create(&li, &merchant.code, 1_299, "k").await;
    let (admin, forged) = (app.admin(), "not verified: bad_signature");
    let history = format!("/api/v1/admin/payments/{order_no}/history");
    let problem = async || {
        let history = admin.get(&history).await.expect(200);
        history["next_query"]["problem"].as_str().map(str::to_owned)
    };
    assert_eq!(problem().await, None);

    // Asked what became of it.
    is_forged(&app, Endpoint::Query, &order_no);
    let path = format!("/api/v1/customer/payments/{order_no}");
    let confirm = format!("{path}/confirm");
    let unknown = li.post(&confirm, &json!({})).await;
    unknown.refused(502, "channel_unknown");
    let said = problem().await.unwrap();
    assert!(said.contains(forged), "{said}");
    let (reply, _) = command(&app, &["payment", "show", &order_no]);
    assert!(reply.contains(forged), "{reply}");
    // That is for the tenant.
    let own = li.get(&path).await.expect(200);
    assert!(!own.to_string().contains("verified"), "{own}");
    eventually("WeChat is understood", || async {
        let answer = li.post(&confirm, &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(problem().await, None);

    // Asked for another prepay id: the one that is known has died.
    app.execute("UPDATE payment_orders SET prepaid_at = NOW(6) - INTERVAL 3 HOUR")
        .await;
    is_forged(&app, Endpoint::Prepay, &order_no);
    let body = json!({ "code": merchant.code, "amount_fen": 1_299 });
    let again = async || {
        let caller = li.keyed("k");
        caller.post("/api/v1/customer/payments", &body).await
    };
    again().await.refused(502, "channel_unknown");
    let said = problem().await.unwrap();
    assert!(said.contains(forged), "{said}");
    eventually("there is a prepay id", || async {
        (again().await.status == 201).then_some(())
    })
    .await;
    assert_eq!(problem().await, None);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refund_says_why_wechat_was_not_understood_until_it_is() {
    let setup = RefundSetup::open().await;
    let order = setup.paid(1_299, "k").await;
    let refund = setup.refund(order, Some(300), "r").await;
    let (admin, order_no) = (setup.app.admin(), OrderNo::from(order).to_string());
    let path = format!("/api/v1/admin/refunds/{}", refund.no());
    setup.channel.knows([ChannelReply::Nothing]);
    setup.reconcile(&refund).await;
    let waits = admin.get(&path).await.expect(200);
    assert_eq!(waits["problem"], "no_answer");
    assert_eq!(waits["problem_detail"], "no answer", "{waits}");
    let (reply, _) = command(&setup.app, &["payment", "show", &order_no]);
    assert!(reply.contains("no_answer: no answer"), "{reply}");
    // A refusal has WeChat's code.
    setup
        .channel
        .knows([ChannelReply::No(RefusalKind::Rejected)]);
    setup.reconcile(&refund).await;
    let refused = admin.get(&path).await.expect(200);
    assert_eq!(refused["problem"], "query_refused");
    assert_eq!(refused["problem_detail"], "REJECTED");
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Processing)]);
    setup.reconcile(&refund).await;
    let understood = admin.get(&path).await.expect(200);
    assert!(understood["problem"].is_null(), "{understood}");
    assert!(understood.get("problem_detail").is_none(), "{understood}");
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_shows_what_to_scan() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000168").await;
    let path = "/api/v1/merchant/payments";
    let clerk = clerk(&app, &merchant).await;
    let body = json!({ "amount_fen": 1200 });
    let shown = clerk.keyed("s").post(path, &body).await.expect(201);
    assert!(text(&shown, "code_url").starts_with("weixin://"), "{shown}");
    let again = clerk.keyed("s").post(path, &body).await.expect(201);
    assert_eq!(again, shown);
    let other = clerk
        .keyed("s")
        .post(path, &json!({ "amount_fen": 1201 }))
        .await;
    other.refused(422, "idempotency_key_reused");
    assert_eq!(other.expect(422)["order_no"], shown["order_no"]);
    for fen in [0, -1, 5_000_001] {
        let wrong = clerk
            .keyed("w")
            .post(path, &json!({ "amount_fen": fen }))
            .await;
        assert_eq!(wrong.expect(422)["field"]["name"], "amount_fen");
    }
    let payment = format!("{path}/{}", text(&shown, "order_no"));
    let svg = clerk.get(&format!("{payment}/code.svg")).await;
    assert_eq!(svg.headers["content-type"], "image/svg+xml");
    assert_eq!(svg.headers["cache-control"], "no-store");
    let svg = String::from_utf8(svg.bytes).unwrap();
    assert!(svg.contains("¥12.00") && svg.contains("茶里巷"), "{svg}");
    let png = clerk.get(&format!("{payment}/code.png")).await;
    assert!(png.bytes.starts_with(b"\x89PNG"));

    // One that a customer made by scanning a code on the counter has nothing to scan.
    let li = app.customer("li").await;
    let scanned = app.create(&li, &merchant.code, 500, "k").await;
    let scanned = clerk.get(&format!("{path}/{scanned}/code.svg")).await;
    scanned.refused(409, "payment_code_absent");
    app.finish().await;
}

/// The program with arguments, on the test's database: what it printed, and whether it was done.
fn command(app: &TestApp, arguments: &[&str]) -> (String, bool) {
    let done = Command::new(env!("CARGO_BIN_EXE_zhangfang"))
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", app.scratch.service_url())
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    (said, done.status.success())
}
