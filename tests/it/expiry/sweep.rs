//! What can be spent when, and what the sweep takes.

use zhangfang::{ledger::Resolution, primitives::BusinessDay};

use super::{Calendar, Change, at, day, round, rounds, someone, worker};

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_first_is_spent_first_and_is_gone_at_the_turn_of_its_day() {
    let calendar = Calendar::open(at("2026-11-21T12:00:00")).await;
    let customer = someone(calendar.db());
    calendar.grant(customer, 10, BusinessDay::NEVER).await;
    calendar.grant(customer, 10, day("2026-11-25")).await;
    calendar.grant(customer, 10, day("2026-11-23")).await;
    assert!(calendar.spend(customer, 5).await);
    // The last moment of the last day, in Beijing.
    calendar.clock.set(at("2026-11-22T23:59:59.999999"));
    assert!(calendar.spend(customer, 3).await);
    let lots = |of: &[(&str, i64)]| -> Vec<(String, i64)> {
        of.iter()
            .map(|(on, left)| ((*on).to_owned(), *left))
            .collect()
    };
    let left = [("2026-11-23", 2), ("2026-11-25", 10), ("9999-12-31", 10)];
    assert_eq!(calendar.lots(customer).await, lots(&left));

    // The first moment of the day: nothing has been swept, and nothing of it is spent.
    calendar.clock.set(at("2026-11-23T00:00:00"));
    assert!(!calendar.spend(customer, 21).await);
    assert!(calendar.change(customer, Change::Hold, 21).await.is_err());
    assert!(calendar.spend(customer, 12).await);
    let left = [("2026-11-23", 2), ("9999-12-31", 8)];
    assert_eq!(calendar.lots(customer).await, lots(&left));
    assert_eq!(rounds(calendar.db()).await, 0, "it is not the hour");

    calendar.clock.set(at("2026-11-23T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(calendar.lots(customer).await, lots(&[("9999-12-31", 8)]));
    assert_eq!(calendar.has(customer).await, (8, 0));
    assert_eq!(calendar.expired().await, (1, 1, 2));
    // Once a day, by whichever process.
    assert_eq!(rounds(calendar.db()).await, 0);

    // What lasts for ever lasts.
    calendar.clock.set(at("2036-11-23T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(calendar.has(customer).await, (8, 0));
    assert_eq!(calendar.expired().await, (1, 1, 2));
    calendar.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_outlives_its_day_until_the_hold_ends() {
    let calendar = Calendar::open(at("2026-11-21T12:00:00")).await;
    let mut holds = Vec::new();
    for _ in 0..2 {
        let customer = someone(calendar.db());
        calendar.grant(customer, 10, day("2026-11-22")).await;
        let hold = calendar.change(customer, Change::Hold, 6).await.unwrap();
        calendar.grant(customer, 5, day("2026-11-30")).await;
        holds.push((customer, hold));
    }
    calendar.clock.set(at("2026-11-22T03:00:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    for (customer, _) in &holds {
        assert_eq!(calendar.has(*customer).await, (11, 6));
        // What is held comes out of what has expired by now, so what is not can be spent; and
        // nothing more.
        assert!(!calendar.spend(*customer, 6).await);
        assert!(calendar.spend(*customer, 1).await);
    }
    let [(captured, hold), (released, other)] = holds[..] else {
        panic!("two holds")
    };
    calendar.end(hold, Resolution::Post).await;
    assert_eq!(calendar.has(captured).await, (4, 0));
    assert_eq!(
        calendar.lots(captured).await,
        [("2026-11-30".to_owned(), 4)]
    );
    assert!(calendar.spend(captured, 4).await);

    calendar.end(other, Resolution::Void).await;
    assert_eq!(calendar.has(released).await, (10, 0));
    assert!(!calendar.spend(released, 5).await, "the hold has ended");
    assert!(calendar.spend(released, 4).await);
    calendar.clock.set(at("2026-11-23T00:10:00"));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(calendar.has(released).await, (0, 0));
    assert_eq!(calendar.expired().await, (3, 3, 14));
    calendar.app.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_of_weeks_one_run_sweeps_an_account_with_many_lots() {
    let calendar = Calendar::open(at("2026-01-01T12:00:00")).await;
    let customer = someone(calendar.db());
    let first = day("2026-01-02");
    for number in 0..250 {
        calendar.grant(customer, 2, first.plus_days(number)).await;
    }
    calendar.grant(customer, 7, first.plus_days(400)).await;
    assert!(calendar.spend(customer, 4).await);
    calendar
        .clock
        .set(first.plus_days(260).start().plus_seconds(3_600));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(calendar.has(customer).await, (7, 0));
    // Two entries: one has so many legs at most.
    assert_eq!(calendar.expired().await, (2, 248, 496));
    // What is spent and long expired is forgotten; but not that something expired, as long as a
    // refund may ask.
    let lots = "SELECT COUNT(*) FROM points_lots";
    assert_eq!(calendar.app.count(lots).await, 249);
    calendar
        .clock
        .set(first.plus_days(371).start().plus_seconds(3_600));
    assert_eq!(rounds(calendar.db()).await, 1);
    assert_eq!(calendar.app.count(lots).await, 1);
    calendar.app.finish().await;
}

/// Payments of the customers whose points are being swept, at the same time, through HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn payments_go_on_while_their_payers_points_expire() {
    use zhangfang::primitives::{Clock as _, SystemClock};
    let now = SystemClock.now();
    let today = now.business_day();
    let calendar = Calendar::open(now).await;
    let merchant = calendar.app.merchant("茶里", "1900000109").await;
    let mut customers = Vec::new();
    for name in 0..6 {
        let caller = calendar.app.customer(&format!("payer-{name}")).await;
        let me = caller.get("/api/v1/customer/me").await.expect(200);
        customers.push((caller, me["id"].as_str().unwrap().parse().unwrap()));
    }
    // As if they had been earned three weeks ago.
    calendar.clock.set(now.plus_seconds(-21 * 86_400));
    let old = calendar.db().now().business_day();
    for (_, id) in &customers {
        for number in 1..=20 {
            calendar.grant(*id, 3, old.plus_days(number)).await;
        }
    }
    calendar.clock.set(now);
    let paying = customers.iter().enumerate().map(|(index, (caller, _))| {
        let (app, code) = (&calendar.app, &merchant.code);
        async move {
            for number in 0..5 {
                let key = format!("k{index}-{number}");
                app.pay(caller, code, 1_000, &key).await;
            }
        }
    });
    let sweeping = async {
        let ask = || calendar.operator(zhangfang::auth::OperatorRole::Admin);
        let mut worker = worker(calendar.db());
        for _ in 0..8 {
            let path = "/api/v1/admin/points/expiry-runs";
            ask().post(path, &serde_json::json!({})).await.expect(202);
            assert!(round(&mut worker).await);
        }
    };
    tokio::join!(futures_util::future::join_all(paying), sweeping);
    for (_, id) in &customers {
        assert_eq!(calendar.has(*id).await, (50, 0));
    }
    assert_eq!(calendar.expired().await.2, 6 * 60);
    assert!(old.plus_days(20) < today);
    calendar.app.finish().await;
}
