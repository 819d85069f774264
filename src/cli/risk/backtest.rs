//! What other rules would have decided.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Write as _,
    path::PathBuf,
};

use anyhow::bail;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    cli::{print, verify_ledger::fit},
    config::{DatabaseOnly, Source},
    db::Db,
    primitives::{DecisionId, Money, TenantId, Timestamp},
    risk::{self, Backtest, BacktestReport, RuleSet, stream_decisions},
    telemetry, tenants,
};

const ABOUT: &str = "\
Judge what happened by another file of rules, before it is put in force.

Every decision is stored with the facts that it was made of. They are judged again by FILE, and the \
answer is a table: of what was allowed, how much would have been challenged, held or stopped, and \
the other way round, with counts, amounts and examples (`zhangfang risk explain --decision ..` tells \
one of them); and how often each rule would have fired. Rules in shadow are counted beside the \
others, so a rule can be tried on what was, and then in shadow on what is.

Counters that today's rules do not keep are counted again from the stored decisions, which takes \
reading one window before --from; with --recount all are, whatever they said then. Counters of \
attempts then lack what the books refused, of which nothing is stored. What the rules would have \
changed in people's doings is not played.

The account of DATABASE_URL suffices; it only reads.";

const EXAMPLES: &str = "\
Examples:
  zhangfang risk backtest risk-rules.new.yaml --from 2026-11-01 --to 2026-11-15
  zhangfang risk backtest risk-rules.new.yaml --from 2026-11-14T08:00:00+08:00 --tenant tea --json | jq .outcomes

Days begin at midnight in Beijing. Exit codes: 0 judged, 1 the file is wrong or the database cannot be read, 2 wrong arguments or settings.";

/// How many decisions are read at once.
const PAGE: u32 = 2_000;

/// Judge what happened by another file of rules.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct BacktestRules {
    /// The rules to try.
    file: PathBuf,
    /// From this day, or this instant (RFC 3339), on.
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    from: Timestamp,
    /// Up to this day or instant; up to now unless said.
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    to: Option<Timestamp>,
    /// Only what happened at this tenant.
    #[arg(long, value_name = "CODE")]
    tenant: Option<String>,
    /// Count every number again instead of using what the counters said then.
    #[arg(long)]
    recount: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

/// `2026-11-21` or RFC 3339.
fn instant(text: &str) -> Result<Timestamp, String> {
    let day = format!("{text}T00:00:00+08:00");
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&day))
        .ok_or_else(|| {
            "a day such as 2026-11-21, or an instant such as 2026-11-21T08:00:00+08:00".to_owned()
        })
}

impl BacktestRules {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let rules = super::read_rules(&self.file).await?;
        let db = super::super::open_database(&settings.database).await?;
        let report = self.evaluate(&db, &rules).await;
        db.close().await;
        let report = report?;
        print(&if self.json {
            as_json(&report).to_string()
        } else {
            as_text(&report)
        });
        Ok(())
    }

    async fn evaluate(&self, db: &Db, rules: &RuleSet) -> anyhow::Result<BacktestReport> {
        let to = self.to.unwrap_or_else(|| db.now());
        if to <= self.from {
            bail!("--to is not after --from");
        }
        let tenant = self.tenant(db).await?;
        let backtest = Backtest::new(rules);
        let mut backtest = if self.recount {
            backtest.recounting()
        } else {
            backtest
        };
        let lead = self.from.plus_seconds(-i64::from(backtest.lead_seconds()));
        let count = risk::count_decisions(db, tenant, (lead, to)).await?;
        let bar = ProgressBar::new(count).with_style(style());
        let mut sets: HashMap<u32, Option<RuleSet>> = HashMap::new();
        let mut last: Option<(Timestamp, DecisionId)> = None;
        loop {
            let page = stream_decisions(db, tenant, (lead, to), last, PAGE).await?;
            let Some((id, decision)) = page.last() else {
                break;
            };
            last = Some((decision.facts.at, *id));
            for (id, decision) in &page {
                let number = decision.rule_set;
                let old = match sets.entry(number) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let mut conn = db.pool().acquire().await?;
                        place.insert(risk::find_rule_set(&mut conn, number).await?)
                    }
                };
                let old = old.as_ref();
                backtest.take(*id, decision, old, decision.facts.at >= self.from);
            }
            bar.inc(u64::try_from(page.len()).unwrap_or(0));
        }
        bar.finish_and_clear();
        Ok(backtest.finish())
    }

    async fn tenant(&self, db: &Db) -> anyhow::Result<Option<TenantId>> {
        let Some(code) = &self.tenant else {
            return Ok(None);
        };
        let found = tenants::find_by_code(db, code).await?;
        let Some(found) = found else {
            bail!("there is no tenant {code}; `zhangfang tenant list` shows them");
        };
        Ok(Some(found.id))
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} decisions, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn as_text(report: &BacktestReport) -> String {
    let mut text = format!("{} decisions judged", report.decisions);
    let mut changed = table([
        "stage",
        "was",
        "would be",
        "activities",
        "amount",
        "points",
        "for example",
    ]);
    let mut different = 0_u64;
    for ((stage, was, new), change) in &report.changes {
        if was == new {
            continue;
        }
        different = different.saturating_add(change.count);
        let examples: Vec<String> = change.examples.iter().map(ToString::to_string).collect();
        changed.add_row([
            stage.to_string(),
            was.to_string(),
            new.to_string(),
            change.count.to_string(),
            Money::parse(change.amount_fen)
                .map_or_else(|_| change.amount_fen.to_string(), |money| money.to_string()),
            change.points.to_string(),
            examples.join("\n"),
        ]);
    }
    // Writing to a String cannot fail.
    let _ = if different == 0 {
        write!(text, ", every one as it was")
    } else {
        write!(text, ", {different} of them differently\n{changed}")
    };
    let mut rules = table(["rule", "fired then", "would decide", "would fire aside"]);
    for (rule, outcome) in &report.rules {
        rules.add_row([
            rule.clone(),
            outcome.fired_then.to_string(),
            outcome.live.to_string(),
            outcome.without_effect.to_string(),
        ]);
    }
    if !report.rules.is_empty() {
        let _ = write!(
            text,
            "\n\n{rules}\naside: in shadow, outside the roll-out, overruled, or after an answered challenge"
        );
    }
    text
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    fit(&mut table);
    table
}

fn as_json(report: &BacktestReport) -> Value {
    let outcomes = report.changes.iter().map(|((stage, was, new), change)| {
        json!({
            "stage": stage, "was": was, "would_be": new, "count": change.count,
            "amount_fen": change.amount_fen, "points": change.points, "examples": change.examples,
        })
    });
    let rules = report.rules.iter().map(|(rule, outcome)| {
        json!({ "rule": rule, "fired_then": outcome.fired_then, "live": outcome.live, "aside": outcome.without_effect })
    });
    json!({
        "decisions": report.decisions,
        "outcomes": outcomes.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_beijing() {
        assert_eq!(instant("2026-11-21"), instant("2026-11-20T16:00:00Z"));
        assert!(instant("yesterday").is_err() && instant("2026-13-01").is_err());
    }
}
