//! Random rules on random activities.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

const CONDITIONS: [&str; 14] = [
    "velocity: {measure: count, of: payment.create, per: customer, within: 1m, above: 3}, on_missing: block",
    "velocity: {measure: sum_fen, of: refund, per: device, within: 1d, above: 3}, on_missing: allow",
    "amount_fen: {above: 500}",
    "points: {between: [2, 9]}",
    "time_of_day: {from: 22:00, to: 06:00}",
    "first_seen: {attribute: network, of: payment.create}, on_missing: block",
    "unusual_amount: {factor: 3, at_least: 2, within: 1d}, on_missing: allow",
    "structuring: {limit_fen: 1000, margin: 30%, above: 1, within: 1d, of: refund}, on_missing: block",
    "collusion: {own_merchant: true}",
    "collusion: {above: 2, of: payment.create, within: 1d}, on_missing: block",
    "farming: {above: 1, within: 1d, share: 20%}, on_missing: allow",
    "list: {not_in: people}",
    "when: 'hour < 12 || counters.rapid * amount_fen > 5000', on_missing: block",
    "when: 'points % counters.rapid == 0 && size(device) > 2', on_missing: allow",
];

/// A rule without its id: at stages where these actions can be taken.
fn any_rule() -> impl Strategy<Value = String> {
    (
        select(CONDITIONS.as_slice()),
        select(["allow", "block"].as_slice()),
        1..20_u16,
        any::<bool>(),
        1..=100_u8,
    )
        .prop_map(|(condition, action, priority, shadow, rollout)| {
            format!(
                "name: N, stages: [login, payment.create, points.credit, redeem, refund], action: {action}, priority: {priority}, shadow: {shadow}, rollout: {rollout}%, {condition}"
            )
        })
}

fn file(rules: &[String]) -> RuleSet {
    let mut text = format!(
        "lists: {{people: {{customers: [{}]}}}}\ncounters: {{rapid: {{measure: count, of: payment.create, per: customer, within: 1h}}}}\nrules:\n",
        customer(1)
    );
    for (index, rule) in rules.iter().enumerate() {
        text += &["  - {id: r", &index.to_string(), ", ", rule, "}\n"].concat();
    }
    RuleSet::parse(&text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn any_facts() -> impl Strategy<Value = Facts> {
    (
        select(Stage::ALL.as_slice()),
        any::<i64>(),
        option::of(0..3_u64),
        option::of(0..i64::MAX),
        option::of(0..i64::MAX),
        option::of(any::<u32>()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(stage, at, who, amount, points, address, device, own_merchant)| {
                let mut facts = Facts::new(stage, TenantId(1), Timestamp::from_micros(at));
                facts.customer = who.map(customer);
                facts.merchant = own_merchant.then(merchant);
                facts.amount = amount.map(|fen| Money::parse(fen).unwrap());
                facts.points = points.map(|points| Points::parse(points).unwrap());
                facts.origin.address =
                    address.map(|bits| std::net::Ipv4Addr::from_bits(bits).into());
                facts.origin.device = device.then(|| Device::parse("phone-1").unwrap());
                facts.own_merchant = own_merchant;
                facts
            },
        )
}

fn any_number() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![0..20_i64, any::<i64>()])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deciding_never_fails_and_always_says_the_same(
        rules in vec(any_rule(), 1..12),
        cases in vec((any_facts(), vec(any_number(), 0..16)), 1..16),
        quiet in any_rule(),
    ) {
        let set = file(&rules);
        let mut more = rules;
        more.push(quiet.replace("shadow: false", "shadow: true"));
        let larger = file(&more);
        for (facts, numbers) in cases {
            // Every counter says the same in both sets, whatever its place.
            let all: Vec<Counter> = larger.counter_usages(facts.stage).into_iter().map(|usage| usage.counter.clone()).collect();
            let says = |counter: &Counter| {
                let position = all.iter().position(|other| other == counter)?;
                numbers.get(position).copied().flatten()
            };
            let before = evaluate(&set, &facts, says);
            prop_assert_eq!(&evaluate(&set, &facts, says), &before);
            let after = evaluate(&larger, &facts, says);
            prop_assert_eq!(before.action, after.action);
            prop_assert_eq!(before.fired.as_slice(), &after.fired[..before.fired.len()]);
            // Too many numbers or too few are no reason to fail.
            let _ = set.evaluate(1, &facts, &CounterValues(numbers), None);
        }
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused(text in "\\PC{0,300}", cut in 0..9_000_usize, put in "[-\\[\\]{}:,&*!|>'\"%@`#?\n a-z0]{0,6}") {
        let _ = RuleSet::parse(&text);
        // Our own file, damaged somewhere.
        let sound = include_str!("../../../../risk-rules.yaml");
        let cut = sound.floor_char_boundary(cut + sound.len().saturating_sub(9_000));
        let after = sound[cut..].chars().next().map_or(0, char::len_utf8);
        let _ = RuleSet::parse(&format!("{}{put}{}", &sound[..cut], &sound[cut + after..]));
    }
}

/// A comparison, or one of several joined, over everything that an expression may ask for.
fn any_expression() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        select(
            [
                "amount_fen",
                "points",
                "hour",
                "weekday",
                "customer_age_days",
                "counters.rapid",
                "size(source)",
                "size(device)",
            ]
            .as_slice()
        )
        .prop_map(str::to_owned),
        (-3..40_i64).prop_map(|number| format!("({number})")),
    ];
    let sum = (
        number.clone(),
        select(["+", "-", "*", "/", "%"].as_slice()),
        number.clone(),
    );
    let sum = sum.prop_map(|(one, sign, two)| format!("({one} {sign} {two})"));
    let choice = (number.clone(), number.clone());
    let choice = choice.prop_map(|(one, two)| format!("(own_merchant ? {one} : {two})"));
    let any_number = prop_oneof![3 => number, 1 => sum, 1 => choice];
    let compared = (
        any_number.clone(),
        select(["==", "!=", "<", "<=", ">", ">="].as_slice()),
        any_number.clone(),
    );
    let compared = compared.prop_map(|(one, sign, two)| format!("{one} {sign} {two}"));
    let listed = any_number.prop_map(|number| format!("{number} in [0, 3, 7]"));
    let truth = select(
        [
            "has_customer",
            "own_merchant",
            "source == ''",
            "source != 'crm'",
            "source in ['crm', 'x']",
            "source.startsWith('c')",
            "stage == 'redeem'",
            "stage in ['refund', 'login']",
            "merchant == ''",
            "customer == source",
            "device == 'phone-1'",
            "has_customer == own_merchant",
            "true",
        ]
        .as_slice(),
    );
    let leaf = prop_oneof![
        4 => compared,
        1 => listed,
        2 => truth.prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} && {two})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} || {two})")),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(when, one, two)| format!("({when} ? {one} : {two})")),
        ]
    })
}

/// An activity as there are: what the table in the comments of the rule file says of its stage.
fn any_activity() -> impl Strategy<Value = (Facts, i64)> {
    (
        select(Stage::ALL.as_slice()),
        0..700_000_i64,
        any::<[bool; 5]>(),
        prop_oneof![1..40_i64, 1..5_000_000_i64],
        prop_oneof![1..40_i64, 1..500_000_000_i64],
        prop_oneof![0..5_i64, 0..i64::MAX],
    )
        .prop_map(
            |(stage, second, [other_kind, there, near, phone, own], fen, points, said)| {
                let at = Timestamp::parse_rfc3339(NOW).unwrap().plus_seconds(second);
                let mut facts = Facts::new(stage, TenantId(1), at);
                let award = stage == Stage::PointsCredit && other_kind;
                let source = award || stage == Stage::Redeem;
                let till = other_kind && matches!(stage, Stage::PaymentCreate);
                let unknown = till || (other_kind && matches!(stage, Stage::Login | Stage::Refund));
                let paid = matches!(stage, Stage::PaymentCreate | Stage::Refund)
                    || (stage == Stage::PointsCredit && !award);
                facts.customer = (!unknown).then(|| customer(u64::from(there)));
                facts.merchant = (paid || (source && there)).then(merchant);
                facts.amount = paid.then(|| Money::parse(fen).unwrap());
                facts.points = (source || stage == Stage::PointsCredit)
                    .then(|| Points::parse(points).unwrap());
                let anywhere = !till && !source && stage != Stage::Refund;
                facts.origin.address = (anywhere && near).then(|| "203.0.113.7".parse().unwrap());
                facts.origin.device =
                    (anywhere && phone).then(|| Device::parse("phone-1").unwrap());
                facts.source = source.then(|| if near { "crm" } else { "x" }.to_owned());
                facts.own_merchant = own && paid && facts.customer.is_some();
                // This payment is one of those that are counted.
                (facts, said.max(i64::from(stage == Stage::PaymentCreate)))
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A rule that fires has no warning that it cannot.
    #[test]
    fn a_rule_that_fires_is_not_said_to_be_one_that_never_does(
        expression in any_expression(),
        condition in option::of(select(CONDITIONS.as_slice())),
        activities in vec(any_activity(), 24),
    ) {
        let condition = condition.filter(|condition| !condition.contains("when") && !condition.contains("per: device"));
        let condition = condition.map(|condition| condition.split(", on_missing").next().unwrap());
        let condition = condition.map_or_else(String::new, |condition| format!("{condition}, "));
        let rule = format!(
            "name: N, stages: [login, payment.create, points.credit, redeem, refund], action: block, {condition}on_missing: allow, when: \"{expression}\""
        );
        let set = file(&[rule]);
        let doubts = set.warnings();
        for (facts, said) in activities {
            let ceiling = |counter: &Counter| match counter.measure {
                crate::risk::Measure::Distinct(_) => 1_000,
                crate::risk::Measure::Seen(_) => 1,
                crate::risk::Measure::Count
                | crate::risk::Measure::SumFen
                | crate::risk::Measure::SumPoints => i64::MAX,
            };
            let decision = evaluate(&set, &facts, |counter| Some(said.min(ceiling(counter))));
            if !decision.fired.is_empty() {
                prop_assert!(doubts.is_empty(), "{:?} {:?}", doubts, facts.stage);
            }
        }
    }
}
