//! The rules that this repository ships, through HTTP: what the first lines of the file promise,
//! from the activity to the person who decides.

use serde_json::{Value, json};
use wechat_pay_simulator::{Payment, openid_for};
use zhangfang::{
    auth::OperatorRole,
    payments::{self, CloseBy, HandledCallback, NoticeHeaders},
    primitives::{Clock as _, DecisionId, OrderId, OrderNo, ReviewId, SystemClock, TenantId},
};

use crate::{
    harness::{ApiAnswer, Caller, Merchant, Site, TestApp, eventually},
    refund_core::RefundSetup,
};

const RULES: &str = include_str!("../../risk-rules.yaml");
const SUB_MCHID: &str = "1900000140";
const PAYMENTS: &str = "/api/v1/customer/payments";
const REVIEWS: &str = "/api/v1/admin/risk/reviews";

async fn ask(customer: &Caller, merchant: &Merchant, key: &str) -> ApiAnswer {
    let body = json!({ "code": merchant.code, "amount_fen": 1_200 });
    customer.keyed(key).post(PAYMENTS, &body).await
}

fn number_of(answer: &ApiAnswer) -> String {
    answer.expect(201)["order_no"].as_str().unwrap().to_owned()
}

fn order_of(number: &str) -> OrderId {
    number.parse::<OrderNo>().unwrap().id()
}

fn path_of(number: &str) -> String {
    format!("{REVIEWS}/{}", ReviewId::of(order_of(number).id()))
}

/// What is told to whoever is stopped: a decision's number, and nothing by which to learn the
/// rules.
fn stopped(answer: &ApiAnswer, code: &str) -> Value {
    answer.refused(403, code);
    let reply = answer.expect(403);
    for secret in ["many-payments", "unknown-network", "频繁", "网络"] {
        assert!(!reply.to_string().contains(secret), "{reply}");
    }
    reply
}

/// Posted, available and pending points.
async fn points(customer: &Caller) -> [i64; 3] {
    let has = customer.get("/api/v1/customer/points").await.expect(200);
    ["posted", "available", "pending"].map(|field| has[field].as_i64().unwrap())
}

async fn items(caller: &Caller, path: &str) -> Vec<Value> {
    let page = caller.get(path).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

/// How often a rule fired live in this process.
async fn fired(app: &TestApp, rule: &str) -> u64 {
    let rules = app
        .admin()
        .get("/api/v1/admin/risk/rules")
        .await
        .expect(200);
    let rules = rules["rules"].as_array().unwrap();
    let rule = rules.iter().find(|known| known["id"] == rule).unwrap();
    rule["fired"]["live"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eleven_payments_in_a_minute_the_eleventh_is_blocked() {
    let app = TestApp::with_rules(RULES).await;
    let merchant = app.merchant("茶里巷", SUB_MCHID).await;
    let li = app.customer("li").await;
    let keys: Vec<_> = (0..11).map(|key| format!("k{key}")).collect();
    let asking = keys.iter().map(|key| ask(&li, &merchant, key));
    let answers = futures_util::future::join_all(asking).await;
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(made.len(), 10, "all at once, and still ten");
    let refused = answers.iter().find(|answer| answer.status != 201).unwrap();
    let reply = stopped(refused, "risk_blocked");
    let decision: DecisionId = reply["decision"].as_str().unwrap().parse().unwrap();

    // Not with another key, nor from a till's address that the caller makes up.
    stopped(&ask(&li, &merchant, "another").await, "risk_blocked");
    let body = json!({ "code": merchant.code, "amount_fen": 1_200 }).to_string();
    for (key, device) in [("x1", "phone-2"), ("x2", "'; DROP TABLE x; --"), ("x3", "")] {
        let headers = [
            ("idempotency-key", key.to_owned()),
            ("content-type", "application/json".to_owned()),
            ("x-forwarded-for", "198.51.100.7, 10.0.0.1".to_owned()),
            ("device-id", device.to_owned()),
        ];
        let answer = li.raw(PAYMENTS, &headers, body.clone().into()).await;
        stopped(&answer, "risk_blocked");
    }
    // Who repeats what was made has it; and others are not concerned.
    let (key, first) = keys
        .iter()
        .zip(&answers)
        .find(|(_, answer)| answer.status == 201)
        .unwrap();
    let again = ask(&li, &merchant, key).await;
    assert_eq!(number_of(&again), number_of(first));
    let wang = app.customer("wang").await;
    number_of(&ask(&wang, &merchant, "k0").await);
    let orders = "SELECT COUNT(*) FROM payment_orders";
    assert_eq!(app.count(orders).await, 11);

    // Why, for those who may know it.
    let list = "/api/v1/admin/risk/decisions?rule=many-payments&action=block";
    assert_eq!(items(&app.admin(), list).await.len(), 5);
    assert!(fired(&app, "many-payments").await >= 5);
    let path = format!("/api/v1/admin/risk/decisions/{decision}");
    let auditor = app.role("zhou", OperatorRole::Auditor);
    let explained = auditor.get(&path).await.expect(200);
    let rule = &explained["fired"][0];
    assert_eq!(
        (&rule["rule"], &rule["effect"]),
        (&json!("many-payments"), &json!("live"))
    );
    assert!(
        rule["reason"].as_str().unwrap().contains("more than 10"),
        "{rule}"
    );
    assert_eq!(explained["address"], "127.0.0.x");
    let crm = app.role("merchant-crm", OperatorRole::Service);
    for stranger in [&li, &merchant.owner, &crm] {
        assert_eq!(stranger.get(&path).await.status, 403);
        assert_eq!(stranger.get(list).await.status, 403);
    }

    // What was made can be paid and earns.
    let no = number_of(first);
    app.simulator.pay(&no, Payment::clean()).await.unwrap();
    app.settled(&li, &no).await;
    assert_eq!(points(&li).await, [12, 12, 0]);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_pays_in_their_own_merchant_has_points_when_a_person_agrees() {
    let app = TestApp::with_rules(RULES).await;
    let merchant = app.merchant("茶里巷", SUB_MCHID).await;
    let owner = app.customer(&format!("owner-of-{SUB_MCHID}")).await;
    let no = app.pay(&owner, &merchant.code, 1_000, "k").await;
    assert_eq!(
        points(&owner).await,
        [0, 0, 10],
        "the money settles, the points wait"
    );
    // The way round: a till's order, which is nobody's until it is paid.
    let shown = merchant.owner.keyed("till");
    let shown = shown
        .post("/api/v1/merchant/payments", &json!({ "amount_fen": 700 }))
        .await;
    let shown = shown.expect(201);
    let till = shown["order_no"].as_str().unwrap().to_owned();
    let code_url = shown["code_url"].as_str().unwrap();
    let payer = openid_for(&format!("owner-of-{SUB_MCHID}"));
    let paying = app.simulator.pay_native(code_url, &payer, Payment::clean());
    paying.await.unwrap();
    eventually("the till's order is settled", || async {
        (points(&owner).await == [0, 0, 17]).then_some(())
    })
    .await;
    // And somebody else's payment there is no affair of the rule.
    let li = app.customer("li").await;
    app.pay(&li, &merchant.code, 1_000, "k").await;
    assert_eq!(points(&li).await, [10, 10, 0]);

    let lin = app.operator("lin");
    let open = items(&lin, &format!("{REVIEWS}?state=open")).await;
    let mut numbers: Vec<_> = open
        .iter()
        .map(|review| review["order_no"].as_str().unwrap())
        .collect();
    numbers.sort_unstable();
    let mut expected = [no.as_str(), till.as_str()];
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    for review in &open {
        assert_eq!(
            (&review["rules"], &review["stage"]),
            (&json!("own-merchant"), &json!("points.credit"))
        );
    }

    // Nobody else decides: not who earned them, nor who only reads, nor a program.
    let note = json!({ "note": "ok" });
    let auditor = app.role("zhou", OperatorRole::Auditor);
    let crm = app.role("merchant-crm", OperatorRole::Service);
    for stranger in [&owner, &merchant.owner, &auditor, &crm] {
        for word in ["claim", "unclaim", "approve", "reject"] {
            let path = format!("{}/{word}", path_of(&no));
            let answer = stranger.keyed("mine").post(&path, &note).await;
            assert_eq!(answer.status, 403, "{word}");
        }
    }
    auditor.get(&path_of(&no)).await.expect(200);
    assert_eq!(crm.get(&path_of(&no)).await.status, 403);

    lin.post(&format!("{}/claim", path_of(&no)), &json!({}))
        .await
        .expect(200);
    let path = format!("{}/approve", path_of(&no));
    let mei = app.operator("mei").keyed("a");
    mei.post(&path, &note).await.refused(409, "review_claimed");
    let approved = lin.keyed("a").post(&path, &note).await.expect(200);
    assert_eq!(
        lin.keyed("a").post(&path, &note).await.expect(200),
        approved
    );
    assert_eq!(points(&owner).await, [10, 10, 7]);
    let rejecting = mei.post(&format!("{}/reject", path_of(&till)), &note).await;
    assert_eq!(rejecting.expect(200)["released"], false);
    assert_eq!(points(&owner).await, [10, 10, 0]);
    assert!(
        items(&lin, &format!("{REVIEWS}?state=open"))
            .await
            .is_empty()
    );
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_from_an_unknown_network_answers_first() {
    let app = TestApp::with_rules(RULES).await;
    let merchant = app.merchant("茶里巷", SUB_MCHID).await;
    let li = app.customer("li").await;
    // A new customer is not challenged, wherever they are.
    number_of(&ask(&li, &merchant, "home").await);
    let away = |network: u8, who: &Caller| {
        let site: Site = app.as_from(std::net::IpAddr::from([127, 0, network, 1]));
        site.anyone().with_token(&who.token().unwrap())
    };
    let travelling = away(9, &li);
    let reply = stopped(
        &ask(&travelling, &merchant, "k").await,
        "risk_verification_required",
    );
    let challenge = reply["challenge"].as_str().unwrap().to_owned();
    // What the caller writes about where they are is not trusted.
    let headers = [
        ("idempotency-key", "k".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("x-forwarded-for", "127.0.0.1".to_owned()),
    ];
    let body = json!({ "code": merchant.code, "amount_fen": 1_200 }).to_string();
    let answer = travelling.raw(PAYMENTS, &headers, body.into()).await;
    let reply = stopped(&answer, "risk_verification_required");
    assert_eq!(reply["challenge"], json!(challenge));

    // The answer of one is nobody else's: another customer abroad has to give their own.
    let wang = app.customer("wang").await;
    number_of(&ask(&wang, &merchant, "home").await);
    let path = format!("/api/v1/customer/challenges/{challenge}/answer");
    let foreign = away(9, &wang)
        .post(&path, &json!({ "code": "sim-wang" }))
        .await;
    foreign.refused(404, "challenge_not_found");
    let wrong = travelling.post(&path, &json!({ "code": "sim-wang" })).await;
    wrong.refused(403, "challenge_not_answered");
    let right = travelling.post(&path, &json!({ "code": "sim-li" })).await;
    assert_eq!(right.expect(200)["state"], "answered");
    let wangs = ask(&away(9, &wang), &merchant, "k").await;
    stopped(&wangs, "risk_verification_required");

    let no = number_of(&ask(&travelling, &merchant, "k").await);
    app.simulator.pay(&no, Payment::clean()).await.unwrap();
    app.settled(&li, &no).await;
    assert_eq!(points(&li).await, [12, 12, 0]);
    // The network is known from now on, also when the answer no longer counts; another is not.
    app.execute(
        "UPDATE risk_challenges SET answered_at = answered_at - INTERVAL 1 HOUR WHERE state = 2",
    )
    .await;
    number_of(&ask(&travelling, &merchant, "later").await);
    stopped(
        &ask(&away(10, &li), &merchant, "far").await,
        "risk_verification_required",
    );
    let list = "/api/v1/admin/risk/decisions?rule=unknown-network";
    let decisions = items(&app.admin(), list).await;
    let allowed = decisions.iter().filter(|one| one["action"] == "allow");
    assert_eq!(allowed.count(), 1, "the one that relied on the answer");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_counters_payments_go_on_and_points_wait_for_a_person() {
    let app = TestApp::with_rules_without_redis(RULES).await;
    let merchant = app.merchant("茶里巷", SUB_MCHID).await;
    let li = app.customer("li").await;
    let crm = app.role("merchant-crm", OperatorRole::Service);
    let me = li.get("/api/v1/customer/me").await.expect(200)["id"].clone();
    let mut orders = Vec::new();
    for key in 0..3 {
        orders.push(
            app.pay(&li, &merchant.code, 1_000, &format!("k{key}"))
                .await,
        );
    }
    assert_eq!(points(&li).await, [0, 0, 30]);
    let given = json!({ "customer_id": me, "points": 5, "reference": "gift", "reason": "生日" });
    let given = crm
        .post("/api/v1/open/points/awards", &given)
        .await
        .expect(201);
    assert_eq!(given["state"], "under_review");
    let open = items(&app.admin(), &format!("{REVIEWS}?state=open")).await;
    assert_eq!(open.len(), 4);
    for review in &open {
        let rules = review["rules"].as_str().unwrap();
        assert!(rules.contains("refund-farming"), "{rules}");
        assert!(
            !rules.contains("same-pair"),
            "what is in the shadow wants nothing: {rules}"
        );
    }
    // The merchant's own people wait, too, and the money of all can go back.
    let refunds = format!("/api/v1/merchant/payments/{}/refunds", orders[0]);
    let refund = json!({ "reason": "缺货" });
    merchant
        .owner
        .keyed("r")
        .post(&refunds, &refund)
        .await
        .expect(201);
    let approve = format!("{}/approve", path_of(&orders[1]));
    let lin = app.operator("lin").keyed("a");
    lin.post(&approve, &json!({})).await.expect(200);
    // What the refund withholds from its review is voided when the money has arrived.
    eventually("the refund arrives", || async {
        (points(&li).await == [10, 10, 15]).then_some(())
    })
    .await;
    // What is there can be spent: nothing of the rules for that needs a counter.
    let spent = json!({ "customer_id": me, "points": 4, "reference": "cup", "reason": "兑换" });
    let spent = crm
        .post("/api/v1/open/points/redemptions", &spent)
        .await
        .expect(201);
    assert_eq!(spent["state"], "done");
    assert_eq!(points(&li).await, [6, 6, 15]);
    app.finish().await;
}

/// One decision for what is credited, and none that leads to points twice or for somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_settled_is_not_credited_whatever_risk_says() {
    let setup = RefundSetup::at(TestApp::with_rules(RULES).await).await;
    let app = &setup.app;
    let no = app.create(&setup.customer, &setup.code, 1_000, "k").await;
    let order = setup.order(order_of(&no)).await;
    let deliver_callback = async |tenant: TenantId, body| {
        let headers = NoticeHeaders {
            timestamp: None,
            nonce: None,
            signature: None,
            serial: None,
            signature_type: None,
        };
        payments::handle_callback(&setup.payments, tenant, headers, body)
            .await
            .unwrap()
    };
    let (here, now) = (app.tenant.id, SystemClock.now());
    let elsewhere = zhangfang::points::create_tenant(app.db(), "other", "别家")
        .await
        .unwrap()
        .id;
    let notice = |order, transaction: &str| {
        setup
            .channel
            .paid_notice(order, transaction, now, transaction)
    };
    // To another tenant; and of an order that nobody made.
    assert_eq!(
        deliver_callback(elsewhere, notice(&order, "t1")).await,
        HandledCallback::Rejected("unknown_order")
    );
    let unknown = payments::Order {
        id: OrderId::new(app.db().new_id(order.id.lane())),
        ..order.clone()
    };
    assert_eq!(
        deliver_callback(here, notice(&unknown, "t2")).await,
        HandledCallback::Rejected("unknown_order")
    );
    let credits = "SELECT COUNT(*) FROM risk_decisions WHERE stage = 3";
    assert_eq!(app.count(credits).await, 0);
    assert_eq!(points(&setup.customer).await, [0, 0, 0]);
    // Of many at once one settles; a second payment of the same order is an alarm.
    let handled = (0..8).map(|_| deliver_callback(here, notice(&order, "t3")));
    let handled = futures_util::future::join_all(handled).await;
    let settled = handled
        .iter()
        .filter(|taken| **taken == HandledCallback::Settled);
    assert_eq!(settled.count(), 1, "{handled:?}");
    assert_eq!(
        deliver_callback(here, notice(&order, "t4")).await,
        HandledCallback::Rejected("paid_twice")
    );
    assert_eq!(app.count(credits).await, 1);
    assert_eq!(points(&setup.customer).await, [10, 10, 0]);
    // One that had been closed goes back, and earns nothing.
    let no = app
        .create(&setup.customer, &setup.code, 1_000, "late")
        .await;
    let closed = payments::close_payment(&setup.payments, here, order_of(&no), CloseBy::Customer);
    closed.await.unwrap();
    app.simulator.pay(&no, Payment::clean()).await.unwrap();
    eventually("the money goes back", || async {
        let late = setup.order(order_of(&no)).await;
        (late.refunds.asked.get() == 1_000).then_some(())
    })
    .await;
    assert_eq!(points(&setup.customer).await, [10, 10, 0]);
    setup.app.finish().await;
}
