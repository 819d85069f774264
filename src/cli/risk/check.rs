//! Is a rule file right, and what does it say?

use std::path::PathBuf;

use anyhow::bail;
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};

use crate::{
    facts::Stage,
    risk::{RuleFileErrors, RuleSet, RuleSummary, TimeoutDecision},
};

const ABOUT: &str = "\
Check a risk rule file before a service reads it.

If the file is right, its rules are shown as they were understood: what looks wrong in the table is \
wrong in the file, though it can be read. What is hardly meant is asked about below the table: rules \
that can never fire, because what they ask for is not known at their stages, is out of the range \
that it can have, or contradicts itself. If the file is not right, every mistake is told at once, as

  FILE:LINE:COLUMN: rule ID: what is wrong, and what would be right

Nothing is needed but the file: no settings, no database, no running service. How rules are written \
is explained in the comments of risk-rules.yaml, which is also where a new rule can be copied from. \
Give a new rule `shadow: true` first: it decides nothing and counts what it would have done.";

const EXAMPLES: &str = "\
Examples:
  zhangfang risk check risk-rules.yaml
  zhangfang risk check new.yaml && cp new.yaml risk-rules.yaml

Exit codes: 0 the file is right, 1 it is not or cannot be read.";

/// Check a rule file and show its rules.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Check {
    /// The rule file.
    file: PathBuf,
}

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let shown = self.file.display();
        let text = super::read_text(&self.file).await?;
        match RuleSet::parse(&text) {
            Ok(set) => {
                crate::cli::print(&table(&set));
                for warning in set.warnings() {
                    crate::cli::print(&format!("Is it meant? {warning}."));
                }
                Ok(())
            }
            Err(errors) => {
                crate::cli::print(&format_mistakes(&shown.to_string(), &errors));
                match errors.mistakes().len() {
                    1 => bail!("there is a mistake in {shown}"),
                    RuleFileErrors::MAX => bail!(
                        "there are at least {} mistakes in {shown}",
                        RuleFileErrors::MAX
                    ),
                    many => bail!("there are {many} mistakes in {shown}"),
                }
            }
        }
    }
}

pub(super) fn format_mistakes(file: &str, errors: &RuleFileErrors) -> String {
    let lines: Vec<String> = errors
        .mistakes()
        .iter()
        .map(|mistake| format!("{file}:{mistake}"))
        .collect();
    lines.join("\n")
}

fn table(set: &RuleSet) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["rule", "prio", "at", "does", "when", "without numbers"]);
    for rule in set.rules() {
        table.add_row(row(&rule));
    }
    let settings = set.settings();
    let review = &settings.review;
    let then = match review.on_timeout {
        TimeoutDecision::Approve => "approved",
        TimeoutDecision::Reject => "rejected",
    };
    let counters: Vec<String> = Stage::ALL
        .into_iter()
        .map(|stage| (stage, set.counter_usages(stage).len()))
        .filter(|(_, usages)| *usages > 0)
        .map(|(stage, usages)| format!("{stage} {usages}"))
        .collect();
    let counters = if counters.is_empty() {
        "none".to_owned()
    } else {
        counters.join(", ")
    };
    format!(
        "{table}\n{} rules. Counters at an activity: {counters}.\nAn answered challenge counts for {} s. A review that nobody decides is {then} after {} s; more than {} \
         points take two people.",
        set.rules().len(),
        settings.verify_valid_seconds,
        review.timeout_seconds,
        review.second_person_above_points,
    )
}

fn row(rule: &RuleSummary) -> [String; 6] {
    let stages: Vec<&str> = rule.stages.iter().map(|at| at.stage.name()).collect();
    let mut does = rule.action.name().to_owned();
    if rule.shadow {
        does.push_str(" (shadow)");
    } else if rule.rollout_percent < 100 {
        does = format!("{does} ({}%)", rule.rollout_percent);
    }
    let mut missing: Vec<&str> = rule
        .stages
        .iter()
        .filter_map(|at| at.on_missing.map(crate::risk::Action::name))
        .collect();
    missing.dedup();
    [
        format!("{}\n{}", rule.id, rule.name),
        rule.priority.to_string(),
        stages.join("\n"),
        does,
        rule.condition.clone(),
        missing.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_file_is_shown_rule_by_rule() {
        let set = RuleSet::parse(include_str!("../../../risk-rules.yaml")).unwrap();
        let shown = table(&set);
        for part in [
            "many-payments",
            "陌生网络",
            "review (25%)",
            "verify (shadow)",
            "rejected after 259200 s",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }

    #[test]
    fn every_mistake_is_a_line_that_editors_can_follow() {
        let errors = RuleSet::parse("rules:\n  - id: a-rule\n    nmae: x\n").unwrap_err();
        let shown = format_mistakes("new.yaml", &errors);
        assert!(shown.starts_with("new.yaml:2:5: rule a-rule: "), "{shown}");
        assert!(
            shown.contains("\nnew.yaml:3:5: rule a-rule: a rule has no field `nmae`"),
            "{shown}"
        );
    }
}
