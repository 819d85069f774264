//! The day itself: everybody logs in, then everybody pays, so many at a time.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::{
    measure::Latencies,
    patience::ApiError,
    payment::{Scene, Visit, visit},
    plan::Intent,
};

/// What happened, and how long it took.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) visits: Vec<Visit>,
    /// From the first wish to the end of the last, without what takes its time afterwards.
    pub(super) elapsed: Duration,
    /// False when it was ended before everything was done and waited for.
    pub(super) complete: bool,
}

/// A bar on stderr; hidden when that is not a terminal.
pub(super) fn bar(phase: &'static str, length: usize) -> ProgressBar {
    let template = "{msg:<20} {wide_bar} {human_pos} of {human_len}, {rate} a second, {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX))
        .with_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key("rate", rate),
        )
        .with_message(phase)
}

/// The library's own shows four decimals.
fn rate(state: &ProgressState, to: &mut dyn fmt::Write) {
    // A line that cannot be drawn is not drawn.
    let _ = write!(to, "{:.0}", state.per_sec());
}

/// The same for a wait of unknown length.
pub(super) fn spinner(phase: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})");
    let spinner = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_prefix(phase);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// Logs every customer in.
pub(super) async fn log_in(scene: Scene<'_>, at_once: usize) -> Result<Latencies, ApiError> {
    let bar = bar("logging in", scene.customers.len());
    let mut latencies = Latencies::default();
    let mut logins = stream::iter(scene.customers)
        .map(|customer| scene.service.log_in(customer))
        .buffer_unordered(at_once);
    while let Some(login) = logins.next().await {
        latencies.add(login?.1.took);
        scene.go_on()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(latencies)
}

/// Lets everybody pay. Told to end, it takes no new wish and finishes those that it has begun.
pub(super) async fn pay(scene: Scene<'_>, intents: Vec<Intent>, at_once: usize) -> Day {
    let count = intents.len();
    let bar = bar("paying", count);
    let begun = Instant::now();
    let mut visits = Vec::with_capacity(intents.len());
    let going_on = stream::iter(intents)
        .take_until(scene.ending.cancelled())
        .map(|intent| visit(scene, intent))
        .buffer_unordered(at_once);
    let mut going_on = std::pin::pin!(going_on);
    while let Some(visit) = going_on.next().await {
        visits.push(visit);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Day {
        complete: visits.len() == count,
        visits,
        elapsed: begun.elapsed(),
    }
}
