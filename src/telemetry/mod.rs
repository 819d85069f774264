//! What the service says about itself: log lines and metrics.
//!
//! Lines go to stderr, so that what a command prints stays clean. Metrics are kept by a Prometheus
//! recorder without a listener of its own; whoever serves `/metrics` calls [`render`]. Both are
//! global to the process, as `tracing` and `metrics` are, and starting them twice is harmless:
//! tests do.

mod logs;
mod metrics;

pub use logs::{TelemetryError, start_logs};
pub use metrics::{render, start_metrics};
