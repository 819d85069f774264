//! The risk rules at the command line: one file for each thing that can be done with them.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use crate::{config::Source, risk::RuleSet};

mod backtest;
mod check;
mod explain;

/// The risk rules: see whether a file is right, what it would have changed, and why something was
/// decided.
#[derive(Debug, clap::Args)]
pub(super) struct Risk {
    #[command(subcommand)]
    command: Command,
}

/// Each says in its own file what it does.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Explain(explain::ExplainArguments),
    Backtest(backtest::BacktestRules),
}

impl Risk {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        match self.command {
            Command::Check(command) => command.run().await,
            Command::Explain(command) => command.run(source).await,
            Command::Backtest(command) => command.run(source).await,
        }
    }
}

/// The text of a rule file.
async fn read_text(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let bytes = read(file)
        .await
        .with_context(|| format!("{shown} cannot be read"))?;
    String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{shown} is not UTF-8 text: save it as UTF-8"))
}

/// The rules of a file; its mistakes, as `risk check` tells them, are the error.
async fn read_rules(file: &Path) -> anyhow::Result<RuleSet> {
    let text = read_text(file).await?;
    let shown = file.display().to_string();
    RuleSet::parse(&text).map_err(|errors| {
        anyhow!(
            "the rules are wrong\n{}",
            check::format_mistakes(&shown, &errors)
        )
    })
}

/// One byte more than a rule file may have is enough to say that it is too long.
async fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let most = u64::try_from(RuleSet::BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = tokio::fs::File::open(file).await?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}
