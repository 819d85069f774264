//! What is not done is not counted, a repeat is one activity, and what was counted then is counted
//! again from what is stored.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use serde_json::{Value, json};
use zhangfang::{
    auth::{OperatorRole, Principal},
    facts::Stage,
    primitives::{Clock as _, Points, SystemClock, Timestamp},
    risk::{
        Action, ActivityKey, Backtest, CounterValues, Decision, Risk, RuleSet, stream_decisions,
    },
};

use super::{at_most, payment, risk, somebody};
use crate::harness::{ApiAnswer, Caller, Folder, Merchant, TestApp, redis_url};

const PAYMENTS: &str = "/api/v1/customer/payments";

async fn create(customer: &Caller, merchant: &Merchant, fen: i64, key: &str) -> ApiAnswer {
    let body = json!({ "code": merchant.code, "amount_fen": fen });
    customer.keyed(key).post(PAYMENTS, &body).await
}

async fn refund(merchant: &Merchant, order_no: &str, fen: i64, key: &str) -> ApiAnswer {
    let path = format!("/api/v1/merchant/payments/{order_no}/refunds");
    let body = json!({ "amount_fen": fen, "reason": "缺货" });
    merchant.owner.keyed(key).post(&path, &body).await
}

/// A back end, and what it asks for.
async fn activity(
    app: &TestApp,
    customer: &Caller,
    what: &str,
    points: i64,
    name: &str,
) -> ApiAnswer {
    let principal = Principal::Operator {
        tenant: app.tenant.id,
        name: "crm".to_owned(),
        role: OperatorRole::Service,
    };
    let token = app.app.tokens().issue(&principal, SystemClock.now());
    let me = customer.get("/api/v1/customer/me").await.expect(200);
    let body =
        json!({ "customer_id": me["id"], "points": points, "reference": name, "reason": "测试" });
    let crm = app.anyone().with_token(&token.text);
    crm.post(&format!("/api/v1/open/points/{what}"), &body)
        .await
}

/// Posted and pending points.
async fn points(customer: &Caller) -> [i64; 2] {
    let has = customer.get("/api/v1/customer/points").await.expect(200);
    ["posted", "pending"].map(|field| has[field].as_i64().unwrap())
}

/// All that was decided, in the order of its time.
async fn decisions(app: &TestApp) -> Vec<(zhangfang::primitives::DecisionId, Decision)> {
    let always = (
        Timestamp::from_micros(0),
        app.app.now().plus_seconds(86_400),
    );
    let all = stream_decisions(app.db(), None, always, None, 10_000).await;
    all.unwrap()
}

async fn measured(app: &TestApp, stage: Stage) -> Vec<CounterValues> {
    let all = decisions(app).await.into_iter();
    all.filter(|(_, decision)| decision.facts.stage == stage)
        .map(|(_, decision)| decision.measured)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_that_are_refused_hold_nobody_s_points_and_those_that_are_made_do() {
    let rules = "\
rules:
  - id: refund-farming
    name: 退款套积分
    stages: [points.credit]
    action: review
    farming: { above: 5, within: 7d, share: 50% }
    on_missing: review
";
    let app = TestApp::with_rules(rules).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k1").await;
    for number in 0..6 {
        let refused = refund(&merchant, &order_no, 5_000, &format!("too-much-{number}")).await;
        refused.refused(422, "refund_exceeds_refundable");
    }
    // What a staff member may not see is not asked about at all.
    let stranger = app.merchant("隔壁", "1900000141").await;
    refund(&stranger, &order_no, 100, "not-theirs")
        .await
        .refused(404, "order_not_found");
    app.pay(&li, &merchant.code, 1_000, "k2").await;
    assert_eq!(points(&li).await, [20, 0]);

    for number in 0..6 {
        let key = format!("r{number}");
        let made = refund(&merchant, &order_no, 100, &key).await.expect(201);
        // Repeated, it is the same one.
        for _ in 0..3 {
            let again = refund(&merchant, &order_no, 100, &key).await.expect(201);
            assert_eq!(again["refund_no"], made["refund_no"]);
        }
    }
    app.simulator.idle().await;
    app.pay(&li, &merchant.code, 1_000, "k3").await;
    assert_eq!(points(&li).await[1], 10, "six are more than five");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_the_same_activity_one_after_the_other_or_all_at_once() {
    let app = TestApp::with_rules(&at_most(10, "1h")).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    for _ in 0..12 {
        create(&li, &merchant, 500, "one").await.expect(201);
    }
    let at_once = (0..12).map(|_| create(&li, &merchant, 500, "another"));
    let orders: Vec<Value> = join_all(at_once)
        .await
        .iter()
        .map(|answer| answer.expect(201)["order_no"].clone())
        .collect();
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    // The key with another request is nobody's activity.
    create(&li, &merchant, 501, "one")
        .await
        .refused(422, "idempotency_key_reused");
    for number in 2..10 {
        create(&li, &merchant, 500, &format!("k{number}"))
            .await
            .expect(201);
    }
    // What is stopped does not make it worse.
    for _ in 0..3 {
        create(&li, &merchant, 500, "eleventh")
            .await
            .refused(403, "risk_blocked");
    }
    let said = measured(&app, Stage::PaymentCreate).await;
    let expected: Vec<CounterValues> = (1..=10)
        .chain([11, 11, 11])
        .map(|number| CounterValues(vec![Some(number)]))
        .collect();
    assert_eq!(said, expected);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_of_attempts_say_so_and_count_what_was_refused() {
    let rules = "\
rules:
  - id: probing
    name: 反复尝试退款
    stages: [refund]
    action: block
    velocity: { measure: count, per: customer, within: 1h, above: 3, attempts: true }
    on_missing: review
";
    let app = TestApp::with_rules(rules).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k").await;
    refund(&merchant, &order_no, 100, "r0").await.expect(201);
    for key in ["r0", "r0"] {
        refund(&merchant, &order_no, 100, key).await.expect(201);
    }
    for key in ["x1", "x2"] {
        let refused = refund(&merchant, &order_no, 5_000, key).await;
        refused.refused(422, "refund_exceeds_refundable");
    }
    for key in ["r4", "r4"] {
        refund(&merchant, &order_no, 100, key)
            .await
            .refused(403, "risk_blocked");
    }
    let said = measured(&app, Stage::Refund).await;
    let numbers = [1, 4, 5].map(|number| CounterValues(vec![Some(number)]));
    assert_eq!(said, numbers);
    app.finish().await;
}

/// Everything that counts, with thresholds that are met.
const EVERYTHING: &str = "\
defaults: {on_missing: allow}
counters:
  merchants: {measure: distinct_merchants, of: payment.create, per: customer, within: 1h}
  refunded: {measure: sum_fen, of: refund, per: customer, within: 1h}
rules:
  - {id: many, name: N, stages: [payment.create], action: block, velocity: {measure: count, per: customer, within: 1d, above: 5}}
  - {id: much, name: N, stages: [payment.create], action: review, velocity: {measure: sum_fen, per: customer, within: 1d, above: 4000}}
  - {id: merchants, name: N, stages: [payment.create], action: review, shadow: true, when: counters.merchants > 1}
  - {id: unusual, name: N, stages: [payment.create], action: review, shadow: true, unusual_amount: {factor: 2, at_least: 2, within: 1d}}
  - {id: new-merchant, name: N, stages: [payment.create], action: review, shadow: true, first_seen: {attribute: merchant}}
  - {id: pair, name: N, stages: [points.credit], action: review, shadow: true, collusion: {above: 1, within: 1d}}
  - {id: under, name: N, stages: [payment.create], action: review, shadow: true, structuring: {limit_fen: 1000, margin: 20%, above: 1, within: 1d}}
  - {id: farming, name: N, stages: [points.credit], action: review, farming: {above: 1, within: 1d, share: 30%}}
  - {id: earned, name: N, stages: [points.credit], action: review, shadow: true, velocity: {measure: sum_points, of: points.credit.payment, per: customer, within: 1d, above: 25}}
  - {id: given, name: N, stages: [points.credit], action: block, velocity: {measure: count, of: points.credit.award, per: customer, within: 1d, above: 2}}
  - {id: credited, name: N, stages: [points.credit], action: review, shadow: true, velocity: {measure: count, per: customer, within: 1d, above: 3}}
  - {id: spent, name: N, stages: [redeem], action: block, velocity: {measure: count, per: customer, within: 1d, above: 1}}
  - {id: refunds, name: N, stages: [refund], action: block, velocity: {measure: count, per: customer, within: 1d, above: 2}}
  - {id: refunded, name: N, stages: [refund], action: review, shadow: true, when: counters.refunded > 250}
  - {id: logins, name: N, stages: [login], action: block, velocity: {measure: count, per: customer, within: 1d, above: 2}}
";

async fn busy_day(app: &TestApp) {
    let merchants = [
        app.merchant("茶里巷", "1900000140").await,
        app.merchant("隔壁", "1900000141").await,
    ];
    for name in ["li", "wang"] {
        let customer = app.customer(name).await;
        let mut orders = Vec::new();
        for (number, fen) in [900, 950, 300, 2_500].into_iter().enumerate() {
            let merchant = &merchants[number % 2];
            let key = format!("{name}-{number}");
            orders.push((
                merchant,
                app.pay(&customer, &merchant.code, fen, &key).await,
            ));
            // Again, and something else under the same key.
            create(&customer, merchant, fen, &key).await;
            create(&customer, merchant, fen + 1, &key).await;
        }
        for (number, (merchant, order_no)) in orders.iter().enumerate() {
            let key = format!("{name}-{number}");
            refund(merchant, order_no, 90_000, &format!("{key}-too-much")).await;
            refund(merchant, order_no, 100, &key).await;
            refund(merchant, order_no, 100, &key).await;
        }
        for number in 0..4 {
            activity(app, &customer, "awards", 5, &format!("a-{name}-{number}")).await;
            let spend = if number == 0 { 1_000_000 } else { 2 };
            for _ in 0..2 {
                let reference = format!("s-{name}-{number}");
                activity(app, &customer, "redemptions", spend, &reference).await;
            }
        }
        for number in 4..8 {
            let key = format!("{name}-{number}");
            create(&customer, &merchants[0], 800, &key).await;
        }
        for _ in 0..3 {
            let body = json!({ "tenant": "demo", "code": format!("sim-{name}"), "as": "customer" });
            let path = "/api/v1/auth/wechat/login";
            app.anyone().post(path, &body).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_again_from_what_is_stored_everything_is_as_it_was() {
    let app = TestApp::with_rules(EVERYTHING).await;
    busy_day(&app).await;
    app.simulator.idle().await;
    let rules = RuleSet::parse(EVERYTHING).unwrap();
    let all = decisions(&app).await;
    for recount in [false, true] {
        let backtest = Backtest::new(&rules);
        let mut backtest = if recount {
            backtest.recounting()
        } else {
            backtest
        };
        for (id, decision) in &all {
            backtest.take(*id, decision, Some(&rules), true);
        }
        let reply = backtest.finish();
        let changed = reply.changes.keys().filter(|(_, was, new)| was != new);
        let changed: Vec<_> = changed.collect();
        assert!(changed.is_empty(), "{recount} {changed:?}");
        let mut fired = 0;
        for (rule, outcome) in &reply.rules {
            let now = outcome.live + outcome.without_effect;
            assert_eq!(outcome.fired_then, now, "{recount} {rule}");
            fired += u32::from(now > 0);
        }
        assert_eq!(
            fired, 15,
            "every rule had something to say: {:?}",
            reply.rules
        );
    }
    // So says the command line.
    let folder = Folder::new("again");
    let file = folder.file("rules.yaml", EVERYTHING);
    let words = [
        "risk",
        "backtest",
        "--from",
        "2026-01-01",
        "--to",
        "2199-01-01",
        "--recount",
    ];
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_zhangfang"))
        .args(words)
        .arg(&file)
        .env("DATABASE_URL", app.scratch.service_url())
        .env("ZHANGFANG_LOG__FILTER", "error")
        .output()
        .unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("every one as it was"), "{said}");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_back_ends_give_is_no_payment() {
    let rules = "\
rules:
  - id: refund-farming
    name: 退款套积分
    stages: [points.credit]
    action: review
    farming: { above: 1, within: 7d, share: 50% }
    on_missing: review
  - id: unusual
    name: 金额与平时差异过大
    stages: [payment.create]
    action: block
    unusual_amount: { factor: 2, at_least: 3, within: 7d }
    on_missing: allow
";
    let app = TestApp::with_rules(rules).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    let order_no = app.pay(&li, &merchant.code, 1_000, "k1").await;
    for number in 0..8 {
        activity(&app, &li, "awards", 5, &format!("a{number}"))
            .await
            .expect(201);
    }
    for key in ["r1", "r2"] {
        refund(&merchant, &order_no, 100, key).await.expect(201);
    }
    app.simulator.idle().await;
    // Of one earlier payment nothing is unusual; and two refunds are many beside two payments.
    app.pay(&li, &merchant.code, 9_000, "k2").await;
    assert_eq!(points(&li).await[1], 90);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_judged_is_what_the_caps_leave() {
    let rules = "\
rules:
  - id: many-points
    name: 积分过多
    stages: [points.credit]
    action: review
    points: { above: 100 }
";
    let app = TestApp::with_rules(rules).await;
    let cap = Points::parse(10).unwrap();
    app.set_rule(|terms| terms.daily_cap = Some(cap)).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    app.pay(&li, &merchant.code, 1_100_000, "k1").await;
    assert_eq!(
        points(&li).await,
        [10, 0],
        "11000 are no matter, 10 are credited"
    );
    let judged =
        "SELECT CAST(COALESCE(SUM(points), 0) AS SIGNED) FROM risk_decisions WHERE stage = 3";
    assert_eq!(app.count(judged).await, 10);
    // The cap is reached: there is nothing to decide on, and nothing to count.
    app.pay(&li, &merchant.code, 1_100_000, "k2").await;
    let decided = "SELECT COUNT(*) FROM risk_decisions WHERE stage = 3";
    assert_eq!(app.count(decided).await, 1);

    // Many at once: what was thought to be left may be gone, and nobody is credited what was not
    // judged.
    let wang = app.customer("wang").await;
    let paying = (0..8).map(|number| {
        let (app, wang, code) = (&app, wang.clone(), merchant.code.clone());
        async move { app.pay(&wang, &code, 300, &format!("w{number}")).await }
    });
    join_all(paying).await;
    assert_eq!(points(&wang).await, [10, 0]);
    let unjudged = "SELECT COUNT(*) FROM payment_orders o LEFT JOIN risk_decisions d ON d.id = CONCAT(SUBSTR(o.id, 1, 15), x'03') \
        WHERE o.points > 0 AND (d.points IS NULL OR d.points < o.points)";
    assert_eq!(app.count(unjudged).await, 0);
    let about_nothing = "SELECT COUNT(*) FROM payment_orders o JOIN risk_decisions d ON d.id = CONCAT(SUBSTR(o.id, 1, 15), x'03') WHERE o.points = 0";
    assert_eq!(app.count(about_nothing).await, 0);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_more_is_left_than_was_judged_it_is_judged_again() {
    let owner: Arc<OnceLock<sqlx::mysql::MySqlConnectOptions>> = Arc::default();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, database) = (Arc::clone(&asked), Arc::clone(&owner));
    let risk = Risk::fixed(Arc::new(move |facts| {
        if facts.stage == Stage::PointsCredit {
            seen.lock().unwrap().push(facts.points.unwrap().get());
            // Between the asking and the commit the campaign gets something back.
            if let Some(owner) = database.get() {
                let give_back = async {
                    use sqlx::ConnectOptions as _;
                    let mut conn = owner.clone().connect().await.unwrap();
                    let sql = "UPDATE points_budgets SET granted = 10";
                    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
                };
                let handle = tokio::runtime::Handle::current();
                tokio::task::block_in_place(|| handle.block_on(give_back));
            }
        }
        Action::Allow
    }));
    let app = TestApp::with_risk(risk).await;
    let cap = Points::parse(15).unwrap();
    app.set_rule(|terms| terms.total_cap = Some(cap)).await;
    let merchant = app.merchant("茶里巷", "1900000140").await;
    let li = app.customer("li").await;
    app.pay(&li, &merchant.code, 1_000, "k1").await;
    app.execute("UPDATE points_budgets SET granted = 14").await;
    owner.set(app.scratch.owner.clone()).unwrap();
    app.pay(&li, &merchant.code, 1_000, "k2").await;
    assert_eq!(points(&li).await, [15, 0]);
    assert_eq!(*asked.lock().unwrap(), [10, 1, 5]);
    let judged = "SELECT CAST(SUM(points) AS SIGNED) FROM risk_decisions WHERE stage = 3";
    assert_eq!(app.count(judged).await, 15);
    app.finish().await;
}

/// One activity, told twice, is counted once and is there until nobody did it; also in a cluster.
pub(super) async fn counts_once_and_takes_back(risk: &Risk) {
    let customer = somebody();
    let said = |evaluation: &zhangfang::risk::Evaluation| {
        evaluation.decision().unwrap().measured.0.clone()
    };
    let first = risk.evaluate(payment(customer)).await;
    let one = said(&first);
    first.conclude(true).await;
    let activity = ActivityKey::of(b"a key");
    let (left, right) = tokio::join!(
        risk.evaluate_keyed(payment(customer), activity),
        risk.evaluate_keyed(payment(customer), activity),
    );
    assert_eq!(said(&left), said(&right), "one event");
    assert_ne!(said(&left), one);
    left.conclude(false).await;
    // It was said; to say otherwise changes nothing.
    left.conclude(false).await;
    let other = risk.evaluate(payment(customer)).await;
    assert_ne!(said(&other), said(&left), "the other one may still do it");
    other.conclude(false).await;
    right.conclude(false).await;
    let again = risk.evaluate_keyed(payment(customer), activity).await;
    assert_eq!(said(&again), said(&left), "as if it were the first time");
    again.conclude(true).await;
    let third = risk.evaluate(payment(customer)).await;
    assert_eq!(third.decision().unwrap().measured.0[0], Some(3));
}

#[tokio::test]
async fn one_activity_counted_twice_counts_once_and_is_reverted_when_it_was_not_done() {
    let app = TestApp::without_jobs().await;
    let (risk, _) = risk(&at_most(10, "1h"), app.db(), &redis_url()).await;
    counts_once_and_takes_back(&risk).await;
    app.finish().await;
}

#[tokio::test]
async fn what_was_met_in_vain_is_forgotten_and_what_was_met_before_is_not() {
    let app = TestApp::without_jobs().await;
    let rules = at_most(10, "1h").replace("count", "distinct_networks");
    let (risk, _) = risk(&rules, app.db(), &redis_url()).await;
    let customer = somebody();
    let usage = async |address: &str, done: bool| {
        let evaluation = risk.evaluate(super::from(payment(customer), address)).await;
        evaluation.conclude(done).await;
        evaluation.decision().unwrap().measured.0[0].unwrap()
    };
    assert_eq!(usage("203.0.113.7", true).await, 1);
    assert_eq!(usage("198.51.100.7", false).await, 2);
    assert_eq!(
        usage("203.0.113.7", false).await,
        1,
        "the other was not met"
    );
    assert_eq!(usage("198.51.100.7", true).await, 2, "this one still was");
    assert_eq!(usage("192.0.2.7", false).await, 3);
    assert_eq!(usage("192.0.2.8", true).await, 3);
    app.finish().await;
}
