//! Refunds before, during and after the sharing.

use zhangfang::{
    audit::Actor,
    idempotency::{Claim, IdempotencyKey},
    payments::{self, RefundBy, RefundRole, RefundStateKind, RefusalKind},
    primitives::Money,
    sharing::{PartResult, ReturnResult, ReturnState, ShareStateKind, SharingView},
};

use super::{PLATFORM, Stage, Trouble, fen};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_back_before_is_not_shared() {
    let stage = Stage::set().await;
    let partly = stage.pay("k1").await;
    let wholly = stage.pay("k2").await;
    stage.refund(partly, 4_000, "r1").await;
    let whole = stage.refund(wholly, 10_000, "r2").await;
    assert_eq!(whole.state.kind(), RefundStateKind::Accepted);
    stage.round().await;
    let amounts = |view: &SharingView| {
        let mut amounts: Vec<i64> = view.parts.iter().map(|part| part.amount.get()).collect();
        amounts.sort_unstable();
        amounts
    };
    // 6000 less a fee of 36.
    assert_eq!(amounts(&stage.view(partly).await), [298, 596]);
    let released = stage.view(wholly).await;
    assert!(released.parts.is_empty());
    assert_eq!(released.share.state.kind(), ShareStateKind::Done);
    // The rest of the first is refunded after it was shared: everything comes back but what a person has.
    let rest = stage.refund(partly, 6_000, "r3").await;
    stage.round().await;
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    assert_eq!(stage.refund_state(&rest).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (-298, 0, 298, 0));
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_awaits_approval_brings_nothing_back_until_it_is_approved() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.platform, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    stage
        .app
        .db()
        .run(payments::SetPolicy {
            tenant: stage.app.tenant.id,
            terms: payments::PolicyTerms {
                refund_review_above: fen(3_000),
                ..payments::PolicyTerms::default()
            },
            by: Actor::new("test"),
        })
        .await
        .unwrap();
    stage.sharing.payments.policies.forget(stage.app.tenant.id);
    let awaiting = stage.refund(order, 6_000, "r1").await;
    assert_eq!(awaiting.state.kind(), RefundStateKind::AwaitingApproval);
    let small = stage.refund(order, 1_000, "r2").await;
    stage.round().await;
    assert_eq!(stage.refund_state(&small).await, RefundStateKind::Accepted);
    let (_, platform, _, _) = stage.books().await;
    assert_eq!(platform, 994 - 99, "only the small refund counts");
    let key = IdempotencyKey::parse("d1").unwrap();
    let decision = payments::DecideRefund {
        tenant: stage.app.tenant.id,
        refund: awaiting.id,
        agree: true,
        note: String::new(),
        by: RefundBy {
            actor: Actor::new("operator:other"),
            role: RefundRole::Operator,
        },
        claim: Claim::new(stage.app.tenant.id, "test", "decide", &key, &[]),
    };
    let approved = payments::decide_refund(&stage.sharing.payments, decision)
        .await
        .unwrap();
    assert_eq!(approved.state.kind(), RefundStateKind::Returning);
    stage.round().await;
    let (_, platform, _, _) = stage.books().await;
    assert_eq!(platform, 994 - 695);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_during_the_sharing_waits_for_it_and_for_the_return() {
    let stage = Stage::set().await;
    stage.channel.result(PLATFORM, PartResult::Pending);
    let order = stage.pay("k1").await;
    stage.round().await;
    let refund = stage.refund(order, 5_000, "r1").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Returning);
    stage.round().await;
    assert_eq!(
        stage.refund_state(&refund).await,
        RefundStateKind::Returning
    );
    assert!(stage.channel.state().returns.is_empty());
    stage.channel.result(PLATFORM, PartResult::Success);
    stage.channel.state().return_result = Some(ReturnResult::Processing);
    stage.round().await;
    stage.round().await;
    assert_eq!(
        stage.refund_state(&refund).await,
        RefundStateKind::Returning
    );
    assert_eq!(stage.channel.state().returns.len(), 1);
    // A second refund waits for the first one's shares.
    let second = stage.refund(order, 5_000, "r2").await;
    stage.round().await;
    assert_eq!(stage.channel.state().returns.len(), 1);
    stage.channel.state().return_result = None;
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    stage.round().await;
    assert_eq!(stage.refund_state(&second).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (-497, 0, 497, 0));
    let returned: Vec<i64> = stage
        .view(order)
        .await
        .returns
        .iter()
        .map(|back| back.amount.get())
        .collect();
    assert_eq!(returned, [497, 497]);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_in_pieces_bring_back_the_whole_share_and_no_more() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.platform, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    for (place, (piece, back)) in [(3_333, 331), (3_333, 662), (3_334, 994)]
        .into_iter()
        .enumerate()
    {
        stage.channel.trouble([Trouble::AnswerLost]);
        let refund = stage.refund(order, piece, &format!("r{place}")).await;
        stage.round().await;
        assert_eq!(
            stage.refund_state(&refund).await,
            RefundStateKind::Returning
        );
        stage.round().await;
        assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
        let (_, platform, _, transit) = stage.books().await;
        assert_eq!((platform, transit), (994 - back, 0));
    }
    assert_eq!(stage.channel.state().returns.len(), 3);
    assert!(stage.exceptions().await.is_empty());
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_does_not_come_back_is_borne_by_the_shop_and_tried_again_with_the_next_refund()
{
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.platform, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.channel.state().return_result = Some(ReturnResult::Failed);
    let refund = stage.refund(order, 5_000, "r1").await;
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    assert_eq!(stage.books().await, (10_000 - 994 - 5_000, 994, 0, 0));
    let view = stage.view(order).await;
    assert_eq!(view.returns[0].state, ReturnState::Failed);
    assert_eq!(view.parts[0].returned, Money::ZERO);
    // Refused for certain is as good as failed; then the last refund takes everything.
    stage.channel.state().return_result = None;
    stage
        .channel
        .trouble([Trouble::Refused(RefusalKind::Rejected)]);
    let refund = stage.refund(order, 2_000, "r2").await;
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    stage.refund(order, 3_000, "r3").await;
    stage.round().await;
    assert_eq!(stage.books().await, (0, 0, 0, 0));
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_receiver_is_asked_for_a_while_and_then_given_up() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.platform, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    let times = usize::try_from(zhangfang::sharing::RETURN_ATTEMPTS_MAX).unwrap();
    let empty = Trouble::Refused(RefusalKind::NotEnough);
    stage.channel.trouble(vec![empty; times]);
    let refund = stage.refund(order, 10_000, "r1").await;
    for _ in 1..times {
        stage.round().await;
        assert_eq!(
            stage.refund_state(&refund).await,
            RefundStateKind::Returning
        );
    }
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (-994, 994, 0, 0));
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    stage.app.finish().await;
}
