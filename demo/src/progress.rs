//! What somebody at the terminal sees while the demo is at work.

use std::{fmt, time::Duration};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

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

/// A spinner on stderr, for a wait of unknown length.
pub(super) fn spinner(phase: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})");
    let spinner = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_prefix(phase);
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
