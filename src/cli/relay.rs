//! Commits that could not be projected: looking at them, and trying them again.

use anyhow::bail;
use clap::Subcommand;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::json;

use super::verify_ledger::fit;
use crate::{
    config::{DatabaseOnly, Source},
    db::Db,
    deliveries::SettingsCache,
    jobs::{self, ParkedCommit},
    primitives::CommitterId,
    telemetry,
};

const ABOUT: &str = "\
Look at commits that could not be projected, and try them again.

What a payment changes is committed at once. Histories of orders, totals of merchants, days of points, \
messages and the sharing of payments follow a moment later, from the commits. One that cannot be \
followed is parked: the others go on, and what of it is missing stays missing until it is done. It \
is tried again by itself, after a minute and then ever more rarely, to an hour.

Trying again does no harm: it is done once, or not at all.";

const EXAMPLES: &str = "\
Examples:
  zhangfang relay list
  zhangfang relay retry 3/1841
  zhangfang relay retry --all

Needs DATABASE_URL.
Exit codes: 0 done, 1 something is still parked, 2 wrong settings.";

/// Look at commits that could not be projected, and try them again.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Relay {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what is parked, oldest first.
    List {
        /// Print one JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Try again what is parked.
    Retry {
        /// Those to try, as `list` shows them: committer/number.
        #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = name)]
        commits: Vec<(u32, i64)>,
        /// All of them, oldest first.
        #[arg(long)]
        all: bool,
    },
}

fn name(text: &str) -> Result<(u32, i64), String> {
    text.split_once('/')
        .and_then(|(committer, seq)| Some((committer.parse().ok()?, seq.parse().ok()?)))
        .ok_or_else(|| "committer/number, as `list` shows it".to_owned())
}

impl Relay {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = DatabaseOnly::load(source)?;
        telemetry::start_logs(&settings.log)?;
        let db = super::open_database(&settings.database).await?;
        let done = match self.command {
            Command::List { json } => list(&db, json).await,
            Command::Retry { commits, all } => retry(&db, commits, all).await,
        };
        db.close().await;
        done
    }
}

async fn list(db: &Db, json: bool) -> anyhow::Result<()> {
    let parked = jobs::list_parked(db).await?;
    if json {
        let all: Vec<_> = parked.iter().map(as_json).collect();
        super::print(&serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if parked.is_empty() {
        super::print("nothing is parked");
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_header(["commit", "parked", "attempts", "next", "why"]);
    for commit in &parked {
        table.add_row([
            format!("{}/{}", commit.committer, commit.seq),
            commit.parked_at.to_string(),
            commit.attempts.to_string(),
            commit.next_attempt_at.to_string(),
            commit.reason.clone(),
        ]);
    }
    fit(&mut table);
    super::print(&table.to_string());
    Ok(())
}

fn as_json(commit: &ParkedCommit) -> serde_json::Value {
    json!({
        "commit": format!("{}/{}", commit.committer, commit.seq),
        "parked_at": commit.parked_at,
        "attempts": commit.attempts,
        "next_attempt_at": commit.next_attempt_at,
        "reason": commit.reason,
    })
}

async fn retry(db: &Db, commits: Vec<(u32, i64)>, all: bool) -> anyhow::Result<()> {
    let parked: Vec<(u32, i64)> = jobs::list_parked(db)
        .await?
        .iter()
        .map(|commit| (commit.committer, commit.seq))
        .collect();
    if all && parked.is_empty() {
        super::print("nothing is parked");
    }
    let commits = if all { parked.clone() } else { commits };
    let settings = SettingsCache::start(db.clone());
    let mut left = 0_usize;
    for (committer, seq) in commits {
        if !parked.contains(&(committer, seq)) {
            left += 1;
            super::print(&format!("{committer}/{seq}  is not parked"));
            continue;
        }
        let done = jobs::retry_parked(db, &settings, CommitterId(committer), seq).await?;
        left += usize::from(!done);
        let word = if done { "projected" } else { "not projected" };
        super::print(&format!("{committer}/{seq}  {word}"));
    }
    if left > 0 {
        bail!("{left} could not be projected, or were not parked; `zhangfang relay list` says why");
    }
    Ok(())
}
