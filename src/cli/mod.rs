//! Commands: one file each. A command reads the settings, builds what it needs and reports errors
//! in sentences.
//!
//! Log lines go to stderr and a command's result to stdout, so that `zhangfang token .. | pbcopy`
//! copies a token.
//!
//! What is public beside [`Cli`] and [`run`] is for programs that stand beside this one, such as
//! the demo: they take signals, open the database, verify and end as its commands do.

use std::{
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    app::db_options,
    config::{DatabaseSettings, SettingsError, Source},
    db::Db,
    primitives::{RandomIds, SystemClock},
};

mod bill;
mod callbacks;
mod migrate;
mod payment;
mod relay;
mod risk;
mod serve;
mod tenant;
mod token;
pub mod verify_ledger;

pub use self::serve::stop_on_signals;

const ABOUT: &str = "\
账房, the counting house of a tenant's merchants: customers pay with WeChat Pay, merchants see the money \
arrive, customers earn points, and every fen and every point can be proven.

Settings are environment variables (DATABASE_URL, REDIS_URL, ZHANGFANG_HTTP__LISTEN, ..), or a TOML \
file with the same names ([http] listen = ..) that --config or ZHANGFANG_CONFIG names; the \
environment wins. Whatever is wrong with them is told at once, a sentence each.";

const EXAMPLES: &str = "\
A first run:
  zhangfang migrate                                   # make the tables
  zhangfang tenant create tea --name 'Tea Street'     # with its first points rule
  wechat-pay-simulator --dir .dev/wechat --env-prefix ZHANGFANG_WECHAT__ \\
      --notify-base http://127.0.0.1:8080 &           # a WeChat Pay to try it with
  set -a; . .dev/wechat/wechat.env; set +a
  zhangfang serve
  zhangfang token --tenant tea --role admin --minutes 60

Exit codes: 0 done, 1 failed (or the ledger does not add up), 2 wrong arguments or settings.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "zhangfang", version, about = "A payment-and-points ledger", long_about = ABOUT, after_long_help = EXAMPLES)]
pub struct Cli {
    /// A TOML file with settings; the environment goes over it [also: `ZHANGFANG_CONFIG`].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

/// Each says in its own file what it does.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Bill(bill::FetchBill),
    VerifyLedger(verify_ledger::VerifyLedger),
    Payment(payment::Payment),
    Callbacks(callbacks::Callbacks),
    Relay(relay::Relay),
    Risk(risk::Risk),
    Tenant(tenant::Tenant),
    Token(token::Token),
}

/// Runs one command to its end.
pub async fn run(cli: Cli) -> ExitCode {
    let source = Source::environment(cli.config);
    let done = match cli.command {
        Command::Serve(command) => Box::pin(command.run(&source)).await,
        Command::Migrate(command) => Box::pin(command.run(&source)).await,
        Command::Bill(command) => Box::pin(command.run(&source)).await,
        Command::VerifyLedger(command) => Box::pin(command.run(&source)).await,
        Command::Payment(command) => Box::pin(command.run(&source)).await,
        Command::Callbacks(command) => Box::pin(command.run(&source)).await,
        Command::Relay(command) => Box::pin(command.run(&source)).await,
        Command::Risk(command) => Box::pin(command.run(&source)).await,
        Command::Tenant(command) => Box::pin(command.run(&source)).await,
        Command::Token(command) => Box::pin(command.run(&source)).await,
    };
    conclude("zhangfang", done)
}

/// The exit code of a program; an error is told first, with its causes as one sentence:
/// `zhangfang: the database cannot be used: connection refused`.
#[expect(clippy::print_stderr, reason = "this is the command line")]
pub fn conclude(program: &str, done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("{program}: {}", causes.join(": "));
            ExitCode::from(if error.is::<SettingsError>() { 2 } else { 1 })
        }
    }
}

/// The database without the rest of the service. A command needs few connections, and no committer.
pub async fn open_database(settings: &DatabaseSettings) -> anyhow::Result<Db> {
    let few = DatabaseSettings {
        committers: 0,
        connections_max: 4,
        ..settings.clone()
    };
    Db::connect(db_options(&few), Arc::new(SystemClock), Arc::new(RandomIds))
        .await
        .context("the database of DATABASE_URL cannot be used")
}

/// A command's result. Whoever reads it may have enough, as `head` has after ten lines: that is no
/// error, and the rest is for nobody.
///
/// # Panics
/// As `println!` does, when it cannot be written for any other reason.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = written {
        let enough = error.kind() == ErrorKind::BrokenPipe;
        assert!(enough, "the result cannot be written: {error}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// A terminal breaks lines by its own width, so a paragraph is one line.
    #[test]
    fn paragraphs_of_help_are_left_to_the_terminal() {
        fn walk(command: &clap::Command, broken: &mut Vec<String>) {
            let about = command.get_long_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            for (line, next) in about.lines().zip(about.lines().skip(1)) {
                let is_text = |line: &str| !line.is_empty() && !line.starts_with(' ');
                if is_text(line) && is_text(next) {
                    broken.push(format!("{}: {line}", command.get_name()));
                }
            }
            for inner in command.get_subcommands() {
                walk(inner, broken);
            }
        }
        let mut broken = Vec::new();
        walk(&Cli::command(), &mut broken);
        assert!(broken.is_empty(), "{broken:#?}");
    }

    #[test]
    fn commands_are_understood() {
        let understood = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(understood("zhangfang serve --config x.toml"));
        assert!(understood("zhangfang tenant create tea --name Tea"));
        assert!(understood("zhangfang tenant list"));
        assert!(understood("zhangfang risk check risk-rules.yaml"));
        assert!(!understood("zhangfang risk check"));
        assert!(understood(
            "zhangfang token --tenant tea --role auditor --minutes 5"
        ));
        assert!(!understood(
            "zhangfang token --tenant tea --role customer --minutes 5"
        ));
        assert!(!understood(
            "zhangfang token --tenant tea --role admin --minutes 0"
        ));
        assert!(understood(
            "zhangfang token --tenant tea --role admin --name lin.wei --minutes 5"
        ));
        assert!(!understood(
            "zhangfang token --tenant tea --role admin --name Lin --minutes 5"
        ));
        assert!(!understood("zhangfang"));
        assert!(understood(
            "zhangfang payment show 06D8R5MKTS7J0T4V3C9Q2W00 --json"
        ));
        assert!(understood(
            "zhangfang payment show 4200002026112100000000000001"
        ));
        assert!(!understood("zhangfang payment show 12"));
        let id = "019a8b3e5c5f7a0e8b6f1d2c3e4f2a00";
        for (line, sound) in [
            ("list --tenant tea --outcome failed --limit 5", true),
            ("list --tenant tea --outcome nonsense", false),
            ("list", false),
            (&format!("show --tenant tea {id}"), true),
            ("show --tenant tea 12", false),
            (&format!("replay --tenant tea {id} {id}"), true),
            ("replay --tenant tea --outcome failed --all", true),
            ("replay --tenant tea --outcome settled --all", false),
            ("replay --tenant tea --all", false),
            ("replay --tenant tea --outcome failed", false),
            ("replay --tenant tea", false),
            (
                &format!("replay --tenant tea --outcome failed --all {id}"),
                false,
            ),
        ] {
            assert_eq!(
                understood(&format!("zhangfang callbacks {line}")),
                sound,
                "{line}"
            );
        }
    }
}
