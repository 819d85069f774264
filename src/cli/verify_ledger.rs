//! The books, recomputed.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use sqlx::mysql::MySqlConnectOptions;

use crate::{
    config::{DatabaseOnly, Source},
    telemetry,
    verify::{self, Finding, Invariant, NAMED_MAX, Report},
};

const ABOUT: &str = "\
Recompute the books from the database alone and say whether they are right.

Every transfer, account, lot, order, refund, sharing and commit is read, in one consistent snapshot: \
nothing that is written meanwhile disturbs it, and it disturbs nobody. Each invariant is told with how \
many things were looked at; what breaks it is named by its ids beneath the table. The numbers are for ever, so \
an alarm may rely on them.

The account of DATABASE_URL suffices; it only reads. When the table says that an invariant is \
broken, somebody or something has changed rows behind the service's back, or the service has a \
fault: keep the output and the database as it is.";

const EXAMPLES: &str = "\
Examples:
  zhangfang verify-ledger
  zhangfang verify-ledger --quiet || page-somebody          # says nothing while all is well
  zhangfang verify-ledger --json | jq '.invariants[] | select(.violations > 0)'

Exit codes: 0 the books are right, 1 they are not (or cannot be read), 2 wrong settings.";

/// Recompute the books from the database alone and say whether they are right.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct VerifyLedger {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// No progress bar, and nothing at all while the books are right.
    #[arg(long, short)]
    quiet: bool,
}

impl VerifyLedger {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let report = read(settings.database.connect.expose(), !self.quiet).await?;
        if !(self.quiet && report.is_clean()) {
            super::print(&if self.json {
                as_json(&report).to_string()
            } else {
                as_text(&report)
            });
        }
        if !report.is_clean() {
            bail!("{}", complaint(&report));
        }
        Ok(())
    }
}

/// Verifies, with a bar on stderr if that is a terminal and one is wanted.
pub async fn read(connect: &MySqlConnectOptions, with_bar: bool) -> anyhow::Result<Report> {
    let mut bar = Bar(if with_bar {
        ProgressBar::no_length().with_style(style())
    } else {
        ProgressBar::hidden()
    });
    let report = verify::verify(connect, &mut bar).await;
    bar.0.finish_and_clear();
    report.context("the books of DATABASE_URL cannot be read")
}

/// Rows read, of about how many.
struct Bar(ProgressBar);

impl verify::Progress for Bar {
    fn advance(&mut self, rows: u64) {
        self.0.inc(rows);
    }

    fn expect(&mut self, rows: u64) {
        self.0.set_length(rows);
    }
}

fn style() -> ProgressStyle {
    let template = "verifying {wide_bar} {human_pos} of {human_len} rows, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A line for each invariant, and beneath the table what breaks it.
pub fn as_text(report: &Report) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["", "invariant", "looked at", ""]);
    for (invariant, finding) in report.findings() {
        table.add_row([
            invariant.number().to_string(),
            invariant.sentence().to_owned(),
            finding.checked.to_string(),
            match finding.violations {
                0 => "holds".to_owned(),
                violations => format!("BROKEN {violations}"),
            },
        ]);
    }
    for number in [0, 2] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    fit(&mut table);
    let mut text = table.to_string();
    for (invariant, finding) in report.findings() {
        text.push_str(&named(invariant, &finding));
    }
    text
}

/// Breaks lines within cells on a terminal that is too narrow. One that is narrower still, or says
/// nothing sensible, breaks lines itself.
pub fn fit(table: &mut Table) {
    if table.width().is_some_and(|width| width >= 60) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
}

/// What breaks one invariant, an indented line each.
fn named(invariant: Invariant, finding: &Finding) -> String {
    if finding.violations == 0 {
        return String::new();
    }
    let mut text = format!("\n\n{}. {}:", invariant.number(), invariant.sentence());
    for violation in &finding.named {
        text.push_str("\n   ");
        text.push_str(violation);
    }
    let most = u64::try_from(NAMED_MAX).unwrap_or(u64::MAX);
    if finding.violations > most {
        let _ = write!(text, "\n   and {} more", finding.violations - most);
    }
    text
}

/// The report as JSON.
pub fn as_json(report: &Report) -> Value {
    let invariants: Vec<Value> = report
        .findings()
        .map(|(invariant, finding)| {
            json!({
                "number": invariant.number(),
                "sentence": invariant.sentence(),
                "checked": finding.checked,
                "violations": finding.violations,
                "named": finding.named,
            })
        })
        .collect();
    json!({ "clean": report.is_clean(), "invariants": invariants })
}

/// `the books are not right: invariants 4 and 11 are broken`
fn complaint(report: &Report) -> String {
    let broken: Vec<String> = report
        .findings()
        .filter(|(_, finding)| finding.violations > 0)
        .map(|(invariant, _)| invariant.number().to_string())
        .collect();
    match broken.as_slice() {
        [one] => format!("the books are not right: invariant {one} is broken"),
        many => format!(
            "the books are not right: invariants {} are broken",
            many.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invariant_has_its_line_and_its_object() {
        let report = Report::default();
        let (text, json) = (as_text(&report), as_json(&report));
        assert_eq!(text.matches("holds").count(), Invariant::ALL.len());
        assert_eq!(json["clean"], true);
        let invariants = json["invariants"].as_array().unwrap();
        assert_eq!(invariants.len(), Invariant::ALL.len());
        assert_eq!(invariants[11]["number"], 12);
    }

    #[test]
    fn what_breaks_an_invariant_is_named_and_the_rest_counted() {
        let finding = Finding {
            checked: 80,
            violations: 60,
            named: vec!["commit 1/7: sealed otherwise".to_owned(); NAMED_MAX],
        };
        let text = named(Invariant::ChainIsUnbroken, &finding);
        assert!(text.contains("11. the chain"), "{text}");
        assert_eq!(text.matches("commit 1/7").count(), NAMED_MAX);
        assert!(text.ends_with("and 10 more"), "{text}");
    }
}
