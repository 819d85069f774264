//! The block `rules`.

use std::collections::BTreeMap;

use super::{
    RULES_MAX, Reader, conditions::ConditionKind, fields::Fields, mistake::Position, node::Node,
    position,
};
use crate::{
    facts::Stage,
    risk::{
        Action,
        rules::{Condition, CounterIndex, Expression, Rule, RuleStage, actions_at},
    },
};

/// Where a rule stands that does not say.
const PRIORITY: u16 = 100;

const FIELDS: [&str; 10] = [
    "id",
    "name",
    "stages",
    "action",
    "priority",
    "reason",
    "shadow",
    "rollout",
    "on_missing",
    "when",
];

impl Reader<'_> {
    pub(super) fn rules(&mut self, node: &Node) -> Vec<Rule> {
        // A tenant may have no rules at all.
        if let super::node::NodeKind::List(items) = &node.kind
            && items.is_empty()
        {
            return Vec::new();
        }
        let items = node.items("rules", RULES_MAX, &mut self.mistakes);
        let mut ids = BTreeMap::new();
        let mut rules = Vec::new();
        for node in items.unwrap_or_default() {
            rules.extend(self.rule(node, &mut ids));
            self.mistakes.in_rule(None);
        }
        rules
    }

    fn rule(&mut self, node: &Node, ids: &mut BTreeMap<String, Position>) -> Option<Rule> {
        // The id comes first, so that every other mistake can name it.
        let id = id(node, self);
        let known: Vec<&str> = FIELDS
            .into_iter()
            .chain(ConditionKind::ALL.map(ConditionKind::name))
            .collect();
        let fields = Fields::of(node, "a rule", &known, &mut self.mistakes)?;
        if fields.get("id").is_none() {
            fields.need("id", &mut self.mistakes);
        }
        if let Some((id, position)) = &id
            && let Some(first) = ids.insert(id.clone(), *position)
        {
            let line = first.line;
            self.mistakes.add(
                *position,
                format!("the id is taken: the rule in line {line} has it"),
            );
        }
        let name = fields.need("name", &mut self.mistakes);
        let name = name.and_then(|node| node.text("name", &mut self.mistakes));
        let stages = self.stages(&fields);
        let action = fields.need("action", &mut self.mistakes);
        let action = action.and_then(|node| {
            let action = node.action("action", &mut self.mistakes)?;
            self.suits("action", node, action, &stages)
                .then_some(action)
        });
        let condition = self.kind(&fields, &stages);
        let when = fields.get("when").map(|node| self.when(node));
        if fields.get("when").is_none() && condition.is_none() {
            let kinds = ConditionKind::ALL.map(ConditionKind::name).join(", ");
            self.mistakes.add(
                fields.position,
                format!("a rule needs a condition: one of {kinds}, or when"),
            );
        }
        let mut rule = Rule {
            id: id.map(|(id, _)| id).unwrap_or_default(),
            name: name.unwrap_or_default(),
            reason: self.text_of(&fields, "reason"),
            stages: Vec::new(),
            action: action.unwrap_or(Action::Block),
            priority: self.priority(&fields),
            shadow: self.flag(&fields, "shadow"),
            rollout_percent: fields.get("rollout").map_or(100, |node| {
                node.percent("rollout", &mut self.mistakes).unwrap_or(100)
            }),
            condition: condition.and_then(|(_, condition)| condition),
            when: when.flatten().map(|(expression, _)| expression),
            when_text: fields.get("when").and_then(|node| {
                let text = node.raw_text("when", &mut super::Mistakes::default());
                text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
            }),
        };
        rule.stages = self.at_stages(&fields, &rule, &stages);
        Some(rule)
    }

    fn stages(&mut self, fields: &Fields<'_>) -> Vec<Stage> {
        let mistakes = &mut self.mistakes;
        let node = fields.need("stages", mistakes);
        let items = node.and_then(|node| node.items("stages", Stage::ALL.len(), mistakes));
        let mut stages = Vec::new();
        for node in items.unwrap_or_default() {
            let Some(stage) = node.stage("a stage", mistakes) else {
                // One that is wrong leaves the others; what is said of them holds.
                continue;
            };
            if stages.contains(&stage) {
                mistakes.add(node.position, format!("the stage {stage} is here twice"));
            } else {
                stages.push(stage);
            }
        }
        stages
    }

    /// Whether the action can be taken at all of the stages.
    fn suits(&mut self, field: &str, node: &Node, action: Action, stages: &[Stage]) -> bool {
        let mut suits = true;
        for stage in stages {
            let possible = actions_at(*stage);
            if !possible.contains(&action) {
                suits = false;
                let possible: Vec<&str> = possible.iter().map(|action| action.name()).collect();
                let possible = possible.join(", ");
                self.mistakes.add(
                    node.position,
                    format!(
                        "{field}: {action} cannot be done at {stage}, where there are {possible}"
                    ),
                );
            }
        }
        suits
    }

    /// Which condition the rule has, if it has one, and the condition, if it is right.
    fn kind(
        &mut self,
        fields: &Fields<'_>,
        stages: &[Stage],
    ) -> Option<(&'static str, Option<Condition>)> {
        let mut first: Option<(&str, Option<Condition>)> = None;
        for kind in ConditionKind::ALL {
            let Some((position, node)) = fields.entry(kind.name()) else {
                continue;
            };
            if let Some((other, _)) = &first {
                let advice = in_when(kind.name());
                self.mistakes.add(
                    position,
                    format!("a rule has one condition, and this one has {other}; {advice}"),
                );
                continue;
            }
            first = Some((kind.name(), self.condition(kind, position, node, stages)));
        }
        first
    }

    fn when<'n>(&mut self, node: &'n Node) -> Option<(Expression, &'n str)> {
        let text = node.raw_text("when, an expression,", &mut self.mistakes)?;
        let (counters, invalid) = (&self.counters, &self.invalid_counters);
        let compiled = Expression::compile(text, |name| {
            // A counter that could not be read makes no rule set; that it is there is enough.
            let invalid = invalid.iter().any(|other| other == name);
            counters.named(name).or(invalid.then_some(CounterIndex(0)))
        });
        match compiled {
            Ok(expression) => Some((expression, text)),
            Err(errors) => {
                for error in errors {
                    let at = error.byte;
                    let position = position::of(self.text, node.start, node.position, text, at);
                    self.mistakes.add(position, error.what);
                }
                None
            }
        }
    }

    fn text_of(&mut self, fields: &Fields<'_>, name: &str) -> Option<String> {
        let node = fields.get(name)?;
        node.text(name, &mut self.mistakes)
    }

    fn priority(&mut self, fields: &Fields<'_>) -> u16 {
        let node = fields.get("priority");
        let priority =
            node.and_then(|node| node.number("priority", &(1..=1_000), &mut self.mistakes));
        priority
            .and_then(|priority| u16::try_from(priority).ok())
            .unwrap_or(PRIORITY)
    }

    fn flag(&mut self, fields: &Fields<'_>, name: &str) -> bool {
        let node = fields.get(name);
        let flag = node.and_then(|node| node.boolean(name, &mut self.mistakes));
        flag.unwrap_or(false)
    }

    /// What the rule does at each stage without the numbers it needs.
    fn at_stages(&mut self, fields: &Fields<'_>, rule: &Rule, stages: &[Stage]) -> Vec<RuleStage> {
        let said = fields.get("on_missing").and_then(|node| {
            let action = node.action("on_missing", &mut self.mistakes)?;
            self.suits("on_missing", node, action, stages);
            Some(action)
        });
        let needs = rule.when.is_some() || rule.counters().next().is_some();
        // Whether a condition that could not be read needs any cannot be known.
        let unknown = rule.condition.is_none() && rule.when.is_none();
        if !needs {
            if let Some((position, _)) = fields.entry("on_missing")
                && !unknown
            {
                self.mistakes.add(
                    position,
                    "on_missing means nothing here: the rule needs no counters",
                );
            }
            let plain = |stage: &Stage| RuleStage {
                stage: *stage,
                on_missing: None,
            };
            return stages.iter().map(plain).collect();
        }
        let mut at = Vec::with_capacity(stages.len());
        for stage in stages {
            let on_missing = match said {
                Some(said) => Some(said),
                None if fields.get("on_missing").is_some() => None,
                None => self.missing_by_default(fields.position, *stage),
            };
            at.push(RuleStage {
                stage: *stage,
                on_missing,
            });
        }
        at
    }

    fn missing_by_default(&mut self, position: Position, stage: Stage) -> Option<Action> {
        let default = self.defaults.on_missing;
        if stage == Stage::PointsCredit {
            // Points are never given by accident: only a rule that says so itself lets them pass.
            return match default {
                Some(stern @ (Action::Review | Action::Block)) => Some(stern),
                Some(Action::Allow | Action::Verify) | None => Some(Action::Review),
            };
        }
        match default {
            Some(default) if actions_at(stage).contains(&default) => Some(default),
            Some(default) => {
                self.mistakes.add(
                    position,
                    format!("the rule must say its on_missing: the file's default, {default}, cannot be done at {stage}"),
                );
                None
            }
            None => {
                self.mistakes.add(
                    position,
                    "the rule needs counters or has an expression and so must say its on_missing: what it does when they cannot be had",
                );
                None
            }
        }
    }
}

/// How to have a second condition that must hold, too.
fn in_when(kind: &str) -> &'static str {
    match kind {
        "amount_fen" | "points" => "say the second in when, such as `when: amount_fen > 1000`",
        "time_of_day" => "say the second in when, such as `when: hour >= 22 || hour < 6`",
        "collusion" => "say the second in when, such as `when: own_merchant`",
        "velocity" => {
            "give the second a name under counters, and say it in when, such as `when: counters.NAME > 5`"
        }
        _ => {
            "two rules mean that either is enough, and what has no name in when cannot be the second"
        }
    }
}

/// The rule's id, told to the mistakes that follow.
fn id(node: &Node, reader: &mut Reader<'_>) -> Option<(String, Position)> {
    let super::node::NodeKind::Map(entries) = &node.kind else {
        return None;
    };
    let is_id = |key: &Node| matches!(&key.kind, super::node::NodeKind::Text(name) if name == "id");
    let (_, node) = entries.iter().find(|(key, _)| is_id(key))?;
    let id = node.name("id", &mut reader.mistakes)?;
    reader.mistakes.in_rule(Some(id.clone()));
    Some((id, node.position))
}
