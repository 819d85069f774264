//! Log lines.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{LogFormat, LogSettings};

/// Why no line can be written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("ZHANGFANG_LOG__FILTER is `{filter}`, which is not a filter such as `info,sqlx=warn`")]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Whatever the filter says about them: at trace they write headers and URLs, and with these
/// WeChat's secret.
const NEVER_BELOW_INFO: [&str; 4] = [
    "hyper=info",
    "hyper_util=info",
    "reqwest=info",
    "rustls=info",
];

/// Begins to write lines. Does nothing when something writes already.
pub fn start_logs(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter = NEVER_BELOW_INFO
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(parse(&settings.filter)?, EnvFilter::add_directive);
    let lines = tracing_subscriber::registry().with(filter);
    let _ = match settings.format {
        LogFormat::Pretty => lines
            .with(
                fmt::layer()
                    .with_writer(stderr)
                    .with_ansi(stderr().is_terminal()),
            )
            .try_init(),
        LogFormat::Json => lines
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_writer(stderr),
            )
            .try_init(),
    };
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = parse("info,sqlx=loud").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("ZHANGFANG_LOG__FILTER is `info,sqlx=loud`")
        );
        assert!(parse("info,sqlx=warn").is_ok());
        assert!(NEVER_BELOW_INFO.iter().all(|text| {
            text.parse::<tracing_subscriber::filter::Directive>()
                .is_ok()
        }));
    }
}
