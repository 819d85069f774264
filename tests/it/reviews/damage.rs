//! What verification says when reviews, their entries, their orders and risk's decisions disagree.

use zhangfang::{
    payments::RefundStatus,
    primitives::Points,
    risk::{Action, TimeoutDecision},
    verify::Invariant,
};

use super::{Bench, approve, on_timeout};
use crate::{harness::ChannelReply, verification::Copy};

/// Books with reviews in every state, a debt that one of them repaid, a payment that was blocked
/// and one that was allowed.
async fn books() -> Bench {
    let bench = Bench::with(on_timeout(TimeoutDecision::Approve)).await;
    bench
        .app()
        .set_rule(|terms| terms.daily_cap = Some(Points::constant(1_000)))
        .await;
    let setup = &bench.setup;
    bench.says(Action::Allow);
    let allowed = setup.paid(1_000, "allowed").await;
    setup.spend(allowed, 6).await;
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success); 4]);
    setup.refund(allowed, None, "r1").await;
    bench.says(Action::Block);
    setup.paid(1_000, "blocked").await;
    bench.says(Action::Review);
    let timed_out = setup.paid(1_100, "timed_out").await;
    bench.time_is_over().await;
    let approved = setup.paid(1_200, "approved").await;
    let who = bench.app().operator("lin").keyed("approve");
    approve(&who, approved).await.expect(200);
    setup.refund(approved, Some(600), "r2").await;
    let rejected = setup.paid(1_300, "rejected").await;
    bench.reject(rejected, "lin").await.expect(200);
    let superseded = setup.paid(1_400, "superseded").await;
    setup.refund(superseded, None, "r3").await;
    let parted = setup.paid(1_700, "parted").await;
    setup.refund(parted, Some(700), "r4").await;
    let who = bench.app().operator("lin").keyed("approve-parted");
    approve(&who, parted).await.expect(200);
    let claimed = setup.paid(1_500, "claimed").await;
    bench.claim(claimed, "lin").await.expect(200);
    setup.paid(1_600, "open").await;
    bench.says(Action::Allow);
    setup.paid(2_000, "allowed-2").await;
    assert!(bench.state(timed_out).await.1.unwrap());
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_reviews_is_found_and_named() {
    use Invariant::{
        AnswersAreDurable as Answered, CapsHold as Caps, EventsMatchChanges as Told,
        HistoryIsAllowed as States, PointsFollowTheRule as Points,
    };
    let bench = books().await;
    let clean = bench.app().verify().await;
    assert!(clean.is_clean(), "{clean}");
    let states: Vec<(i8, i64)> =
        sqlx::query_as("SELECT state, COUNT(*) FROM risk_reviews GROUP BY state ORDER BY state")
            .fetch_all(bench.app().db().pool())
            .await
            .unwrap();
    assert_eq!(states, [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (7, 1)]);
    let held = "ORD(SUBSTR(entry_id, 16, 1)) = 9";
    let resolution = "ORD(SUBSTR(entry_id, 16, 1)) = 137";
    let repaid = "ORD(SUBSTR(entry_id, 16, 1)) = 15";
    let part = "ORD(SUBSTR(entry_id, 16, 1)) = 16";
    let open =
        "SUBSTR(entry_id, 1, 15) IN (SELECT SUBSTR(id, 1, 15) FROM risk_reviews WHERE state = 1)";
    let damage: Vec<(Invariant, String, &str)> = vec![
        // Entries.
        (Points, format!("DELETE FROM transfers WHERE {held} LIMIT 1"), "is [] where"),
        (Points, format!("UPDATE transfers SET amount = amount + 1 WHERE {held} AND {open}"), "is due"),
        (Points, format!("UPDATE transfers SET lot = lot + INTERVAL 1 DAY WHERE {held} AND {open}"), "is due"),
        (Points, format!("UPDATE transfers SET phase = 0 WHERE {held} AND {open}"), "is due"),
        (Points, format!("DELETE FROM transfers WHERE {resolution} LIMIT 1"), "is [] where"),
        (Points, format!("UPDATE transfers SET phase = 3 WHERE {resolution} AND phase = 2 LIMIT 1"), "is due"),
        (Points, format!("UPDATE transfers SET phase = 2 WHERE {resolution} AND phase = 3 LIMIT 1"), "is due"),
        (Points, format!("UPDATE transfers SET amount = 100 WHERE {repaid}"), "and repays"),
        (Points, format!("UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'09') WHERE {held} AND {open}"), "that is not settled, or of none"),
        (Points, format!("UPDATE transfers SET entry_id = CONCAT(SUBSTR(entry_id, 1, 14), CHAR(ORD(SUBSTR(entry_id, 15, 1)) ^ 85 USING binary), x'0f') WHERE {repaid}"), "that is not settled, or of none"),
        (Told, format!("UPDATE transfers SET amount = amount + 1 WHERE {held} AND {open}"), "is not what its event says"),
        // Orders.
        (Points, "UPDATE payment_orders SET points = points + 1 WHERE review = 2 LIMIT 1".into(), "is due"),
        (Points, "UPDATE payment_orders SET review = 0 WHERE review = 2 LIMIT 1".into(), "points are noted and 0 were credited"),
        (Points, "UPDATE payment_orders SET review = 1 WHERE review = 0 AND state = 3 AND points > 0".into(), "at once, and risk said"),
        (Points, "UPDATE payment_orders SET review = 2 WHERE review = 0 AND points = 0".into(), "of its points, and has none"),
        (Points, "UPDATE payment_orders SET review = 4 WHERE review = 3 AND refund_points > 0".into(), "and they are voided"),
        (Points, "UPDATE payment_orders SET review = 2 WHERE review = 4 AND refund_count > 0".into(), "is due"),
        (Points, "UPDATE payment_orders SET refund_withheld = refund_withheld - 1 WHERE refund_withheld > 0 LIMIT 1".into(), "are withheld from its review"),
        (Points, "UPDATE refunds SET points_withheld = points_withheld - 1 WHERE points_withheld > 0 LIMIT 1".into(), "are withheld from its review"),
        (Points, format!("UPDATE transfers SET amount = amount + 1 WHERE {part}"), "is due"),
        (Points, format!("DELETE FROM transfers WHERE {part}"), "is [] where"),
        (States, "UPDATE payment_orders SET review = 3 WHERE review = 4 LIMIT 1".into(), "is credited and"),
        (States, "UPDATE payment_orders SET review = 0 WHERE review = 4 LIMIT 1".into(), "is no of a review, and has"),
        // Reviews.
        (States, "DELETE FROM risk_reviews WHERE state = 1".into(), "without a review"),
        (States, "UPDATE risk_reviews SET state = 7, decided_by = 'operator:x', decided_at = NOW(6), due_at = NULL WHERE state = 1".into(), "is open and"),
        (States, "UPDATE risk_reviews SET state = 6 WHERE state = 5".into(), "is credited and"),
        (States, "UPDATE risk_reviews SET due_at = NULL WHERE state = 1".into(), "is open and"),
        (States, "UPDATE risk_reviews SET due_at = NOW(6) WHERE state = 4".into(), "is voided and"),
        (States, "UPDATE risk_reviews SET points = points + 1 WHERE state = 1".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET points = 9 WHERE state = 3 AND points = 10".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET amount_fen = amount_fen + 1 WHERE state = 1".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET customer_id = REPEAT(x'07', 16) WHERE state = 1".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET merchant_id = NULL WHERE state = 1".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET entry_id = REPEAT(x'07', 16) WHERE state = 1".into(), "is of other points than"),
        (States, "UPDATE risk_reviews SET id = CONCAT(REPEAT(x'00', 15), x'01') WHERE state = 1".into(), "of an order that does not exist"),
        (States, "UPDATE risk_reviews SET id = CONCAT(REPEAT(x'77', 15), x'01') WHERE state = 1".into(), "of an order that does not exist"),
        (Answered, "DELETE FROM risk_reviews WHERE state = 3".into(), "which is gone"),
        // What risk said.
        (Points, "UPDATE risk_decisions SET action = 2 WHERE stage = 3 AND action = 0".into(), "at once, and risk said"),
        (Points, "UPDATE risk_decisions SET action = 3 WHERE stage = 3 AND action = 0".into(), "at once, and risk said"),
        (Points, "UPDATE risk_decisions SET action = 0 WHERE stage = 3 AND action = 3".into(), "0 points, though the customer earned only"),
        (Points, "DELETE FROM risk_decisions WHERE stage = 3 AND action = 3".into(), "0 points, though the customer earned only"),
        (Points, "UPDATE risk_decisions SET action = 3 WHERE stage = 3 AND action = 2 LIMIT 1".into(), "that risk had blocked"),
        // 10 and 20 points were credited at once; with what was held it is 111.
        (Caps, "UPDATE points_rules SET daily_cap = 110 WHERE version = 2".into(), "of 110 allowed"),
    ];
    let mut copy = Copy::of(bench.app()).await;
    for (invariant, statement, says) in damage {
        copy.finds(invariant, &statement, says).await;
    }
    copy.drop().await;
    bench.finish().await;
}

/// What contradicts itself is decided by nobody: it is no conflict that passes, and changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_the_books_contradict_is_not_decided_until_they_are_mended() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(1_000, "k").await;
    let commits = bench.app().count("SELECT COUNT(*) FROM commits").await;
    for (damage, repair) in [
        (
            "UPDATE payment_orders SET review = 0",
            "UPDATE payment_orders SET review = 2",
        ),
        (
            "UPDATE transfers SET phase = 0 WHERE phase = 1",
            "UPDATE transfers SET phase = 1 WHERE ORD(SUBSTR(entry_id, 16, 1)) = 9",
        ),
    ] {
        bench.app().execute(damage).await;
        let refused = bench.approve(order, "lin").await;
        refused.refused(500, "books_inconsistent");
        let after = bench.app().count("SELECT COUNT(*) FROM commits").await;
        assert_eq!(after, commits, "{damage}");
        bench.app().execute(repair).await;
    }
    bench.approve(order, "lin").await.expect(200);
    bench.finish().await;
}
