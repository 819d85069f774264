//! Refunds of payments whose points have expired: what expired unspent counts as given back, each
//! point once, before the nightly sweep and after it.

use std::sync::Arc;

use zhangfang::{
    payments::{
        HandledCallback, PointsShortfall, RefundError, RefundStateKind, RefundStatus,
        request_refund,
    },
    points::{RuleTerms, Validity},
    primitives::{Clock as _, MockClock, Money, OrderId, SystemClock},
};

use super::{Calendar, at, rounds};
use crate::{foreign::elsewhere, harness::ChannelReply, refund_core::RefundSetup};

const DAY: i64 = 86_400;

/// A merchant whose points last for a day.
async fn setup(policy: PointsShortfall) -> (RefundSetup, Arc<MockClock>) {
    let Calendar { app, clock } = Calendar::open(SystemClock.now()).await;
    app.set_rule(|terms| terms.validity = Validity::Days { count: 1 })
        .await;
    app.set_policy(|terms| terms.points_shortfall = policy)
        .await;
    (RefundSetup::at(app).await, clock)
}

/// A payment of ten points that have expired by now.
async fn with_expired(policy: PointsShortfall) -> (RefundSetup, Arc<MockClock>, OrderId) {
    let (setup, clock) = setup(policy).await;
    let order = setup.paid(1_000, "k").await;
    assert_eq!(setup.has(order).await, (10, 0, 0));
    clock.advance_seconds(2 * DAY);
    (setup, clock, order)
}

/// Points that the refund is due, of these expired, of these missing.
async fn refund(
    setup: &RefundSetup,
    order: OrderId,
    fen: Option<i64>,
    key: &str,
) -> (i64, i64, i64) {
    let back = setup.refund(order, fen, key).await.points;
    (back.due.get(), back.expired.get(), back.shortfall.get())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expired_is_not_claimed_again_before_the_sweep_nor_after_it_under_any_policy() {
    for policy in [
        PointsShortfall::Debt,
        PointsShortfall::Negative,
        PointsShortfall::Refuse,
    ] {
        for swept in [false, true] {
            let (setup, clock, order) = with_expired(policy).await;
            if swept {
                assert_eq!(rounds(setup.app.db()).await, 1);
                assert_eq!(setup.has(order).await, (0, 0, 0));
            }
            assert_eq!(refund(&setup, order, Some(400), "r1").await, (4, 4, 0));
            setup
                .channel
                .answers([ChannelReply::Is(RefundStatus::Success)]);
            assert_eq!(refund(&setup, order, None, "r2").await, (6, 6, 0));
            assert_eq!(setup.has(order).await, (0, 0, 0), "{policy:?} {swept}");
            assert!(setup.app.verify().await.is_clean());
            // Nothing is left for the night, nor owed after it.
            clock.advance_seconds(DAY);
            rounds(setup.app.db()).await;
            assert_eq!(setup.has(order).await, (0, 0, 0));
            setup.app.finish().await;
        }
    }
}

/// Whoever makes the refund.
#[tokio::test(flavor = "multi_thread")]
async fn what_expired_is_not_owed_when_others_refund() {
    for swept in [false, true] {
        let (setup, clock, order) = with_expired(PointsShortfall::Debt).await;
        if swept {
            assert_eq!(rounds(setup.app.db()).await, 1);
        }
        let success = RefundStatus::Success;
        let answer = elsewhere(&setup, order, ("TK-1", 400), success, "n1").await;
        assert_eq!(answer, HandledCallback::Refund);
        assert_eq!(setup.has(order).await, (0, 0, 0), "{swept}");
        // Each point once: ours counts the rest.
        assert_eq!(refund(&setup, order, None, "r").await, (6, 6, 0));
        assert!(setup.app.verify().await.is_clean());
        clock.advance_seconds(DAY);
        rounds(setup.app.db()).await;
        assert_eq!(setup.has(order).await, (0, 0, 0));
        setup.app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_claimed_and_what_expired_of_the_same_lot_is_counted_once() {
    for swept in [false, true] {
        let (setup, clock) = setup(PointsShortfall::Debt).await;
        // Two payments fill one lot; twelve of its twenty points are spent.
        let (one, other) = (setup.paid(1_000, "a").await, setup.paid(1_000, "b").await);
        setup.spend(one, 12).await;
        clock.advance_seconds(2 * DAY);
        if swept {
            assert_eq!(rounds(setup.app.db()).await, 1);
        }
        assert_eq!(refund(&setup, one, None, "r1").await, (10, 8, 2));
        assert_eq!(refund(&setup, other, Some(500), "r2").await, (5, 0, 5));
        assert_eq!(setup.has(one).await, (7, 7, 7));
        assert!(setup.app.verify().await.is_clean());
        setup.app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refund_counted_is_another_ones_to_count_when_it_fails() {
    let (setup, clock, order) = with_expired(PointsShortfall::Debt).await;
    let first = setup.refund(order, Some(500), "r1").await;
    assert_eq!((first.points.due.get(), first.points.expired.get()), (5, 5));
    assert_eq!(setup.has(order).await, (0, 0, 0));
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Closed)]);
    assert_eq!(setup.reconcile(&first).await, RefundStateKind::Closed);
    assert!(setup.app.verify().await.is_clean());
    clock.advance_seconds(DAY);
    rounds(setup.app.db()).await;
    assert_eq!(refund(&setup, order, None, "r2").await, (10, 10, 0));
    assert_eq!(setup.has(order).await, (0, 0, 0));
    let counted = "SELECT CAST(SUM(given_back) AS SIGNED) FROM points_lots WHERE expired = 10";
    assert_eq!(setup.app.count(counted).await, 10);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refund_counted_is_undone_by_a_clock_that_was_put_right_across_midnight() {
    let (setup, clock) = setup(PointsShortfall::Debt).await;
    let order = setup.paid(1_000, "k").await;
    let paid = setup.order(order).await;
    let expired_from = paid.state.payment().unwrap().points_expired_from;
    clock.set(at(&format!("{expired_from}T00:00:10")));
    let first = setup.refund(order, Some(500), "r1").await;
    assert_eq!((first.points.due.get(), first.points.expired.get()), (5, 5));
    clock.advance_seconds(-30);
    setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Closed)]);
    assert_eq!(setup.reconcile(&first).await, RefundStateKind::Closed);
    clock.advance_seconds(DAY);
    assert!(setup.app.verify().await.is_clean());
    assert_eq!(refund(&setup, order, None, "r2").await, (10, 10, 0));
    assert_eq!(setup.has(order).await, (0, 0, 0));
    let counted = "SELECT CAST(SUM(given_back) AS SIGNED) FROM points_lots WHERE expired = 10";
    assert_eq!(setup.app.count(counted).await, 10);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_points_are_refused_by_the_policy_whatever_else_is_over_and_not_swept() {
    for swept in [false, true] {
        let (setup, clock) = setup(PointsShortfall::Refuse).await;
        let lasts = |count| move |terms: &mut RuleTerms| terms.validity = Validity::Days { count };
        setup.app.set_rule(lasts(30)).await;
        let order = setup.paid(1_000, "long").await;
        setup.spend(order, 4).await;
        // Of two rules for one instant the later one would have been in force for both payments.
        clock.advance_seconds(1);
        setup.app.set_rule(lasts(1)).await;
        setup.paid(1_000, "short").await;
        // Of another lot ten points have expired; of this one four are spent.
        clock.advance_seconds(2 * DAY);
        if swept {
            assert_eq!(rounds(setup.app.db()).await, 1);
        }
        let refused = request_refund(&setup.payments, setup.request(order, None, "r")).await;
        assert!(
            matches!(refused, Err(RefundError::PointsSpent { due, available })
                if (due.get(), available.get()) == (10, 6)),
            "{refused:?}"
        );
        assert_eq!(refund(&setup, order, Some(600), "r2").await, (6, 0, 0));
        setup.app.finish().await;
    }
}

/// The lot was good when the refund was asked for, and has expired when somebody agrees.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_out_while_a_refund_awaits_a_second_person_counts_when_it_sets_out() {
    let (setup, clock) = setup(PointsShortfall::Debt).await;
    setup
        .app
        .set_policy(|terms| terms.refund_review_above = Money::constant(500))
        .await;
    let order = setup.paid(1_000, "k").await;
    let asked = setup.refund(order, None, "r").await;
    assert_eq!(asked.state.kind(), RefundStateKind::AwaitingApproval);
    assert_eq!(asked.points.expired.get(), 0);
    clock.advance_seconds(2 * DAY);
    let agreed = setup.decide(&asked, true, "d").await;
    assert_eq!(
        (agreed.points.due.get(), agreed.points.expired.get()),
        (10, 10)
    );
    assert_eq!(setup.has(order).await, (0, 0, 0));
    setup.app.finish().await;
}

/// Two processes refund payments that filled one lot: what expired of it is counted once.
#[tokio::test(flavor = "multi_thread")]
async fn two_who_count_at_once_do_not_count_the_same_points() {
    let (setup, clock) = setup(PointsShortfall::Debt).await;
    let mut orders = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        orders.push(setup.paid(500, key).await);
    }
    setup.spend(orders[0], 18).await;
    clock.advance_seconds(2 * DAY);
    let other = setup.elsewhere(clock.clone()).await;
    let askers: Vec<_> = orders
        .iter()
        .enumerate()
        .map(|(index, order)| {
            let payments = if index % 2 == 0 {
                &setup.payments
            } else {
                &other
            };
            let (payments, request) = (
                payments.clone(),
                setup.request(*order, None, &format!("r{index}")),
            );
            tokio::spawn(async move { request_refund(&payments, request).await.unwrap() })
        })
        .collect();
    let mut expired = 0;
    for asker in askers {
        expired += asker.await.unwrap().points.expired.get();
    }
    assert_eq!(expired, 12, "thirty less eighteen that were spent");
    assert_eq!(setup.has(orders[0]).await, (18, 18, 18));
    other.db.close().await;
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_a_refund_has_held_in_time_are_taken_although_they_have_expired_when_it_arrives()
 {
    let (setup, clock) = setup(PointsShortfall::Debt).await;
    let order = setup.paid(1_000, "k").await;
    let first = setup.refund(order, Some(600), "r").await;
    assert_eq!(
        (first.points.due.get(), first.points.shortfall.get()),
        (6, 0)
    );
    clock.advance_seconds(3 * DAY);
    assert_eq!(rounds(setup.app.db()).await, 1);
    assert_eq!(setup.has(order).await, (6, 6, 0));
    // Another one takes nothing: the other four have expired, and what the first one holds has not.
    let second = setup.refund(order, None, "r2").await;
    assert_eq!(
        (second.points.due.get(), second.points.expired.get()),
        (4, 4)
    );
    setup.channel.knows([
        ChannelReply::Is(RefundStatus::Success),
        ChannelReply::Is(RefundStatus::Success),
    ]);
    assert_eq!(setup.reconcile(&first).await, RefundStateKind::Succeeded);
    assert_eq!(setup.reconcile(&second).await, RefundStateKind::Succeeded);
    assert_eq!(setup.has(order).await, (0, 0, 0));
    setup.app.finish().await;
}
