//! Mistakes are found where they are, and all at once.

use super::*;
use crate::{facts::Stage, risk::Action};

/// Line, column and a part of the text of each mistake.
fn wrong(text: &str) -> Vec<(u32, u32, String)> {
    let errors = RuleSet::parse(text).expect_err(text);
    let mistakes = errors.mistakes().iter();
    mistakes
        .map(|mistake| {
            (
                mistake.position.line,
                mistake.position.column,
                mistake.what.clone(),
            )
        })
        .collect()
}

#[track_caller]
fn assert_wrong(text: &str, expected: &[(u32, u32, &str)]) {
    let found = wrong(text);
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            (found.0, found.1) == (expected.0, expected.1) && found.2.contains(expected.2)
        });
    assert!(same, "{text}\nfound {found:#?}\nexpected {expected:#?}");
}

/// A rule with this in its place, on lines 2 to 6 and on.
fn with(stage: &str, action: &str, rest: &str) -> String {
    format!(
        "rules:\n  - id: a-rule\n    name: N\n    stages: [{stage}]\n    action: {action}\n    {rest}\n"
    )
}

#[test]
fn what_is_not_a_rule_file_is_refused() {
    assert_wrong(
        "",
        &[(1, 1, "a rule file is a block of fields (name: value,")],
    );
    assert_wrong("- a\n", &[(1, 1, "this is a list")]);
    assert_wrong(
        "lists:\n",
        &[
            (1, 1, "needs the field rules"),
            (1, 6, "lists is a block of fields"),
        ],
    );
    assert_wrong("rules: 5\n", &[(1, 8, "a list such as [one, two]")]);
    assert_wrong(
        "rules: []\nrules: []\n",
        &[(2, 1, "`rules` is here twice; the first is in line 1")],
    );
    assert_wrong(
        "rules: []\nruels: []\n1: 2\n",
        &[
            (
                2,
                1,
                "no field `ruels` (did you mean rules?); it has defaults,",
            ),
            (3, 1, "the name of a field is text"),
        ],
    );
    assert_wrong(
        "rules:\n  - just text\n",
        &[(2, 5, "a rule is a block of fields")],
    );
}

#[test]
fn what_is_not_yaml_is_refused_where_it_ends_being_it() {
    assert_wrong(
        "rules:\n  - id: a\n   name: b\n",
        &[(3, 4, "the line does not fit those above it")],
    );
    assert_wrong("rules: [\n", &[(1, 8, "unclosed bracket")]);
    assert_wrong(
        "rules: []\n---\nrules: []\n",
        &[(2, 1, "a second document")],
    );
}

#[test]
fn mistakes_in_yaml_are_explained() {
    for (text, line, column, expected) in [
        (
            "rules:\n  - id: a\n\tname: N\n",
            3,
            1,
            "indented with spaces, and this is a tab",
        ),
        (
            "rules:\n  - id: a\n    name: N\n\u{3000}\u{3000}stages: [login]\n    action: block\n",
            4,
            1,
            "a wide Chinese space",
        ),
        (
            "rules:\n  - id: a\n    name：N\n    action: block\n",
            3,
            5,
            "`：` of the Chinese keyboard should be `:`",
        ),
        (
            "rules:\n  - id: a\n    when: !own_merchant\n",
            3,
            24,
            "a text cannot begin with `!`",
        ),
        (
            "rules:\n  - id: a\n    when: hour < 6 ? own_merchant : true\n",
            3,
            35,
            "as a block (`when: |`",
        ),
        (
            "rules:\n  - {id: a，name: N}\n",
            2,
            16,
            "`，` of the Chinese keyboard should be `,`",
        ),
    ] {
        let found = wrong(text);
        assert!(
            (found[0].0, found[0].1) == (line, column) && found[0].2.contains(expected),
            "{text}\n{found:#?}"
        );
    }
    let when = |expression: &str| {
        let found = wrong(&with("login", "block", &format!("when: {expression}")));
        found[0].2.clone()
    };
    assert!(when("amount_fen ＞ 5").contains("should be `>`"));
    assert!(when("device == ‘a’").contains("should be `'`"));
    assert!(when("not own_merchant").contains("not is !"));
    assert!(when("amount_fen > 300,000").contains("without commas"));
    assert!(when("own_merchant & has_customer").contains("and is &&"));
    for (field, expected) in [("amount", "amount_fen"), ("velocitiy", "velocity")] {
        let found = wrong(&with("login", "block", &format!("{field}: {{}}")));
        let expected = format!("(did you mean {expected}?)");
        let told = found.iter().any(|mistake| mistake.2.contains(&expected));
        assert!(told, "{found:?}");
    }
    let text = "rules: []\n\u{3000}lists: {}\n";
    assert_wrong(text, &[(2, 1, "indented with spaces, and this is a wide")]);
}

#[test]
fn bombs_do_not_go_off() {
    let aliases = "a: &a [x, x]\nb: [*a, *a]\nrules: []\n";
    assert_eq!(wrong(aliases)[0].0, 1);
    assert!(wrong(aliases)[0].2.contains("anchors (&)"));
    let deep = format!("rules: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    assert!(
        wrong(&deep)[0].2.contains("levels deep"),
        "{:?}",
        wrong(&deep)
    );
    let nested: Vec<String> = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth % 120)))
        .collect();
    assert!(!wrong(&nested.concat()).is_empty());
    let long = format!("rules: []\n# {}\n", "x".repeat(node::BYTES_MAX));
    assert_wrong(&long, &[(1, 1, "262144 are the most")]);
    let many: Vec<String> = (0..300)
        .map(|index| format!("  - {{id: r{index}}}\n"))
        .collect();
    assert_wrong(
        &format!("rules:\n{}", many.concat()),
        &[(2, 3, "300 are too many; 200 are the most")],
    );
    let bad: String = (0..150).map(|_| "  - 1\n").collect();
    let errors = RuleSet::parse(&format!("rules:\n{bad}")).unwrap_err();
    assert_eq!(errors.mistakes().len(), RuleFileErrors::MAX);
    let counters: Vec<String> = (10..80).map(|seconds| {
        format!("  - {{id: r{seconds}, name: N, stages: [login], action: block, on_missing: allow, velocity: {{measure: count, per: address, within: {seconds}s, above: 1}}}}\n")
    }).collect();
    let found = wrong(&format!("rules:\n{}", counters.concat()));
    assert_eq!(found.len(), 6);
    assert!(
        found[0].0 == 66 && found[0].2.contains("more than 64 different counters"),
        "{found:?}"
    );
}

#[test]
fn a_rule_must_be_complete_and_all_mistakes_are_reported_at_once() {
    assert_wrong(
        "rules:\n  - id: A rule\n    stages: [pay, refund, refund]\n    action: stop\n    velocity: {measure: size, per: customer, within: 1 minute}\n",
        &[
            (2, 5, "needs the field name"),
            (2, 9, "id is 1 to 40 of a-z"),
            (
                3,
                14,
                "a stage is one of login, payment.create, points.credit, redeem, refund, and not `pay`",
            ),
            (3, 27, "the stage refund is here twice"),
            (
                4,
                13,
                "action is one of allow, verify, review, block, and not `stop`",
            ),
            (5, 15, "velocity needs the field above"),
            (5, 25, "measure is one of count, sum_fen"),
            (
                5,
                54,
                "within is a whole number and s, m, h or d, such as 15m, and not `1 minute`",
            ),
        ],
    );
    assert_wrong(
        "rules:\n  - {id: a, name: N, stages: [login], action: block, amount_fen: {above: 1}}\n  - {id: a, name: N, stages: [login], action: block, amount_fen: {above: 1}}\n",
        &[(3, 10, "the id is taken: the rule in line 2 has it")],
    );
    assert_wrong(
        &with("login", "block", "priority: 1"),
        &[(2, 5, "a rule needs a condition: one of list,")],
    );
    assert_wrong(
        &with(
            "login",
            "block",
            "amount_fen: {above: 1}\n    points: {above: 1}",
        ),
        &[(
            7,
            5,
            "a rule has one condition, and this one has amount_fen",
        )],
    );
    let errors = RuleSet::parse(&with("login", "block", "points: {}")).unwrap_err();
    assert_eq!(errors.mistakes()[0].rule.as_deref(), Some("a-rule"));
    assert_eq!(
        errors.to_string(),
        "6:13: rule a-rule: points has one of above, below and between"
    );
}

#[test]
fn an_action_must_be_possible_at_every_stage() {
    let possible = [
        (Stage::Login, "allow verify block"),
        (Stage::PaymentCreate, "allow verify review block"),
        (Stage::PointsCredit, "allow review block"),
        (Stage::Redeem, "allow review block"),
        (Stage::Refund, "allow review block"),
    ];
    for (stage, possible) in possible {
        for action in Action::ALL {
            let text = with(stage.name(), action.name(), "amount_fen: {above: 1}");
            if possible.contains(action.name()) {
                assert!(RuleSet::parse(&text).is_ok(), "{stage} {action}");
            } else {
                assert_wrong(
                    &text,
                    &[(5, 13, &format!("{action} cannot be done at {stage}"))],
                );
            }
        }
    }
    let both = with(
        "login, payment.create, refund",
        "verify",
        "amount_fen: {above: 1}",
    );
    assert_wrong(&both, &[(5, 13, "verify cannot be done at refund")]);
}

#[test]
fn a_rule_that_needs_numbers_says_what_it_does_without() {
    let velocity = "velocity: {measure: count, per: customer, within: 1m, above: 1}";
    assert_wrong(
        &with("login", "block", velocity),
        &[(2, 5, "must say its on_missing")],
    );
    assert_wrong(
        &with("login", "block", "when: points > 1"),
        &[(2, 5, "must say its on_missing")],
    );
    let default = format!(
        "defaults: {{on_missing: verify}}\n{}",
        with("refund", "block", velocity)
    );
    assert_wrong(
        &default,
        &[(3, 5, "the file's default, verify, cannot be done at refund")],
    );
    let said = format!("{velocity}\n    on_missing: review");
    assert_wrong(
        &with("login", "block", &said),
        &[(7, 17, "on_missing: review cannot be done at login")],
    );
    assert_wrong(
        &with(
            "login",
            "block",
            "points: {above: 1}\n    on_missing: block",
        ),
        &[(7, 5, "on_missing means nothing here")],
    );
}

#[test]
fn every_kind_refuses_what_it_cannot_be() {
    for (condition, column, what) in [
        (
            "amount_fen: {above: 1.5}",
            25,
            "a whole number between 0 and",
        ),
        (
            "amount_fen: {above: 99999999999999999999}",
            25,
            "a whole number between 0 and",
        ),
        (
            "amount_fen: {above: 9223372036854775807}",
            25,
            "is between 0 and 1000000000000, and not",
        ),
        ("amount_fen: {above: -1}", 25, "and not -1"),
        ("amount_fen: {above: '1'}", 25, "without quotes"),
        (
            "amount_fen: {above: 1, below: 9}",
            17,
            "one of above, below and between",
        ),
        (
            "amount_fen: {between: [2, 1]}",
            27,
            "the first number is the smaller",
        ),
        ("amount_fen: {between: [2]}", 27, "needs two numbers"),
        ("amount_fen: {between: [1, 2, 3]}", 27, "3 are too many"),
        ("amount_fen: {between: []}", 27, "the list is empty"),
        (
            "time_of_day: {from: 25:00, to: 01:00}",
            25,
            "between 00:00 and 24:00",
        ),
        ("time_of_day: {from: 9:00, to: 10:00}", 25, "such as 09:30"),
        (
            "time_of_day: {from: 10:00, to: 10:00}",
            18,
            "from and to differ",
        ),
        (
            "time_of_day: {from: 10:00, to: 11:00, weekdays: [monday]}",
            54,
            "a weekday is one of mon,",
        ),
        (
            "time_of_day: {from: 10:00, to: 11:00, weekdays: []}",
            53,
            "the list is empty",
        ),
        (
            "list: {in: nobody}",
            16,
            "there is no list `nobody`; there are none",
        ),
        ("list: {}", 11, "`in: NAME` or `not_in: NAME`"),
        ("collusion: {own_merchant: false}", 16, "own_merchant: true"),
        ("collusion: {own_merchant: true, above: 1}", 16, "alone"),
        (
            "rollout: 0%\n    points: {above: 1}",
            14,
            "a share from 1% to 100%",
        ),
        (
            "rollout: 25\n    points: {above: 1}",
            14,
            "not 25 without %",
        ),
        ("rollout: 101%\n    points: {above: 1}", 14, "not `101%`"),
        ("shadow: yes\n    points: {above: 1}", 13, "true or false"),
        (
            "priority: 0\n    points: {above: 1}",
            15,
            "between 1 and 1000, and not 0",
        ),
        (
            "reason: ''\n    points: {above: 1}",
            13,
            "1 to 200 characters",
        ),
    ] {
        assert_wrong(
            &with("payment.create", "block", condition),
            &[(6, column, what)],
        );
    }
    for (condition, column, what) in [
        (
            "velocity: {measure: count, per: customer, within: 9s, above: 1}",
            55,
            "between 10s and 90d, and not `9s`",
        ),
        (
            "velocity: {measure: count, per: customer, within: 91d, above: 1}",
            55,
            "between 10s and 90d",
        ),
        (
            "velocity: {measure: count, per: customer, within: 99999999999999999999d, above: 1}",
            55,
            "between 10s and 90d",
        ),
        (
            "velocity: {measure: count, per: customer, within: 60, above: 1}",
            55,
            "with its unit",
        ),
        (
            "velocity: {measure: distinct_devices, per: device, within: 1h, above: 1}",
            15,
            "always 1",
        ),
        (
            "velocity: {measure: count, per: city, within: 1h, above: 1}",
            37,
            "per is one of customer, merchant, address, device, pair",
        ),
        (
            "velocity: {measure: count, of: pay, per: merchant, within: 1h, above: 1}",
            36,
            "of is one of login,",
        ),
        (
            "structuring: {limit_fen: 2, margin: 1%, above: 1, within: 1d}",
            18,
            "no amount lies in that margin",
        ),
        (
            "unusual_amount: {factor: 1, at_least: 1, within: 1d}",
            30,
            "factor is between 2 and 1000",
        ),
        (
            "unusual_amount: {factor: 2, at_least: 1, within: 1d, of: login}",
            58,
            "no field `of`",
        ),
        (
            "first_seen: {attribute: customer}",
            29,
            "attribute is one of network, address, device, merchant",
        ),
        (
            "farming: {above: 1, within: 1d, share: half}",
            44,
            "such as 25%",
        ),
    ] {
        let text = with(
            "payment.create",
            "block",
            &format!("{condition}\n    on_missing: allow"),
        );
        assert_wrong(&text, &[(6, column, what)]);
    }
    let two = with(
        "login, refund",
        "block",
        "collusion: {above: 1, within: 1d}\n    on_missing: allow",
    );
    assert_wrong(&two, &[(6, 16, "`of` must say the stage")]);
}

#[test]
fn lists_hold_what_they_say() {
    for (list, column, what) in [
        ("{customers: []}", 21, "the list is empty"),
        (
            "{customers: [me_00000000000000000000000000000000]}",
            22,
            "a customer is written cu_",
        ),
        ("{merchants: [merchant]}", 22, "a merchant is written me_"),
        ("{devices: [a b]}", 20, "a device is named by"),
        ("{devices: [7]}", 20, "in quotes, if it looks like a number"),
        ("{addresses: [203.0.113.7/24]}", 22, "write 203.0.113.0/24"),
        (
            "{addresses: [203.0.113.0/33]}",
            22,
            "an address (203.0.113.7)",
        ),
        (
            "{addresses: [203.0.113.9-203.0.113.1]}",
            22,
            "the last address comes before the first",
        ),
        ("{phones: [x]}", 10, "no field `phones`"),
        ("{customers: [], merchants: [x]}", 36, "not both"),
        ("{}", 9, "one of customers, merchants, addresses, devices"),
        ("[x]", 9, "a list is a block of fields"),
    ] {
        let text = format!(
            "lists:\n  them: {list}\nrules:\n  - {{id: a, name: N, stages: [login], action: block, list: {{in: them}}}}\n"
        );
        let found = wrong(&text);
        assert!(
            found
                .iter()
                .any(|(line, at, said)| (*line, *at) == (2, column) && said.contains(what)),
            "{text}{found:?}"
        );
        assert!(
            found.iter().all(|(line, ..)| *line == 2),
            "a rule that names it is not wrong: {found:?}"
        );
    }
    assert_wrong(
        "lists:\n  A list: {devices: [x]}\nrules: []\n",
        &[(2, 3, "a list's name is")],
    );
}

#[test]
fn file_wide_settings_have_bounds() {
    assert_wrong(
        "defaults: {on_missing: never}\nverify: {valid_for: 2d}\nreview: {timeout: 1s, on_timeout: wait, second_person_above_points: -1}\nrules: []\n",
        &[
            (
                1,
                24,
                "on_missing is one of allow, verify, review, block, and not `never`",
            ),
            (2, 21, "valid_for is between 10s and 1d"),
            (3, 19, "timeout is between 10s and 30d"),
            (
                3,
                35,
                "on_timeout is one of approve, reject, and not `wait`",
            ),
            (3, 69, "second_person_above_points is between 0 and"),
        ],
    );
    let set = RuleSet::parse("verify: {valid_for: 1h}\nreview: {timeout: 2h, on_timeout: approve, second_person_above_points: 5}\nrules: []\n").unwrap();
    let settings = set.settings();
    assert_eq!(
        (
            settings.verify_valid_seconds,
            settings.review.timeout_seconds
        ),
        (3_600, 7_200)
    );
    assert_eq!(
        settings.review.on_timeout,
        super::super::rules::TimeoutDecision::Approve
    );
    assert_eq!(settings.review.second_person_above_points.get(), 5);
}

#[test]
fn mistakes_in_expressions_are_shown_where_they_are() {
    let rule = |expression: &str| {
        with(
            "payment.create",
            "block",
            &format!("on_missing: allow\n    when: {expression}"),
        )
    };
    for (expression, column, what) in [
        (
            "amount > 5",
            11,
            "there is no amount; there are amount_fen,",
        ),
        (
            "points > 1 && counters.rapid > 2",
            25,
            "the file names no counter rapid",
        ),
        (
            "points",
            11,
            "the whole must be true or false, and this is a number",
        ),
        (
            "points > 'x'",
            18,
            "> needs numbers on both sides, and here is a number and text",
        ),
        ("points > 1.5", 20, "numbers are whole"),
        ("points > 1 and hour > 2", 22, "and is &&"),
        ("points = 1", 18, "equal is =="),
        ("points >", 19, "something is missing"),
        (
            "\"'账户账户' == customer && hours == 3\"",
            34,
            "there is no hours",
        ),
        ("\"device == 'a' || phone == 'b'\"", 29, "there is no phone"),
        ("points in []", 21, "the list is empty"),
        ("points in [1, 'x']", 25, "not both"),
        (
            "points in ['x']",
            18,
            "in needs a number in a list of numbers",
        ),
        ("'[1, 2].exists(x, x > 1)'", 19, "there is no exists here"),
        ("'[1, 2].map(x, x) == [1]'", 19, "there is no map here"),
        (
            "has_customer && has(counters.x)",
            27,
            "there is no has here",
        ),
        ("device.matches('a+')", 18, "there is no matches here"),
        ("size(device) > 1u", 26, "without u"),
        ("device == null", 21, "there is no null"),
        ("customer.name == ''", 19, "only counters.NAME has a dot"),
        ("\"true ? 1 : 'x'\"", 17, "? needs true or false before it"),
        ("string(points) == ''", 11, "there is no string here"),
        ("points > 99999999999999999999", 20, "invalid int literal"),
        ("counters > 1", 11, "counters need a name"),
        (
            "5",
            11,
            "when, an expression, is needed, and this is a number",
        ),
    ] {
        let found = wrong(&rule(expression));
        let (line, at, said) = &found[0];
        assert_eq!((*line, *at), (7, column), "{expression}: {found:?}");
        assert!(said.contains(what), "{expression}: {said}");
    }
    // The parser and the check tell all that they find.
    assert_wrong(
        &rule("foo > 1 || bar > 2"),
        &[(7, 11, "no foo"), (7, 22, "no bar")],
    );
    assert_wrong(
        &rule("|\n      points > 1 &&\n        (foo || hour > 3)"),
        &[(9, 10, "there is no foo")],
    );
    assert_wrong(
        &rule(">-\n      points > 1\n      && hour > bar"),
        &[(9, 17, "there is no bar")],
    );
}

#[test]
fn hostile_expressions_are_refused() {
    let rule = |expression: &str| {
        with(
            "payment.create",
            "block",
            &format!("on_missing: allow\n    when: {expression}"),
        )
    };
    let chain = format!("points > {}1", "1+".repeat(990));
    assert!(
        wrong(&rule(&chain))[0].2.contains("too much is nested"),
        "{:?}",
        wrong(&rule(&chain))
    );
    let long = format!("points > {}1", "1+".repeat(1_400));
    assert!(wrong(&rule(&long))[0].2.contains("2000 are the most"));
    for hostile in [
        format!("points > {}1{}", "(".repeat(900), ")".repeat(900)),
        format!("points in {}1{}", "[".repeat(900), "]".repeat(900)),
        format!("'{}1'", "true ? 1 : ".repeat(170)),
        "\"\\x00\"".to_owned(),
        "'${points}'".to_owned(),
    ] {
        assert!(!wrong(&rule(&hostile)).is_empty(), "{hostile}");
    }
    // These say nothing, at length.
    for idle in [
        format!("'{}true'", "!".repeat(1_900)),
        format!("points > {}1", "-".repeat(1_900)),
    ] {
        let _ = RuleSet::parse(&rule(&idle));
    }
    // What people really write is long in another way.
    let wide = vec!["points == 12345"; 100].join(" || ");
    assert!(
        RuleSet::parse(&rule(&wide)).is_ok(),
        "{:?}",
        wrong(&rule(&wide))
    );
}

#[test]
fn the_text_and_its_hash_are_kept() {
    let text = include_str!("../../../risk-rules.yaml");
    let set = RuleSet::parse(text).unwrap();
    assert_eq!(set.text(), text);
    assert_eq!(set.hash(), RuleSet::parse(text).unwrap().hash());
    assert_ne!(
        set.hash(),
        RuleSet::parse(&format!("{text}\n")).unwrap().hash()
    );
}

/// The comments teach: what they show must be right.
#[test]
fn the_examples_in_the_comments_are_rules() {
    let text = include_str!("../../../risk-rules.yaml");
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter(|line| {
            let kind = line.split(':').next().unwrap_or_default();
            conditions::ConditionKind::from_name(kind).is_some() && line.contains('}')
        })
        .filter_map(|line| Some(&line[..=line.find('}')?]))
        .collect();
    assert_eq!(shown.len(), 11, "{shown:?}");
    for condition in shown {
        let condition = condition.replace("NAME", "phones");
        let text = format!(
            "lists: {{phones: {{devices: [x]}}}}\ndefaults: {{on_missing: allow}}\n{}",
            with("payment.create", "block", &condition)
        );
        assert!(
            RuleSet::parse(&text).is_ok(),
            "{condition}: {:?}",
            RuleSet::parse(&text).err()
        );
    }
    let with_test_customers = text
        .replace("  # - id: test", "  - id: test")
        .replace("  #   name: 测", "    name: 测")
        .replace("  #   stages: [payment.create]\n  #   action: allow\n  #   priority: 5\n  #   list: { in: test_customers }", "    stages: [payment.create]\n    action: allow\n    priority: 5\n    list: { in: blocked_customers }");
    assert_eq!(
        RuleSet::parse(&with_test_customers).unwrap().rules().len(),
        RuleSet::parse(text).unwrap().rules().len() + 1
    );
}
