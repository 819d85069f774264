//! Points rules: caps hold when everybody pays at once.

use std::sync::Arc;

use wechat_pay_simulator::Payment;
use zhangfang::{
    payments::{PaidNotice, RefundStatus, SettleOutcome, SettlePayment},
    primitives::{Money, Points},
};

use crate::{
    harness::{Caller, ChannelReply, TestApp},
    refund_core::RefundSetup,
    reviews::Bench,
};

fn points(units: i64) -> Points {
    Points::parse(units).unwrap()
}

async fn posted(customer: &Caller) -> i64 {
    customer.get("/api/v1/customer/points").await.expect(200)["posted"]
        .as_i64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_cap_holds_when_a_customer_pays_ten_times_at_once() {
    let app = TestApp::start().await;
    app.set_rule(|terms| terms.daily_cap = Some(points(55)))
        .await;
    let merchant = app.merchant("茶里巷", "1900000120").await;
    let (li, wang) = (app.customer("li").await, app.customer("wang").await);
    let paying = (0..10).map(|index| {
        let (app, li, code) = (&app, li.clone(), merchant.code.clone());
        async move { app.pay(&li, &code, 1000, &format!("k{index}")).await }
    });
    futures_util::future::join_all(paying).await;
    assert_eq!(posted(&li).await, 55);
    app.pay(&wang, &merchant.code, 1000, "w").await;
    assert_eq!(posted(&wang).await, 10, "a cap is per customer");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_cap_holds_across_customers_and_processes() {
    let app = TestApp::start().await;
    app.set_rule(|terms| terms.total_cap = Some(points(100)))
        .await;
    let merchant = app.merchant("茶里巷", "1900000121").await;
    let other = app.another_db().await;
    let mut orders = Vec::new();
    for index in 0..30 {
        let customer = app.customer(&format!("c{index}")).await;
        orders.push(app.create(&customer, &merchant.code, 700, "k").await);
    }
    let rule = app.app.rules().current(app.tenant.id).await.unwrap();
    let policy = app
        .app
        .payments()
        .policies
        .current(app.tenant.id)
        .await
        .unwrap();
    let settling = orders.iter().enumerate().map(|(index, order_no)| {
        let db = if index % 2 == 0 {
            app.db().clone()
        } else {
            other.clone()
        };
        let notice = PaidNotice {
            out_trade_no: order_no.clone(),
            wechat_transaction_id: format!("4200000000{index:018}"),
            sp_mchid: String::new(),
            sub_mchid: "1900000121".into(),
            payer_openid: None,
            app_id: String::new(),
            amount: Money::parse(700).unwrap(),
            currency: "CNY".into(),
            payer_amount: None,
            paid_at: app.app.now(),
        };
        let settle = SettlePayment::new(
            app.tenant.id,
            notice,
            true,
            (Arc::clone(&rule), Arc::clone(&policy)),
            None,
        );
        tokio::spawn(async move { db.submit(settle).await })
    });
    let mut credited = Vec::new();
    for settled in futures_util::future::join_all(settling).await {
        match settled.unwrap().unwrap() {
            SettleOutcome::Now { points } => credited.push(points.get()),
            odd @ (SettleOutcome::Before
            | SettleOutcome::Rejected(_)
            | SettleOutcome::PayerNeeded) => panic!("{odd:?}"),
        }
    }
    assert_eq!(credited.iter().sum::<i64>(), 100, "{credited:?}");
    assert_eq!(app.count("SELECT granted FROM points_budgets").await, 100);
    other.close().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_credited_by_the_rule_in_force_when_it_is_paid() {
    let app = TestApp::start().await;
    let merchant = app.merchant("茶里巷", "1900000122").await;
    let li = app.customer("li").await;
    app.pay(&li, &merchant.code, 1000, "k1").await;
    assert_eq!(posted(&li).await, 10);
    app.set_rule(|terms| terms.amount_min = Money::parse(2000).unwrap())
        .await;
    let order_no = app.create(&li, &merchant.code, 1000, "k2").await;
    app.simulator
        .pay(&order_no, Payment::clean())
        .await
        .unwrap();
    let order = app.settled(&li, &order_no).await;
    assert_eq!(order["points_earned"], 0);
    assert_eq!(posted(&li).await, 10);
    assert_eq!(
        app.count("SELECT COUNT(*) FROM transfers").await,
        3,
        "no points, no transfer of points"
    );
    app.finish().await;
}

/// Points that the order says it earned.
async fn earned(setup: &RefundSetup, fen: i64, key: &str) -> i64 {
    let order = setup.paid(fen, key).await;
    let order = setup.order(order).await;
    order.state.payment().unwrap().points.get()
}

const GRANTED: &str = "SELECT granted FROM points_budgets WHERE rule_version = 2";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refund_takes_back_the_campaign_gives_again_and_the_day_does_not() {
    let setup = RefundSetup::open().await;
    setup
        .app
        .set_rule(|terms| terms.total_cap = Some(points(30)))
        .await;
    let order = setup.paid(2_000, "a").await;
    assert_eq!(earned(&setup, 2_000, "b").await, 10, "up to the cap");
    assert_eq!(earned(&setup, 500, "c").await, 0);
    // While it is under way nothing is back.
    let refund = setup.refund(order, Some(800), "r1").await;
    assert_eq!(earned(&setup, 500, "d").await, 0);
    setup.channel.knows([
        ChannelReply::Is(RefundStatus::Success),
        ChannelReply::Is(RefundStatus::Closed),
    ]);
    setup.reconcile(&refund).await;
    assert_eq!(setup.app.count(GRANTED).await, 22);
    let closed = setup.refund(order, Some(800), "r2").await;
    setup.reconcile(&closed).await;
    assert_eq!(setup.app.count(GRANTED).await, 22, "that one failed");
    assert_eq!(earned(&setup, 2_000, "e").await, 8);
    assert_eq!(setup.app.count(GRANTED).await, 30);
    assert!(setup.app.verify().await.is_clean());
    // The day's cap gets nothing back.
    setup
        .app
        .set_rule(|terms| terms.daily_cap = Some(points(48)))
        .await;
    let order = setup.paid(2_000, "f").await;
    assert_eq!(
        setup
            .order(order)
            .await
            .state
            .payment()
            .unwrap()
            .points
            .get(),
        10
    );
    setup
        .channel
        .answers([ChannelReply::Is(RefundStatus::Success)]);
    setup.refund(order, None, "r3").await;
    assert_eq!(earned(&setup, 500, "g").await, 0);
    setup.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_voids_the_campaign_gives_again() {
    let bench = Bench::open().await;
    bench
        .app()
        .set_rule(|terms| terms.total_cap = Some(points(20)))
        .await;
    let (one, other) = (
        bench.setup.paid(1_000, "a").await,
        bench.setup.paid(2_000, "b").await,
    );
    assert_eq!(bench.app().count(GRANTED).await, 20, "held is handed out");
    let refund = bench.setup.refund(one, Some(400), "r").await;
    assert_eq!(bench.app().count(GRANTED).await, 20, "it may fail");
    bench.reject(other, "lin").await.expect(200);
    assert_eq!(bench.app().count(GRANTED).await, 10);
    bench
        .setup
        .channel
        .knows([ChannelReply::Is(RefundStatus::Success)]);
    bench.setup.reconcile(&refund).await;
    assert_eq!(bench.app().count(GRANTED).await, 6);
    assert!(bench.app().verify().await.is_clean());
    bench.time_is_over().await;
    assert_eq!(bench.app().count(GRANTED).await, 0);
    bench.finish().await;
}
