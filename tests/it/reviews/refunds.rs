//! Refunds of payments whose points are under review, or were: the money does not wait.

use zhangfang::{
    payments::{self, PointsReview, RefundStateKind, RefundStatus},
    points::PointsMove,
    primitives::Money,
    risk::Action,
};

use super::Bench;
use crate::harness::ChannelReply;

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_everything_leaves_nothing_to_review_once_it_has_arrived() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(1_000, "k").await;
    bench.claim(order, "lin").await.expect(200);
    let refund = bench.setup.refund(order, None, "r").await;
    let back = refund.points;
    assert_eq!(
        (back.due.get(), back.withheld.get(), back.shortfall.get()),
        (10, 10, 0)
    );
    // It may still fail: then there is something to decide.
    assert_eq!(bench.order_says(order).await, PointsReview::Open);
    assert_eq!(bench.points().await, (0, 0, 10));
    assert!(bench.setup.app.verify().await.is_clean());
    bench
        .setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(
        bench.setup.reconcile(&refund).await,
        RefundStateKind::Succeeded
    );
    assert_eq!(bench.state(order).await, ("superseded".into(), Some(false)));
    assert_eq!(bench.order_says(order).await, PointsReview::Voided);
    bench
        .approve(order, "lin")
        .await
        .refused(409, "review_already_decided");
    bench.time_is_over().await;
    assert_eq!(bench.points().await, (0, 0, 0));
    assert_eq!(
        bench.moves().await,
        [(PointsMove::Held, 10), (PointsMove::Voided, 10)]
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_a_fen_leaves_the_review_of_a_thousand_points_alone() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(100_000, "k").await;
    bench
        .setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success); 2]);
    let cent = bench.setup.refund(order, Some(1), "r1").await;
    assert_eq!((cent.points.due.get(), cent.points.withheld.get()), (0, 0));
    assert_eq!(bench.order_says(order).await, PointsReview::Open);
    // Two hundred of a thousand yuan: their part only.
    let part = bench.setup.refund(order, Some(20_000), "r2").await;
    assert_eq!(
        (part.points.due.get(), part.points.withheld.get()),
        (200, 200)
    );
    let review = bench.review_of(order).await;
    assert_eq!(
        (&review["state"], &review["points"]),
        (&"open".into(), &800.into())
    );
    assert!(bench.setup.app.verify().await.is_clean());
    bench.approve(order, "lin").await.expect(200);
    assert_eq!(bench.points().await, (800, 800, 0));
    // From now on it is a refund like any other.
    bench
        .setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    let rest = bench.setup.refund(order, None, "r3").await;
    assert_eq!(
        (rest.points.due.get(), rest.points.withheld.get()),
        (800, 0)
    );
    assert_eq!(bench.points().await, (0, 0, 0));
    assert_eq!(
        bench.moves().await,
        [
            (PointsMove::Held, 1_000),
            (PointsMove::Voided, 200),
            (PointsMove::Earned, 800),
            (PointsMove::TakenBack, 800)
        ]
    );
    bench.finish().await;
}

/// What a refund withholds when it fails: the review's again, or what the review came to meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_gives_the_review_back_what_it_withheld() {
    for (decide, kept, moved) in [
        ("nothing", 0, vec![]),
        (
            "approve",
            10,
            vec![(PointsMove::Earned, 6), (PointsMove::Earned, 4)],
        ),
        (
            "reject",
            0,
            vec![(PointsMove::Voided, 6), (PointsMove::Voided, 4)],
        ),
    ] {
        let bench = Bench::open().await;
        let order = bench.setup.paid(1_000, "k").await;
        let refund = bench.setup.refund(order, Some(400), "r").await;
        assert_eq!(refund.points.withheld.get(), 4);
        match decide {
            "approve" => {
                bench.approve(order, "lin").await.expect(200);
                assert_eq!(bench.points().await, (6, 6, 0), "the rest");
            }
            "reject" => _ = bench.reject(order, "lin").await.expect(200),
            _ => {}
        }
        let report = bench.setup.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
        bench
            .setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Closed)]);
        assert_eq!(
            bench.setup.reconcile(&refund).await,
            RefundStateKind::Closed
        );
        let pending = if decide == "nothing" { 10 } else { 0 };
        assert_eq!(bench.points().await, (kept, kept, pending), "{decide}");
        let mut moves = vec![(PointsMove::Held, 10)];
        moves.extend(moved);
        assert_eq!(bench.moves().await, moves, "{decide}");
        let report = bench.setup.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
        if decide == "nothing" {
            let review = bench.review_of(order).await;
            assert_eq!(
                (&review["state"], &review["points"]),
                (&"open".into(), &10.into())
            );
            bench.approve(order, "lin").await.expect(200);
            assert_eq!(bench.points().await, (10, 10, 0));
        }
        // Whatever became of the first, a second refund takes what is there.
        bench
            .setup
            .channel
            .answers([ChannelReply::Is(RefundStatus::Success)]);
        let rest = bench.setup.refund(order, None, "r2").await;
        let back = if decide == "reject" { 0 } else { 10 };
        assert_eq!(
            (rest.points.due.get(), rest.points.withheld.get()),
            (back, 0)
        );
        assert_eq!(bench.points().await, (0, 0, 0));
        bench.finish().await;
    }
}

/// Two refunds under way at once, of which one fails: in both orders, and whatever is decided in
/// between.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_withhold_what_the_whole_would_and_each_ends_by_itself() {
    for first_fails in [false, true] {
        for approves in [None, Some(false), Some(true)] {
            let bench = Bench::open().await;
            let order = bench.setup.paid(1_000, "k").await;
            let one = bench.setup.refund(order, Some(550), "r1").await;
            let other = bench.setup.refund(order, None, "r2").await;
            let withheld = (one.points.withheld.get(), other.points.withheld.get());
            assert_eq!(withheld, (5, 5));
            match approves {
                Some(true) => _ = bench.approve(order, "lin").await.expect(200),
                Some(false) => _ = bench.reject(order, "lin").await.expect(200),
                None => {}
            }
            let (fails, arrives) = if first_fails {
                (&one, &other)
            } else {
                (&other, &one)
            };
            bench.setup.channel.knows([
                ChannelReply::Is(RefundStatus::Success),
                ChannelReply::Is(RefundStatus::Closed),
            ]);
            assert_eq!(
                bench.setup.reconcile(arrives).await,
                RefundStateKind::Succeeded
            );
            assert!(bench.setup.app.verify().await.is_clean());
            assert_eq!(bench.setup.reconcile(fails).await, RefundStateKind::Closed);
            let left = match approves {
                None => (0, 0, 10),
                Some(true) => (5, 5, 0),
                Some(false) => (0, 0, 0),
            };
            assert_eq!(bench.points().await, left, "{first_fails} {approves:?}");
            if approves.is_none() {
                let review = bench.review_of(order).await;
                assert_eq!(
                    (&review["state"], &review["points"]),
                    (&"open".into(), &5.into())
                );
                bench.approve(order, "lin").await.expect(200);
                assert_eq!(bench.points().await, (5, 5, 0));
            }
            bench.finish().await;
        }
    }
}

/// Above a limit two people must agree to all that may come in, refunds under way included: these
/// may still fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_under_way_does_not_spare_the_second_person() {
    let bench = Bench::with(super::two_above(900)).await;
    let order = bench.setup.paid(100_000, "k").await;
    let refund = bench.setup.refund(order, Some(90_000), "r").await;
    let first = bench.approve(order, "lin").await.expect(200);
    assert_eq!(first["state"], "open");
    bench
        .setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    assert_eq!(
        bench.setup.reconcile(&refund).await,
        RefundStateKind::Succeeded
    );
    // Now it is about a hundred points.
    bench.approve(order, "wang").await.expect(200);
    assert_eq!(bench.points().await, (100, 100, 0));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_were_credited_are_taken_back_and_those_that_were_voided_are_not() {
    let bench = Bench::open().await;
    let (one, other) = (
        bench.setup.paid(1_000, "k1").await,
        bench.setup.paid(1_000, "k2").await,
    );
    bench.approve(one, "lin").await.expect(200);
    bench.reject(other, "lin").await.expect(200);
    bench
        .setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success); 2]);
    let refund = bench.setup.refund(one, Some(600), "r1").await;
    assert_eq!(refund.points.due.get(), 6);
    assert_eq!(bench.points().await, (4, 4, 0));
    let refund = bench.setup.refund(other, Some(600), "r2").await;
    assert_eq!(refund.points.due.get(), 0);
    assert_eq!(bench.points().await, (4, 4, 0));
    let moves = bench.moves().await;
    assert!(moves.contains(&(PointsMove::TakenBack, 6)), "{moves:?}");
    bench.finish().await;
}

/// A refund that awaits a second person does nothing; whatever the review came to meanwhile is what
/// counts when it is initiated.
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
    for (index, (decide, points_back)) in [("nothing", 6), ("approve", 6), ("reject", 0)]
        .into_iter()
        .enumerate()
    {
        let order = bench.setup.paid(1_000, &format!("k{index}")).await;
        let refund = bench
            .setup
            .refund(order, Some(600), &format!("r{index}"))
            .await;
        assert_eq!(refund.state.kind(), RefundStateKind::AwaitingApproval);
        assert_eq!(bench.order_says(order).await, PointsReview::Open);
        assert!(bench.setup.app.verify().await.is_clean());
        match decide {
            "approve" => _ = bench.approve(order, "lin").await.expect(200),
            "reject" => _ = bench.reject(order, "lin").await.expect(200),
            _ => {}
        }
        let report = bench.setup.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
        let agreed = bench
            .setup
            .decide(&refund, true, &format!("d{index}"))
            .await;
        assert_eq!(agreed.points.due.get(), points_back, "{decide}");
        let withheld = if decide == "nothing" { 6 } else { 0 };
        assert_eq!(agreed.points.withheld.get(), withheld, "{decide}");
        assert_eq!(
            bench.setup.order(order).await.refunds.points.get(),
            points_back
        );
        let says = match decide {
            "nothing" => PointsReview::Open,
            "approve" => PointsReview::Credited,
            _ => PointsReview::Voided,
        };
        assert_eq!(bench.order_says(order).await, says);
        bench
            .setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        assert_eq!(
            bench.setup.reconcile(&agreed).await,
            RefundStateKind::Succeeded
        );
        let report = bench.setup.app.verify().await;
        assert!(report.is_clean(), "{decide}: {report}");
    }
    // Of the first, four are still under review.
    assert_eq!(bench.points().await, (4, 4, 10));

    // Nobody agrees: the review goes its own way.
    let order = bench.setup.paid(1_000, "k9").await;
    let refund = bench.setup.refund(order, Some(600), "r9").await;
    // With the other one, which waits, the order gives back 700.
    bench
        .app()
        .set_policy(|terms| {
            terms.refund_review_above = Money::constant(700);
            terms.points_shortfall = payments::PointsShortfall::Refuse;
        })
        .await;
    let small = bench.setup.refund(order, Some(100), "small").await;
    // Seven of ten go back for seven of ten yuan, of which six await a second person.
    assert_eq!(
        (small.points.due.get(), small.points.withheld.get()),
        (1, 1)
    );
    assert_eq!(bench.state(order).await, ("open".into(), None));
    bench.setup.decide(&refund, false, "d9").await;
    let refunds = bench.setup.order(order).await.refunds;
    assert_eq!((refunds.points.get(), refunds.withheld.get()), (1, 1));
    let who = bench.app().operator("lin").keyed("a9");
    super::approve(&who, order).await.expect(200);
    assert_eq!(bench.points().await, (13, 13, 10));
    bench.finish().await;
}

/// Small enough to be given back alone, were it not for risk.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_risk_sends_to_a_second_person_takes_back_what_was_credited_meanwhile() {
    for (index, action) in [Action::Review, Action::Verify].into_iter().enumerate() {
        for (amount, released, points_back) in
            [(None, true, 10), (Some(400), true, 4), (None, false, 10)]
        {
            let bench = Bench::open().await;
            bench.says_of_refunds(action);
            let order = bench.setup.paid(1_000, "k").await;
            let refund = bench.setup.refund(order, amount, "r").await;
            assert_eq!(refund.state.kind(), RefundStateKind::AwaitingApproval);
            assert_eq!(bench.order_says(order).await, PointsReview::Open);
            let report = bench.setup.app.verify().await;
            assert!(report.is_clean(), "{index}: {report}");
            if released {
                bench.approve(order, "lin").await.expect(200);
            }
            let agreed = bench.setup.decide(&refund, true, "d").await;
            let withheld = if released { 0 } else { 10 };
            let back = agreed.points;
            assert_eq!(
                (back.due.get(), back.withheld.get()),
                (points_back, withheld)
            );
            bench
                .setup
                .channel
                .knows([ChannelReply::Is(RefundStatus::Success)]);
            let reconciled = bench.setup.reconcile(&agreed).await;
            assert_eq!(reconciled, RefundStateKind::Succeeded);
            let kept = if released { 10 - points_back } else { 0 };
            assert_eq!(bench.points().await, (kept, kept, 0));
            bench.finish().await;
        }
    }
}

/// Whichever is first: the points come in and are taken back, or are withheld and come in no more.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_and_a_refund_at_once_agree_about_the_points() {
    let bench = Bench::open().await;
    for round in 0..12 {
        let order = bench.setup.paid(1_000, &format!("k{round}")).await;
        let key = format!("r{round}");
        let operator = bench.app().operator("lin").keyed(&format!("a{round}"));
        let approving = super::approve(&operator, order);
        let refunding = bench.setup.refund(order, Some(700), &key);
        // Both orders of arrival are wanted.
        let (approved, refund) = if round % 2 == 0 {
            tokio::join!(approving, refunding)
        } else {
            let (refund, approved) = tokio::join!(refunding, approving);
            (approved, refund)
        };
        approved.expect(200);
        let back = refund.points;
        assert_eq!(back.due.get(), 7);
        assert!(matches!(back.withheld.get(), 0 | 7), "{back:?}");
        assert_eq!(bench.order_says(order).await, PointsReview::Credited);
        bench
            .setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        bench.setup.reconcile(&refund).await;
    }
    assert_eq!(bench.points().await, (36, 36, 0));
    bench.finish().await;
}
