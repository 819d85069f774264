//! Metrics.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// From a cache hit to WeChat's time-out: 0.5 ms to 10 s.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// From one alone to as many as a commit takes.
const BATCH: [f64; 11] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0,
];

/// Begins to keep metrics. Calling it again does nothing.
pub fn start_metrics() {
    HANDLE.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let batch = Matcher::Suffix("_size".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(seconds, &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(batch, &BATCH))
            // Refused are empty lists, and these have elements.
            .unwrap_or_default()
            .build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder stays, and ours remains empty.
        let _ = metrics::set_global_recorder(recorder);
        upkeep(handle.clone());
        handle
    });
}

/// Everything kept so far, in Prometheus's text format. Empty before [`start_metrics`].
pub fn render() -> String {
    HANDLE
        .get()
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}

/// Histograms collect samples until somebody looks; without a visitor this keeps them small. A
/// thread, because the recorder outlives the runtime that happens to start it (each test has its
/// own).
fn upkeep(handle: PrometheusHandle) {
    let every = Duration::from_secs(5);
    let looking = std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(every);
                handle.run_upkeep();
            }
        });
    if let Err(error) = looking {
        tracing::warn!(%error, "metrics are not compacted between visits");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_sizes_have_buckets() {
        start_metrics();
        start_metrics();
        metrics::histogram!("test_telemetry_seconds").record(0.003);
        metrics::histogram!("test_telemetry_size").record(3.0);
        metrics::counter!("test_telemetry_total").increment(1);
        let text = render();
        assert!(
            text.contains("test_telemetry_seconds_bucket{le=\"0.005\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("test_telemetry_size_bucket{le=\"5\"} 1"),
            "{text}"
        );
        assert!(text.contains("test_telemetry_total 1"), "{text}");
    }
}
