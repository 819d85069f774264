//! Every kind of condition fires at its edge, and not one below.

use super::*;
use crate::risk::{ActivityFilter, ActivityKind, Attribute, Measure, Per};

/// Whether the rule with this condition fires.
fn fires(condition: &str, facts: &Facts, says: impl Fn(&Counter) -> Option<i64>) -> bool {
    let set = one_rule(facts.stage.name(), condition);
    !evaluate(&set, facts, says).fired.is_empty()
}

fn payment(fen: i64) -> Facts {
    let mut facts = facts(Stage::PaymentCreate);
    facts.amount = Some(Money::constant(fen));
    facts
}

#[test]
fn a_velocity_fires_above_its_number() {
    let rule = "velocity: {measure: count, per: customer, within: 1m, above: 10}";
    for (count, expected) in [(0, false), (10, false), (11, true), (i64::MAX, true)] {
        assert_eq!(
            fires(rule, &payment(1), |_| Some(count)),
            expected,
            "{count}"
        );
    }
    let set = one_rule("payment.create", rule);
    let decision = evaluate(&set, &payment(1), |_| Some(12));
    assert_eq!(
        decision.fired[0].reason,
        "It (12 payment.create per customer within 1m, more than 10)"
    );
    let usages = set.counter_usages(Stage::PaymentCreate);
    assert_eq!(
        usages.len(),
        1,
        "named counters that nobody asks for are not kept"
    );
    assert!(usages[0].counts && usages[0].read);
    assert_eq!(
        *usages[0].counter,
        Counter {
            measure: Measure::Count,
            of: ActivityFilter::all(Stage::PaymentCreate),
            attempts: false,
            per: Per::Customer,
            within_seconds: 60,
            between: None
        }
    );
}

#[test]
fn every_measure_can_be_counted() {
    for (word, measure) in [
        ("count", Measure::Count),
        ("sum_fen", Measure::SumFen),
        ("sum_points", Measure::SumPoints),
        ("distinct_customers", Measure::Distinct(Attribute::Customer)),
        ("distinct_addresses", Measure::Distinct(Attribute::Address)),
        ("distinct_networks", Measure::Distinct(Attribute::Network)),
        ("distinct_devices", Measure::Distinct(Attribute::Device)),
    ] {
        let rule = format!("velocity: {{measure: {word}, per: merchant, within: 1h, above: 5}}");
        let set = one_rule("payment.create", &rule);
        assert_eq!(
            set.counter_usages(Stage::PaymentCreate)[0].counter.measure,
            measure
        );
        assert!(fires(&rule, &payment(1), |_| Some(6)) && !fires(&rule, &payment(1), |_| Some(5)));
    }
}

#[test]
fn what_an_activity_lacks_is_not_counted_by() {
    let rule =
        "velocity: {measure: count, per: device, within: 1m, above: 0}\n    on_missing: block";
    let mut facts = payment(1);
    assert!(
        fires(rule, &facts, |_| None),
        "it is there and could not be had"
    );
    facts.origin.device = None;
    assert!(!fires(rule, &facts, |_| None));
}

#[test]
fn amounts_and_points_have_edges() {
    for (rule, fen, expected) in [
        ("amount_fen: {above: 100}", 100, false),
        ("amount_fen: {above: 100}", 101, true),
        ("amount_fen: {below: 100}", 99, true),
        ("amount_fen: {below: 100}", 100, false),
        ("amount_fen: {between: [100, 200]}", 99, false),
        ("amount_fen: {between: [100, 200]}", 100, true),
        ("amount_fen: {between: [100, 200]}", 200, true),
        ("amount_fen: {between: [100, 200]}", 201, false),
    ] {
        assert_eq!(
            fires(rule, &payment(fen), |_| None),
            expected,
            "{rule} {fen}"
        );
        let mut credit = facts(Stage::PointsCredit);
        credit.points = Some(Points::constant(fen));
        let rule = rule.replace("amount_fen", "points");
        assert_eq!(fires(&rule, &credit, |_| None), expected, "{rule} {fen}");
    }
    let mut free = payment(1);
    free.amount = None;
    assert!(!fires("amount_fen: {below: 100}", &free, |_| None));
}

#[test]
fn a_time_of_day_has_edges() {
    let rule = "time_of_day: {from: 22:00, to: 06:00, weekdays: [mon]}";
    for (at, expected) in [
        ("2026-11-09T13:59:59Z", false),
        ("2026-11-09T14:00:00Z", true),
        ("2026-11-09T21:59:59Z", true),
        ("2026-11-09T22:00:00Z", false),
        ("2026-11-08T18:00:00Z", false),
        ("2026-11-10T14:00:00Z", false),
    ] {
        let mut facts = payment(1);
        facts.at = Timestamp::parse_rfc3339(at).unwrap();
        assert_eq!(fires(rule, &facts, |_| None), expected, "{at}");
    }
}

#[test]
fn a_new_network_counts_only_beside_an_old_one() {
    let says = |seen: i64, different: i64| {
        move |counter: &Counter| match counter.measure {
            Measure::Seen(Attribute::Network) => Some(seen),
            Measure::Distinct(Attribute::Network) => Some(different),
            Measure::Count
            | Measure::SumFen
            | Measure::SumPoints
            | Measure::Distinct(_)
            | Measure::Seen(_) => None,
        }
    };
    let rule = "first_seen: {attribute: network}";
    let facts = payment(1);
    assert!(!fires(rule, &facts, says(0, 1)), "a new customer");
    assert!(fires(rule, &facts, says(0, 2)));
    assert!(!fires(rule, &facts, says(1, 2)), "met before");
    let mut nowhere = facts.clone();
    nowhere.origin.address = None;
    assert!(!fires(rule, &nowhere, says(0, 2)));
    let mut nobody = facts;
    nobody.customer = None;
    assert!(!fires(rule, &nobody, says(0, 2)));
    // At another stage this activity is not among what is counted.
    let rule = "first_seen: {attribute: network, of: payment.create, within: 30d}";
    let refund = super::facts(Stage::Refund);
    assert!(!fires(rule, &refund, says(0, 0)));
    assert!(fires(rule, &refund, says(0, 1)));
}

#[test]
fn an_unusual_amount_is_more_than_the_factor_times_the_average() {
    let rule = "unusual_amount: {factor: 10, at_least: 5, within: 30d}";
    // `earlier` payments of ¥10 each.
    let says = |earlier: i64, sum: i64| {
        move |counter: &Counter| match counter.measure {
            Measure::Count => Some(earlier),
            Measure::SumFen => Some(sum),
            Measure::SumPoints | Measure::Distinct(_) | Measure::Seen(_) => None,
        }
    };
    for (earlier, amount, expected) in [
        (5, 10_000, false),
        (5, 10_001, true),
        (4, 10_001, false),
        (5, 1_000_000_000_000, true),
        (0, 10_001, false),
    ] {
        let found = fires(rule, &payment(amount), says(earlier, earlier * 1_000));
        assert_eq!(found, expected, "{earlier} {amount}");
        // When its points are about to come in, it is among what is counted.
        let mut credit = facts(Stage::PointsCredit);
        credit.amount = Some(Money::constant(amount));
        let found = fires(rule, &credit, says(earlier + 1, earlier * 1_000 + amount));
        assert_eq!(found, expected, "{earlier} {amount} at points.credit");
    }
    let most = payment(i64::MAX);
    assert!(fires(rule, &most, |counter| Some(
        if counter.measure == Measure::Count {
            i64::MAX
        } else {
            0
        }
    )));
    // An attempt is no part of the history, however often it is made.
    let set = one_rule("payment.create", rule);
    let usages = set.counter_usages(Stage::PaymentCreate);
    assert!(usages.len() == 2 && usages.iter().all(|usage| usage.read && !usage.counts));
    let usages = set.counter_usages(Stage::PointsCredit);
    assert!(usages.len() == 2 && usages.iter().all(|usage| usage.counts));
}

#[test]
fn structuring_is_many_amounts_just_under_a_limit() {
    let rule = "structuring: {limit_fen: 100001, margin: 10%, above: 3, within: 1d}";
    let set = one_rule("payment.create", rule);
    let counter = set.counter_usages(Stage::PaymentCreate)[0].counter.clone();
    // 90% of 100001 is 90000.9.
    let band = (Money::constant(90_001), Money::constant(100_000));
    assert_eq!(counter.between, Some(band));
    for (fen, count, expected) in [
        (90_000, 9, false),
        (90_001, 4, true),
        (100_000, 4, true),
        (100_000, 3, false),
        (100_001, 9, false),
    ] {
        assert_eq!(
            fires(rule, &payment(fen), |_| Some(count)),
            expected,
            "{fen} {count}"
        );
    }
}

#[test]
fn collusion_is_one_pair_again_and_again_or_a_merchant_with_itself() {
    let rule = "collusion: {above: 20, within: 1d}";
    assert!(!fires(rule, &payment(1), |_| Some(20)));
    assert!(fires(rule, &payment(1), |_| Some(21)));
    let set = one_rule("payment.create", rule);
    assert_eq!(
        set.counter_usages(Stage::PaymentCreate)[0].counter.per,
        Per::Pair
    );
    let mut nowhere = payment(1);
    nowhere.merchant = None;
    assert!(!fires(rule, &nowhere, |_| Some(21)));
    let mut own = payment(1);
    assert!(!fires("collusion: {own_merchant: true}", &own, |_| None));
    own.own_merchant = true;
    assert!(fires("collusion: {own_merchant: true}", &own, |_| None));
}

#[test]
fn farming_is_refunds_beside_payments() {
    let says = |refunds: i64, payments: i64| {
        move |counter: &Counter| match counter.of.stage {
            Stage::Refund => Some(refunds),
            Stage::PointsCredit => Some(payments),
            Stage::Login | Stage::PaymentCreate | Stage::Redeem => None,
        }
    };
    let credit = facts(Stage::PointsCredit);
    let rule = "farming: {above: 3, within: 7d, share: 50%}";
    for (refunds, payments, expected) in [
        (3, 3, false),
        (4, 8, true),
        (4, 9, false),
        (4, 0, true),
        (i64::MAX, i64::MAX, true),
    ] {
        let found = fires(rule, &credit, says(refunds, payments));
        assert_eq!(found, expected, "{refunds} {payments}");
    }
    let rule = "farming: {above: 3, within: 7d}";
    assert!(fires(rule, &credit, says(4, 100)) && !fires(rule, &credit, says(3, 0)));
    let set = one_rule(
        "points.credit",
        "farming: {above: 3, within: 7d, share: 50%}",
    );
    // What a rule of another stage needs is fed where it happens, and not read there.
    let refund = set.counter_usages(Stage::Refund);
    assert!(refund.len() == 1 && refund[0].counts && !refund[0].read);
    let credit = set.counter_usages(Stage::PointsCredit);
    let fed: Vec<Stage> = credit
        .iter()
        .filter(|usage| usage.counts)
        .map(|usage| usage.counter.of.stage)
        .collect();
    assert!(credit.len() == 2 && credit.iter().all(|usage| usage.read));
    assert_eq!(fed, [Stage::PointsCredit]);
    // An order that nobody pays is no payment, and what a back end gives is none.
    assert!(
        credit
            .iter()
            .all(|usage| usage.counter.of.stage == Stage::Refund
                || usage.counter.of.kind == ActivityKind::Payments)
    );
    assert!(set.counter_usages(Stage::PaymentCreate).is_empty());
}

#[test]
fn lists_are_of_people_merchants_phones_and_places() {
    for name in ["people", "places", "phones", "here"] {
        let inside = format!("list: {{in: {name}}}");
        let outside = format!("list: {{not_in: {name}}}");
        let known = payment(1);
        assert!(fires(&inside, &known, |_| None) && !fires(&outside, &known, |_| None));
        let mut other = payment(1);
        other.customer = Some(customer(2));
        other.merchant = Some(MerchantId::new(Id::mint(1, 1, Lane(0))));
        other.origin.device = Some(Device::parse("phone-2").unwrap());
        other.origin.address = Some("203.0.114.7".parse().unwrap());
        assert!(!fires(&inside, &other, |_| None) && fires(&outside, &other, |_| None));
        let unknown = Facts::new(Stage::PaymentCreate, TenantId(1), known.at);
        assert!(!fires(&inside, &unknown, |_| None) && fires(&outside, &unknown, |_| None));
    }
}
