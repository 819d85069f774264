//! The service, from start to stop.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config::{Settings, Source},
    http, jobs, telemetry,
};

/// How long jobs and the database may take to finish what they have begun.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(10);

const ABOUT: &str = "\
Run the service until it is told to stop.

SIGTERM and SIGINT stop it gently: nothing more is taken, what was taken is answered (for \
ZHANGFANG_HTTP__SHUTDOWN_TIMEOUT_SECONDS at most), jobs end, the database is closed. A second \
signal ends it at once, which loses nothing that was answered.

Any number of processes run side by side against one database.";

const EXAMPLES: &str = "\
Examples:
  zhangfang serve
  ZHANGFANG_HTTP__LISTEN=0.0.0.0:8080 ZHANGFANG_LOG__FORMAT=json zhangfang serve
  zhangfang serve --config /etc/zhangfang.toml";

/// Run the service until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_long_help = EXAMPLES)]
pub(super) struct Serve {}

impl Serve {
    pub(super) async fn run(self, source: &Source) -> anyhow::Result<()> {
        let settings = Settings::load(source)?;
        telemetry::start_logs(&settings.log)?;
        telemetry::start_metrics();
        let stopping = stop_on_signals()?;

        // The port first: a second process on it must fail before it opens anything.
        let listener = TcpListener::bind(settings.http.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.http.listen))?;
        let app = App::build(&settings).await?;
        let jobs = jobs::start(&app);
        tracing::info!("listening on http://{}", settings.http.listen);

        serve(listener, &app, stopping).await;

        tracing::info!("stopping jobs and closing the database");
        let closing = async {
            jobs.stop().await;
            app.db().close().await;
        };
        if timeout(CLOSING_TIMEOUT, closing).await.is_err() {
            tracing::warn!(
                "not everything ended in {CLOSING_TIMEOUT:?}; leaving it to the restart"
            );
        }
        Ok(())
    }
}

/// Answers until `stopping`, and then what was taken, for a bounded time.
async fn serve(listener: TcpListener, app: &App, stopping: CancellationToken) {
    let bound = app.http().shutdown_timeout;
    let serving = http::serve(listener, app.clone(), stopping.clone());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        biased;
        () = stopping.cancelled() => {}
        () = &mut serving => return,
    }
    tracing::info!("stopping: answering what was taken, for {bound:?} at most");
    if timeout(bound, serving).await.is_err() {
        tracing::warn!("some callers were not answered within {bound:?}");
    }
}

/// A token that the first signal cancels. The second ends the process.
pub fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let stopping = CancellationToken::new();
    let token = stopping.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        token.cancel();
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("second signal: ending at once");
        std::process::exit(1);
    });
    Ok(stopping)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
