//! Asking with patience, as a program on a phone does: whatever passes is waited out, and the same
//! request is sent again.
//!
//! Everything that the demo sends may be sent twice: reads, logins, confirmations, and writes under
//! an `Idempotency-Key`. So a connection that is refused or breaks (the service is being killed and
//! restarted), 429 and 503 (it is busy) and 502 and 504 (the outcome is unknown) all have the same
//! cure. Each is counted, since a demo that hides interruptions shows nothing.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{StatusCode, header::RETRY_AFTER};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

/// How long one intention is retried before it fails: longer than a restart takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it is tried once somebody wants the demo to end.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(3);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why there is no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// The other side's no, which will not change.
    #[error("answered {status} {code}")]
    Refused {
        status: u16,
        code: String,
        /// What must be answered first, if that is why.
        challenge: Option<String>,
    },
    #[error("retries are exhausted: {0}")]
    Up(String),
    /// Nobody is there.
    #[error("{0}")]
    Away(String),
    #[error("an answer that is not understood: {0}")]
    Strange(String),
}

impl ApiError {
    /// Whether it is this refusal.
    pub(super) fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Refused { status: 401, .. })
    }
}

/// An answer, and how long the attempt took that brought it.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) body: Bytes,
    pub(super) took: Duration,
}

impl Reply {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError::Strange(error.to_string()))
    }
}

/// How often a request had to be repeated, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Repeated {
    /// The connection was refused or broke, or no answer came.
    pub(super) unreachable: u64,
    /// 429 and 503.
    pub(super) busy: u64,
    /// 502 and 504.
    pub(super) outcome_unknown: u64,
    /// Times that nobody was there, from the first refused connection to the next answer.
    pub(super) interruptions: u64,
    /// All of them together.
    pub(super) interrupted_ms: u64,
}

#[derive(Debug, Default)]
struct Counts {
    unreachable: AtomicU64,
    busy: AtomicU64,
    outcome_unknown: AtomicU64,
    outage: Mutex<Outage>,
}

#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    count: u64,
    total: Duration,
}

/// A way to one server.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) http: Client,
    /// Cancelled when the demo is to end.
    ending: CancellationToken,
    counts: Counts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    challenge: Option<String>,
}

/// One attempt's end.
enum Attempt {
    Answered(Reply),
    Refused(ApiError),
    /// Why, and how long the other side asks to be left alone.
    Passing(String, Option<Duration>),
}

impl Line {
    pub(super) fn new(ending: CancellationToken) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .user_agent(concat!("zhangfang-demo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(20))
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            ending,
            counts: Counts::default(),
        })
    }

    /// Sends until there is an answer that settles the matter.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Reply, ApiError> {
        let (mut failing_since, mut pause) = (None, PAUSE_MIN);
        loop {
            let Some(attempt) = request.try_clone() else {
                return Err(ApiError::Strange(
                    "a body that cannot be sent twice".to_owned(),
                ));
            };
            let sent_at = Instant::now();
            let (reason, asked_for) = match self.send(attempt, sent_at).await {
                Attempt::Answered(reply) => return Ok(reply),
                Attempt::Refused(error) => return Err(error),
                Attempt::Passing(reason, asked_for) => (reason, asked_for),
            };
            let patience = if self.ending.is_cancelled() {
                PATIENCE_AT_THE_END
            } else {
                PATIENCE
            };
            if failing_since.get_or_insert(sent_at).elapsed() > patience {
                return Err(ApiError::Up(reason));
            }
            tokio::time::sleep(asked_for.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause = pause.saturating_mul(2);
        }
    }

    /// Sends once, at the beginning: a wrong address must not be waited for.
    pub(super) async fn greet(&self, request: RequestBuilder) -> Result<(), ApiError> {
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(ApiError::Strange(format!("answered {}", answer.status()))),
            Err(error) => Err(ApiError::Away(causes(error))),
        }
    }

    async fn send(&self, request: RequestBuilder, sent_at: Instant) -> Attempt {
        let reply = async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        };
        let (status, headers, body) = match reply.await {
            Ok(reply) => reply,
            Err(error) => {
                self.counts.unreachable.fetch_add(1, Ordering::Relaxed);
                self.outage(|outage| outage.begin(sent_at));
                return Attempt::Passing(causes(error), None);
            }
        };
        self.outage(|outage| outage.end(sent_at));
        let took = sent_at.elapsed();
        if status.is_success() {
            return Attempt::Answered(Reply { body, took });
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let seconds = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let asked_for = seconds.and_then(|text| text.parse().ok());
        let counter = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => &self.counts.busy,
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => &self.counts.outcome_unknown,
            status => {
                return Attempt::Refused(ApiError::Refused {
                    status: status.as_u16(),
                    code: problem.code,
                    challenge: problem.challenge,
                });
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let reason = format!("answered {} {}", status.as_u16(), problem.code);
        Attempt::Passing(reason, asked_for.map(Duration::from_secs))
    }

    fn outage(&self, happened: impl FnOnce(&mut Outage)) {
        let mut outage = self
            .counts
            .outage
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        happened(&mut outage);
    }

    pub(super) fn repeated(&self) -> Repeated {
        let mut repeated = Repeated {
            unreachable: self.counts.unreachable.load(Ordering::Relaxed),
            busy: self.counts.busy.load(Ordering::Relaxed),
            outcome_unknown: self.counts.outcome_unknown.load(Ordering::Relaxed),
            ..Repeated::default()
        };
        self.outage(|outage| {
            repeated.interruptions = outage.count;
            repeated.interrupted_ms = u64::try_from(outage.total.as_millis()).unwrap_or(u64::MAX);
        });
        repeated
    }
}

impl Outage {
    /// A request that was sent at `at` found nobody.
    fn begin(&mut self, at: Instant) {
        if self.since.is_none() {
            self.since = Some(at);
            self.count += 1;
        }
    }

    /// A request that was sent at `at` was answered. One that was under way when the connection
    /// broke for others says nothing.
    fn end(&mut self, at: Instant) {
        if let Some(since) = self.since.filter(|since| *since <= at) {
            self.total += since.elapsed();
            self.since = None;
        }
    }
}

/// `error sending request: connection refused`, without the address.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_counted_once_and_ended_by_an_answer_to_a_later_question() {
        let mut outage = Outage::default();
        let before = Instant::now();
        let broke = before + Duration::from_millis(1);
        outage.begin(broke);
        outage.begin(broke);
        outage.end(before);
        assert_eq!((outage.count, outage.since), (1, Some(broke)));
        outage.end(broke);
        assert_eq!((outage.count, outage.since), (1, None));
    }

    #[test]
    fn a_refusal_is_known_by_its_code() {
        let error = ApiError::Refused {
            status: 422,
            code: "amount_not_allowed".to_owned(),
            challenge: None,
        };
        assert!(error.is("amount_not_allowed"));
        assert!(!error.is_unauthorized());
        assert!(!ApiError::Up(String::new()).is("amount_not_allowed"));
    }
}
