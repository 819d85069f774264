//! `wechat-pay-simulator`: parses the command line and serves until a signal. `--help` says the
//! rest.

use std::{
    io::{IsTerminal as _, stderr},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};
use url::Url;
use wechat_pay_simulator::{BillSettings, ENV_PREFIX, Simulator, SimulatorSettings};

const ABOUT: &str = "\
Be a WeChat Pay that misbehaves on request, for trying out and testing.

WeChat Pay has no sandbox. This speaks its API v3 in partner and direct mode, from prepay and \
native codes to refunds, profit sharing and bills, and the mini-program's server API, with real keys \
and signatures. It makes the keys in --dir at the first start and writes wechat.env there: merchant \
number, app id, serials and addresses, each name behind --env-prefix. It needs no database and no \
account at WeChat. Any program or SDK can be tested against it: send the same signed requests to \
--listen instead of https://api.mch.weixin.qq.com.

  /phone              be a customer of the Zhangfang service, with --service
  /sim/pay, /sim/scan pay an order by its number, or a code that a merchant shows
  /sim/faults         what goes wrong from now on; /sim/calls: with one call
  /sim/refunds        see refunds, plan and decide how they end
  /sim/stats          counts: forgeries_acknowledged should be 0

README.md and REFERENCE.md in simulator/ tell how to point an SDK at it, and all that it answers and \
spoils. Keep it on this machine: it asks nobody who they are. All but the keys is gone when it ends.";

const EXAMPLES: &str = "\
Examples:
  wechat-pay-simulator --dir wechat --bills-at-once --resend-compression 60
  curl -X PUT http://127.0.0.1:9200/sim/faults -H 'content-type: application/json' \\
      -d '{\"duplicate\": 200, \"tampered\": 100}'
  curl -X POST http://127.0.0.1:9200/sim/pay -H 'content-type: application/json' \\
      -d '{\"out_trade_no\": \"…\"}'

For the Zhangfang service, which can be driven from the phone page:
  wechat-pay-simulator --dir .dev/wechat --env-prefix ZHANGFANG_WECHAT__ \\
      --service http://127.0.0.1:8080 --notify-base http://127.0.0.1:8080 --resend-compression 10
When the simulator's time runs faster, let the service's jobs keep up: ZHANGFANG_JOBS__TIME_SCALE=10.

Exit codes: 0 ended by a signal, 1 failed, 2 wrong arguments.";

/// Be a WeChat Pay that misbehaves on request, for trying out and testing.
#[derive(Debug, Parser)]
#[command(version, long_about = ABOUT, after_long_help = EXAMPLES)]
struct Arguments {
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9200")]
    listen: SocketAddr,
    /// Where keys and wechat.env are kept; without it they are made anew in memory.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What the names in wechat.env begin with.
    #[arg(long, value_name = "PREFIX", default_value = ENV_PREFIX)]
    env_prefix: String,
    /// The Zhangfang service that the phone page drives.
    #[arg(long, value_name = "URL")]
    service: Option<Url>,
    /// The address of your service for callbacks, written into wechat.env.
    #[arg(long, value_name = "URL")]
    notify_base: Option<Url>,
    /// Divides every delay of callbacks and refunds: WeChat's 15 s become 0.25 s with 60.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    resend_compression: u32,
    /// Have bills ready at once, today's too, instead of at ten the next morning.
    #[arg(long)]
    bills_at_once: bool,
    /// Which lines are written to stderr: directives such as `info,wechat_pay_simulator=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = filter)]
    log: String,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Pretty)]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people at a terminal.
    Pretty,
    /// One object a line, for collectors.
    Json,
}

#[expect(clippy::print_stderr, reason = "this is the command line")]
fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wechat-pay-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    start_logs(&arguments.log, arguments.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime did not start")?;
    let done = runtime.block_on(serve(arguments));
    // Nothing that still runs is worth waiting for: all but the keys is in memory.
    runtime.shutdown_background();
    done
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let simulator = Simulator::start(SimulatorSettings {
        listen: arguments.listen,
        dir: arguments.dir,
        env_prefix: arguments.env_prefix,
        service_url: arguments.service,
        notify_base: arguments.notify_base,
        resend_compression: arguments.resend_compression,
        bills: BillSettings {
            ready_at_once: arguments.bills_at_once,
            ..BillSettings::default()
        },
        ..SimulatorSettings::default()
    });
    let simulator = tokio::select! {
        started = simulator => started.context("the simulated WeChat did not start")?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    drop(simulator);
    Ok(())
}

/// Whatever the filter says about them: at trace they write headers, and with these tokens.
const NEVER_BELOW_INFO: [&str; 3] = ["hyper=info", "hyper_util=info", "reqwest=info"];

fn start_logs(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = NEVER_BELOW_INFO
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(EnvFilter::try_new(filter)?, EnvFilter::add_directive);
    let lines = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Pretty => {
            let layer = fmt::layer()
                .with_writer(stderr)
                .with_ansi(stderr().is_terminal());
            lines.with(layer).try_init()?;
        }
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true);
            lines.with(layer.with_writer(stderr)).try_init()?;
        }
    }
    Ok(())
}

/// Refuses what is no filter before anything starts.
fn filter(text: &str) -> Result<String, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn arguments_are_understood() {
        let understood = |line: &str| {
            let words = std::iter::once("wechat-pay-simulator").chain(line.split(' '));
            Arguments::try_parse_from(words).is_ok()
        };
        assert!(understood(
            "--dir wechat --env-prefix PAY_ --bills-at-once --resend-compression 60"
        ));
        assert!(understood("--log info,hyper=warn --log-format json"));
        assert!(!understood("--log info,hyper=loud"));
        assert!(!understood("--resend-compression 0"));
        assert!(!understood("--listen here"));
    }

    #[test]
    fn what_is_never_written_parses() {
        assert!(NEVER_BELOW_INFO.iter().all(|text| {
            text.parse::<tracing_subscriber::filter::Directive>()
                .is_ok()
        }));
    }
}
