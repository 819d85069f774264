//! A payment is made, held for review, stopped; its decision is stored with it, once.

use serde_json::json;
use wechat_pay_simulator::openid_for;
use zhangfang::{
    facts::{Facts, Origin, Stage},
    payments::{self, CreatePayment},
    primitives::{Money, Secret},
    risk::Action,
};

use super::{PAYMENTS, RiskSetup, blocked, decision_on, order_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_payment_is_not_made_and_its_decision_is_kept() {
    let setup = RiskSetup::open().await;
    setup.says(Stage::PaymentCreate, Action::Block);
    let first = blocked(&setup.ask("k").await);
    let second = blocked(&setup.ask("k").await);
    assert_ne!(first, second, "two attempts are two decisions");
    assert_eq!(setup.orders().await, 0);
    // The key was not used up.
    setup.says(Stage::PaymentCreate, Action::Allow);
    let order = order_of(&setup.ask("k").await);
    assert_eq!(
        setup.decisions(Stage::PaymentCreate).await,
        [
            (first, Action::Block),
            (second, Action::Block),
            (decision_on(order), Action::Allow)
        ]
    );
    // A repeat is no new activity, whatever risk says now.
    for action in [Action::Block, Action::Verify, Action::Review] {
        setup.says(Stage::PaymentCreate, action);
        assert_eq!(order_of(&setup.ask("k").await), order);
    }
    assert_eq!(setup.orders().await, 1);
    assert_eq!(setup.decisions(Stage::PaymentCreate).await.len(), 3);
    let challenges = "SELECT COUNT(*) FROM risk_challenges";
    assert_eq!(setup.app.count(challenges).await, 0);
    setup.app.finish().await;
}

/// Whoever repeats has done nothing that could be judged or counted: the key is looked up first.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_not_asked_about() {
    let setup = RiskSetup::open().await;
    let path = "/api/v1/merchant/payments";
    let body = json!({ "amount_fen": 1200 });
    let show = async || setup.merchant.owner.keyed("shown").post(path, &body).await;
    let shown = order_of(&show().await);
    let paid = {
        let (customer, code) = (&setup.customer, &setup.merchant.code);
        setup.app.pay(customer, code, 1200, "k").await
    };
    let refund = setup.refund(&paid, 100, "r").await.expect(201);
    let asked = |stage| setup.scripted.asked_at(stage).len();
    let before = (asked(Stage::PaymentCreate), asked(Stage::Refund));
    assert_eq!(before, (2, 1));
    for _ in 0..2 {
        assert_eq!(order_of(&show().await), shown);
        setup.ask("k").await.refused(409, "order_already_paid");
        let again = setup.refund(&paid, 100, "r").await.expect(201);
        assert_eq!(again["refund_no"], refund["refund_no"]);
        // Nor is another request under the same key.
        setup
            .refund(&paid, 200, "r")
            .await
            .refused(422, "idempotency_key_reused");
    }
    let after = (asked(Stage::PaymentCreate), asked(Stage::Refund));
    assert_eq!(after, before);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_is_given_customer_merchant_amount_and_address() {
    let setup = RiskSetup::open().await;
    let body = json!({ "code": setup.merchant.code, "amount_fen": 1200 }).to_string();
    for (key, device) in [("k1", "phone-1"), ("k2", "a phone; DROP TABLE")] {
        let headers = [
            ("device-id", device.to_owned()),
            ("idempotency-key", key.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let answer = setup.customer.raw(PAYMENTS, &headers, body.clone().into());
        order_of(&answer.await);
    }
    let asked = setup.scripted.asked_at(Stage::PaymentCreate);
    let facts = &asked[0];
    assert_eq!(facts.customer, Some(setup.customer_id("li").await));
    assert_eq!(facts.amount, Some(Money::constant(1200)));
    assert!(facts.merchant.is_some() && !facts.own_merchant);
    assert!(facts.origin.address.unwrap().is_loopback());
    let device = |facts: &Facts| facts.origin.device.clone().map(String::from);
    assert_eq!(device(facts).as_deref(), Some("phone-1"));
    assert_eq!(
        device(&asked[1]),
        None,
        "what makes no sense is as good as none"
    );

    // The merchant's own people, as customers of their merchant.
    let owner = setup.app.customer("owner-of-1900000140").await;
    order_of(&setup.ask_as(&owner, "k3").await);
    assert!(setup.scripted.asked_at(Stage::PaymentCreate)[2].own_merchant);

    // What cannot be paid is not asked about: nobody's counters move.
    for (code, fen) in [
        ("NOSUCHCODE00", 100),
        ("", 100),
        ("x'; --", 100),
        (setup.merchant.code.as_str(), i64::MAX),
        (setup.merchant.code.as_str(), 0),
    ] {
        let body = json!({ "code": code, "amount_fen": fen });
        let answer = setup.customer.keyed("k4").post(PAYMENTS, &body).await;
        assert!(matches!(answer.status, 404 | 422), "{}", answer.status);
    }
    assert_eq!(setup.scripted.asked_at(Stage::PaymentCreate).len(), 3);
    assert_eq!(setup.decisions(Stage::PaymentCreate).await.len(), 3);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_to_be_reviewed_is_made_and_so_is_one_that_nobody_can_verify() {
    let setup = RiskSetup::open().await;
    let wanted = "SELECT COUNT(*) FROM payment_orders WHERE review = 1";
    order_of(&setup.ask("k1").await);
    assert_eq!(setup.app.count(wanted).await, 0);
    setup.says(Stage::PaymentCreate, Action::Review);
    let order = order_of(&setup.ask("k2").await);
    assert_eq!(setup.app.count(wanted).await, 1);
    let decisions = setup.decisions(Stage::PaymentCreate).await;
    assert!(decisions.contains(&(decision_on(order), Action::Review)));

    // An order that the merchant shows is the merchant's activity.
    let show = async |key: &str| {
        let body = json!({ "amount_fen": 700 });
        let path = "/api/v1/merchant/payments";
        setup.merchant.owner.keyed(key).post(path, &body).await
    };
    setup.says(Stage::PaymentCreate, Action::Block);
    blocked(&show("n1").await);
    setup.says(Stage::PaymentCreate, Action::Verify);
    let order = order_of(&show("n1").await);
    assert_eq!(setup.app.count(wanted).await, 2);
    setup.says(Stage::PaymentCreate, Action::Block);
    assert_eq!(order_of(&show("n1").await), order);
    let facts = setup.scripted.asked_at(Stage::PaymentCreate).pop().unwrap();
    assert_eq!((facts.customer, facts.origin), (None, Origin::default()));
    assert!(facts.merchant.is_some());
    assert_eq!(setup.decisions(Stage::PaymentCreate).await.len(), 4);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_and_the_activity_are_one_commit() {
    let setup = RiskSetup::open().await;
    // What cannot store its decision is not done.
    setup
        .app
        .execute("RENAME TABLE risk_decisions TO risk_decisions_away")
        .await;
    for action in [Action::Allow, Action::Review, Action::Verify, Action::Block] {
        setup.says(Stage::PaymentCreate, action);
        let answer = setup.ask("k").await;
        assert!(answer.status >= 500, "{action}: {}", answer.status);
    }
    setup
        .app
        .execute("RENAME TABLE risk_decisions_away TO risk_decisions")
        .await;
    assert_eq!(setup.orders().await, 0);
    let challenges = "SELECT COUNT(*) FROM risk_challenges";
    assert_eq!(setup.app.count(challenges).await, 0);
    // Nor is a decision stored whose challenge is not.
    setup
        .app
        .execute("RENAME TABLE risk_challenges TO risk_challenges_away")
        .await;
    setup.says(Stage::PaymentCreate, Action::Verify);
    assert!(setup.ask("k").await.status >= 500);
    setup
        .app
        .execute("RENAME TABLE risk_challenges_away TO risk_challenges")
        .await;
    assert!(setup.decisions(Stage::PaymentCreate).await.is_empty());
    setup.says(Stage::PaymentCreate, Action::Allow);
    let order = order_of(&setup.ask("k").await);
    assert_eq!(
        setup.decisions(Stage::PaymentCreate).await,
        [(decision_on(order), Action::Allow)]
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_vanish_in_the_middle_leave_orders_with_their_decisions_and_nothing_else() {
    let setup = RiskSetup::open().await;
    let customer = setup.customer_id("li").await;
    let request = |key: usize| CreatePayment {
        tenant: setup.app.tenant.id,
        customer,
        payer_openid: Secret::new(openid_for("li")),
        code: setup.merchant.code.clone(),
        amount: Some(Money::constant(500)),
        key: format!("k{key}"),
        origin: Origin::default(),
    };
    // Cut off after a different number of steps each: before risk is asked, after its word, while
    // the commit runs.
    for key in 0..24 {
        let payments = setup.app.app.payments().clone();
        let request = request(key);
        let asking =
            tokio::spawn(async move { payments::create_payment(&payments, request).await });
        for _ in 0..key * 3 {
            tokio::task::yield_now().await;
        }
        asking.abort();
        let _ = asking.await;
    }
    // Each asks again, with the same key.
    for key in 0..24 {
        payments::create_payment(setup.app.app.payments(), request(key))
            .await
            .unwrap();
    }
    assert_eq!(setup.orders().await, 24);
    assert_eq!(setup.decisions(Stage::PaymentCreate).await.len(), 24);
    let pairs = "SELECT COUNT(*) FROM payment_orders o JOIN risk_decisions d ON d.id = CONCAT(LEFT(o.id, 15), x'02') AND d.merchant_id = o.merchant_id";
    assert_eq!(setup.app.count(pairs).await, 24);
    setup.app.finish().await;
}
