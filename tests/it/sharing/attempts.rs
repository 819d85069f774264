//! Several attempts of one share or return at once: late, killed, twice. What WeChat did is in the
//! books in the end, whatever was assumed before.

use zhangfang::{
    audit::Actor,
    jobs,
    payments::{OrderSharing, RefundStateKind, RefusalKind},
    sharing::{
        PartResult, ReceiverForm, ReceiverKind, ReceiverState, ReturnState, ShareStateKind,
        SharingError, reconcile_return, reconcile_sharing, register_receiver, remove_receiver,
        retry_sharing,
    },
    verify::Invariant,
};

use super::{PERSON, PROVIDER, Stage, Trouble};
use crate::{harness::eventually, verification::Copy};

const REFUSED: Trouble = Trouble::Refused(RefusalKind::Rejected);
const SHARED: (i64, i64, i64, i64) = (10_000 - 994 - 497, 994, 497, 0);
const UNDER_WAY: (i64, i64, i64, i64) = (10_000 - 994 - 497, 0, 0, 994 + 497);

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_final_while_an_earlier_call_may_arrive() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Late, REFUSED, REFUSED]);
    let order = stage.pay("k1").await;
    stage.round().await;
    // Refused twice, and WeChat knows nothing of it: the first call is still on its way.
    for _ in 0..2 {
        stage.round().await;
        assert_eq!(stage.books().await, UNDER_WAY);
        assert!(stage.exceptions().await.is_empty());
    }
    stage.channel.land();
    stage.round().await;
    assert_eq!(stage.books().await, SHARED);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert!(stage.exceptions().await.is_empty());
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_when_no_call_can_arrive_any_more() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::CallLost, REFUSED, REFUSED]);
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.round().await;
    assert_eq!(stage.books().await, UNDER_WAY);
    let waits = stage.view(order).await.share;
    assert_eq!(
        waits.attempts.problem.as_deref(),
        Some("refused_and_unclear")
    );
    // Not before it is final.
    assert_eq!(waits.attempts.next_at, waits.calls.may_arrive_until);
    stage.nothing_arrives_any_more().await;
    stage.round().await;
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_take_over_comes_later_than_a_call_can_take() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Hangs]);
    stage.pay("k1").await;
    let sharing = stage.sharing.clone();
    let job = tokio::spawn(async move { jobs::sharings_round(&sharing, -60).await });
    eventually("the job calls", || async {
        (stage.asked().len() == 1).then_some(())
    })
    .await;
    // Two deadlines of twelve seconds: the call, and the query after a refusal.
    let later = "SELECT COUNT(*) FROM sharings WHERE next_attempt_at > DATE_ADD(UTC_TIMESTAMP(6), INTERVAL 24 SECOND) AND may_arrive_until > DATE_ADD(UTC_TIMESTAMP(6), INTERVAL 300 SECOND)";
    assert_eq!(stage.app.count(later).await, 1);
    job.abort();
    let _ = job.await;
    stage.round().await;
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_refused_to_one_process_while_anothers_call_is_under_way_is_shared() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Held, REFUSED]);
    let order = stage.pay("k1").await;
    let (slow, quick) = (stage.sharing.clone(), stage.second().await);
    let due = zhangfang::sharing::Due {
        order,
        tenant: stage.app.tenant.id,
    };
    let job = tokio::spawn(async move { zhangfang::sharing::start_sharing(&slow, due).await });
    eventually("the first calls", || async {
        (stage.asked().len() == 1).then_some(())
    })
    .await;
    reconcile_sharing(&quick, stage.app.tenant.id, order)
        .await
        .unwrap();
    assert_eq!(stage.asked().len(), 2);
    assert_eq!(stage.books().await, UNDER_WAY);
    stage.channel.unblock();
    job.await.unwrap().unwrap();
    assert_eq!(stage.books().await, SHARED);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert!(stage.exceptions().await.is_empty());
    quick.payments.db.close().await;
    stage.app.finish().await;
}

/// A share that is called refused while its first call is held: what is recorded here cannot be.
async fn called_refused(stage: &Stage) -> zhangfang::primitives::OrderId {
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.nothing_arrives_any_more().await;
    stage.round().await;
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    assert_eq!(
        stage.view(order).await.share.state.kind(),
        ShareStateKind::Releasing
    );
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_share_that_was_made_after_all_is_booked_raises_an_exception_and_stops_refunds() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Late, REFUSED]);
    let order = called_refused(&stage).await;
    let numbers = stage.asked();
    // It lands after all. Before the rest is released WeChat is asked once more.
    stage.channel.land();
    stage.round().await;
    assert_eq!(stage.books().await, SHARED);
    assert_eq!(
        stage.exceptions().await,
        ["sharing_failed", "sharing_contradiction"]
    );
    assert_eq!(stage.asked(), numbers, "nothing was released");
    let share = stage.view(order).await.share;
    assert_eq!(share.state.kind(), ShareStateKind::Done);
    assert!(share.stopped);
    // No more money of the order moves until a person has looked.
    let refund = stage.refund(order, 10_000, "r1").await;
    stage.round().await;
    assert_eq!(
        stage.refund_state(&refund).await,
        RefundStateKind::Returning
    );
    assert_eq!(stage.channel.state().returns_asked, 0);
    // The checks can fail.
    let mut copy = Copy::of(&stage.app).await;
    let booked = Invariant::PaidOrdersAreSettledOnce;
    for (statement, says) in [
        (
            "UPDATE sharing_parts SET late = 0",
            "is Some(Succeeded): booked is",
        ),
        (
            "DELETE FROM transfers WHERE ORD(SUBSTR(entry_id, 16, 1)) = 30 LIMIT 1",
            "late: booked is []",
        ),
        (
            "UPDATE sharing_parts SET state = 3",
            "is Some(Failed), late: booked is",
        ),
    ] {
        copy.finds(booked, statement, says).await;
    }
    copy.drop().await;
    let by = Actor::operator("test");
    retry_sharing(&stage.sharing, stage.app.tenant.id, order, by)
        .await
        .unwrap();
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (-497, 0, 497, 0));
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_landed_late_and_was_closed_in_part_is_done() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Late, REFUSED]);
    let order = called_refused(&stage).await;
    let numbers = stage.asked();
    // It lands after all, and WeChat is still at one part of it.
    stage.channel.result(PERSON, PartResult::Pending);
    stage.channel.land();
    let exceptions = ["sharing_failed", "sharing_contradiction"];
    let landed = (10_000 - 994, 994, 0, 0);
    for _ in 0..2 {
        stage.round().await;
        assert_eq!(stage.books().await, landed);
        assert_eq!(stage.exceptions().await, exceptions);
        let share = stage.view(order).await.share;
        assert_eq!(share.state.kind(), ShareStateKind::Releasing);
    }
    // That part does not arrive. Nothing new is learnt by it, and nothing is left to wait for.
    stage.channel.result(PERSON, PartResult::Closed);
    stage.round().await;
    assert_eq!(stage.books().await, landed);
    assert_eq!(stage.exceptions().await, exceptions);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    let share = stage.view(order).await.share;
    assert_eq!(share.state.kind(), ShareStateKind::Done);
    assert_eq!(share.attempts.next_at, None);
    assert!(share.stopped, "until a person has looked");
    assert_eq!(stage.asked(), numbers, "the share let go of the rest");
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_landed_late_and_was_closed_altogether_is_done() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Late, REFUSED]);
    let order = called_refused(&stage).await;
    let numbers = stage.asked();
    stage.channel.result(PROVIDER, PartResult::Closed);
    stage.channel.result(PERSON, PartResult::Closed);
    stage.channel.land();
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    // That no part of it arrived is what had been said before.
    assert_eq!(stage.exceptions().await, ["sharing_failed"]);
    assert!(!stage.view(order).await.share.stopped);
    assert_eq!(stage.asked(), numbers, "the share let go of the rest");
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sharing_without_progress_has_an_open_exception_until_it_is_done() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::CallLost; 9]);
    let order = stage.pay("k1").await;
    for attempt in 1..=9 {
        stage.round().await;
        let exceptions = stage.exceptions().await;
        if attempt < 8 {
            assert!(exceptions.is_empty());
        } else {
            assert_eq!(exceptions, ["sharing_stuck"]);
        }
    }
    // WeChat takes it, and its attempts are counted anew.
    stage.channel.result(PERSON, PartResult::Pending);
    stage.round().await;
    let share = stage.view(order).await.share;
    assert_eq!(share.state.kind(), ShareStateKind::Processing);
    assert!(share.attempts.count < 8);
    assert_eq!(stage.exceptions().await, ["sharing_stuck"]);
    stage.channel.result(PERSON, PartResult::Success);
    stage.round().await;
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.books().await, SHARED);
    assert_eq!(stage.exceptions().await, ["sharing_stuck: it got on"]);
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_about_what_was_called_refused_is_not_dropped() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Held, REFUSED]);
    let order = stage.pay("k1").await;
    let (slow, quick) = (stage.sharing.clone(), stage.second().await);
    let due = zhangfang::sharing::Due {
        order,
        tenant: stage.app.tenant.id,
    };
    let job = tokio::spawn(async move { zhangfang::sharing::start_sharing(&slow, due).await });
    eventually("the first calls", || async {
        (stage.asked().len() == 1).then_some(())
    })
    .await;
    stage.nothing_arrives_any_more().await;
    reconcile_sharing(&quick, stage.app.tenant.id, order)
        .await
        .unwrap();
    assert_eq!(stage.books().await, (10_000, 0, 0, 0));
    stage.channel.unblock();
    job.await.unwrap().unwrap();
    assert_eq!(stage.books().await, SHARED);
    assert!(stage.view(order).await.share.stopped);
    let exceptions = ["sharing_failed", "sharing_contradiction"];
    assert_eq!(stage.exceptions().await, exceptions);
    // Said once, however often it is heard.
    stage.round().await;
    assert_eq!(stage.exceptions().await, exceptions);
    quick.payments.db.close().await;
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_not_failed_while_an_earlier_call_may_arrive() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.provider, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    stage.channel.trouble([Trouble::Late, REFUSED, REFUSED]);
    let refund = stage.refund(order, 10_000, "r1").await;
    for _ in 0..3 {
        stage.round().await;
        assert_eq!(
            stage.refund_state(&refund).await,
            RefundStateKind::Returning
        );
    }
    stage.channel.land();
    stage.round().await;
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (0, 0, 0, 0));
    assert!(stage.exceptions().await.is_empty());
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_return_that_was_made_after_all_is_booked_raises_an_exception_and_stops_refunds() {
    let stage = Stage::set().await;
    stage
        .rule(true, &[(stage.provider, 100_000)])
        .await
        .unwrap();
    let order = stage.pay("k1").await;
    stage.round().await;
    let refund = stage.refund(order, 5_000, "r1").await;
    stage.channel.trouble([Trouble::Held, REFUSED]);
    let (slow, quick) = (stage.sharing.clone(), stage.second().await);
    let (tenant, id) = (refund.tenant, refund.id);
    let job = tokio::spawn(async move { reconcile_return(&slow, tenant, id).await });
    eventually("the first calls", || async {
        (stage.channel.state().returns_asked == 1).then_some(())
    })
    .await;
    stage.nothing_arrives_any_more().await;
    reconcile_return(&quick, tenant, id).await.unwrap();
    assert_eq!(stage.refund_state(&refund).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (10_000 - 994 - 5_000, 994, 0, 0));
    stage.channel.unblock();
    job.await.unwrap().unwrap();
    assert_eq!(stage.books().await, (10_000 - 994 - 5_000 + 497, 497, 0, 0));
    assert_eq!(
        stage.exceptions().await,
        ["sharing_failed", "sharing_contradiction"]
    );
    let view = stage.view(order).await;
    assert_eq!(view.returns[0].state, ReturnState::Succeeded);
    assert!(view.share.stopped);
    // The next refund waits for a person, and then takes the rest.
    let rest = stage.refund(order, 5_000, "r2").await;
    stage.round().await;
    assert_eq!(stage.refund_state(&rest).await, RefundStateKind::Returning);
    let by = Actor::operator("test");
    retry_sharing(&stage.sharing, stage.app.tenant.id, order, by)
        .await
        .unwrap();
    stage.round().await;
    assert_eq!(stage.refund_state(&rest).await, RefundStateKind::Accepted);
    assert_eq!(stage.books().await, (0, 0, 0, 0));
    quick.payments.db.close().await;
    stage.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_wechat_never_took_can_be_removed() {
    let stage = Stage::set().await;
    let tenant = stage.app.tenant.id;
    stage.channel.state().receivers_refused = true;
    let never = (ReceiverKind::Merchant, "1900000777", "BRAND");
    let id = stage.receiver(never).await;
    let by = || Actor::operator("test");
    // Each time it is asked for.
    for _ in 0..2 {
        let removed = remove_receiver(&stage.sharing, tenant, id, by())
            .await
            .unwrap();
        assert_eq!(removed.state, ReceiverState::Removed);
        assert_eq!(removed.problem.as_deref(), Some("SCRIPTED"));
    }
    // One that WeChat has is another matter.
    stage.rule(false, &[]).await.unwrap();
    let refused = remove_receiver(&stage.sharing, tenant, stage.provider, by()).await;
    assert!(matches!(refused, Err(SharingError::ChannelRefused(_))));
    stage.channel.state().receivers_refused = false;
    remove_receiver(&stage.sharing, tenant, stage.provider, by())
        .await
        .unwrap();
    // And may come again.
    let form = ReceiverForm::parse(
        ReceiverKind::Merchant,
        "1900000777".to_owned(),
        Some("账房科技".to_owned()),
        "BRAND".to_owned(),
    )
    .unwrap();
    let again = stage.receiver(never).await;
    let answer = register_receiver(&stage.sharing, tenant, again, form).await;
    assert_eq!(answer.unwrap().state, ReceiverState::Active);
    stage.app.finish().await;
}

/// A share has no answer for three quarters of an hour: that raises one exception, and none any
/// more when it is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_without_progress_raises_one_exception_until_it_progresses() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::CallLost; 10]);
    let order = stage.pay("k1").await;
    for attempt in 1..=10 {
        stage.round().await;
        let expected = usize::from(attempt >= 8);
        assert_eq!(
            stage.exceptions().await.len(),
            expected,
            "attempt {attempt}"
        );
    }
    assert_eq!(stage.exceptions().await, ["sharing_stuck"]);
    let open = "SELECT COUNT(*) FROM payment_exceptions WHERE resolved_at IS NULL";
    assert_eq!(stage.app.count(open).await, 1);
    stage.round().await;
    assert_eq!(stage.books().await, SHARED);
    assert_eq!(stage.sharing_of(order).await, OrderSharing::Done);
    assert_eq!(stage.app.count(open).await, 0);
    stage.app.finish().await;
}

/// A person's retry asks first: what contradicts the books is not over while WeChat is still at it.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_lets_nothing_go_on_while_wechat_is_still_at_it() {
    let stage = Stage::set().await;
    stage.channel.trouble([Trouble::Late, REFUSED]);
    let order = called_refused(&stage).await;
    let pending = (PERSON.to_owned(), PartResult::Pending);
    stage.channel.state().results.extend([pending]);
    stage.channel.land();
    stage.round().await;
    assert!(stage.view(order).await.share.stopped);
    let retry = async || {
        let by = Actor::operator("test");
        retry_sharing(&stage.sharing, stage.app.tenant.id, order, by)
            .await
            .unwrap();
        stage.view(order).await.share.stopped
    };
    assert!(retry().await, "one part is open");
    stage.channel.state().results.clear();
    assert!(!retry().await);
    stage.round().await;
    assert_eq!(stage.books().await, SHARED);
    stage.app.finish().await;
}
