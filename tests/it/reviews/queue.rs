//! Who may decide, when, and how often.

use serde_json::json;
use zhangfang::{
    jobs,
    payments::{self, PointsReview},
    primitives::ReviewId,
    risk::{Action, ReviewError, TimeoutDecision},
};

use super::{Bench, approve, on_timeout, path_of, two_above};

#[tokio::test(flavor = "multi_thread")]
async fn when_time_is_over_the_rule_file_decides() {
    for (then, points, says) in [
        (
            TimeoutDecision::Approve,
            (10, 10, 0),
            PointsReview::Credited,
        ),
        (TimeoutDecision::Reject, (0, 0, 0), PointsReview::Voided),
    ] {
        let bench = Bench::with(on_timeout(then)).await;
        let order = bench.setup.paid(1_000, "k").await;
        // Before its time nothing is due.
        let more = jobs::reviews_round(bench.app().app.payments()).await;
        assert!(!more.unwrap());
        assert_eq!(bench.state(order).await, ("open".into(), None));
        bench.claim(order, "lin").await.expect(200);
        bench.time_is_over().await;
        let released = says == PointsReview::Credited;
        assert_eq!(
            bench.state(order).await,
            ("timed_out".into(), Some(released))
        );
        assert_eq!(bench.points().await, points);
        assert_eq!(bench.order_says(order).await, says);
        bench
            .approve(order, "lin")
            .await
            .refused(409, "review_already_decided");
        bench
            .reject(order, "lin")
            .await
            .refused(409, "review_already_decided");
        bench
            .claim(order, "lin")
            .await
            .refused(409, "review_already_decided");
        let timed_out =
            payments::time_out_review(bench.app().app.payments(), ReviewId::of(order.id()));
        assert!(matches!(
            timed_out.await,
            Err(ReviewError::AlreadyDecided(_))
        ));
        bench.time_is_over().await;
        assert_eq!(bench.points().await, points);
        bench.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_claim_at_once_one_has_it_for_half_an_hour() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(1_000, "k").await;
    let (one, other) = tokio::join!(bench.claim(order, "lin"), bench.claim(order, "mei"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let (holder, loser) = if one.status == 200 {
        ("lin", "mei")
    } else {
        ("mei", "lin")
    };
    bench
        .claim(order, loser)
        .await
        .refused(409, "review_claimed");
    bench
        .approve(order, loser)
        .await
        .refused(409, "review_claimed");
    bench
        .reject(order, loser)
        .await
        .refused(409, "review_claimed");
    let release = format!("{}/unclaim", path_of(order));
    let loser_says = bench.app().operator(loser).post(&release, &json!({})).await;
    loser_says.refused(409, "review_claimed");
    let review = bench.review_of(order).await;
    assert_eq!(review["claimed_by"], format!("operator:{holder}"));

    // Half an hour later it is anybody's.
    bench
        .app()
        .execute("UPDATE risk_reviews SET claimed_at = claimed_at - INTERVAL 30 MINUTE")
        .await;
    let review = bench.review_of(order).await;
    assert_eq!(
        (&review["state"], &review["claimed_by"]),
        (&json!("open"), &json!(null))
    );
    bench.claim(order, loser).await.expect(200);
    bench
        .approve(order, holder)
        .await
        .refused(409, "review_claimed");
    let released = bench.app().operator(loser).post(&release, &json!({})).await;
    assert_eq!(released.expect(200)["state"], "open");
    let again = bench.app().operator(loser).post(&release, &json!({})).await;
    again.refused(409, "review_not_claimed");
    // A refusal used up no key.
    bench.approve(order, holder).await.expect(200);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_points_take_two_people() {
    let bench = Bench::with(two_above(9)).await;
    let order = bench.setup.paid(1_000, "k").await;
    let few = bench.setup.paid(900, "k2").await;
    bench.claim(order, "lin").await.expect(200);
    let first = bench.approve(order, "lin").await.expect(200);
    assert_eq!(
        (&first["state"], &first["released"]),
        (&json!("open"), &json!(null))
    );
    assert_eq!(first["first_approver"], "operator:lin");
    assert_eq!(bench.points().await, (0, 0, 19));
    let lin = bench.app().operator("lin").keyed("another");
    approve(&lin, order)
        .await
        .refused(403, "review_needs_second_person");
    // A repeated key is the first approval once more, and no second one.
    let again = bench.approve(order, "lin").await.expect(200);
    assert_eq!(
        (&again["state"], &again["version"]),
        (&first["state"], &first["version"])
    );
    let second = bench.approve(order, "mei").await.expect(200);
    assert_eq!(
        (&second["state"], &second["decided_by"]),
        (&json!("approved"), &json!("operator:mei"))
    );
    assert_eq!(bench.points().await, (10, 10, 9));
    let alone = bench.app().operator("lin").keyed("few");
    approve(&alone, few).await.expect(200);
    assert_eq!(bench.points().await, (19, 19, 0));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_approve_a_large_one_at_once_both_count_and_it_is_credited_once() {
    let bench = Bench::with(two_above(9)).await;
    for round in 0..4 {
        let order = bench.setup.paid(1_000, &format!("k{round}")).await;
        let (lin, mei) = (bench.app().operator("lin"), bench.app().operator("mei"));
        let (lin, mei) = (
            lin.keyed(&format!("l{round}")),
            mei.keyed(&format!("m{round}")),
        );
        let (one, other) = tokio::join!(approve(&lin, order), approve(&mei, order));
        one.expect(200);
        other.expect(200);
        assert_eq!(bench.state(order).await, ("approved".into(), Some(true)));
        assert_eq!(bench.points().await.0, 10 * (round + 1));
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_decide_at_once_it_is_decided_once() {
    let bench = Bench::open().await;
    for round in 0..4 {
        let order = bench.setup.paid(1_000, &format!("k{round}")).await;
        bench.time_runs_out().await;
        let app = bench.app();
        let approving = (0..3).map(|index| {
            let who = app
                .operator(&format!("a{index}"))
                .keyed(&format!("a{round}"));
            async move { approve(&who, order).await }
        });
        let rejecting = (0..3).map(|index| {
            let who = app
                .operator(&format!("r{index}"))
                .keyed(&format!("r{round}"));
            let path = format!("{}/reject", path_of(order));
            async move { who.post(&path, &json!({ "note": "no" })).await }
        });
        let approved = futures_util::future::join_all(approving);
        let rejected = futures_util::future::join_all(rejecting);
        let (approved, rejected, ()) = tokio::join!(approved, rejected, bench.round());
        let answers: Vec<_> = approved.iter().chain(&rejected).collect();
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(done <= 1, "{done} people decided");
        for answer in answers {
            if answer.status != 200 {
                answer.refused(409, "review_already_decided");
            }
        }
        let released = bench.state(order).await.1;
        assert!(released.is_some());
        assert_eq!(bench.points().await.2, 0);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_credited_after_a_review_repays_a_debt_first() {
    let bench = Bench::open().await;
    bench.says(Action::Allow);
    let spent = bench.setup.paid(1_000, "k1").await;
    bench.setup.spend(spent, 7).await;
    let says = crate::harness::ChannelReply::Is(payments::RefundStatus::Success);
    bench.setup.channel.answers([says]);
    bench.setup.refund(spent, None, "r").await;
    assert_eq!(bench.setup.has(spent).await, (0, 0, 7));
    bench.says(Action::Review);
    let small = bench.setup.paid(500, "k2").await;
    let large = bench.setup.paid(1_200, "k3").await;
    assert_eq!(
        bench.setup.has(spent).await,
        (0, 0, 7),
        "what is held repays nothing"
    );
    bench.approve(small, "lin").await.expect(200);
    assert_eq!(bench.setup.has(spent).await, (0, 0, 2));
    let mei = bench.app().operator("mei").keyed("large");
    approve(&mei, large).await.expect(200);
    assert_eq!(bench.setup.has(spent).await, (10, 0, 0));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_read_by_page_and_filter_and_decided_by_those_who_may() {
    let bench = Bench::open().await;
    let app = bench.app();
    let mut orders = Vec::new();
    for index in 0..5 {
        orders.push(bench.setup.paid(1_000, &format!("k{index}")).await);
    }
    bench.claim(orders[0], "lin").await.expect(200);
    bench.approve(orders[1], "lin").await.expect(200);
    bench.reject(orders[2], "mei").await.expect(200);
    let lin = app.operator("lin");
    let list = async |query: &str| {
        let path = format!("/api/v1/admin/risk/reviews?limit=2{query}");
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = lin.get(&format!("{path}{cursor}")).await.expect(200);
            let items = page["items"].as_array().unwrap().clone();
            ids.extend(
                items
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    };
    let id = |index: usize| ReviewId::of(orders[index].id()).to_string();
    assert_eq!(list("").await, [id(4), id(3), id(2), id(1), id(0)]);
    assert_eq!(list("&state=open").await, [id(4), id(3)]);
    assert_eq!(list("&state=claimed").await, [id(0)]);
    assert_eq!(list("&mine=true").await, [id(0)]);
    assert_eq!(list("&state=approved").await, [id(1)]);
    assert_eq!(list("&state=rejected").await, [id(2)]);
    assert!(list("&state=superseded").await.is_empty());
    assert!(list("&stage=redeem").await.is_empty());
    let order = bench.setup.order(orders[0]).await;
    let (customer, merchant) = (order.customer.unwrap(), order.merchant);
    assert_eq!(
        list(&format!("&customer_id={customer}&merchant_id={merchant}"))
            .await
            .len(),
        5
    );
    let nobody = format!("cu_{}", "0".repeat(32));
    assert!(list(&format!("&customer_id={nobody}")).await.is_empty());

    for wrong in [
        "state=closed",
        "stage=nothing",
        "mine=perhaps",
        "customer_id=me_1",
        "limit=0",
    ] {
        let path = format!("/api/v1/admin/risk/reviews?{wrong}");
        lin.get(&path).await.refused(422, "field_invalid");
    }
    let page = lin.get("/api/v1/admin/risk/reviews?cursor=x").await;
    page.refused(400, "cursor_invalid");
    let unknown = format!("/api/v1/admin/risk/reviews/rv_{}", "0".repeat(32));
    lin.get(&unknown).await.refused(404, "review_not_found");
    let claim = lin.post(&format!("{unknown}/claim"), &json!({})).await;
    claim.refused(404, "review_not_found");
    lin.get("/api/v1/admin/risk/reviews/7")
        .await
        .refused(404, "not_found");

    let path = path_of(orders[3]);
    let keyed = lin.keyed("hostile");
    for (word, body) in [
        ("reject", json!({ "note": "  " })),
        ("reject", json!({ "note": "a\nb" })),
        ("reject", json!({ "note": "退".repeat(201) })),
        ("approve", json!({ "note": "\u{0}" })),
    ] {
        let refused = keyed.post(&format!("{path}/{word}"), &body).await;
        refused.refused(422, "field_invalid");
    }
    let unkeyed = lin.post(&format!("{path}/approve"), &json!({})).await;
    unkeyed.refused(400, "idempotency_key_missing");
    let quoted = json!({ "note": "'); DROP TABLE risk_reviews; -- \\" });
    let said = keyed
        .post(&format!("{path}/reject"), &quoted)
        .await
        .expect(200);
    assert_eq!(said["note"], quoted["note"]);
    let other = keyed
        .post(&format!("{path}/reject"), &json!({ "note": "other" }))
        .await;
    other.refused(422, "idempotency_key_reused");
    assert_eq!(other.expect(422)["review_id"], said["id"]);

    let customer = &bench.setup.customer;
    customer
        .get("/api/v1/admin/risk/reviews")
        .await
        .refused(403, "forbidden");
    customer
        .post(&format!("{path}/claim"), &json!({}))
        .await
        .refused(403, "forbidden");
    let auditor = app.role("eve", zhangfang::auth::OperatorRole::Auditor);
    auditor.get(&path).await.expect(200);
    auditor
        .post(&format!("{path}/claim"), &json!({}))
        .await
        .refused(403, "forbidden");
    let auditor = auditor.keyed("e");
    approve(&auditor, orders[3]).await.refused(403, "forbidden");
    bench.finish().await;
}
