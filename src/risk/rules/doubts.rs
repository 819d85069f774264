//! What can be read and is hardly meant: said by `zhangfang risk check`, and no mistake.

use super::{
    condition::Condition,
    list::Members,
    rule::Rule,
    rule_set::{Counters, RuleSet},
};
use crate::{
    facts::Stage,
    risk::{Action, Per, Thing},
};

impl RuleSet {
    /// Sentences for whoever wrote the file, in its order.
    pub fn doubts(&self) -> Vec<String> {
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

fn never_fires(rule: &Rule, counters: &Counters) -> Option<String> {
    let condition = rule.condition.as_ref()?;
    let needs = |has: fn(Stage) -> bool, what: &'static str| {
        let nowhere = !rule.stages.iter().any(|at| has(at.stage));
        nowhere.then_some(what)
    };
    let what = match condition {
        Condition::Amount(_) | Condition::UnusualAmount { .. } | Condition::Structuring { .. } => {
            needs(has_amount, "an amount")
        }
        Condition::Points(_) => needs(has_points, "points"),
        Condition::Listed { list, inside: true } => match list.members {
            Members::Customers(_) => None,
            Members::Shops(_) => needs(has_shop, "a shop"),
            Members::Devices(_) | Members::Addresses(_) => {
                needs(has_origin, "an address or device")
            }
        },
        Condition::FirstSeen { thing, .. } => match thing {
            Thing::Customer => None,
            Thing::Shop => needs(has_shop, "a shop"),
            Thing::Address | Thing::Network | Thing::Device => {
                needs(has_origin, "an address or device")
            }
        },
        Condition::Velocity { counter, .. } => match counters.get(*counter)?.per {
            Per::Customer => None,
            Per::Shop | Per::Pair => needs(has_shop, "a shop"),
            Per::Address | Per::Device => needs(has_origin, "an address or device"),
        },
        Condition::OwnShop | Condition::SamePair { .. } => needs(has_shop, "a shop"),
        Condition::Listed { inside: false, .. }
        | Condition::TimeOfDay(_)
        | Condition::Farming { .. } => None,
    }?;
    let stages: Vec<&str> = rule.stages.iter().map(|at| at.stage.name()).collect();
    let (id, stages) = (&rule.id, stages.join(", "));
    Some(format!(
        "rule {id} never fires: no deed at {stages} has {what}"
    ))
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

const fn has_shop(stage: Stage) -> bool {
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

    fn doubts(rules: &[&str]) -> Vec<String> {
        let rules: Vec<String> = (0..)
            .zip(rules)
            .map(|(number, rule)| format!("  - {{id: r{number}, name: N, {rule}}}\n"))
            .collect();
        let text = format!(
            "defaults: {{on_missing: allow}}\nrules:\n{}",
            rules.concat()
        );
        RuleSet::parse(&text).unwrap().doubts()
    }

    #[test]
    fn a_rule_that_can_never_fire_is_told() {
        for (rule, expected) in [
            (
                "stages: [login, redeem], action: block, amount_fen: {above: 1}",
                "rule r0 never fires: no deed at login, redeem has an amount",
            ),
            (
                "stages: [payment.create], action: block, points: {above: 1}",
                "rule r0 never fires: no deed at payment.create has points",
            ),
            (
                "stages: [refund], action: review, first_seen: {thing: device}",
                "rule r0 never fires: no deed at refund has an address or device",
            ),
            (
                "stages: [login], action: block, velocity: {measure: count, per: shop, within: 1m, above: 1}",
                "rule r0 never fires: no deed at login has a shop",
            ),
        ] {
            assert_eq!(doubts(&[rule]), [expected]);
        }
        let fine = "stages: [login, payment.create], action: block, amount_fen: {above: 1}";
        assert_eq!(doubts(&[fine]), Vec::<String>::new());
    }

    #[test]
    fn equal_priorities_and_a_rollout_in_the_shadow_are_told() {
        let found = doubts(&[
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
