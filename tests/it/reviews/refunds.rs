//! Refunds of payments whose points are under review, or were: the money does not wait.

use zhangfang::{
    payments::{self, PointsReview, RefundStateKind, RefundStatus},
    points::PointsMove,
    primitives::Money,
    risk::Action,
};

use super::Bench;
use crate::harness::Says;

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_ends_the_review_and_takes_no_points_back() {
    for amount in [None, Some(400)] {
        let bench = Bench::open().await;
        let order = bench.desk.paid(1_000, "k").await;
        bench.claim(order, "lin").await.expect(200);
        let refund = bench.desk.refund(order, amount, "r").await;
        assert_eq!((refund.points.due.get(), refund.points.lent.get()), (0, 0));
        assert_eq!(bench.state(order).await, ("moot".into(), Some(false)));
        assert_eq!(bench.order_says(order).await, PointsReview::LetGo);
        assert_eq!(bench.points().await, (0, 0, 0));
        bench
            .approve(order, "lin")
            .await
            .refused(409, "review_already_decided");
        bench.time_is_over().await;
        assert!(bench.desk.app.verify().await.is_clean());
        bench.desk.channel.knows([Says::Is(RefundStatus::Success)]);
        assert_eq!(bench.desk.pursue(&refund).await, RefundStateKind::Succeeded);
        // The rest of the money follows, and still no points.
        if amount.is_some() {
            bench.desk.channel.answers([Says::Is(RefundStatus::Closed)]);
            let closed = bench.desk.refund(order, None, "r2").await;
            assert_eq!(closed.state.kind(), RefundStateKind::Closed);
            bench
                .desk
                .channel
                .answers([Says::Is(RefundStatus::Success)]);
            let rest = bench.desk.refund(order, None, "r3").await;
            assert_eq!((rest.amount.get(), rest.points.due.get()), (600, 0));
        }
        assert_eq!(bench.points().await, (0, 0, 0));
        assert_eq!(
            bench.moves().await,
            [(PointsMove::Held, 10), (PointsMove::LetGo, 10)]
        );
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_let_in_are_taken_back_and_those_that_were_let_go_are_not() {
    let bench = Bench::open().await;
    let (one, other) = (
        bench.desk.paid(1_000, "k1").await,
        bench.desk.paid(1_000, "k2").await,
    );
    bench.approve(one, "lin").await.expect(200);
    bench.reject(other, "lin").await.expect(200);
    bench
        .desk
        .channel
        .answers([Says::Is(RefundStatus::Success); 2]);
    let refund = bench.desk.refund(one, Some(600), "r1").await;
    assert_eq!(refund.points.due.get(), 6);
    assert_eq!(bench.points().await, (4, 4, 0));
    let refund = bench.desk.refund(other, Some(600), "r2").await;
    assert_eq!(refund.points.due.get(), 0);
    assert_eq!(bench.points().await, (4, 4, 0));
    let moves = bench.moves().await;
    assert!(moves.contains(&(PointsMove::TakenBack, 6)), "{moves:?}");
    bench.finish().await;
}

/// A refund that awaits a second person does nothing; whatever the review came to meanwhile is what counts when it sets out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_awaits_approval_leaves_the_review_alone_until_it_sets_out() {
    let bench = Bench::open().await;
    bench
        .app()
        .set_policy(|terms| {
            terms.refund_review_above = Money::constant(500);
            terms.points_shortfall = payments::PointsShortfall::Refuse;
        })
        .await;
    for (place, (decide, points_back)) in [("nothing", 0), ("approve", 6), ("reject", 0)]
        .into_iter()
        .enumerate()
    {
        let order = bench.desk.paid(1_000, &format!("k{place}")).await;
        let refund = bench
            .desk
            .refund(order, Some(600), &format!("r{place}"))
            .await;
        assert_eq!(refund.state.kind(), RefundStateKind::AwaitingApproval);
        assert_eq!(bench.order_says(order).await, PointsReview::Open);
        assert!(bench.desk.app.verify().await.is_clean());
        match decide {
            "approve" => _ = bench.approve(order, "lin").await.expect(200),
            "reject" => _ = bench.reject(order, "lin").await.expect(200),
            _ => {}
        }
        let report = bench.desk.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
        let agreed = bench.desk.decide(&refund, true, &format!("d{place}")).await;
        assert_eq!(agreed.points.due.get(), points_back, "{decide}");
        let let_in = decide == "approve";
        assert_eq!(
            bench.desk.order(order).await.refunds.points.get(),
            points_back
        );
        assert_eq!(bench.order_says(order).await == PointsReview::LetIn, let_in);
        bench.desk.channel.knows([Says::Is(RefundStatus::Success)]);
        assert_eq!(bench.desk.pursue(&agreed).await, RefundStateKind::Succeeded);
        let report = bench.desk.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
    }
    assert_eq!(bench.points().await, (4, 4, 0));

    // Nobody agrees: the review goes its own way.
    let order = bench.desk.paid(1_000, "k9").await;
    let refund = bench.desk.refund(order, Some(600), "r9").await;
    let small = bench.desk.refund(order, Some(100), "small").await;
    assert_eq!(small.points.due.get(), 0);
    assert_eq!(bench.state(order).await, ("moot".into(), Some(false)));
    bench.desk.decide(&refund, false, "d9").await;
    assert_eq!(bench.desk.order(order).await.refunds.points.get(), 0);
    bench.finish().await;
}

/// Small enough to be given back alone, were it not for risk.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_risk_sends_to_a_second_person_takes_back_what_was_let_in_meanwhile() {
    for (place, action) in [Action::Review, Action::Verify].into_iter().enumerate() {
        for (amount, let_in, points_back) in
            [(None, true, 10), (Some(400), true, 4), (None, false, 0)]
        {
            let bench = Bench::open().await;
            bench.says_of_refunds(action);
            let order = bench.desk.paid(1_000, "k").await;
            let refund = bench.desk.refund(order, amount, "r").await;
            assert_eq!(refund.state.kind(), RefundStateKind::AwaitingApproval);
            assert_eq!(bench.order_says(order).await, PointsReview::Open);
            let report = bench.desk.app.verify().await;
            assert!(report.is_clean(), "{place}: {report}");
            if let_in {
                bench.approve(order, "lin").await.expect(200);
            }
            let agreed = bench.desk.decide(&refund, true, "d").await;
            assert_eq!(agreed.points.due.get(), points_back);
            bench.desk.channel.knows([Says::Is(RefundStatus::Success)]);
            let pursued = bench.desk.pursue(&agreed).await;
            assert_eq!(pursued, RefundStateKind::Succeeded);
            let kept = if let_in { 10 - points_back } else { 0 };
            assert_eq!(bench.points().await, (kept, kept, 0));
            bench.finish().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_and_a_refund_at_once_agree_about_the_points() {
    let bench = Bench::open().await;
    let (mut let_in, mut let_go) = (0, 0);
    for round in 0..12 {
        let order = bench.desk.paid(1_000, &format!("k{round}")).await;
        let key = format!("r{round}");
        let operator = bench.app().operator("lin").keyed(&format!("a{round}"));
        let approving = super::approve(&operator, order);
        let refunding = bench.desk.refund(order, None, &key);
        // Both orders of arrival are wanted.
        let (approved, refund) = if round % 2 == 0 {
            tokio::join!(approving, refunding)
        } else {
            let (refund, approved) = tokio::join!(refunding, approving);
            (approved, refund)
        };
        let (state, _) = bench.state(order).await;
        match refund.points.due.get() {
            0 => {
                approved.refused(409, "review_already_decided");
                assert_eq!(state, "moot");
                let_go += 1;
            }
            10 => {
                approved.expect(200);
                assert_eq!(state, "approved");
                let_in += 1;
            }
            odd => panic!("{odd} points go back"),
        }
        bench.desk.channel.knows([Says::Is(RefundStatus::Success)]);
        bench.desk.pursue(&refund).await;
    }
    assert_eq!(let_in + let_go, 12);
    assert_eq!(bench.points().await, (0, 0, 0));
    bench.finish().await;
}
