//! Refunds of payments whose points are over.

use zhangfang::{
    payments::{PointsShortfall, RefundStateKind, RefundStatus},
    primitives::{Clock as _, SystemClock},
};

use super::{Calendar, rounds};
use crate::{harness::Says, refund_core::Desk};

const DAY: i64 = 86_400;

/// A payment of ten points that are over by now.
async fn over(
    policy: PointsShortfall,
) -> (
    Desk,
    std::sync::Arc<zhangfang::primitives::MockClock>,
    zhangfang::primitives::OrderId,
) {
    let Calendar { app, clock } = Calendar::open(SystemClock.now()).await;
    app.set_rule(|terms| terms.validity = zhangfang::points::Validity::Days { count: 1 })
        .await;
    app.set_policy(|terms| terms.points_shortfall = policy)
        .await;
    let desk = Desk::at(app).await;
    let order = desk.paid(1_000, "k").await;
    assert_eq!(desk.has(order).await, (10, 0, 0));
    clock.advance_seconds(2 * DAY);
    (desk, clock, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_are_over_are_lent_to_a_refund_and_expire_all_the_same() {
    // Even where what was spent is not lent: these were not spent.
    for policy in [PointsShortfall::Debt, PointsShortfall::Refuse] {
        let (desk, clock, order) = over(policy).await;
        let refund = desk.refund(order, None, "r").await;
        assert_eq!(
            (refund.points.due.get(), refund.points.lent.get()),
            (10, 10)
        );
        assert_eq!(desk.has(order).await, (20, 10, 10));
        // While the refund is under way as many points stay as are held.
        assert_eq!(rounds(desk.app.db()).await, 1);
        assert_eq!(desk.has(order).await, (20, 10, 10));
        desk.channel.knows([Says::Is(RefundStatus::Success)]);
        assert_eq!(desk.pursue(&refund).await, RefundStateKind::Succeeded);
        assert_eq!(desk.has(order).await, (10, 0, 10));
        clock.advance_seconds(DAY);
        assert_eq!(rounds(desk.app.db()).await, 1);
        assert_eq!(desk.has(order).await, (0, 0, 10));
        desk.app.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_gives_back_what_was_lent_and_not_what_is_over() {
    let (desk, clock, order) = over(PointsShortfall::Debt).await;
    let refund = desk.refund(order, Some(500), "r").await;
    assert_eq!(desk.has(order).await, (15, 5, 5));
    desk.channel.knows([Says::Is(RefundStatus::Closed)]);
    assert_eq!(desk.pursue(&refund).await, RefundStateKind::Closed);
    assert_eq!(desk.has(order).await, (10, 0, 0));
    clock.advance_seconds(DAY);
    assert_eq!(rounds(desk.app.db()).await, 1);
    assert_eq!(desk.has(order).await, (0, 0, 0));
    desk.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_a_refund_has_set_aside_in_time_are_taken_although_they_are_over_when_it_arrives()
 {
    let Calendar { app, clock } = Calendar::open(SystemClock.now()).await;
    app.set_rule(|terms| terms.validity = zhangfang::points::Validity::Days { count: 1 })
        .await;
    let desk = Desk::at(app).await;
    let order = desk.paid(1_000, "k").await;
    let refund = desk.refund(order, Some(600), "r").await;
    assert_eq!((refund.points.due.get(), refund.points.lent.get()), (6, 0));
    clock.advance_seconds(3 * DAY);
    assert_eq!(rounds(desk.app.db()).await, 1);
    assert_eq!(desk.has(order).await, (6, 6, 0));
    // Another one finds nothing that is not over, and is lent all of it, whatever the first one holds.
    let second = desk.refund(order, None, "r2").await;
    assert_eq!((second.points.due.get(), second.points.lent.get()), (4, 4));
    desk.channel.knows([
        Says::Is(RefundStatus::Success),
        Says::Is(RefundStatus::Success),
    ]);
    assert_eq!(desk.pursue(&refund).await, RefundStateKind::Succeeded);
    assert_eq!(desk.pursue(&second).await, RefundStateKind::Succeeded);
    assert_eq!(desk.has(order).await, (0, 0, 4));
    desk.app.finish().await;
}
