//! The risk rules at the command line: one file for each thing that can be done with them.

use clap::Subcommand;

use crate::config::Source;

mod check;

/// The risk rules: see whether a rule file is right.
#[derive(Debug, clap::Args)]
pub(super) struct Risk {
    #[command(subcommand)]
    command: Command,
}

/// Each says in its own file what it does.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
}

impl Risk {
    pub(super) async fn run(self, _source: &Source) -> anyhow::Result<()> {
        match self.command {
            Command::Check(command) => command.run().await,
        }
    }
}
