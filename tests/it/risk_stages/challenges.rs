//! What a customer is asked before a payment goes on, and who may answer.

use serde_json::json;
use wechat_pay_simulator::openid_for;
use zhangfang::{
    facts::{Origin, Stage},
    merchants::MerchantCache,
    payments::{self, CreatePayment, PaymentError, Payments},
    primitives::{Money, Secret},
    risk::{Action, Stop},
};

use super::{RiskSetup, challenge_of, decision_on, order_of};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_customers_own_code_the_same_key_makes_one_order() {
    let setup = RiskSetup::open().await;
    let challenge = setup.challenged("k").await;
    assert_eq!(
        setup.challenged("k").await,
        challenge,
        "an open one is reused"
    );
    assert_eq!(setup.challenged("another").await, challenge);
    assert_eq!(setup.orders().await, 0);
    let seen = setup.challenge(&challenge).await;
    assert_eq!(seen["state"], "open");
    assert_eq!(seen["stage"], "payment.create");
    assert_eq!(seen["attempts_left"], 5);

    // Whose it is not neither sees nor answers it.
    let other = setup.app.customer("wang").await;
    let path = format!("/api/v1/customer/challenges/{challenge}");
    other.get(&path).await.refused(404, "challenge_not_found");
    let answer = setup.answer(&other, &challenge, "sim-wang").await;
    answer.refused(404, "challenge_not_found");
    // Another's code proves nothing, and neither does none at all.
    let answer = setup.answer(&setup.customer, &challenge, "sim-wang").await;
    answer.refused(403, "challenge_not_answered");
    let answer = setup
        .answer(&setup.customer, &challenge, "fail-40029")
        .await;
    answer.refused(401, "login_code_invalid");
    let answer = setup.answer(&setup.customer, &challenge, "a b").await;
    answer.refused(422, "field_invalid");
    assert_eq!(setup.challenge(&challenge).await["attempts_left"], 4);
    assert_eq!(setup.challenged("k").await, challenge);

    let answer = setup.answer(&setup.customer, &challenge, "sim-li").await;
    assert_eq!(answer.expect(200)["state"], "answered");
    let (first, second) = tokio::join!(setup.ask("k"), setup.ask("k"));
    let order = order_of(&first);
    assert_eq!(order_of(&second), order);
    assert_eq!(setup.orders().await, 1);
    // The answer counts for a while, for this customer and no other.
    order_of(&setup.ask("another").await);
    assert_ne!(challenge_of(&setup.ask_as(&other, "k").await), challenge);
    let decisions = setup.decisions(Stage::PaymentCreate).await;
    let stopped = decisions
        .iter()
        .filter(|(_, action)| *action == Action::Verify);
    assert_eq!(stopped.count(), 5, "each attempt that was stopped");
    let made = decisions
        .iter()
        .filter(|(_, action)| *action == Action::Allow);
    assert_eq!(made.count(), 2, "one for each order");
    assert!(decisions.contains(&(decision_on(order), Action::Allow)));
    // And then no more.
    setup.app
        .execute("UPDATE risk_challenges SET answered_at = answered_at - INTERVAL 1 HOUR WHERE state = 2")
        .await;
    let next = setup.challenged("later").await;
    assert_ne!(next, challenge);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_ends_with_its_time_or_with_the_fifth_code_of_somebody_else() {
    let setup = RiskSetup::open().await;
    let late = setup.challenged("k").await;
    setup
        .app
        .execute("UPDATE risk_challenges SET expires_at = created_at")
        .await;
    assert_eq!(setup.challenge(&late).await["state"], "expired");
    let answer = setup.answer(&setup.customer, &late, "sim-li").await;
    answer.refused(409, "challenge_expired");
    setup
        .ask("k")
        .await
        .refused(403, "risk_verification_required");

    let guessed = setup.challenged("k").await;
    assert_ne!(guessed, late);
    for _ in 0..5 {
        let answer = setup.answer(&setup.customer, &guessed, "sim-wang").await;
        answer.refused(403, "challenge_not_answered");
    }
    let answer = setup.answer(&setup.customer, &guessed, "sim-li").await;
    answer.refused(409, "challenge_failed");
    assert_eq!(setup.challenge(&guessed).await["state"], "failed");
    assert_eq!(setup.orders().await, 0);

    let sound = setup.challenged("k").await;
    assert_ne!(sound, guessed);
    let answer = setup.answer(&setup.customer, &sound, "sim-li").await;
    answer.expect(200);
    order_of(&setup.ask("k").await);
    // Said again, though its code is used up.
    let answer = setup.answer(&setup.customer, &sound, "fail-40163").await;
    answer.expect(200);
    let states = "SELECT COUNT(*) FROM risk_challenges WHERE state = 2 AND open_for IS NULL";
    assert_eq!(setup.app.count(states).await, 1);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_answers_at_once_one_counts() {
    let setup = RiskSetup::open().await;
    let challenge = setup.challenged("k").await;
    let answers = (0..8).map(|_| setup.answer(&setup.customer, &challenge, "sim-li"));
    let answers = futures_util::future::join_all(answers).await;
    let first = answers[0].expect(200)["answered_at"].clone();
    assert!(first.is_string());
    for answer in &answers {
        assert_eq!(answer.expect(200)["answered_at"], first);
    }
    // Too many wrong ones at once fail it, and none is counted beyond.
    setup
        .app
        .execute("UPDATE risk_challenges SET answered_at = answered_at - INTERVAL 1 HOUR")
        .await;
    let challenge = setup.challenged("k").await;
    let answers = (0..9).map(|_| setup.answer(&setup.customer, &challenge, "sim-wang"));
    let answers = futures_util::future::join_all(answers).await;
    let wrong = answers.iter().filter(|answer| answer.status == 403);
    assert_eq!(wrong.count(), 5);
    let over = answers.iter().filter(|answer| answer.status == 409);
    assert_eq!(over.count(), 4);
    let seen = setup.challenge(&challenge).await;
    assert_eq!(
        (&seen["state"], &seen["attempts_left"]),
        (&json!("failed"), &json!(0))
    );
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_of_two_processes_are_given_one_challenge() {
    let setup = RiskSetup::open().await;
    setup.says(Stage::PaymentCreate, Action::Verify);
    let customer = setup.customer_id("li").await;
    let db = setup.app.another_db().await;
    let other = Payments {
        merchants: MerchantCache::start(db.clone()),
        db,
        ..setup.app.app.payments().clone()
    };
    // Also where one is there whose time is over: both would put another in its place.
    for round in 0..4 {
        let asking = (0..16).map(|index| {
            let payments = if index % 2 == 0 {
                setup.app.app.payments()
            } else {
                &other
            };
            let request = CreatePayment {
                tenant: setup.app.tenant.id,
                customer,
                payer_openid: Secret::new(openid_for("li")),
                code: setup.merchant.code.clone(),
                amount: Some(Money::constant(500)),
                key: format!("{round}-{index}"),
                origin: Origin::default(),
            };
            payments::create_payment(payments, request)
        });
        let mut given = Vec::new();
        for answer in futures_util::future::join_all(asking).await {
            match answer {
                Err(PaymentError::Stopped(Stop::Unverified { challenge, .. })) => {
                    given.push(challenge);
                }
                other => panic!("{other:?}"),
            }
        }
        given.dedup();
        assert_eq!(given.len(), 1);
        setup
            .app
            .execute("UPDATE risk_challenges SET expires_at = created_at WHERE state = 1")
            .await;
    }
    let challenges = "SELECT COUNT(*) FROM risk_challenges";
    assert_eq!(setup.app.count(challenges).await, 4);
    let decisions = setup.decisions(Stage::PaymentCreate).await;
    assert_eq!(decisions.len(), 64, "each attempt has its own");
    other.db.close().await;
    setup.app.finish().await;
}
