//! What becomes of an activity when several rules fire.

use super::*;
use crate::{
    primitives::ChallengeId,
    risk::{Action, Effect},
};

/// A rule at `payment.create` that always fires.
fn rule(id: &str, action: &str, more: &str) -> String {
    format!(
        "  - {{id: {id}, name: N, stages: [payment.create], action: {action}, amount_fen: {{above: 0}}{more}}}\n"
    )
}

fn set(rules: &[String]) -> RuleSet {
    RuleSet::parse(&format!("rules:\n{}", rules.concat())).unwrap()
}

fn effects(decision: &Decision) -> Vec<(&str, Effect)> {
    let fired = decision.fired.iter();
    fired
        .map(|fired| (fired.rule.as_str(), fired.effect))
        .collect()
}

#[test]
fn without_rules_everything_is_allowed() {
    let decision = evaluate(&set_of_none(), &facts(Stage::PaymentCreate), |_| None);
    assert_eq!(decision.action, Action::Allow);
    assert!(decision.fired.is_empty());
}

fn set_of_none() -> RuleSet {
    RuleSet::parse("rules: []").unwrap()
}

#[test]
fn the_most_severe_action_is_taken_and_all_reasons_are_given() {
    let rules = [
        rule("a", "verify", ""),
        rule("b", "block", ", priority: 500"),
        rule("c", "review", ", priority: 1"),
    ];
    let set = set(&rules);
    let decision = set.evaluate(
        7,
        &facts(Stage::PaymentCreate),
        &CounterValues::default(),
        None,
    );
    assert_eq!(decision.action, Action::Block);
    assert_eq!(decision.rule_set, 7);
    assert_eq!(fired(&decision), ["a", "b", "c"]);
    assert!(
        decision
            .fired
            .iter()
            .all(|fired| fired.effect == Effect::Live)
    );
    // At other stages there are no rules.
    assert!(
        evaluate(&set, &facts(Stage::Redeem), |_| None)
            .fired
            .is_empty()
    );
}

#[test]
fn a_rule_that_allows_overrules_what_comes_later() {
    let rules = [
        rule("late", "block", ", priority: 6"),
        rule("same", "verify", ", priority: 5"),
        rule("trusted", "allow", ", priority: 5"),
        rule("quiet", "block", ", priority: 9, shadow: true"),
        rule("too", "allow", ", priority: 7"),
    ];
    let set_of = |rules: &[String]| evaluate(&set(rules), &facts(Stage::PaymentCreate), |_| None);
    let decision = set_of(&rules);
    assert_eq!(decision.action, Action::Verify);
    assert_eq!(
        effects(&decision),
        [
            ("late", Effect::Overruled),
            ("same", Effect::Live),
            ("trusted", Effect::Live),
            ("quiet", Effect::Shadow),
            ("too", Effect::Overruled),
        ]
    );
    // In the shadow it allows nothing.
    let mut rules = rules;
    rules[2] = rule("trusted", "allow", ", priority: 5, shadow: true");
    rules[4] = rule("too", "allow", ", priority: 7, shadow: true");
    assert_eq!(set_of(&rules).action, Action::Block);
}

#[test]
fn an_answered_challenge_is_enough_for_rules_that_verify() {
    let challenge = ChallengeId::new(customer(9).id());
    let facts = facts(Stage::PaymentCreate);
    let asked = set(&[rule("ask", "verify", ""), rule("hold", "review", "")]);
    let decision = asked.evaluate(1, &facts, &CounterValues::default(), Some(challenge));
    assert_eq!(decision.action, Action::Review);
    assert_eq!(
        effects(&decision),
        [("ask", Effect::Answered), ("hold", Effect::Live)]
    );
    assert_eq!(decision.answered, Some(challenge));
    // A decision that did not need it does not name it.
    let held = set(&[rule("hold", "review", "")]);
    let decision = held.evaluate(1, &facts, &CounterValues::default(), Some(challenge));
    assert_eq!((decision.action, decision.answered), (Action::Review, None));
}

#[test]
fn without_numbers_a_rule_does_what_it_says_or_less_than_nothing_by_accident() {
    let file = |head: &str, stage: &str, said: &str| {
        format!(
            "{head}\nrules:\n  - id: a\n    name: N\n    stages: [{stage}]\n    action: block\n    velocity: {{measure: count, per: customer, within: 1m, above: 1}}\n{said}"
        )
    };
    let of = |head: &str, stage: Stage, said: &str| {
        let set = RuleSet::parse(&file(head, stage.name(), said)).unwrap();
        evaluate(&set, &facts(stage), |_| None).action
    };
    let (pay, credit) = (Stage::PaymentCreate, Stage::PointsCredit);
    let default = |action: &str| format!("defaults: {{on_missing: {action}}}");
    assert_eq!(of("", pay, "    on_missing: verify"), Action::Verify);
    assert_eq!(of("", pay, "    on_missing: allow"), Action::Allow);
    assert_eq!(of(&default("block"), pay, ""), Action::Block);
    assert_eq!(
        of(&default("block"), pay, "    on_missing: allow"),
        Action::Allow
    );
    // Points are not given by accident.
    assert_eq!(of("", credit, ""), Action::Review);
    assert_eq!(of(&default("allow"), credit, ""), Action::Review);
    assert_eq!(of(&default("verify"), credit, ""), Action::Review);
    assert_eq!(of(&default("block"), credit, ""), Action::Block);
    assert_eq!(of("", credit, "    on_missing: allow"), Action::Allow);
    // Too few numbers are missing numbers.
    let set = RuleSet::parse(&file("", "payment.create", "    on_missing: review")).unwrap();
    let decision = set.evaluate(1, &facts(pay), &CounterValues(vec![]), None);
    assert_eq!(decision.action, Action::Review);
}

#[test]
fn a_rule_that_allows_allows_nothing_without_its_numbers() {
    let set = RuleSet::parse(
        "rules:\n  - {id: a, name: N, stages: [payment.create], action: allow, priority: 1, on_missing: allow, velocity: {measure: count, per: customer, within: 1m, above: 1}}\n  - {id: b, name: N, stages: [payment.create], action: block, priority: 2, amount_fen: {above: 0}}\n",
    )
    .unwrap();
    let facts = facts(Stage::PaymentCreate);
    assert_eq!(evaluate(&set, &facts, |_| Some(2)).action, Action::Allow);
    assert_eq!(evaluate(&set, &facts, |_| None).action, Action::Block);
}

#[test]
fn a_roll_out_reaches_its_share_of_customers_and_always_the_same() {
    let set = set(&[
        rule("a", "block", ", rollout: 25%"),
        rule("b", "block", ", rollout: 25%"),
        rule("c", "block", ", rollout: 60%"),
    ]);
    let mut live = [0; 3];
    let mut both = 0;
    for number in 0..10_000 {
        let mut facts = facts(Stage::PaymentCreate);
        facts.customer = Some(customer(number * 7_919));
        let decision = evaluate(&set, &facts, |_| None);
        assert_eq!(evaluate(&set, &facts, |_| None), decision);
        let is_live: Vec<bool> = decision
            .fired
            .iter()
            .map(|fired| fired.effect == Effect::Live)
            .collect();
        for (count, live) in live.iter_mut().zip(&is_live) {
            *count += i32::from(*live);
        }
        both += i32::from(is_live[0] && is_live[1]);
    }
    // Five times the standard deviation.
    for (count, share) in live.iter().zip([2_500, 2_500, 6_000]) {
        assert!((count - share).abs() < 250, "{count} of {share}");
    }
    assert!(
        (both - 625).abs() < 125,
        "two rules reach different customers: {both}"
    );
    let mut nobody = facts(Stage::PaymentCreate);
    nobody.customer = None;
    assert_eq!(evaluate(&set, &nobody, |_| None).action, Action::Allow);
}

#[test]
fn reasons_hold_no_personal_data() {
    let set = RuleSet::parse(include_str!("../../../../risk-rules.yaml")).unwrap();
    for stage in Stage::ALL {
        let mut facts = facts(stage);
        facts.own_merchant = true;
        facts.customer = Some(customer(0));
        let shown = format!("{:?}", evaluate(&set, &facts, |_| Some(1_000_000)).fired);
        for secret in ["203.0", "phone-1", &customer(0).to_string()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn the_shipped_rules_do_what_they_say_and_leave_ordinary_customers_alone() {
    use crate::risk::{Attribute, Measure};
    let set = RuleSet::parse(include_str!("../../../../risk-rules.yaml")).unwrap();
    let rules = set.rules();
    assert_eq!(
        [rules[0].id.as_str(), rules[1].id.as_str()],
        ["many-payments", "unknown-network"]
    );
    // Five payments in ten minutes from one address, at one merchant, at a new customer's first
    // day.
    let ordinary = |counter: &Counter| {
        Some(match counter.measure {
            Measure::SumFen => 50_000,
            Measure::SumPoints => 500,
            Measure::Count if counter.of.stage == Stage::Refund => 0,
            Measure::Count => 5,
            Measure::Distinct(_) | Measure::Seen(_) => 1,
        })
    };
    for stage in Stage::ALL {
        let mut facts = facts(stage);
        facts.amount = Some(Money::constant(10_000));
        let decision = evaluate(&set, &facts, ordinary);
        assert_eq!(
            decision.action,
            Action::Allow,
            "{stage}: {:?}",
            decision.fired
        );
    }
    let facts = facts(Stage::PaymentCreate);
    let seeds = |count: i64, seen: i64| {
        move |counter: &Counter| {
            Some(match counter.measure {
                Measure::Count if counter.within_seconds == 60 => count,
                Measure::Seen(_) => seen,
                Measure::Distinct(Attribute::Network) => 2,
                Measure::Count | Measure::SumFen | Measure::SumPoints | Measure::Distinct(_) => 1,
            })
        }
    };
    assert_eq!(evaluate(&set, &facts, seeds(10, 1)).action, Action::Allow);
    assert_eq!(evaluate(&set, &facts, seeds(11, 1)).action, Action::Block);
    assert_eq!(evaluate(&set, &facts, seeds(10, 0)).action, Action::Verify);
    assert_eq!(evaluate(&set, &facts, |_| None).action, Action::Allow);
}
