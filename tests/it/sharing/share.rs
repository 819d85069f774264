//! Sharing a payment: every order in which answers can come.

use zhangfang::{
    jobs,
    payments::{OrderSharing, Payments, RefundStateKind, RefusalKind},
    sharing::{PartResult, PartState, SHARE_ATTEMPTS_MAX, ShareStateKind, Sharing},
};

use super::{PERSON, PROVIDER, Stage, Trouble, fen};
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_shared_less_the_fee_and_the_rest_is_released() {
    let stage = Stage::set().await;
    let order = stage.pay("k1").await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Wanted);
    stage.round().await;
    let view = stage.view(order).await;
    assert_eq!(view.share.state.kind(), ShareStateKind::Done);
    let amounts: Vec<i64> = view.parts.iter().map(|part| part.amount.get()).collect();
    assert_eq!(amounts.iter().sum::<i64>(), 994 + 497);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.books().await, (10_000 - 994 - 497, 994, 497, 0));
    {
        let channel = stage.channel.state();
        let (_, call) = channel.shares.first_key_value().unwrap();
        assert!(call.release_rest && call.parts.len() == 2);
    }
    // Nothing is left to do, and nothing is done twice.
    stage.round().await;
    assert_eq!(stage.asked().len(), 1);
    assert_eq!(
        stage.app.count("SELECT COUNT(*) FROM sharing_dues").await,
        0
    );
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_too_young_is_not_shared() {
    let stage = Stage::set().await;
    let order = stage.pay("k1").await;
    jobs::sharings_round(&stage.sharing, 600).await.unwrap();
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Wanted);
    assert!(stage.asked().is_empty());
    // WeChat's instant of the payment is whole seconds, and may be most of a second too early.
    let later = "SELECT COUNT(*) FROM sharing_dues d JOIN payment_orders o ON o.id = d.order_id WHERE d.due_at > o.paid_at";
    assert_eq!(stage.app.count(later).await, 1);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_is_the_merchants_again_and_raises_an_exception() {
    let stage = Stage::set().await;
    stage.channel.result(PERSON, PartResult::Closed);
    stage.channel.result(PROVIDER, PartResult::Pending);
    let order = stage.pay("k1").await;
    stage.round().await;
    assert_eq!(stage.books().await, (10_000 - 994, 0, 0, 994));
    assert_eq!(stage.sharing_of(order).await, OrderSharing::InProgress);
    stage.round().await;
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    stage.channel.result(PROVIDER, PartResult::Success);
    stage.round().await;
    assert_eq!(stage.books().await, (10_000 - 994, 994, 0, 0));
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.asked().len(), 1, "it was queried, not asked again");
    let view = stage.view(order).await;
    let failed: Vec<_> = view
        .parts
        .iter()
        .filter(|part| part.state == PartState::Failed)
        .map(|part| part.fail_reason.as_deref())
        .collect();
    assert_eq!(failed, [Some("ACCOUNT_ABNORMAL")]);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_asked_again_with_the_same_number() {
    for trouble in [Trouble::AnswerLost, Trouble::CallLost] {
        let stage = Stage::set().await;
        stage
            .channel
            .trouble([trouble, Trouble::Refused(RefusalKind::RateLimited)]);
        let order = stage.pay("k1").await;
        stage.round().await;
        assert_eq!(
            stage.books().await,
            (10_000 - 994 - 497, 0, 0, 1491),
            "{trouble:?}"
        );
        assert!(stage.view(order).await.share.attempts.unsure);
        stage.round().await;
        stage.round().await;
        assert_eq!(stage.books().await, (10_000 - 994 - 497, 994, 497, 0));
        let asked = stage.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|number| number == &asked[0]));
        assert_eq!(stage.channel.state().shares.len(), 1);
        stage.app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_after_a_lost_answer_does_not_undo_what_was_shared() {
    let stage = Stage::set().await;
    let refusal = Trouble::Refused(RefusalKind::Rejected);
    stage.channel.trouble([Trouble::AnswerLost, refusal]);
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.books().await, (10_000 - 994 - 497, 994, 497, 0));
    assert!(stage.exceptions().await.is_empty());
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_is_refused_for_certain_is_undone_and_released_under_another_number() {
    let stage = Stage::set().await;
    stage
        .channel
        .trouble([Trouble::Refused(RefusalKind::Rejected), Trouble::AnswerLost]);
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.round().await;
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    let asked = stage.asked();
    assert_eq!(asked.len(), 3);
    assert_ne!(asked[0], asked[1]);
    assert_eq!(asked[1], asked[2]);
    let released = stage.channel.state().shares[&asked[1]].clone();
    assert!(released.parts.is_empty() && released.release_rest);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_which_too_little_is_left_fails_after_enough_attempts() {
    let stage = Stage::set().await;
    let short = Trouble::Refused(RefusalKind::NotEnough);
    let attempts = usize::try_from(SHARE_ATTEMPTS_MAX).unwrap();
    stage.channel.trouble(vec![short; attempts]);
    let order = stage.pay("k1").await;
    for _ in 1..SHARE_ATTEMPTS_MAX {
        stage.round().await;
        assert_eq!(stage.books().await, (10_000 - 1491, 0, 0, 1491));
        assert!(stage.exceptions().await.is_empty());
    }
    stage.round().await;
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    let asked = stage.asked();
    assert_eq!(asked.len(), attempts + 1);
    assert!(asked[..attempts].iter().all(|number| *number == asked[0]));
    assert_ne!(asked[attempts], asked[0], "a release under its own number");
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_which_nothing_is_left_is_done() {
    let stage = Stage::set().await;
    stage
        .channel
        .trouble([Trouble::CallLost, Trouble::Refused(RefusalKind::NotEnough)]);
    let order = stage.pay("k1").await;
    stage.refund(order, 10_000, "r1").await;
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::InProgress);
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert!(stage.exceptions().await.is_empty());
    assert_eq!(stage.asked().len(), 2);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_about_other_amounts_books_nothing_and_is_noted_once() {
    let stage = Stage::set().await;
    stage
        .channel
        .trouble([Trouble::WrongAmount, Trouble::WrongAmount]);
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.round().await;
    assert_eq!(stage.books().await, (10_000 - 1491, 0, 0, 1491));
    assert_eq!(stage.exceptions().await, ["answer_mismatch"]);
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_killed_before_the_call_is_followed_by_another() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Hangs]);
    let order = stage.pay("k1").await;
    let sharing = stage.sharing.clone();
    let job = tokio::spawn(async move { jobs::sharings_round(&sharing, 0).await });
    eventually("the job has committed and calls", || async {
        (stage.asked().len() == 1).then_some(())
    })
    .await;
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    assert_eq!(stage.sharing_of(order).await, OrderSharing::InProgress);
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    let asked = stage.asked();
    assert_eq!(asked[0], asked[1]);
    assert_eq!(stage.books().await, (10_000 - 994 - 497, 994, 497, 0));
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_at_once_share_each_payment_once() {
    let stage = Stage::set().await;
    let mut orders = Vec::new();
    for key in 0..6 {
        orders.push(stage.pay(&format!("k{key}")).await);
    }
    let other = stage.app.another_db().await;
    let second = Sharing {
        payments: Payments {
            db: other.clone(),
            ..stage.sharing.payments.clone()
        },
        ..stage.sharing.clone()
    };
    let due = |order| {
        let tenant = stage.app.tenant.id;
        zhangfang::sharing::Due { order, tenant }
    };
    // Each order by both of them, as if a lease had run out under the first.
    for order in &orders {
        let (one, two) = tokio::join!(
            zhangfang::sharing::start_sharing(&stage.sharing, due(*order)),
            zhangfang::sharing::start_sharing(&second, due(*order)),
        );
        one.unwrap();
        two.unwrap();
    }
    stage.round().await;
    for order in &orders {
        assert_eq!(stage.sharing_of(*order).await, OrderSharing::Done);
    }
    assert_eq!(stage.channel.state().shares.len(), 6);
    assert_eq!(
        stage.books().await,
        (6 * (10_000 - 994 - 497), 6 * 994, 6 * 497, 0)
    );
    // And back again, by both of them.
    for (index, order) in orders.iter().enumerate() {
        let refund = stage.refund(*order, 10_000, &format!("r{index}")).await;
        let (one, two) = tokio::join!(
            zhangfang::sharing::reconcile_return(&stage.sharing, refund.tenant, refund.id),
            zhangfang::sharing::reconcile_return(&second, refund.tenant, refund.id),
        );
        one.unwrap();
        two.unwrap();
        assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    }
    assert_eq!(stage.channel.state().returns.len(), 6);
    assert_eq!(stage.books().await, (6 * -497, 0, 6 * 497, 0));
    other.close().await;
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_shared_than_the_channel_lets() {
    let stage = Stage::set().await;
    stage.channel.state().left = Some(fen(1_000));
    let order = stage.pay("k1").await;
    stage.round().await;
    let view = stage.view(order).await;
    let shared: i64 = view.parts.iter().map(|part| part.amount.get()).sum();
    assert_eq!(shared, 1_000);
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    stage.app.finish().await;
}

/// What is left to share is not known while it is not known how much others gave back.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_of_which_others_gave_back_who_knows_how_much_waits() {
    let stage = Stage::set().await;
    let order = stage.pay("k1").await;
    stage
        .app
        .execute("UPDATE payment_orders SET refund_unknown = 1")
        .await;
    stage.round().await;
    assert!(stage.asked().is_empty());
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    stage
        .app
        .execute("UPDATE payment_orders SET refund_unknown = 0")
        .await;
    stage.round().await;
    assert_eq!(stage.asked().len(), 1);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    stage.app.finish().await;
}
