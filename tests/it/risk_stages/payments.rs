//! A payment is made, held for review, stopped; its decision is stored with it, once.

use serde_json::json;
use wechat_pay_simulator::openid_for;
use zhangfang::{
    facts::{Facts, Origin, Stage},
    payments::{self, CreatePayment},
    primitives::{Money, Secret},
    risk::Action,
};

use super::{Desk, PAYMENTS, blocked, decision_on, order_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_payment_is_not_made_and_its_decision_is_kept() {
    let desk = Desk::open().await;
    desk.says(Stage::PaymentCreate, Action::Block);
    let first = blocked(&desk.ask("k").await);
    let second = blocked(&desk.ask("k").await);
    assert_ne!(first, second, "two attempts are two decisions");
    assert_eq!(desk.orders().await, 0);
    // The key was not used up.
    desk.says(Stage::PaymentCreate, Action::Allow);
    let order = order_of(&desk.ask("k").await);
    assert_eq!(
        desk.decisions(Stage::PaymentCreate).await,
        [
            (first, Action::Block),
            (second, Action::Block),
            (decision_on(order), Action::Allow)
        ]
    );
    // A repeat is no new activity, whatever risk says now.
    for action in [Action::Block, Action::Verify, Action::Review] {
        desk.says(Stage::PaymentCreate, action);
        assert_eq!(order_of(&desk.ask("k").await), order);
    }
    assert_eq!(desk.orders().await, 1);
    assert_eq!(desk.decisions(Stage::PaymentCreate).await.len(), 3);
    let challenges = "SELECT COUNT(*) FROM risk_challenges";
    assert_eq!(desk.app.count(challenges).await, 0);
    desk.app.finish().await;
}

/// Whoever repeats has done nothing that could be judged or counted: the key is looked up first.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_not_asked_about() {
    let desk = Desk::open().await;
    let path = "/api/v1/merchant/payments";
    let body = json!({ "amount_fen": 1200 });
    let show = async || desk.merchant.owner.keyed("shown").post(path, &body).await;
    let shown = order_of(&show().await);
    let paid = {
        let (customer, code) = (&desk.customer, &desk.merchant.code);
        desk.app.pay(customer, code, 1200, "k").await
    };
    let refund = desk.refund(&paid, 100, "r").await.expect(201);
    let asked = |stage| desk.told.asked_at(stage).len();
    let before = (asked(Stage::PaymentCreate), asked(Stage::Refund));
    assert_eq!(before, (2, 1));
    for _ in 0..2 {
        assert_eq!(order_of(&show().await), shown);
        desk.ask("k").await.refused(409, "order_already_paid");
        let again = desk.refund(&paid, 100, "r").await.expect(201);
        assert_eq!(again["refund_no"], refund["refund_no"]);
        // Another wish under the same key is none either.
        desk.refund(&paid, 200, "r")
            .await
            .refused(422, "idempotency_key_reused");
    }
    let after = (asked(Stage::PaymentCreate), asked(Stage::Refund));
    assert_eq!(after, before);
    desk.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_is_told_who_where_how_much_and_from_where() {
    let desk = Desk::open().await;
    let body = json!({ "code": desk.merchant.code, "amount_fen": 1200 }).to_string();
    for (key, device) in [("k1", "phone-1"), ("k2", "a phone; DROP TABLE")] {
        let headers = [
            ("device-id", device.to_owned()),
            ("idempotency-key", key.to_owned()),
            ("content-type", "application/json".to_owned()),
        ];
        let answer = desk.customer.raw(PAYMENTS, &headers, body.clone().into());
        order_of(&answer.await);
    }
    let asked = desk.told.asked_at(Stage::PaymentCreate);
    let facts = &asked[0];
    assert_eq!(facts.customer, Some(desk.customer_id("li").await));
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
    let owner = desk.app.customer("owner-of-1900000140").await;
    order_of(&desk.ask_as(&owner, "k3").await);
    assert!(desk.told.asked_at(Stage::PaymentCreate)[2].own_merchant);

    // What cannot be paid is not asked about: nobody's counters move.
    for (code, fen) in [
        ("NOSUCHCODE00", 100),
        ("", 100),
        ("x'; --", 100),
        (desk.merchant.code.as_str(), i64::MAX),
        (desk.merchant.code.as_str(), 0),
    ] {
        let body = json!({ "code": code, "amount_fen": fen });
        let answer = desk.customer.keyed("k4").post(PAYMENTS, &body).await;
        assert!(matches!(answer.status, 404 | 422), "{}", answer.status);
    }
    assert_eq!(desk.told.asked_at(Stage::PaymentCreate).len(), 3);
    assert_eq!(desk.decisions(Stage::PaymentCreate).await.len(), 3);
    desk.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_to_be_reviewed_is_made_and_so_is_one_that_nobody_can_verify() {
    let desk = Desk::open().await;
    let wanted = "SELECT COUNT(*) FROM payment_orders WHERE review = 1";
    order_of(&desk.ask("k1").await);
    assert_eq!(desk.app.count(wanted).await, 0);
    desk.says(Stage::PaymentCreate, Action::Review);
    let order = order_of(&desk.ask("k2").await);
    assert_eq!(desk.app.count(wanted).await, 1);
    let decisions = desk.decisions(Stage::PaymentCreate).await;
    assert!(decisions.contains(&(decision_on(order), Action::Review)));

    // An order that the merchant shows is the merchant's activity.
    let show = async |key: &str| {
        let body = json!({ "amount_fen": 700 });
        let path = "/api/v1/merchant/payments";
        desk.merchant.owner.keyed(key).post(path, &body).await
    };
    desk.says(Stage::PaymentCreate, Action::Block);
    blocked(&show("n1").await);
    desk.says(Stage::PaymentCreate, Action::Verify);
    let order = order_of(&show("n1").await);
    assert_eq!(desk.app.count(wanted).await, 2);
    desk.says(Stage::PaymentCreate, Action::Block);
    assert_eq!(order_of(&show("n1").await), order);
    let facts = desk.told.asked_at(Stage::PaymentCreate).pop().unwrap();
    assert_eq!((facts.customer, facts.origin), (None, Origin::default()));
    assert!(facts.merchant.is_some());
    assert_eq!(desk.decisions(Stage::PaymentCreate).await.len(), 4);
    desk.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_and_the_activity_are_one_commit() {
    let desk = Desk::open().await;
    // What cannot store its decision is not done.
    desk.app
        .execute("RENAME TABLE risk_decisions TO risk_decisions_away")
        .await;
    for action in [Action::Allow, Action::Review, Action::Verify, Action::Block] {
        desk.says(Stage::PaymentCreate, action);
        let answer = desk.ask("k").await;
        assert!(answer.status >= 500, "{action}: {}", answer.status);
    }
    desk.app
        .execute("RENAME TABLE risk_decisions_away TO risk_decisions")
        .await;
    assert_eq!(desk.orders().await, 0);
    let challenges = "SELECT COUNT(*) FROM risk_challenges";
    assert_eq!(desk.app.count(challenges).await, 0);
    // Nor is a decision stored whose challenge is not.
    desk.app
        .execute("RENAME TABLE risk_challenges TO risk_challenges_away")
        .await;
    desk.says(Stage::PaymentCreate, Action::Verify);
    assert!(desk.ask("k").await.status >= 500);
    desk.app
        .execute("RENAME TABLE risk_challenges_away TO risk_challenges")
        .await;
    assert!(desk.decisions(Stage::PaymentCreate).await.is_empty());
    desk.says(Stage::PaymentCreate, Action::Allow);
    let order = order_of(&desk.ask("k").await);
    assert_eq!(
        desk.decisions(Stage::PaymentCreate).await,
        [(decision_on(order), Action::Allow)]
    );
    desk.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_vanish_in_the_middle_leave_orders_with_their_decisions_and_nothing_else() {
    let desk = Desk::open().await;
    let customer = desk.customer_id("li").await;
    let request = |key: usize| CreatePayment {
        tenant: desk.app.tenant.id,
        customer,
        payer_openid: Secret::new(openid_for("li")),
        code: desk.merchant.code.clone(),
        amount: Some(Money::constant(500)),
        key: format!("k{key}"),
        origin: Origin::default(),
    };
    // Cut off after a different number of steps each: before risk is asked, after its word, while
    // the commit runs.
    for key in 0..24 {
        let payments = desk.app.app.payments().clone();
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
        payments::create_payment(desk.app.app.payments(), request(key))
            .await
            .unwrap();
    }
    assert_eq!(desk.orders().await, 24);
    assert_eq!(desk.decisions(Stage::PaymentCreate).await.len(), 24);
    let pairs = "SELECT COUNT(*) FROM payment_orders o JOIN risk_decisions d ON d.id = CONCAT(LEFT(o.id, 15), x'02') AND d.merchant_id = o.merchant_id";
    assert_eq!(desk.app.count(pairs).await, 24);
    desk.app.finish().await;
}
