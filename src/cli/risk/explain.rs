//! Why risk decided as it did.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::{Value, json};

use crate::{
    cli::{print, verify_ledger::fit},
    config::{DatabaseOnly, Source},
    db::{Db, DbError},
    facts::{Facts, masked},
    payments::{self, PaymentNumber},
    primitives::{DecisionId, Id, Money, OrderId, OrderNo, RefundNo},
    risk::{self, Decision, RuleSet},
    telemetry,
};

const ABOUT: &str = "\
Tell what risk decided on an order, a refund or one decision, and why.

From the database alone: the facts as they were, what the counters said, and every rule that fired, \
also those in shadow and those that another rule overruled. The rules are those of the file that \
was in force then, which is stored too. An address is shown without its last part.

The account of DATABASE_URL suffices; it only reads. Times are UTC.";

const EXAMPLES: &str = "\
Examples:
  zhangfang risk explain --order 06D8R5MKTS7J0T4V3C9Q2W00
  zhangfang risk explain --decision rd_0193.. --json";

/// What the decisions are about.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Explain {
    /// Everything that was decided on this order.
    #[arg(long, value_name = "NUMBER")]
    order: Option<OrderNo>,
    /// What was decided on this refund.
    #[arg(long, value_name = "NUMBER")]
    refund: Option<RefundNo>,
    /// This decision: `rd_..`, as refusals, lists and backtests name it.
    #[arg(long, value_name = "ID")]
    decision: Option<DecisionId>,
}

/// Tell what risk decided, and why.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    #[command(flatten)]
    of: Explain,
    /// Print a JSON list instead of text.
    #[arg(long)]
    json: bool,
}

/// A decision with the rules by which it was made.
struct ExplainedDecision {
    id: DecisionId,
    decision: Decision,
    rules: Option<RuleSet>,
}

impl ExplainArguments {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let db = super::super::open_database(&settings.database).await?;
        let report = find(&db, &self.of).await;
        let known = self.of.is_known(&db).await;
        db.close().await;
        let report = report.context("the decisions cannot be read")?;
        if report.is_empty() && !known.context("the payments cannot be read")? {
            bail!("there is no payment and no refund with this number");
        }
        if report.is_empty() {
            bail!("nothing was decided on it; risk may have been off");
        }
        print(&if self.json {
            report.iter().map(as_json).collect::<Value>().to_string()
        } else {
            let texts: Vec<String> = report.iter().map(as_text).collect();
            texts.join("\n\n")
        });
        Ok(())
    }
}

impl Explain {
    /// What the decisions are about.
    fn cause(&self) -> Option<Id> {
        let order = self.order.map(|number| number.id().id());
        let refund = self.refund.map(|number| number.id().id());
        order.or(refund).or(self.decision.map(DecisionId::cause))
    }

    /// False for the number of an order or a refund that does not exist.
    async fn is_known(&self, db: &Db) -> Result<bool, DbError> {
        let refund = self.refund.map(|number| OrderId::new(number.id().id()));
        let Some(number) = self.order.or(refund.map(OrderNo::from)) else {
            return Ok(true);
        };
        let found = payments::find_order_of_any_tenant(db, &PaymentNumber::Ours(number)).await?;
        Ok(found.is_some())
    }

    fn concerns(&self, id: DecisionId) -> bool {
        self.decision.is_none_or(|wanted| wanted == id)
    }
}

async fn find(db: &Db, of: &Explain) -> anyhow::Result<Vec<ExplainedDecision>> {
    let Some(cause) = of.cause() else {
        return Ok(Vec::new());
    };
    let mut report = Vec::new();
    let mut conn = db.pool().acquire().await?;
    let decisions = risk::decisions_of_any_tenant(db, cause).await?;
    for (id, decision) in decisions.into_iter().filter(|(id, _)| of.concerns(*id)) {
        let rules = risk::find_rule_set(&mut conn, decision.rule_set).await?;
        report.push(ExplainedDecision {
            id,
            decision,
            rules,
        });
    }
    Ok(report)
}

/// What a stage's counters are called, with what they said.
fn counters(report: &ExplainedDecision) -> Vec<(String, Option<i64>)> {
    let names = report.rules.iter().flat_map(|rules| {
        let reads = rules
            .counter_usages(report.decision.facts.stage)
            .into_iter();
        reads
            .filter(|usage| usage.read)
            .map(|usage| risk::describe_counter(usage.counter))
    });
    names
        .zip(report.decision.measured.0.iter().copied())
        .collect()
}

fn facts(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut known = vec![("at", facts.at.to_string())];
    let mut add = |name, value: Option<String>| known.extend(value.map(|value| (name, value)));
    add("customer", facts.customer.map(|id| id.to_string()));
    add("merchant", facts.merchant.map(|id| id.to_string()));
    add(
        "amount",
        facts.amount.map(|amount: Money| amount.to_string()),
    );
    add("points", facts.points.map(|points| points.to_string()));
    add("address", facts.origin.address.map(masked));
    add(
        "device",
        facts.origin.device.as_ref().map(|_| "known".to_owned()),
    );
    add("own merchant", facts.own_merchant.then(|| "yes".to_owned()));
    add("source", facts.source.clone());
    known
}

fn as_text(report: &ExplainedDecision) -> String {
    let Decision {
        rule_set,
        action,
        fired,
        answered,
        ..
    } = &report.decision;
    let stage = report.decision.facts.stage;
    let mut text = format!("{stage}: {action} ({}, rule set {rule_set})", report.id);
    // Writing to a String cannot fail.
    for (name, value) in facts(&report.decision.facts) {
        let _ = write!(text, "\n  {name:<9} {value}");
    }
    if let Some(challenge) = answered {
        let _ = write!(text, "\n  answered  {challenge}");
    }
    for (counter, said) in counters(report) {
        let said = said.map_or_else(|| "could not be had".to_owned(), |said| said.to_string());
        let _ = write!(text, "\n  {counter}: {said}");
    }
    if fired.is_empty() {
        text.push_str("\n  no rule fired");
        return text;
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["rule", "action", "effect", "why"]);
    fit(&mut table);
    for fired in fired {
        table.add_row([
            fired.rule.clone(),
            fired.action.to_string(),
            fired.effect.name().to_owned(),
            fired.reason.clone(),
        ]);
    }
    let _ = write!(text, "\n{table}");
    text
}

fn as_json(report: &ExplainedDecision) -> Value {
    let decision = &report.decision;
    let facts: serde_json::Map<String, Value> = facts(&decision.facts)
        .into_iter()
        .map(|(name, value)| (name.replace(' ', "_"), Value::from(value)))
        .collect();
    let counters = counters(report).into_iter();
    let counters: Vec<Value> = counters
        .map(|(counter, said)| json!({ "counter": counter, "said": said }))
        .collect();
    json!({
        "id": report.id, "stage": decision.facts.stage, "action": decision.action, "rule_set": decision.rule_set,
        "facts": facts, "counters": counters, "fired": decision.fired, "answered": decision.answered,
    })
}
