//! Refunds and what surrounds them, as merchants, operators and customers meet them: who may do
//! what, who must agree, what is kept and what can be seen.
//!
//! What WeChat does with a refund is not told here: whatever it answers, everything here holds.

use serde_json::{Value, json};
use zhangfang::{
    auth::{OperatorRole, Principal, StaffRole},
    primitives::{CustomerId, StaffId},
    verify::Invariant,
};

use crate::{
    batch::adjust,
    harness::{ApiAnswer, Caller, Merchant, TestApp, eventually},
    verification::Copy,
};

/// It is booked, and WeChat was told or will be.
fn is_on_its_way(refund: &Value) -> bool {
    ["accepted", "processing", "succeeded"].contains(&refund["state"].as_str().unwrap())
}

pub(crate) fn text(of: &Value, field: &str) -> String {
    of[field].as_str().unwrap().to_owned()
}

/// A token as the service gives it to a person.
fn token_for(app: &TestApp, principal: &Principal) -> Caller {
    let token = app.app.tokens().issue(principal, app.app.now());
    app.anyone().with_token(&token.text)
}

pub(crate) fn operator(app: &TestApp, name: &str, role: OperatorRole) -> Caller {
    let principal = Principal::Operator {
        tenant: app.tenant.id,
        name: name.to_owned(),
        role,
    };
    token_for(app, &principal)
}

pub(crate) async fn clerk(app: &TestApp, merchant: &Merchant) -> Caller {
    let profile = merchant
        .owner
        .get("/api/v1/merchant/profile")
        .await
        .expect(200);
    let db = app.db();
    let principal = Principal::Staff {
        tenant: app.tenant.id,
        id: StaffId::new(db.new_id(db.new_lane())),
        merchant: text(&profile, "id").parse().unwrap(),
        role: StaffRole::Clerk,
    };
    token_for(app, &principal)
}

pub(crate) fn policy(clerk_fen: i64, review_fen: i64, shortfall: &str) -> Value {
    json!({
        "order_minutes": 30, "late_payment": "refund", "points_shortfall": shortfall,
        "clerk_refund_max_fen": clerk_fen, "clerk_refund_day_max_fen": 1_000_000, "refund_review_above_fen": review_fen, "fee_ppm": 6000,
    })
}

pub(crate) async fn set_policy(app: &TestApp, policy: &Value) -> Value {
    let set = app
        .admin()
        .put("/api/v1/admin/payment-policy", policy)
        .await;
    set.expect(200)
}

/// Asks, and expects that it was taken.
pub(crate) async fn ask(
    who: &Caller,
    order_no: &str,
    audience: &str,
    fen: i64,
    key: &str,
) -> Value {
    let path = format!("/api/v1/{audience}/payments/{order_no}/refunds");
    let body = json!({ "amount_fen": fen, "reason": "缺货" });
    who.keyed(key).post(&path, &body).await.expect(201)
}

fn decision(audience: &str, refund: &Value, word: &str) -> String {
    let refund_no = text(refund, "refund_no");
    format!("/api/v1/{audience}/refunds/{refund_no}/{word}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_may_ask_for_what_the_policy_lets_them_and_a_second_person_decides_on_the_rest() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000160").await;
    let li = app.customer("li").await;
    set_policy(&app, &policy(1_000, 5_000, "debt")).await;
    let order_no = app.pay(&li, &merchant.code, 50_000, "k").await;
    let clerk = clerk(&app, &merchant).await;
    let (lin, wei) = (
        operator(&app, "lin", OperatorRole::Admin),
        operator(&app, "wei", OperatorRole::Admin),
    );
    let nothing = json!({});

    let small = ask(&clerk, &order_no, "merchant", 500, "r1").await;
    assert!(is_on_its_way(&small), "{small}");

    // Above the clerk's limit: the owner decides, and a clerk does not.
    let waits = ask(&clerk, &order_no, "merchant", 1_500, "r2").await;
    assert_eq!(waits["state"], "awaiting_approval");
    let approve = decision("merchant", &waits, "approve");
    let by_clerk = clerk.keyed("d1").post(&approve, &nothing).await;
    by_clerk.refused(403, "forbidden");
    let agreed = merchant.owner.keyed("d1").post(&approve, &nothing).await;
    let agreed = agreed.expect(200);
    assert!(is_on_its_way(&agreed), "{agreed}");
    assert!(text(&agreed, "decided_by").starts_with("st_"), "{agreed}");
    // A repeated key gives the decision that was made; another decision is too late.
    let again = merchant.owner.keyed("d1").post(&approve, &nothing).await;
    assert_eq!(again.expect(200)["refund_no"], agreed["refund_no"]);
    let late = merchant.owner.keyed("d2").post(&approve, &nothing).await;
    late.refused(409, "refund_already_decided");

    // Above the review limit nobody decides alone, and the owner does not decide at all.
    let own = ask(&merchant.owner, &order_no, "merchant", 6_000, "r3").await;
    let own = decision("merchant", &own, "approve");
    let alone = merchant.owner.keyed("d3").post(&own, &nothing).await;
    alone.refused(403, "refund_needs_second_person");
    let large = ask(&clerk, &order_no, "merchant", 6_000, "r4").await;
    let too_large = decision("merchant", &large, "approve");
    let too_large = merchant.owner.keyed("d4").post(&too_large, &nothing).await;
    too_large.refused(403, "refund_above_limit");
    let by_lin = decision("admin", &large, "approve");
    let by_lin = lin
        .keyed("d4")
        .post(&by_lin, &json!({ "note": "已核实" }))
        .await;
    assert_eq!(by_lin.expect(200)["decided_by"], "operator:lin");

    let by_operator = ask(&lin, &order_no, "admin", 6_000, "r5").await;
    assert_eq!(by_operator["state"], "awaiting_approval");
    let approve = decision("admin", &by_operator, "approve");
    let alone = lin.keyed("d5").post(&approve, &nothing).await;
    alone.refused(403, "refund_needs_second_person");
    let agreed = wei.keyed("d5").post(&approve, &nothing).await.expect(200);
    assert!(is_on_its_way(&agreed), "{agreed}");

    // The merchant sees that the tenant decided, and not who.
    let path = format!("/api/v1/merchant/refunds/{}", text(&large, "refund_no"));
    let seen = merchant.owner.get(&path).await.expect(200);
    assert_eq!(seen["decided_by"], "tenant");
    assert!(!seen.to_string().contains("operator"), "{seen}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_refund_gives_back_what_it_held() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000161").await;
    let li = app.customer("li").await;
    set_policy(&app, &policy(0, 5_000, "debt")).await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k").await;
    let clerk = clerk(&app, &merchant).await;
    let waits = ask(&clerk, &order_no, "merchant", 1_000, "r1").await;
    let order = format!("/api/v1/merchant/payments/{order_no}");
    let refundable =
        async || merchant.owner.get(&order).await.expect(200)["refundable_fen"].clone();
    assert_eq!(refundable().await, 0);

    let reject = decision("merchant", &waits, "reject");
    let silent = merchant
        .owner
        .keyed("d")
        .post(&reject, &json!({ "reason": " " }))
        .await;
    silent.refused(422, "field_invalid");
    let rejected = merchant
        .owner
        .keyed("d")
        .post(&reject, &json!({ "reason": "商品已使用" }))
        .await;
    assert_eq!(rejected.expect(200)["state"], "rejected");
    assert_eq!(refundable().await, 1_000);
    let path = format!("/api/v1/merchant/refunds/{}", text(&waits, "refund_no"));
    let history = &merchant.owner.get(&path).await.expect(200)["history"];
    assert_eq!(history[1]["state"], "rejected");
    assert_eq!(history[1]["why"], "商品已使用");
    // Being asked for a refund the order did not leave its state: the merchant sees each state once.
    let states = eventually("its being asked about is projected", || async {
        let timeline = format!("{order}/history");
        let timeline = merchant.owner.get(&timeline).await.expect(200);
        let steps = timeline["timeline"].as_array().unwrap().iter();
        let of_order = steps.filter(|step| step["what"] == "payment").count();
        let shown = merchant.owner.get(&order).await.expect(200)["history"].clone();
        (of_order > 3).then_some(shown)
    })
    .await;
    let states = states.as_array().unwrap().iter();
    let states: Vec<String> = states.map(|item| text(item, "state")).collect();
    assert_eq!(states, ["created", "prepaid", "paid"]);

    // Nothing was booked, and the customer never hears of it.
    assert_eq!(app.count("SELECT COUNT(*) FROM transfers").await, 2);
    let theirs = format!("/api/v1/customer/payments/{order_no}/refunds");
    assert_eq!(li.get(&theirs).await.expect(200)["items"], json!([]));
    let listed = merchant
        .owner
        .get("/api/v1/merchant/refunds?state=rejected")
        .await;
    assert_eq!(listed.expect(200)["items"].as_array().unwrap().len(), 1);
    let listed = merchant
        .owner
        .get("/api/v1/merchant/refunds?state=succeeded")
        .await;
    assert_eq!(listed.expect(200)["items"], json!([]));
    let nonsense = merchant
        .owner
        .get("/api/v1/merchant/refunds?state=gone")
        .await;
    nonsense.refused(422, "field_invalid");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_refund_and_never_more_than_was_paid_goes_back() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000162").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_299, "k").await;
    let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let owner = &merchant.owner;

    let first = ask(owner, &order_no, "merchant", 300, "r1").await;
    let again = ask(owner, &order_no, "merchant", 300, "r1").await;
    assert_eq!(first["refund_no"], again["refund_no"]);
    let other = json!({ "amount_fen": 301, "reason": "缺货" });
    let other = owner.keyed("r1").post(&path, &other).await;
    other.refused(422, "idempotency_key_reused");
    assert_eq!(other.expect(422)["refund_no"], first["refund_no"]);
    let unkeyed = owner.post(&path, &json!({ "reason": "缺货" })).await;
    unkeyed.refused(400, "idempotency_key_missing");

    let body = |fen: i64, reason: &str| json!({ "amount_fen": fen, "reason": reason });
    for (key, body, status, code) in [
        ("x1", body(1_000, "缺货"), 422, "refund_exceeds_refundable"),
        ("x2", body(0, "缺货"), 422, "field_invalid"),
        ("x3", body(-1, "缺货"), 422, "field_invalid"),
        ("x4", body(1, ""), 422, "field_invalid"),
        ("x7", body(1, "a\nb"), 422, "field_invalid"),
        ("x5", body(1, &"退".repeat(27)), 422, "field_invalid"),
        ("x6", json!({ "amount_fen": 1 }), 422, "json_unexpected"),
    ] {
        owner
            .keyed(key)
            .post(&path, &body)
            .await
            .refused(status, code);
    }

    // Without an amount: the rest.
    let rest = owner
        .keyed("r2")
        .post(&path, &json!({ "reason": "缺货" }))
        .await;
    assert_eq!(rest.expect(201)["amount_fen"], 999);
    let nothing_left = owner
        .keyed("r3")
        .post(&path, &json!({ "reason": "缺货" }))
        .await;
    nothing_left.refused(422, "refund_exceeds_refundable");
    let list = owner.get(&path).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let theirs = format!("/api/v1/customer/payments/{order_no}/refunds");
    let theirs = li.get(&theirs).await.expect(200);
    assert_eq!(theirs["items"][1]["amount_fen"], 999);
    assert_eq!(
        theirs["items"][0]["points_back"].as_i64().unwrap()
            + theirs["items"][1]["points_back"].as_i64().unwrap(),
        12
    );

    let unpaid = app.create(&li, &merchant.code, 500, "unpaid").await;
    let unpaid = format!("/api/v1/merchant/payments/{unpaid}/refunds");
    let unpaid = owner
        .keyed("r4")
        .post(&unpaid, &json!({ "reason": "缺货" }))
        .await;
    unpaid.refused(409, "order_not_paid");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_spent_are_owed_shown_below_zero_or_stop_the_refund() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000163").await;
    for (shortfall, available) in [("refuse", 0), ("debt", 0), ("negative", -12)] {
        set_policy(&app, &policy(20_000, 500_000, shortfall)).await;
        let someone = app.customer(shortfall).await;
        let order_no = app.pay(&someone, &merchant.code, 1_299, shortfall).await;
        let me = someone.get("/api/v1/customer/me").await.expect(200);
        let id: CustomerId = text(&me, "id").parse().unwrap();
        assert!(app.db().submit(adjust(&app, id, -12)).await.unwrap());

        let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
        let body = json!({ "reason": "缺货" });
        let asked = merchant.owner.keyed(shortfall).post(&path, &body).await;
        let points = async || someone.get("/api/v1/customer/points").await.expect(200);
        if shortfall == "refuse" {
            asked.refused(409, "refund_points_spent");
            assert_eq!(points().await["debt"], 0);
            continue;
        }
        assert!(is_on_its_way(&asked.expect(201)));
        let shown = points().await;
        assert_eq!(
            (&shown["debt"], &shown["available"]),
            (&json!(12), &json!(available))
        );
        let records = someone
            .get("/api/v1/customer/points/records")
            .await
            .expect(200);
        let booked = records["items"].as_array().unwrap().iter();
        let booked = booked
            .clone()
            .find(|record| record["change_type"] == "shortfall");
        assert_eq!(booked.unwrap()["order_no"], order_no.as_str(), "{records}");

        // The next points repay it.
        app.pay(
            &someone,
            &merchant.code,
            2_000,
            &format!("{shortfall}-again"),
        )
        .await;
        let shown = points().await;
        assert_eq!(
            (&shown["debt"], &shown["available"]),
            (&json!(0), &json!(8))
        );
        let records = someone
            .get("/api/v1/customer/points/records")
            .await
            .expect(200);
        let mut words = records["items"].as_array().unwrap().iter();
        assert!(
            words.any(|record| record["change_type"] == "repay"),
            "{records}"
        );
        // Neither the shortfall nor its repayment is something that was earned or spent.
        let refunds = format!("/api/v1/customer/payments/{order_no}/refunds");
        eventually("the refund arrives", || async {
            let refunds = someone.get(&refunds).await.expect(200);
            (refunds["items"][0]["state"] == "succeeded").then_some(())
        })
        .await;
        let statistics = someone
            .get("/api/v1/customer/points/statistics")
            .await
            .expect(200);
        let total = |name: &str| statistics[name].as_i64().unwrap();
        let day = &statistics["days"][0];
        assert_eq!((total("earned_total"), total("spent_total")), (32, 24));
        assert_eq!((&day["earned"], &day["spent"]), (&json!(32), &json!(24)));
        assert_eq!(
            statistics["events"],
            json!([
                { "what": "adjusted", "points": 12, "times": 1 },
                { "what": "earned", "points": 32, "times": 2 },
                { "what": "taken_back", "points": 12, "times": 1 },
            ])
        );
        let sources = statistics["sources"].as_array().unwrap();
        assert_eq!(sources.len(), 3, "{statistics}");
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_does_not_exist_and_neither_does_what_nobody_made() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000164").await;
    let stranger = app.merchant("老张面馆", "1900000165").await.owner;
    let (li, zhao) = (app.customer("li").await, app.customer("zhao").await);
    let order_no = app.pay(&li, &merchant.code, 1_000, "k").await;
    let refund = ask(&merchant.owner, &order_no, "merchant", 100, "r").await;
    let refund_no = text(&refund, "refund_no");

    let nobody = "0".repeat(24);
    let gone = async |answer: ApiAnswer, what: &str| {
        let code = if what == "order" {
            "order_not_found"
        } else {
            "refund_not_found"
        };
        answer.refused(404, code);
    };
    for (order, refund, who) in [
        (order_no.as_str(), refund_no.as_str(), &stranger),
        (&nobody, &nobody, &merchant.owner),
    ] {
        let payment = format!("/api/v1/merchant/payments/{order}");
        for tail in ["", "/history", "/refunds", "/code.svg", "/code.png"] {
            gone(who.get(&format!("{payment}{tail}")).await, "order").await;
        }
        for tail in ["/close", "/confirm"] {
            gone(
                who.post(&format!("{payment}{tail}"), &json!({})).await,
                "order",
            )
            .await;
        }
        let path = format!("{payment}/refunds");
        let asked = who
            .keyed("other")
            .post(&path, &json!({ "reason": "缺货" }))
            .await;
        gone(asked, "order").await;
        let path = format!("/api/v1/merchant/refunds/{refund}");
        gone(who.get(&path).await, "refund").await;
        let approve = format!("{path}/approve");
        gone(who.keyed("d").post(&approve, &json!({})).await, "refund").await;
    }
    let path = format!("/api/v1/customer/payments/{order_no}");
    gone(zhao.get(&format!("{path}/refunds")).await, "order").await;
    gone(
        zhao.post(&format!("{path}/close"), &json!({})).await,
        "order",
    )
    .await;
    let lists = stranger.get("/api/v1/merchant/refunds").await.expect(200);
    assert_eq!(lists["items"], json!([]));

    let admin = app.admin();
    for tail in ["", "/history"] {
        gone(
            admin
                .get(&format!("/api/v1/admin/payments/{nobody}{tail}"))
                .await,
            "order",
        )
        .await;
    }
    gone(
        admin.get(&format!("/api/v1/admin/refunds/{nobody}")).await,
        "refund",
    )
    .await;
    let retried = format!("/api/v1/admin/refunds/{nobody}/retry");
    gone(admin.post(&retried, &json!({})).await, "refund").await;
    // Only an abnormal refund goes elsewhere, and a card is checked before anything is asked.
    let redirect = format!("/api/v1/admin/refunds/{refund_no}/redirect");
    admin
        .post(&redirect, &json!({}))
        .await
        .refused(409, "refund_not_abnormal");
    let card = json!({ "card": { "bank_type": "ICBC_DEBIT", "number": "12", "holder": "王伟" } });
    admin
        .post(&redirect, &card)
        .await
        .refused(422, "field_invalid");
    app.finish().await;
}

/// What waits for whom, from the audit log: `(amount, for what)`, oldest first.
async fn waits_of(app: &TestApp) -> Vec<(i64, Option<String>)> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT CAST(detail AS CHAR) FROM audit_logs WHERE action = 'refund.requested' ORDER BY at, id",
    )
    .fetch_all(app.db().pool())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(detail,)| {
            let detail: Value = serde_json::from_str(&detail).unwrap();
            let amount = detail["amount_fen"].as_i64().unwrap();
            (
                amount,
                detail["approval_reason"].as_str().map(str::to_owned),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_about_what_an_order_gives_back_and_not_about_its_pieces() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000160").await;
    let li = app.customer("li").await;
    set_policy(&app, &policy(1_000, 5_000, "debt")).await;
    let clerk = clerk(&app, &merchant).await;
    let lin = operator(&app, "lin", OperatorRole::Admin);
    let wei = operator(&app, "wei", OperatorRole::Admin);
    let nothing = json!({});
    let order_no = app.pay(&li, &merchant.code, 50_000, "k").await;
    let mut state = Vec::new();
    for (number, fen) in [400, 600, 1].into_iter().enumerate() {
        let made = ask(&clerk, &order_no, "merchant", fen, &format!("c{number}")).await;
        state.push((is_on_its_way(&made), made));
    }
    let alone: Vec<bool> = state.iter().map(|(alone, _)| *alone).collect();
    assert_eq!(alone, [true, true, false], "a fen above ten yuan");
    // The owner's word goes as far as the order, with what waits.
    let agreed = decision("merchant", &state[2].1, "approve");
    merchant
        .owner
        .keyed("d1")
        .post(&agreed, &nothing)
        .await
        .expect(200);
    let by_owner = ask(&merchant.owner, &order_no, "merchant", 3_999, "o1").await;
    assert!(is_on_its_way(&by_owner), "5000 in all: {by_owner}");
    for (who, key) in [(&merchant.owner, "o2"), (&clerk, "c4")] {
        let waits = ask(who, &order_no, "merchant", 1, key).await;
        assert_eq!(waits["state"], "awaiting_approval");
    }
    let piece = ask(&clerk, &order_no, "merchant", 2, "c5").await;
    let piece = decision("merchant", &piece, "approve");
    let too_far = merchant.owner.keyed("d2").post(&piece, &nothing).await;
    too_far.refused(403, "refund_above_limit");
    // Nor does an operator alone.
    let waits_for_wei = ask(&lin, &order_no, "admin", 5, "p1").await;
    assert_eq!(waits_for_wei["state"], "awaiting_approval");
    let by_wei = decision("admin", &waits_for_wei, "approve");
    wei.keyed("d3").post(&by_wei, &nothing).await.expect(200);
    let limit = Some("order_limit".to_owned());
    assert_eq!(
        waits_of(&app).await,
        [
            (400, None),
            (600, None),
            (1, limit.clone()),
            (3_999, None),
            (1, limit.clone()),
            (1, limit.clone()),
            (2, limit.clone()),
            (5, limit),
        ]
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clerk_gives_back_so_much_in_a_day_alone_also_by_many_orders_at_once() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000160").await;
    let mut terms = policy(1_000, 50_000, "debt");
    terms["clerk_refund_day_max_fen"] = json!(2_500);
    set_policy(&app, &terms).await;
    let clerk = clerk(&app, &merchant).await;
    let mut orders = Vec::new();
    for number in 0..12 {
        // Different customers are different lanes, and so different committers.
        let customer = app.customer(&format!("c{number}")).await;
        orders.push(app.pay(&customer, &merchant.code, 5_000, "k").await);
    }
    let asking = orders.iter().enumerate().map(|(number, order_no)| {
        let clerk = clerk.clone();
        async move { ask(&clerk, order_no, "merchant", 600, &format!("k{number}")).await }
    });
    let made = futures_util::future::join_all(asking).await;
    let alone = made.iter().filter(|refund| is_on_its_way(refund)).count();
    assert_eq!(alone, 4, "2400 of 2500, all at once");
    let waiting = made.iter().find(|refund| !is_on_its_way(refund)).unwrap();
    // Another hundred are left, and what the owner agrees to is not the clerk's.
    let approve = decision("merchant", waiting, "approve");
    let agreed = merchant.owner.keyed("d").post(&approve, &json!({})).await;
    agreed.expect(200);
    let last = made.iter().position(is_on_its_way).unwrap();
    let rest = ask(&clerk, &orders[last], "merchant", 100, "r2").await;
    assert!(is_on_its_way(&rest), "{rest}");
    let over = ask(&clerk, &orders[last], "merchant", 1, "r3").await;
    assert_eq!(over["state"], "awaiting_approval");
    // A repeated request is one refund and counts once; the owner has no such limit.
    let again = ask(&clerk, &orders[last], "merchant", 100, "r2").await;
    assert_eq!(again["refund_no"], rest["refund_no"]);
    let by_owner = ask(&merchant.owner, &orders[last], "merchant", 2_000, "o").await;
    assert!(is_on_its_way(&by_owner), "{by_owner}");
    let waits = waits_of(&app).await;
    let day = waits
        .iter()
        .filter(|(_, what)| what.as_deref() == Some("day_limit"));
    assert_eq!(day.count(), 9, "{waits:?}");

    app.simulator.idle().await;
    let mut copy = Copy::of(&app).await;
    for (statement, says) in [
        ("UPDATE staff_refunds SET alone_fen = 1", "gave back"),
        ("DELETE FROM staff_refunds LIMIT 1", "nothing is counted"),
        (
            "UPDATE staff_refunds SET day = day - INTERVAL 1 DAY",
            "are counted",
        ),
    ] {
        copy.finds(Invariant::CapsHold, statement, says).await;
    }
    copy.drop().await;
    // On another day it begins anew.
    app.execute("UPDATE staff_refunds SET day = day - INTERVAL 1 DAY, alone_fen = 10000000")
        .await;
    let next_day = ask(&clerk, &orders[last], "merchant", 3, "r4").await;
    assert_eq!(
        next_day["state"], "awaiting_approval",
        "of the order there is too much"
    );
    let fresh = app.customer("fresh").await;
    let order_no = app.pay(&fresh, &merchant.code, 5_000, "k").await;
    let next_day = ask(&clerk, &order_no, "merchant", 900, "r5").await;
    assert!(is_on_its_way(&next_day), "{next_day}");
    // As if what was made today had been made yesterday, which it was not.
    app.execute("UPDATE staff_refunds SET day = DATE(UTC_TIMESTAMP() + INTERVAL 8 HOUR), alone_fen = 10000000")
        .await;
    app.finish().await;
}
