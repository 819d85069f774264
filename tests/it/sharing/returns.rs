//! Refunds before, during and after the sharing.

use std::sync::Arc;

use zhangfang::{
    audit::Actor,
    idempotency::{Claim, IdempotencyKey},
    payments::{self, Refund, RefundBy, RefundRole, RefundStateKind, RefusalKind},
    primitives::Money,
    sharing::{PartResult, ReturnResult, ReturnState, ShareStateKind, SharingView},
};

use super::{PROVIDER, Stage, Trouble, fen};
use crate::harness::ChannelReply;

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
    // The rest of the first is refunded after it was shared: everything comes back but what a
    // person has.
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
        .rule(true, &[(stage.provider, 100_000)])
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
            by: Actor::operator("test"),
        })
        .await
        .unwrap();
    stage.sharing.payments.policies.forget(stage.app.tenant.id);
    // The small one first: with the other, the order gives back more than anybody does alone.
    let small = stage.refund(order, 1_000, "r2").await;
    let awaiting = stage.refund(order, 6_000, "r1").await;
    assert_eq!(awaiting.state.kind(), RefundStateKind::AwaitingApproval);
    stage.round().await;
    assert_eq!(stage.refund_state(&small).await, RefundStateKind::Accepted);
    let (_, provider, _, _) = stage.books().await;
    assert_eq!(provider, 994 - 99, "only the small refund counts");
    let key = IdempotencyKey::parse("d1").unwrap();
    let decision = payments::DecideRefund {
        tenant: stage.app.tenant.id,
        refund: awaiting.id,
        agree: true,
        note: String::new(),
        by: RefundBy {
            actor: Actor::operator("other"),
            role: RefundRole::Operator,
        },
        claim: Claim::new(stage.app.tenant.id, "test", "decide", &key, &[]),
    };
    let approved = payments::decide_refund(&stage.sharing.payments, decision)
        .await
        .unwrap();
    assert_eq!(approved.state.kind(), RefundStateKind::Returning);
    stage.round().await;
    let (_, provider, _, _) = stage.books().await;
    assert_eq!(provider, 994 - 695);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_during_the_sharing_waits_for_it_and_for_the_return() {
    let stage = Stage::set().await;
    stage.channel.result(PROVIDER, PartResult::Pending);
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
    stage.channel.result(PROVIDER, PartResult::Success);
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
        .rule(true, &[(stage.provider, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    for (index, (piece, back)) in [(3_333, 331), (3_333, 662), (3_334, 994)]
        .into_iter()
        .enumerate()
    {
        stage.channel.trouble([Trouble::AnswerLost]);
        let refund = stage.refund(order, piece, &format!("r{index}")).await;
        stage.round().await;
        assert_eq!(
            stage.refund_state(&refund).await,
            RefundStateKind::Returning
        );
        stage.round().await;
        assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
        let (_, provider, _, transit) = stage.books().await;
        assert_eq!((provider, transit), (994 - back, 0));
    }
    assert_eq!(stage.channel.state().returns.len(), 3);
    assert!(stage.exceptions().await.is_empty());
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_does_not_come_back_is_borne_by_the_merchant_and_tried_again_with_the_next_refund()
 {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.provider, 100_000)])
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
async fn an_empty_receiver_is_asked_for_a_while_and_then_fails() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.provider, 100_000)])
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

/// Takes a refund back, of which WeChat was never told.
async fn withdraw(stage: &Stage, refund: &Refund) -> Refund {
    let channel = Arc::new(crate::harness::Channel::default());
    channel.knows([ChannelReply::No(RefusalKind::Absent)]);
    let key = IdempotencyKey::parse("w").unwrap();
    let request = payments::WithdrawRefund {
        tenant: stage.app.tenant.id,
        refund: refund.id,
        reason: "分账未完成，线下退款".to_owned(),
        by: Actor::operator("lin"),
        claim: Claim::new(stage.app.tenant.id, "lin", "withdraw", &key, &[]),
    };
    payments::withdraw_refund(&stage.app.through(&channel), request)
        .await
        .unwrap()
}

/// When the refund is looked at again.
async fn looked_at(stage: &Stage, refund: &Refund) -> bool {
    let found = payments::find_refund(stage.app.db(), refund.tenant, refund.id).await;
    found.unwrap().unwrap().attempts.next_at.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_waits_for_a_share_for_too_long_raises_an_exception_and_can_be_withdrawn() {
    let stage = Stage::set().await;
    let order = stage.pay("k1").await;
    stage.channel.result(PROVIDER, PartResult::Pending);
    stage.round().await;
    let refund = stage.refund(order, 5_000, "r1").await;
    assert_eq!(refund.state.kind(), RefundStateKind::Returning);
    stage.round().await;
    assert!(
        stage.exceptions().await.is_empty(),
        "it waits since a moment"
    );
    stage
        .app
        .execute("UPDATE refunds SET since = since - INTERVAL 61 MINUTE")
        .await;
    for _ in 0..2 {
        stage.round().await;
        assert_eq!(stage.exceptions().await, ["refund_stuck"]);
    }
    let withdrawn = withdraw(&stage, &refund).await;
    assert_eq!(withdrawn.state.kind(), RefundStateKind::Withdrawn);
    let found = payments::find_order(stage.app.db(), stage.app.tenant.id, order).await;
    assert_eq!(found.unwrap().unwrap().order.refundable(), fen(10_000));
    // Whoever brings shares back looks once, and finds that none are coming.
    assert!(looked_at(&stage, &refund).await);
    stage.round().await;
    assert!(!looked_at(&stage, &refund).await);
    let open = "SELECT COUNT(*) FROM payment_exceptions WHERE resolved_at IS NULL";
    assert_eq!(stage.app.count(open).await, 0);
    // The sharing goes on as if nothing had been asked.
    stage.channel.result(PROVIDER, PartResult::Success);
    stage.round().await;
    assert_eq!(stage.books().await, (10_000 - 994 - 497, 994, 497, 0));
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_come_back_for_a_withdrawn_refund_are_the_merchants_and_count_for_the_next() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.provider, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.channel.state().return_result = Some(ReturnResult::Processing);
    let refund = stage.refund(order, 5_000, "r1").await;
    stage.round().await;
    withdraw(&stage, &refund).await;
    for _ in 0..2 {
        stage.round().await;
        assert!(looked_at(&stage, &refund).await, "it is still coming");
    }
    assert_eq!(stage.books().await, (10_000 - 994, 994, 0, 0));
    stage.channel.state().return_result = None;
    stage.round().await;
    assert!(!looked_at(&stage, &refund).await);
    assert_eq!(
        stage.refund_state(&refund).await,
        RefundStateKind::Withdrawn
    );
    assert_eq!(stage.books().await, (10_000 - 497, 497, 0, 0));
    let returns = stage.channel.state().returns.len();
    let next = stage.refund(order, 5_000, "r2").await;
    stage.round().await;
    assert_eq!(stage.refund_state(&next).await, RefundStateKind::Accepted);
    assert_eq!(
        stage.channel.state().returns.len(),
        returns,
        "it came back before"
    );
    stage.app.finish().await;
}
