//! What settlement does with risk's word.

use serde_json::json;
use wechat_pay_simulator::{Fault, Payment};
use zhangfang::{
    db::DbError,
    payments::{self, CallbackError, HandledCallback, PointsReview},
    points::PointsMove,
    primitives::{Clock as _, Id, Lane, Money, OrderId, OrderNo, Points, SystemClock},
    risk::Action,
};

use super::{
    Bench,
    processes::{HEADERS, elsewhere},
};
use crate::harness::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn the_money_settles_and_the_points_wait_until_the_review_is_released() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(1_000, "k").await;
    let seen = bench.seen(order).await;
    assert_eq!(
        (
            &seen["state"],
            &seen["points_state"],
            &seen["points_earned"]
        ),
        (&json!("paid"), &json!("pending"), &json!(10))
    );
    assert!(!seen.to_string().contains("review") && !seen.to_string().contains("risk"));
    assert_eq!(bench.points().await, (0, 0, 10));
    assert_eq!(bench.order_says(order).await, PointsReview::Open);
    let review = bench.review_of(order).await;
    assert_eq!(
        (&review["state"], &review["rules"], &review["stage"]),
        (&json!("open"), &json!("fixed"), &json!("points.credit"))
    );
    assert_eq!(bench.moves().await, [(PointsMove::Held, 10)]);
    bench.app().verify().await;

    let approved = bench.approve(order, "lin").await.expect(200);
    assert_eq!(
        (
            &approved["state"],
            &approved["released"],
            &approved["decided_by"]
        ),
        (&json!("approved"), &json!(true), &json!("operator:lin"))
    );
    assert_eq!(bench.points().await, (10, 10, 0));
    assert_eq!(bench.seen(order).await["points_state"], "credited");
    assert_eq!(bench.order_says(order).await, PointsReview::Credited);
    assert_eq!(
        bench.moves().await,
        [(PointsMove::Held, 10), (PointsMove::Earned, 10)]
    );
    // Into the lot that was stated when they were earned.
    let lots = "SELECT COUNT(*) FROM points_lots l JOIN payment_orders o ON l.expired_from = o.points_expired_from WHERE l.remaining = 10";
    assert_eq!(bench.app().count(lots).await, 1);

    // Told in one answer, with who and why.
    bench.app().verify().await;
    let path = format!("/api/v1/admin/payments/{}/history", OrderNo::from(order));
    let history = bench.app().admin().get(&path).await.expect(200);
    assert_eq!(history["payment"]["review"], "credited");
    assert_eq!(history["review"]["note"], "已核对小票");
    let decisions = history["decisions"].as_array().unwrap();
    assert!(
        decisions.iter().any(|one| one["action"] == "review"),
        "{history}"
    );
    let last = history["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["why"], &last["who"]),
        (&json!("reviewed"), &json!("operator:lin"))
    );
    let records = bench
        .setup
        .customer
        .get("/api/v1/customer/points/records")
        .await;
    let records = records.expect(200);
    assert_eq!(
        records["items"][0]["order_no"],
        OrderNo::from(order).to_string()
    );
    let audited = "SELECT COUNT(*) FROM audit_logs WHERE action = 'risk_review.approved' AND actor = 'operator:lin'";
    assert_eq!(bench.app().count(audited).await, 1);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_never_credited() {
    let bench = Bench::open().await;
    let order = bench.setup.paid(1_000, "k").await;
    bench.reject(order, "lin").await.expect(200);
    assert_eq!(bench.points().await, (0, 0, 0));
    let seen = bench.seen(order).await;
    assert_eq!(
        (&seen["points_state"], &seen["points_earned"]),
        (&json!("none"), &json!(0))
    );
    assert_eq!(bench.order_says(order).await, PointsReview::Voided);
    assert_eq!(
        bench.moves().await,
        [(PointsMove::Held, 10), (PointsMove::Voided, 10)]
    );
    let records = bench
        .setup
        .customer
        .get("/api/v1/customer/points/records")
        .await;
    assert_eq!(records.expect(200)["items"][0]["state"], "voided");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_earns_nothing_and_counts_for_nothing() {
    let bench = Bench::open().await;
    bench
        .app()
        .set_rule(|terms| terms.daily_cap = Some(Points::constant(10)))
        .await;
    bench.says(Action::Block);
    let order = bench.setup.paid(1_000, "k1").await;
    assert_eq!(bench.seen(order).await["points_state"], "none");
    assert_eq!(bench.points().await, (0, 0, 0));
    bench.says(Action::Allow);
    let order = bench.setup.paid(1_000, "k2").await;
    assert_eq!(bench.seen(order).await["points_state"], "credited");
    assert_eq!(bench.points().await, (10, 10, 0));
    assert_eq!(
        bench.app().count("SELECT COUNT(*) FROM risk_reviews").await,
        0
    );
    let decisions = "SELECT COUNT(*) FROM risk_decisions WHERE stage = 3 AND action IN (0, 3)";
    assert_eq!(bench.app().count(decisions).await, 2);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_counts_against_the_caps_of_its_day() {
    let bench = Bench::open().await;
    bench
        .app()
        .set_rule(|terms| {
            terms.daily_cap = Some(Points::constant(15));
            terms.total_cap = Some(Points::constant(100));
        })
        .await;
    let first = bench.setup.paid(1_000, "k1").await;
    let second = bench.setup.paid(1_000, "k2").await;
    assert_eq!(bench.review_of(second).await["points"], 5);
    bench.reject(first, "lin").await.expect(200);
    bench.says(Action::Allow);
    let third = bench.setup.paid(1_000, "k3").await;
    assert_eq!(bench.seen(third).await["points_earned"], 0);
    bench.approve(second, "lin").await.expect(200);
    assert_eq!(bench.points().await, (5, 5, 0));
    // What was voided can be handed out again, though not on this day.
    assert_eq!(
        bench
            .app()
            .count("SELECT granted FROM points_budgets")
            .await,
        5
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_was_wanted_when_the_order_was_made_holds_the_points_though_they_are_allowed()
{
    let bench = Bench::open().await;
    bench.says(Action::Allow);
    bench.says_of_creation(Action::Review);
    let setup = &bench.setup;
    let no = bench
        .app()
        .create(&setup.customer, &setup.code, 1_000, "k")
        .await;
    bench
        .app()
        .simulator
        .pay(&no, Payment::clean())
        .await
        .unwrap();
    bench.app().settled(&setup.customer, &no).await;
    let order = no.parse::<OrderNo>().unwrap().id();
    assert_eq!(bench.review_of(order).await["stage"], "payment.create");
    assert_eq!(bench.points().await, (0, 0, 10));
    bench.approve(order, "lin").await.expect(200);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_is_given_customer_merchant_and_amount_and_is_asked_once_however_often_wechat_repeats_the_callback()
 {
    let bench = Bench::open().await;
    let setup = &bench.setup;
    let no = bench
        .app()
        .create(&setup.customer, &setup.code, 880, "k")
        .await;
    bench
        .app()
        .simulator
        .pay(&no, Payment::silent())
        .await
        .unwrap();
    let callback = bench.app().simulator.callback_for(&no).unwrap();
    let path = format!("/api/v1/wechat/notify/{}/payments", bench.app().tenant.id);
    let headers: Vec<(&str, String)> = callback
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap().to_owned()))
        .collect();
    let sending = (0..12).map(|_| async {
        let body = callback.body.to_vec();
        bench.app().anyone().raw(&path, &headers, body).await.status
    });
    let statuses = futures_util::future::join_all(sending).await;
    assert!(statuses.iter().all(|status| *status == 204), "{statuses:?}");
    let asked = bench.asked();
    assert_eq!(asked.len(), 1, "a payment is judged once");
    let order = setup.order(no.parse::<OrderNo>().unwrap().id()).await;
    let facts = &asked[0];
    assert_eq!(
        (
            facts.customer,
            facts.merchant,
            facts.amount,
            facts.points,
            facts.own_merchant
        ),
        (
            order.customer,
            Some(order.merchant),
            Some(Money::constant(880)),
            Some(Points::constant(8)),
            false
        )
    );
    assert_eq!(
        bench.app().count("SELECT COUNT(*) FROM risk_reviews").await,
        1
    );
    assert_eq!(bench.points().await, (0, 0, 8));
    // Decided, and told once more: nothing changes.
    bench.approve(order.id, "lin").await.expect(200);
    let again = bench
        .app()
        .anyone()
        .raw(&path, &headers, callback.body.to_vec())
        .await;
    assert_eq!(again.status, 204);
    assert_eq!(bench.points().await, (8, 8, 0));
    assert_eq!(bench.asked().len(), 1);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_that_pays_its_own_picture_is_known_to_pay_itself() {
    let bench = Bench::open().await;
    let app = bench.app();
    let merchant = app.merchant("西街书店", "1900000141").await;
    for (index, (who, own)) in [("owner-of-1900000141", true), ("wang", false)]
        .into_iter()
        .enumerate()
    {
        let shown = merchant
            .owner
            .keyed(&format!("show{index}"))
            .post("/api/v1/merchant/payments", &json!({ "amount_fen": 1_500 }))
            .await
            .expect(201);
        let url = shown["code_url"].as_str().unwrap();
        let openid = wechat_pay_simulator::openid_for(who);
        app.simulator
            .pay_native(url, &openid, Payment::clean())
            .await
            .unwrap();
        let path = format!(
            "/api/v1/merchant/payments/{}",
            shown["order_no"].as_str().unwrap()
        );
        eventually("the merchant sees the money", || async {
            (merchant.owner.get(&path).await.expect(200)["state"] == "paid").then_some(())
        })
        .await;
        let asked = bench.asked();
        let facts = asked.last().unwrap();
        assert_eq!((asked.len(), facts.own_merchant), (index + 1, own));
        assert!(facts.customer.is_some());
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_facts_a_payment_is_not_settled_and_later_it_is() {
    let bench = Bench::open().await;
    let setup = &bench.setup;
    let no = bench
        .app()
        .create(&setup.customer, &setup.code, 1_000, "k")
        .await;
    bench
        .app()
        .execute("RENAME TABLE risk_decisions TO elsewhere")
        .await;
    // This process knows what it made; another has to read.
    let other = elsewhere(setup).await;
    let order = setup.order(no.parse::<OrderNo>().unwrap().id()).await;
    let at = SystemClock.now();
    let notice = setup.channel.paid_notice(&order, "t1", at, "n1");
    let tenant = bench.app().tenant.id;
    let refused = payments::handle_callback(&other, tenant, HEADERS, notice.clone()).await;
    assert!(
        matches!(refused, Err(CallbackError::Db(DbError::Unavailable(_)))),
        "{refused:?}"
    );
    assert_eq!(bench.app().count("SELECT COUNT(*) FROM transfers").await, 0);
    assert!(bench.asked().is_empty());
    bench
        .app()
        .execute("RENAME TABLE elsewhere TO risk_decisions")
        .await;
    let settled = payments::handle_callback(&other, tenant, HEADERS, notice).await;
    assert!(
        matches!(settled, Ok(HandledCallback::Settled)),
        "{settled:?}"
    );
    assert_eq!(bench.seen(order.id).await["points_state"], "pending");
    other.db.close().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_earns_nothing_or_goes_back_at_once_is_not_reviewed() {
    let bench = Bench::open().await;
    let small = bench.setup.paid(99, "k1").await;
    assert_eq!(bench.seen(small).await["points_state"], "none");
    assert!(
        bench.asked().is_empty(),
        "nothing to be credited, nothing asked"
    );
    let late = bench.setup.paid_late(1_000, "k2").await;
    assert_eq!(bench.order_says(late).await, PointsReview::No);
    assert_eq!(bench.points().await, (0, 0, 0));
    assert_eq!(
        bench.app().count("SELECT COUNT(*) FROM risk_reviews").await,
        0
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_callbacks_of_unknown_orders_are_stored_with_an_alarm_as_ever() {
    let bench = Bench::open().await;
    let setup = &bench.setup;
    let no = bench
        .app()
        .create(&setup.customer, &setup.code, 5_000, "k")
        .await;
    let faults = [Fault::WrongAmount, Fault::WrongMerchant];
    bench
        .app()
        .simulator
        .pay(&no, Payment::with(faults))
        .await
        .unwrap();
    bench.app().settled(&setup.customer, &no).await;
    bench.app().simulator.idle().await;
    assert_eq!(
        bench
            .app()
            .count("SELECT COUNT(*) FROM callback_alarms")
            .await,
        2
    );
    let stranger = OrderNo::from(OrderId::new(Id::mint(1, 2, Lane(3)))).to_string();
    let path = format!("/api/v1/customer/payments/{stranger}/confirm");
    setup
        .customer
        .post(&path, &json!({}))
        .await
        .refused(404, "order_not_found");
    assert_eq!(bench.asked().len(), 1);
    bench.finish().await;
}
