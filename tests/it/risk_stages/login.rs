//! Who may log in.

use zhangfang::{facts::Stage, risk::Action};

use super::{RiskSetup, blocked, challenge_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_blocked_or_verified_by_a_second_code_of_the_same_person() {
    let setup = RiskSetup::open().await;
    let before = setup.decisions(Stage::Login).await.len();
    let customers = "SELECT COUNT(*) FROM customers";
    let there = setup.app.count(customers).await;
    setup.says(Stage::Login, Action::Block);
    let decision = blocked(&setup.log_in("zhao", None).await);
    assert_eq!(setup.app.count(customers).await, there, "nobody was made");
    let decisions = setup.decisions(Stage::Login).await;
    assert_eq!(decisions.len(), before + 1);
    assert!(decisions.contains(&(decision, Action::Block)));

    setup.says(Stage::Login, Action::Verify);
    let zhao = challenge_of(&setup.log_in("zhao", None).await);
    assert_eq!(
        challenge_of(&setup.log_in("zhao", None).await),
        zhao,
        "an open one is reused"
    );
    // Somebody else with this challenge is given their own.
    let sun = challenge_of(&setup.log_in("sun", Some(&zhao)).await);
    assert_ne!(sun, zhao);
    // One of another stage is none.
    let paying = setup.challenged("k").await;
    assert_ne!(
        challenge_of(&setup.log_in("li", Some(&paying)).await),
        paying
    );
    assert_eq!(setup.challenge(&paying).await["state"], "open");
    let open = "SELECT COUNT(*) FROM risk_challenges WHERE state = 1 AND stage = 1";
    assert_eq!(setup.app.count(open).await, 3);

    let (one, two) = tokio::join!(
        setup.log_in("zhao", Some(&zhao)),
        setup.log_in("zhao", Some(&zhao))
    );
    assert!(one.expect(200)["access_token"].is_string());
    assert!(two.expect(200)["access_token"].is_string());
    assert_eq!(setup.app.count(open).await, 2);
    // The answer counts for a while.
    setup.log_in("zhao", None).await.expect(200);
    let facts = setup.scripted.asked_at(Stage::Login);
    let zhao = setup.customer_id("zhao").await;
    let known = facts.iter().filter(|facts| facts.customer == Some(zhao));
    assert_eq!(known.count(), 4, "known from the first challenge on");
    assert_eq!(
        facts.len(),
        setup.decisions(Stage::Login).await.len(),
        "each attempt has its decision"
    );
    // Staff log in as ever.
    setup.app.login("owner-of-1900000140", "merchant").await;
    assert_eq!(setup.scripted.asked_at(Stage::Login).len(), facts.len());
    // An expired one is replaced, also here.
    setup
        .app
        .execute("UPDATE risk_challenges SET expires_at = created_at WHERE state = 1")
        .await;
    assert_ne!(challenge_of(&setup.log_in("sun", Some(&sun)).await), sun);
    setup.app.finish().await;
}
