//! What is refused before there is a request, told and logged.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::time::Instant;

use crate::http::problem::Problem;

/// Log lines for one reason in [`WINDOW`]; a stranger must not fill the log.
const LINES_MAX: u32 = 5;
const WINDOW: Duration = Duration::from_mins(1);

/// Why a connection gets no answer of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The bound in all is reached.
    Crowded,
    /// The bound of one address is reached.
    Address,
    /// A head that does not end.
    SlowHead,
    /// An answer that nobody takes.
    Stalled,
    /// HTTP/2 without being asked.
    Http2,
    /// hyper refused the head.
    Refused(StatusCode),
    /// The kernel gives no connection: no descriptors, usually.
    NotAccepted(io::ErrorKind),
}

impl Reason {
    /// In metrics and logs.
    fn name(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Address => "address",
            Self::SlowHead => "slow_head",
            Self::Stalled => "stalled",
            Self::Http2 => "http_2",
            Self::Refused(StatusCode::URI_TOO_LONG) => "uri_too_long",
            Self::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) => "head_too_large",
            Self::Refused(_) => "head_invalid",
            Self::NotAccepted(_) => "not_accepted",
        }
    }

    /// What an operator may do about it.
    fn says(self) -> &'static str {
        match self {
            Self::Crowded => {
                "all connections are in use, and the one that waited longest was closed or a new one refused (ZHANGFANG_HTTP__CONNECTIONS_MAX)"
            }
            Self::Address => {
                "one address has all the connections that one may have (ZHANGFANG_HTTP__CONNECTIONS_PER_ADDRESS_MAX); a proxy is named in ZHANGFANG_LIMITS__TRUSTED_PROXIES"
            }
            Self::SlowHead => "the head of a request did not arrive in time",
            Self::Stalled => "an answer was not taken",
            Self::Http2 => "somebody speaks HTTP/2 where HTTP/1.1 is spoken",
            Self::Refused(_) => "what came is not a request",
            Self::NotAccepted(_) => {
                "connections cannot be accepted; too few files may be open (ulimit -n)?"
            }
        }
    }

    const fn is_ours(self) -> bool {
        matches!(self, Self::Crowded | Self::Address | Self::NotAccepted(_))
    }
}

/// Counts all, logs some.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<&'static str, Lines>>);

struct Lines {
    since: Instant,
    count: u32,
}

impl Refusals {
    pub(super) fn note(&self, reason: Reason) {
        metrics::counter!("http_connections_refused_total", "reason" => reason.name()).increment(1);
        let Some(unsaid) = self.line(reason.name(), Instant::now()) else {
            return;
        };
        let (name, says) = (reason.name(), reason.says());
        if reason.is_ours() {
            tracing::warn!(reason = name, unsaid, detail = ?reason, "{says}");
        } else {
            tracing::info!(reason = name, unsaid, detail = ?reason, "{says}");
        }
    }

    /// Whether there is a line left, and how many went without one in the window before.
    fn line(&self, name: &'static str, now: Instant) -> Option<u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = all.entry(name).or_insert(Lines {
            since: now,
            count: 0,
        });
        let mut unsaid = 0;
        if now.saturating_duration_since(lines.since) >= WINDOW {
            unsaid = lines.count.saturating_sub(LINES_MAX);
            *lines = Lines {
                since: now,
                count: 0,
            };
        }
        lines.count = lines.count.saturating_add(1);
        (lines.count <= LINES_MAX).then_some(unsaid)
    }
}

/// A whole answer, for where no framework writes it. The connection ends with it.
pub(super) fn write(problem: Problem, trace_id: &str) -> Vec<u8> {
    let status = problem.status;
    let retry_after = problem.retry_after;
    let body = problem.body(trace_id);
    let mut head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {trace_id}\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    );
    if let Some(seconds) = retry_after {
        let _ = write!(head, "retry-after: {seconds}\r\n"); // a string takes it all
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_not_filled_by_strangers() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let lines = (0..1_000).filter(|_| refusals.line("crowded", now).is_some());
        assert_eq!(lines.count(), 5);
        assert_eq!(refusals.line("address", now), Some(0), "each by itself");
        assert_eq!(refusals.line("crowded", now + WINDOW), Some(995));
    }

    #[test]
    fn an_answer_is_whole() {
        let text = String::from_utf8(write(Problem::crowded(), "trace-1234")).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(head.contains("\r\nretry-after: 1"));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], "too_many_connections");
        assert_eq!(body["trace_id"], "trace-1234");
    }
}
