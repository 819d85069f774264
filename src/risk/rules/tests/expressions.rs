//! What expressions say of an activity.

use super::*;

fn holds(expression: &str, facts: &Facts, count: Option<i64>) -> bool {
    let text = format!("when: |\n      {expression}\n    on_missing: block");
    let set = one_rule(facts.stage.name(), &text);
    let decision = evaluate(&set, facts, |_| count);
    // Block means that it could not be told.
    decision.action == crate::risk::Action::Review
}

#[test]
fn names_stand_for_what_is_known() {
    let mut known = facts(Stage::PaymentCreate);
    known.source = Some("lottery".to_owned());
    let customer = format!("customer == '{}'", customer(1));
    let merchant = format!("merchant in ['{}', 'x']", merchant());
    for expression in [
        "amount_fen == 1000",
        "points == 10",
        "hour == 10 && weekday == 1",
        &customer,
        &merchant,
        "has_customer && !own_merchant",
        "customer_age_days == 48",
        "source.startsWith('lot') && source.endsWith('ery') && source.contains('tt') && size(source) == 7",
        "device != '' && stage == 'payment.create'",
        "counters.rapid == 4",
        "counters.by_phone + counters.rapid == 8",
        "hour < 6 ? amount_fen > 100000 : amount_fen * 3 / 2 - 1 == 1499",
        "-amount_fen < 0 && amount_fen % 7 == 6 && amount_fen in [1000, 2000]",
    ] {
        assert!(holds(expression, &known, Some(4)), "{expression}");
        let not = format!("!({expression})");
        assert!(!holds(&not, &known, Some(4)), "{not}");
    }
}

#[test]
fn what_is_not_known_is_nothing() {
    let unknown = Facts::new(
        Stage::PaymentCreate,
        TenantId(1),
        Timestamp::parse_rfc3339(NOW).unwrap(),
    );
    for expression in [
        "amount_fen == 0 && points == 0 && customer_age_days == 0",
        "customer == '' && merchant == '' && device == '' && source == ''",
        "!has_customer",
        "counters.by_phone == 0",
    ] {
        assert!(holds(expression, &unknown, None), "{expression}");
    }
}

#[test]
fn an_expression_that_fails_does_what_on_missing_says() {
    let facts = facts(Stage::PaymentCreate);
    for expression in [
        "counters.rapid > 3",
        "amount_fen / (amount_fen - 1000) > 1",
        "amount_fen * 9223372036854775807 > 1",
    ] {
        let text = format!("when: {expression}\n    on_missing: block");
        let set = one_rule("payment.create", &text);
        let decision = evaluate(&set, &facts, |_| None);
        assert_eq!(decision.action, crate::risk::Action::Block, "{expression}");
        assert_eq!(
            decision.fired[0].reason,
            "It (the numbers it needs could not be had)"
        );
    }
    // What does not depend on it is told all the same.
    assert!(holds("counters.rapid > 3 || amount_fen > 1", &facts, None));
}

#[test]
fn a_condition_and_an_expression_must_both_hold() {
    let rule = "velocity: {measure: count, per: customer, within: 1m, above: 1}\n    when: amount_fen > 500\n    on_missing: block";
    let set = one_rule("payment.create", rule);
    let mut facts = facts(Stage::PaymentCreate);
    assert_eq!(fired(&evaluate(&set, &facts, |_| Some(2))), ["it"]);
    assert!(evaluate(&set, &facts, |_| Some(1)).fired.is_empty());
    assert_eq!(fired(&evaluate(&set, &facts, |_| None)), ["it"]);
    facts.amount = Some(Money::constant(500));
    assert!(evaluate(&set, &facts, |_| Some(2)).fired.is_empty());
    assert!(
        evaluate(&set, &facts, |_| None).fired.is_empty(),
        "whatever the number is, the expression says no"
    );
}
