//! Payments of which we are told long after they were made: by a late callback, by a query, or
//! after the order was closed. The rule is the one of the payment.

use zhangfang::{
    payments::HandledCallback,
    points::{RuleTerms, Validity},
    primitives::Timestamp,
};

use super::points;
use crate::model::house::{House, Paid};

/// An instant in Beijing.
fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(&format!("{text}+08:00")).unwrap()
}

fn per_yuan(ratio: i64) -> RuleTerms {
    RuleTerms {
        ratio: ratio.into(),
        validity: Validity::Days { count: 30 },
        ..RuleTerms::default()
    }
}

/// Settles a payment that was made at `paid_at` by a callback at `now`; returns what it earns.
async fn earned(house: &House, paid: &Paid, paid_at: &str, now: &str) -> i64 {
    house.clock.set(at(now));
    let notice = house.paid_at(paid, at(paid_at));
    assert_eq!(
        house.deliver_callback(&notice).await,
        HandledCallback::Settled
    );
    house.earned(paid).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_earns_by_the_rule_in_force_when_the_customer_paid() {
    let house = House::open(31).await;
    let li = house.customer("li").await;
    house.reopen_late_payments().await;
    // Opened at noon with one point per yuan.
    let (one, later) = (at("2026-11-21T13:00:00"), at("2026-11-22T00:00:00"));
    house.plan_rule(per_yuan(2), Some(one)).await;
    house.plan_rule(per_yuan(3), Some(later)).await;
    let mut orders = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        orders.push(house.pay(li, 1_000, key).await);
    }
    let [
        early,
        edge,
        asked,
        reopened,
        before_it_was_made,
        ahead,
        young,
    ] = &orders[..]
    else {
        panic!("seven orders");
    };
    house.close(reopened).await;
    // Days later, when nobody remembers those rules any more.
    house.clock.set(at("2026-11-24T09:00:00"));
    house.plan_rule(per_yuan(9), None).await;
    let now = "2026-11-24T09:00:01";
    assert_eq!(earned(&house, early, "2026-11-21T12:59:59", now).await, 10);
    assert_eq!(earned(&house, edge, "2026-11-21T13:00:00", now).await, 20);
    let notice = house.paid_at(asked, at("2026-11-21T23:59:59"));
    house.confirm(asked, &notice).await;
    assert_eq!(house.earned(asked).await, 20);
    let closed = "2026-11-22T00:00:00";
    assert_eq!(earned(&house, reopened, closed, now).await, 30);
    // Not earlier than the order, which was made at noon; nor later than now.
    let odd = "2020-01-01T00:00:00";
    assert_eq!(earned(&house, before_it_was_made, odd, now).await, 10);
    assert_eq!(earned(&house, ahead, "2026-12-24T00:00:00", now).await, 90);
    assert_eq!(earned(&house, young, now, now).await, 90);
    // How long they last is counted from the credit: these are not over when they come.
    let (purse, _, _) = house.purse(li).await;
    let days: Vec<String> = purse.lots.keys().map(ToString::to_string).collect();
    assert_eq!(days, ["2026-12-25", "2027-11-25"]);
    let report = house.verify().await;
    assert!(report.is_clean(), "{report}");
    // What an order names is found out, to the second.
    house
        .execute("UPDATE payment_orders SET rule_version = 2 WHERE paid_at = '2026-11-21 04:59:59'")
        .await;
    let report = house.verify().await.to_string();
    assert!(report.contains("was not in force"), "{report}");
    house
        .execute("UPDATE payment_orders SET rule_version = 1 WHERE paid_at = '2026-11-21 04:59:59'")
        .await;
    house.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_counts_on_the_day_on_which_it_was_made_unless_a_later_day_was_counted() {
    let house = House::open(32).await;
    let li = house.customer("li").await;
    let capped = RuleTerms {
        daily_cap: Some(points(15)),
        ..per_yuan(1)
    };
    house.plan_rule(capped, None).await;
    let mut orders = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        orders.push(house.pay(li, 1_000, key).await);
    }
    let earned_by = async |order: usize, paid_at: &str, now: &str| {
        let (paid_at, now) = (format!("2026-11-{paid_at}"), format!("2026-11-{now}"));
        earned(&house, &orders[order], &paid_at, &now).await
    };
    assert_eq!(earned_by(0, "21T23:50:00", "21T23:50:01").await, 10);
    // Told after midnight, and still of the day before: five are left of it.
    assert_eq!(earned_by(1, "21T23:55:00", "22T00:05:00").await, 5);
    assert_eq!(earned_by(2, "21T23:56:00", "22T00:05:01").await, 0);
    assert_eq!(earned_by(3, "22T00:06:00", "22T00:06:01").await, 10);
    // The new day has begun for this customer, and days do not go back.
    assert_eq!(earned_by(4, "21T23:57:00", "22T00:10:00").await, 5);
    assert_eq!(earned_by(5, "22T00:11:00", "22T00:11:01").await, 0);
    house.finish().await;
}
