//! Warnings of `zhangfang risk check` about rules that are valid but probably not meant.

use std::{cell::Cell, collections::BTreeSet};

use cel::IdedExpr;

use super::{
    abstract_state::{AbstractState, ActivityShape, Interval, Variable},
    condition::Condition,
    counter_table::{CounterIndex, CounterTable},
    describe,
    list::Members,
    narrow::{Narrower, STEPS_MAX, conjuncts, narrowed, numbers, source_text},
    rule::Rule,
    rule_set::RuleSet,
};
use crate::{
    facts::Stage,
    risk::{Action, Attribute, Per},
};

impl RuleSet {
    /// Returns the warnings as sentences, in the order of the file.
    pub fn warnings(&self) -> Vec<String> {
        let each = self.rules.iter().flat_map(|rule| {
            let fires = never_fires(rule, &self.counters);
            let overrules = self.overrules_less(rule);
            [fires, overrules, rollout_in_shadow(rule)]
        });
        each.flatten().collect()
    }

    fn overrules_less(&self, rule: &Rule) -> Option<String> {
        if rule.action != Action::Allow {
            return None;
        }
        let beside = self.rules.iter().find(|other| {
            other.action != Action::Allow
                && other.priority == rule.priority
                && rule.stages.iter().any(|at| other.is_at(at.stage))
        })?;
        let (id, other, priority) = (&rule.id, &beside.id, rule.priority);
        Some(format!(
            "rule {id} allows and does not overrule {other}, which has the same priority, {priority}"
        ))
    }
}

fn rollout_in_shadow(rule: &Rule) -> Option<String> {
    let id = &rule.id;
    (rule.shadow && rule.rollout_percent < 100)
        .then(|| format!("rule {id} is in the shadow for all, so its rollout means nothing yet"))
}

/// Whether the rule can fire at any of its stages: whether numbers, texts and flags are left for
/// which its condition and every part of its expression hold. If not, as few parts as show it.
///
/// What a rule does without its numbers is another matter.
fn never_fires(rule: &Rule, counters: &CounterTable) -> Option<String> {
    let steps = Cell::new(STEPS_MAX);
    let reachability = Reachability::new(rule, counters, &steps);
    let all: Vec<usize> = (0..reachability.parts.len()).collect();
    if reachability.can_hold(&all) {
        return None;
    }
    let one = all.iter().map(|part| vec![*part]);
    let two = all.iter().flat_map(|one| {
        let later = all.iter().filter(move |two| *two > one);
        later.map(move |two| vec![*one, *two])
    });
    let smallest = one.chain(two).find(|parts| !reachability.can_hold(parts));
    let smallest = smallest.unwrap_or(all);
    let id = &rule.id;
    Some(format!(
        "rule {id} never fires: {}",
        reachability.explanation(rule, &smallest)
    ))
}

/// What must all hold for a rule to fire.
#[derive(Clone, Copy)]
enum Part<'a> {
    Condition(&'a Condition),
    Expression(&'a IdedExpr),
}

struct Reachability<'a> {
    stages: Vec<Stage>,
    parts: Vec<Part<'a>>,
    narrower: Narrower<'a>,
    asked: BTreeSet<usize>,
    times: Vec<(Interval, Interval)>,
}

impl<'a> Reachability<'a> {
    fn new(rule: &'a Rule, counters: &'a CounterTable, steps: &'a Cell<u32>) -> Self {
        let condition = rule.condition.as_ref();
        let when = rule.when.iter().flat_map(|when| conjuncts(when.root()));
        let parts: Vec<Part<'a>> = condition
            .map(Part::Condition)
            .into_iter()
            .chain(when.map(Part::Expression))
            .collect();
        let mut named = BTreeSet::new();
        for part in &parts {
            if let Part::Expression(at) = part {
                numbers(at, counters, &mut named);
            }
        }
        let by_the_hour = matches!(condition, Some(Condition::TimeOfDay(_)))
            || named.contains(&Variable::Hour)
            || named.contains(&Variable::Weekday);
        let (days, hours) = (Interval::new(1, 7), Interval::new(0, 23));
        let times = if by_the_hour {
            // Each hour of the week by itself, so that times of day and names of hours agree.
            let each = (days.least..=days.most)
                .flat_map(|day| (hours.least..=hours.most).map(move |hour| (day, hour)));
            each.map(|(day, hour)| (Interval::only(day), Interval::only(hour)))
                .collect()
        } else {
            vec![(days, hours)]
        };
        Self {
            stages: rule.stages.iter().map(|at| at.stage).collect(),
            parts,
            narrower: Narrower { counters, steps },
            asked: rule.counters().map(|counter| counter.0).collect(),
            times,
        }
    }

    fn shapes(&self) -> impl Iterator<Item = ActivityShape> {
        self.stages
            .iter()
            .flat_map(|stage| ActivityShape::all(*stage))
    }

    fn states(&self) -> impl Iterator<Item = (ActivityShape, AbstractState)> {
        self.shapes().flat_map(move |shape| {
            let times = self.times.iter();
            times.map(move |time| {
                (
                    shape,
                    shape.state(self.narrower.counters, &self.asked, *time),
                )
            })
        })
    }

    fn can_hold(&self, parts: &[usize]) -> bool {
        self.states().any(|(shape, state)| {
            let states = narrowed(vec![state], parts, |state, part| {
                match self.parts.get(*part) {
                    Some(Part::Condition(condition)) => {
                        self.narrower.condition(state, shape, condition)
                    }
                    Some(Part::Expression(at)) => self.narrower.expression(state, at, true),
                    None => vec![state],
                }
            });
            !states.is_empty()
        })
    }

    fn explanation(&self, rule: &Rule, parts: &[usize]) -> String {
        let names: Vec<&str> = self.stages.iter().map(|stage| stage.name()).collect();
        let stages = names.join(", ");
        let shown: Vec<Part<'a>> = parts
            .iter()
            .filter_map(|part| self.parts.get(*part).copied())
            .collect();
        if let [Part::Condition(condition)] = shown.as_slice()
            && let Some(what) = needs_what(rule, condition, self.narrower.counters)
        {
            return format!("no activity at {stages} has {what}");
        }
        let words: Vec<String> = shown.iter().map(|part| self.words(*part)).collect();
        let words = words.join(" and ");
        let known = self.known(&shown);
        let never = if shown.len() > 1 {
            "never hold together"
        } else {
            "never holds"
        };
        if known.is_empty() {
            return format!("{words} {never} at {stages}");
        }
        format!("{words} {never} at {stages}, where {}", known.join(", "))
    }

    fn words(&self, part: Part<'a>) -> String {
        match part {
            Part::Condition(condition) => {
                format!(
                    "`{}`",
                    describe::condition(condition, self.narrower.counters)
                )
            }
            Part::Expression(at) => format!("`{}`", source_text(at)),
        }
    }

    /// What the numbers of these parts are to begin with, where that is worth saying.
    fn known(&self, parts: &[Part<'a>]) -> Vec<String> {
        let counters = self.narrower.counters;
        let mut asked = BTreeSet::new();
        for part in parts {
            match part {
                Part::Condition(Condition::Amount(_) | Condition::Structuring { .. }) => {
                    asked.insert(Variable::Amount);
                }
                Part::Condition(Condition::Points(_)) => {
                    asked.insert(Variable::Points);
                }
                Part::Condition(condition) => {
                    let numbers = condition.counters().into_iter().flatten();
                    asked.extend(numbers.map(|number| Variable::Counter(number.0)));
                }
                Part::Expression(at) => numbers(at, counters, &mut asked),
            }
        }
        let sentences = asked.into_iter().filter_map(|number| {
            let ranges = self.states().map(|(_, state)| state.number(number));
            let range = ranges.reduce(Interval::or)?;
            let name = match number {
                Variable::Amount => "amount_fen".to_owned(),
                Variable::Points => "points".to_owned(),
                Variable::Hour => "hour".to_owned(),
                Variable::Weekday => "weekday".to_owned(),
                Variable::Age => "customer_age_days".to_owned(),
                Variable::Counter(counter) => {
                    let counter = counters.get(CounterIndex(counter))?;
                    format!("the {}", crate::risk::describe_counter(counter))
                }
            };
            let Interval { least, most } = range;
            if least == most {
                return Some(format!("{name} is {least}"));
            }
            // As many as there may be is not worth saying.
            (most < Interval::ALL.most).then(|| format!("{name} is {least} to {most}"))
        });
        sentences.collect()
    }
}

/// What a condition is about that no activity of the rule's stages has.
fn needs_what(rule: &Rule, condition: &Condition, counters: &CounterTable) -> Option<&'static str> {
    let needs = |has: fn(Stage) -> bool, what: &'static str| {
        let nowhere = !rule.stages.iter().any(|at| has(at.stage));
        nowhere.then_some(what)
    };
    match condition {
        Condition::Amount(_) | Condition::UnusualAmount { .. } | Condition::Structuring { .. } => {
            needs(has_amount, "an amount")
        }
        Condition::Points(_) => needs(has_points, "points"),
        Condition::Listed { list, inside: true } => match list.members {
            Members::Customers(_) => None,
            Members::Merchants(_) => needs(has_merchant, "a merchant"),
            Members::Devices(_) | Members::Addresses(_) => {
                needs(has_origin, "an address or device")
            }
        },
        Condition::FirstSeen { attribute, .. } => match attribute {
            Attribute::Customer => None,
            Attribute::Merchant => needs(has_merchant, "a merchant"),
            Attribute::Address | Attribute::Network | Attribute::Device => {
                needs(has_origin, "an address or device")
            }
        },
        Condition::Velocity { counter, .. } => match counters.get(*counter)?.per {
            Per::Customer => None,
            Per::Merchant | Per::Pair => needs(has_merchant, "a merchant"),
            Per::Address | Per::Device => needs(has_origin, "an address or device"),
        },
        Condition::OwnMerchant | Condition::SamePair { .. } => needs(has_merchant, "a merchant"),
        Condition::Listed { inside: false, .. }
        | Condition::TimeOfDay(_)
        | Condition::Farming { .. } => None,
    }
}

const fn has_amount(stage: Stage) -> bool {
    match stage {
        Stage::PaymentCreate | Stage::PointsCredit | Stage::Refund => true,
        Stage::Login | Stage::Redeem => false,
    }
}

const fn has_points(stage: Stage) -> bool {
    match stage {
        Stage::PointsCredit | Stage::Redeem => true,
        Stage::Login | Stage::PaymentCreate | Stage::Refund => false,
    }
}

const fn has_merchant(stage: Stage) -> bool {
    match stage {
        Stage::PaymentCreate | Stage::PointsCredit | Stage::Redeem | Stage::Refund => true,
        Stage::Login => false,
    }
}

const fn has_origin(stage: Stage) -> bool {
    match stage {
        Stage::Login | Stage::PaymentCreate | Stage::PointsCredit => true,
        Stage::Redeem | Stage::Refund => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(rules: &[&str]) -> Vec<String> {
        let rules: Vec<String> = (0..)
            .zip(rules)
            .map(|(number, rule)| format!("  - {{id: r{number}, name: N, {rule}}}\n"))
            .collect();
        let text = format!(
            "defaults: {{on_missing: allow}}\nrules:\n{}",
            rules.concat()
        );
        RuleSet::parse(&text).unwrap().warnings()
    }

    #[test]
    fn a_rule_that_can_never_fire_gives_a_warning() {
        for (rule, expected) in [
            (
                "stages: [login, redeem], action: block, amount_fen: {above: 1}",
                "rule r0 never fires: no activity at login, redeem has an amount",
            ),
            (
                "stages: [payment.create], action: block, points: {above: 1}",
                "rule r0 never fires: no activity at payment.create has points",
            ),
            (
                "stages: [refund], action: review, first_seen: {attribute: device}",
                "rule r0 never fires: no activity at refund has an address or device",
            ),
            (
                "stages: [login], action: block, velocity: {measure: count, per: merchant, within: 1m, above: 1}",
                "rule r0 never fires: no activity at login has a merchant",
            ),
        ] {
            assert_eq!(warnings(&[rule]), [expected]);
        }
        let fine = "stages: [login, payment.create], action: block, amount_fen: {above: 1}";
        assert_eq!(warnings(&[fine]), Vec::<String>::new());
    }

    #[test]
    fn many_choices_are_judged_in_time() {
        // Each conjunct has two ways to hold: a world for each choice of ways would be a billion.
        let choices: Vec<String> = (1..=30)
            .map(|number| format!("(source.contains('a{number}') || points > {number})"))
            .collect();
        let choices = choices.join(" && ");
        let rule = |when: &str| format!("stages: [redeem], action: review, when: \"{when}\"");
        assert_eq!(warnings(&[&rule(&choices)]), Vec::<String>::new());
        let never = warnings(&[&rule(&format!("{choices} && points < 0"))]);
        let [sentences] = never.as_slice() else {
            panic!("{never:?}")
        };
        let expected = "rule r0 never fires: `points < 0` never holds at redeem";
        assert!(sentences.starts_with(expected), "{sentences}");
        // Choices within choices: each level for each world of the one around it.
        let around = |inner: String, level: u32| {
            let choices: Vec<String> = (1..=6)
                .map(|number| format!("(points>{number}||source.contains('{level}{number}'))&&"))
                .collect();
            let choices = choices.concat();
            format!("{choices}(points<{level}||({inner}))")
        };
        let nested = (1..=6).fold("points>9".to_owned(), around);
        assert_eq!(warnings(&[&rule(&nested)]), Vec::<String>::new());
    }

    #[test]
    fn bounds_that_are_never_reached_give_a_warning_with_the_possible_values() {
        let at = |stage: &str, condition: &str| {
            let counters = "counters:\n  logins: {measure: count, of: login, per: merchant, within: 1h}\n  \
                merchants: {measure: distinct_merchants, of: payment.create, per: customer, within: 1h}\n  \
                paid: {measure: count, of: points.credit.payment, per: customer, within: 1h}\n";
            let action = if stage == "login" { "block" } else { "review" };
            let text = format!(
                "defaults: {{on_missing: allow}}\n{counters}rules:\n  - id: r0\n    name: N\n    stages: [{stage}]\n    action: {action}\n    {condition}\n"
            );
            let warnings = RuleSet::parse(&text)
                .unwrap_or_else(|e| panic!("{text}{e}"))
                .warnings();
            warnings.join("; ")
        };
        for (stage, condition, expected) in [
            // Unknown at that stage.
            (
                "redeem",
                "when: amount_fen > 0",
                "`amount_fen > 0` never holds at redeem, where amount_fen is 0",
            ),
            (
                "login",
                "when: points >= 1",
                "`points >= 1` never holds at login, where points is 0",
            ),
            (
                "login",
                "when: merchant != ''",
                "`merchant != ''` never holds at login",
            ),
            (
                "redeem",
                "when: own_merchant",
                "`own_merchant` never holds at redeem",
            ),
            (
                "refund",
                "when: size(device) > 0",
                "`size(device) > 0` never holds at refund",
            ),
            (
                "refund",
                "when: \"stage == 'redeem'\"",
                "`stage == 'redeem'` never holds at refund",
            ),
            // Out of range.
            (
                "payment.create",
                "amount_fen: {above: 5000000}",
                "`amount above 5000000 fen` never holds at payment.create, where amount_fen is 1 to 5000000",
            ),
            (
                "payment.create",
                "when: amount_fen / 100 > 50000",
                "`(amount_fen / 100) > 50000` never holds at payment.create, where amount_fen is 1 to 5000000",
            ),
            (
                "refund",
                "when: hour > 23",
                "`hour > 23` never holds at refund, where hour is 0 to 23",
            ),
            (
                "refund",
                "when: hour in [24, 25]",
                "`hour in [24, 25]` never holds at refund, where hour is 0 to 23",
            ),
            (
                "refund",
                "when: weekday == 0",
                "`weekday == 0` never holds at refund, where weekday is 1 to 7",
            ),
            (
                "refund",
                "when: amount_fen % 10 > 9",
                "`(amount_fen % 10) > 9` never holds at refund, where amount_fen is 0 to 5000000",
            ),
            (
                "redeem",
                "when: customer_age_days < 0",
                "`customer_age_days < 0` never holds at redeem, where customer_age_days is 0 to 36500",
            ),
            (
                "payment.create",
                "structuring: {limit_fen: 90000000, margin: 1%, above: 1, within: 1d}",
                "where amount_fen is 1 to 5000000",
            ),
            (
                "redeem",
                "when: \"customer == 'Li'\"",
                "`customer == 'Li'` never holds at redeem",
            ),
            // Above what a counter says.
            (
                "payment.create",
                "velocity: {measure: distinct_merchants, per: customer, within: 1h, above: 1000}",
                "is 0 to 1000",
            ),
            (
                "payment.create",
                "when: counters.merchants >= 1001",
                "`counters.merchants >= 1001` never holds",
            ),
            (
                "payment.create",
                "when: counters.logins > 0",
                "where the count of login per merchant within 1h is 0",
            ),
            (
                "payment.create",
                "velocity: {measure: sum_points, per: customer, within: 1h, above: 0}",
                "within 1h is 0",
            ),
            (
                "points.credit",
                "velocity: {measure: sum_fen, of: points.credit.award, per: customer, within: 1h, above: 0}",
                "within 1h is 0",
            ),
            // Against each other.
            (
                "refund",
                "when: amount_fen > 5 && amount_fen < 3",
                "`amount_fen > 5` and `amount_fen < 3` never hold together at refund, where amount_fen is 0 to 5000000",
            ),
            (
                "refund",
                "when: amount_fen > amount_fen",
                "`amount_fen > amount_fen` never holds",
            ),
            (
                "redeem",
                "when: points * 2 < points + 1",
                "`(points * 2) < (points + 1)` never holds",
            ),
            (
                "redeem",
                "when: \"!(points > 5 || points < 7)\"",
                "`!((points > 5) || (points < 7))` never holds",
            ),
            (
                "redeem",
                "when: \"points < 5 ? points > 6 : points < 4\"",
                "never holds",
            ),
            (
                "redeem",
                "when: \"source == 'crm' && source == 'till'\"",
                "never hold together",
            ),
            (
                "redeem",
                "when: \"source == 'crm' && source.startsWith('t')\"",
                "never hold together",
            ),
            (
                "redeem",
                "when: \"source.contains('x') && !source.contains('x')\"",
                "never hold together",
            ),
            (
                "redeem",
                "points: {above: 100}\n    when: points < 100",
                "`points above 100` and `points < 100` never hold together at redeem",
            ),
            (
                "payment.create",
                "time_of_day: {from: 22:00, to: 06:00}\n    when: hour == 12",
                "`from 22:00 to 06:00 (UTC+8)` and `hour == 12` never hold together",
            ),
            (
                "payment.create",
                "time_of_day: {from: 10:00, to: 11:00, weekdays: [fri]}\n    when: weekday == 6",
                "never hold together",
            ),
            (
                "payment.create",
                "velocity: {measure: distinct_merchants, per: customer, within: 1h, above: 5}\n    when: counters.merchants < 4",
                "never hold together",
            ),
            (
                "points.credit",
                "collusion: {own_merchant: true}\n    when: \"source != ''\"",
                "never hold together",
            ),
            ("redeem", "when: points / 0 > 1", "never holds"),
        ] {
            let assumed = at(stage, condition);
            assert!(
                assumed.starts_with("rule r0 never fires: ") && assumed.ends_with(expected)
                    || assumed.contains(expected),
                "{stage} {condition}: {assumed}"
            );
        }
        for (stage, condition) in [
            ("refund", "when: amount_fen > 3 && amount_fen < 5"),
            ("refund", "when: amount_fen == 0"),
            ("payment.create", "when: counters.merchants == 1000"),
            (
                "payment.create",
                "when: \"!has_customer && customer == ''\"",
            ),
            (
                "payment.create",
                "time_of_day: {from: 22:00, to: 06:00}\n    when: hour == 5",
            ),
            (
                "payment.create",
                "time_of_day: {from: 22:59, to: 23:00, weekdays: [sun]}\n    when: hour == 22 && weekday == 7",
            ),
            ("redeem", "when: \"points < 5 ? points > 3 : points < 4\""),
            ("redeem", "when: points * points > 10 && points % 7 == 6"),
            ("points.credit", "when: counters.paid == 0 && source != ''"),
            ("redeem", "when: \"source in ['a', 'b'] && source != 'a'\""),
            ("login", "when: 100 / points > 5 || hour == 3"),
        ] {
            assert_eq!(at(stage, condition), "", "{stage} {condition}");
        }
    }

    #[test]
    fn the_shipped_rules_can_all_fire() {
        let set = RuleSet::parse(include_str!("../../../risk-rules.yaml")).unwrap();
        assert_eq!(set.warnings(), Vec::<String>::new());
    }

    #[test]
    fn equal_priorities_and_a_rollout_in_the_shadow_give_warnings() {
        let found = warnings(&[
            "stages: [redeem], action: allow, points: {below: 9}",
            "stages: [redeem, refund], action: block, points: {above: 1}, shadow: true, rollout: 5%",
            "stages: [redeem], action: block, priority: 101, points: {above: 1}",
        ]);
        assert_eq!(
            found,
            [
                "rule r0 allows and does not overrule r1, which has the same priority, 100",
                "rule r1 is in the shadow for all, so its rollout means nothing yet",
            ]
        );
    }
}
