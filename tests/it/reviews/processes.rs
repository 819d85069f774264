//! Two processes at once, and what one of them does not know.

use std::sync::{Arc, Mutex};

use serde_json::json;
use wechat_pay_simulator::openid_for;
use zhangfang::{
    audit::Actor,
    facts::{Facts, Stage},
    merchants::MerchantCache,
    payments::{
        self, CreatePayment, DecideReview, HandledCallback, NoticeHeaders, Payments, RecentOrders,
        RefundStatus, ReviewCommand,
    },
    primitives::{Clock as _, Money, OrderId, OrderNo, ReviewId, Secret, SystemClock},
    risk::{Action, Risk},
};

use super::{Bench, path_of};
use crate::{
    harness::{ChannelReply, TestApp},
    refund_core::RefundSetup,
};

pub(super) const HEADERS: NoticeHeaders = NoticeHeaders {
    timestamp: None,
    nonce: None,
    signature: None,
    serial: None,
    signature_type: None,
};

/// The service as another process has it: with a database handle and a memory of its own.
pub(super) async fn elsewhere(setup: &RefundSetup) -> Payments {
    let db = setup.app.another_db().await;
    Payments {
        merchants: MerchantCache::start(db.clone()),
        recent: RecentOrders::default(),
        db,
        ..setup.payments.clone()
    }
}

fn approval(bench: &Bench, order: OrderId) -> DecideReview {
    DecideReview {
        tenant: bench.app().tenant.id,
        id: ReviewId::of(order.id()),
        command: ReviewCommand::Approve(String::new()),
        by: Actor::operator("lin"),
        claim: None,
    }
}

/// Begins after a different number of steps each round, so that the two meet at every stage of each
/// other.
async fn a_little_later<T>(round: usize, what: impl Future<Output = T>) -> T {
    for _ in 0..round * 200 {
        tokio::task::yield_now().await;
    }
    what.await
}

/// Whichever is first, both get their result, and neither an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_here_and_an_approval_there_never_fail_over_each_other() {
    let bench = Bench::open().await;
    let other = elsewhere(&bench.setup).await;
    let (mut first, mut second) = (0, 0);
    for round in 0..40_usize {
        let order = bench.setup.paid(1_000, &format!("k{round}")).await;
        let request = bench.setup.request(order, None, &format!("r{round}"));
        let asking = payments::request_refund(&bench.setup.payments, request);
        let deciding = payments::decide_review(&other, approval(&bench, order));
        let (refund, approved) = tokio::join!(asking, a_little_later(round, deciding));
        let refund = refund.unwrap();
        match approved {
            Ok(_) if refund.points.withheld.is_zero() => first += 1,
            Ok(_) => second += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(refund.points.due.get(), 10);
        bench
            .setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        bench.setup.reconcile(&refund).await;
    }
    assert_eq!(first + second, 40);
    assert_eq!(bench.points().await, (0, 0, 0));
    other.db.close().await;
    bench.finish().await;
}

/// A refund that awaited a second person and a time-out: both succeed whichever is first.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_agreed_to_here_and_a_time_out_there_never_fail_over_each_other() {
    let bench = Bench::open().await;
    bench
        .app()
        .set_policy(|terms| terms.refund_review_above = Money::constant(500))
        .await;
    let other = elsewhere(&bench.setup).await;
    for round in 0..24_usize {
        let order = bench.setup.paid(1_000, &format!("k{round}")).await;
        let refund = bench
            .setup
            .refund(order, Some(600), &format!("r{round}"))
            .await;
        let key = format!("d{round}");
        let (agreed, timed_out) = tokio::join!(
            bench.setup.decide(&refund, true, &key),
            a_little_later(
                round,
                payments::time_out_review(&other, ReviewId::of(order.id()))
            )
        );
        assert!(timed_out.is_ok(), "{timed_out:?}");
        // Voided before it was initiated, or withheld: credited in neither case.
        let back = agreed.points;
        assert_eq!(back.due, back.withheld);
        assert_eq!(bench.setup.order(order).await.refunds.points, back.due);
        bench
            .setup
            .channel
            .knows([ChannelReply::Is(RefundStatus::Success)]);
        bench.setup.reconcile(&agreed).await;
    }
    assert_eq!(bench.points().await, (0, 0, 0));
    other.db.close().await;
    bench.finish().await;
}

/// Risk that says one thing of payments that are made, and lets everything else be.
fn of_payments(says: &Arc<Mutex<Action>>) -> Risk {
    let says = Arc::clone(says);
    Risk::fixed(Arc::new(move |facts: &Facts| match facts.stage {
        Stage::PaymentCreate => *says.lock().unwrap(),
        Stage::Login | Stage::PointsCredit | Stage::Redeem | Stage::Refund => Action::Allow,
    }))
}

/// Handles the callback of the payment in this process.
async fn settle(payments: &Payments, setup: &RefundSetup, order: OrderId) {
    let found = setup.order(order).await;
    let number = OrderNo::from(order).to_string();
    let notice = setup
        .channel
        .paid_notice(&found, &number, SystemClock.now(), &number);
    let taken = payments::handle_callback(payments, setup.app.tenant.id, HEADERS, notice).await;
    assert!(matches!(taken, Ok(HandledCallback::Settled)), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_risk_says_of_a_repeat_is_not_taken_for_what_it_said_of_the_order() {
    let says = Arc::new(Mutex::new(Action::Review));
    let setup = RefundSetup::at(TestApp::with_risk_without_jobs(of_payments(&says)).await).await;
    let other = elsewhere(&setup).await;
    let no = setup
        .app
        .create(&setup.customer, &setup.code, 1_000, "k")
        .await;
    let order = no.parse::<OrderNo>().unwrap().id();
    let customer = setup.order(order).await.customer.unwrap();
    // The request is repeated, at another process and when risk allows it.
    *says.lock().unwrap() = Action::Allow;
    let request = CreatePayment {
        tenant: setup.app.tenant.id,
        customer,
        payer_openid: Secret::new(openid_for("li")),
        code: setup.code.clone(),
        amount: Some(Money::constant(1_000)),
        key: "k".into(),
        origin: zhangfang::facts::Origin::default(),
    };
    let again = payments::create_payment(&other, request).await.unwrap();
    assert_eq!(again.order.id, order);
    settle(&other, &setup, order).await;
    let review = setup.app.admin().get(&path_of(order)).await.expect(200);
    assert_eq!(
        (&review["stage"], &review["rules"]),
        (&json!("payment.create"), &json!("fixed"))
    );
    other.db.close().await;
    setup.app.finish().await;
}

/// A till's order that risk would have verified is paid, and whoever reviews the points reads which
/// rule it was.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_that_nobody_could_answer_is_named_to_whoever_reviews() {
    let says = Arc::new(Mutex::new(Action::Verify));
    let setup = RefundSetup::at(TestApp::with_risk_without_jobs(of_payments(&says)).await).await;
    let owner = setup
        .app
        .login(
            &format!("owner-of-{}", crate::refund_core::SUB_MCHID),
            "merchant",
        )
        .await;
    let other = elsewhere(&setup).await;
    for (key, payments) in [("here", setup.app.app.payments()), ("there", &other)] {
        let shown = owner
            .keyed(key)
            .post("/api/v1/merchant/payments", &json!({ "amount_fen": 700 }))
            .await;
        let no = shown.expect(201)["order_no"].as_str().unwrap().to_owned();
        let order = no.parse::<OrderNo>().unwrap().id();
        let found = setup.order(order).await;
        let notice =
            setup
                .channel
                .paid_notice_by(&found, &no, SystemClock.now(), &openid_for("li"));
        let payments = Payments {
            channels: Arc::clone(&setup.payments.channels),
            ..payments.clone()
        };
        let taken =
            payments::handle_callback(&payments, setup.app.tenant.id, HEADERS, notice).await;
        assert!(matches!(taken, Ok(HandledCallback::Settled)), "{taken:?}");
        let review = setup.app.admin().get(&path_of(order)).await.expect(200);
        assert_eq!(
            (&review["stage"], &review["rules"]),
            (&json!("payment.create"), &json!("fixed")),
            "{key}"
        );
    }
    other.db.close().await;
    setup.app.finish().await;
}

/// A record that cannot be read keeps nobody's money waiting: not this order's, and not that of
/// those who are read with it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_decision_does_not_keep_payments_from_settling() {
    let says = Arc::new(Mutex::new(Action::Review));
    let setup = RefundSetup::at(TestApp::with_risk_without_jobs(of_payments(&says)).await).await;
    let no = setup
        .app
        .create(&setup.customer, &setup.code, 1_000, "k")
        .await;
    let order = no.parse::<OrderNo>().unwrap().id();
    setup.app
        .execute("CREATE TABLE kept_decisions AS SELECT id, decision FROM risk_decisions WHERE stage = 2")
        .await;
    setup
        .app
        .execute("UPDATE risk_decisions SET decision = x'ff' WHERE stage = 2")
        .await;
    let other = elsewhere(&setup).await;
    settle(&other, &setup, order).await;
    let paid = setup.order(order).await;
    assert!(paid.state.payment().is_some());
    assert_eq!(
        paid.review,
        zhangfang::payments::PointsReview::Open,
        "that it was wanted stands on the order"
    );
    setup.app
        .execute("UPDATE risk_decisions d JOIN kept_decisions k ON k.id = d.id SET d.decision = k.decision")
        .await;
    setup.app.execute("DROP TABLE kept_decisions").await;
    other.db.close().await;
    setup.app.finish().await;
}
