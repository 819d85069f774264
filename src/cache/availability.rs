//! Logs once that Redis is unreachable and once that it is back, for everything that shares numbers
//! through it.

use tokio::sync::watch;

/// Runs until the cache is dropped. Sets the gauge at once; that Redis is there from the start is
/// not logged.
pub(super) async fn report_availability(mut availability: watch::Receiver<bool>) {
    let mut was_up = true;
    loop {
        let up = *availability.borrow_and_update();
        metrics::gauge!("limits_redis_up").set(if up { 1.0 } else { 0.0 });
        match (was_up, up) {
            (true, false) => {
                tracing::error!(
                    "Redis is away: each process keeps the rate limits by itself, and risk rules that count do what their on_missing says"
                );
            }
            (false, true) => {
                tracing::info!(
                    "Redis is back: the rate limits are shared again, and risk rules count"
                );
            }
            (true, true) | (false, false) => {}
        }
        was_up = up;
        if availability.changed().await.is_err() {
            return;
        }
    }
}
