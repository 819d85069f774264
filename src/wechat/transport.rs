//! Signed calls to WeChat Pay and verified answers.
//!
//! A call is signed, sent and judged once per attempt ([`RetryPolicy`] says how often), at one of
//! two [`Hosts`], unless a [`Breakers`] circuit is open. `Request-ID` is what WeChat's support asks
//! for first: it is in the span of the call and in its log line.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use tokio::time::{Instant, sleep};
use tracing::{Instrument as _, Span};
use url::{Position, Url};

use super::{
    answer::{CallAnswer, Failure, SignatureCheck, Unknown, judge},
    breaker::{Breakers, Class},
    error::WechatError,
    hosts::{Host, Hosts},
    http,
    key_ring::KeyRing,
    keys::Keys,
    retry::{Attempts, RetryPolicy, Step},
    signature::{self, SignedRequest},
};
use crate::{
    config::WechatSettings,
    payments::{NoticeError, NoticeHeaders},
    primitives::{Clock, IdSource, Timestamp},
};

/// What is asked, and how.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Its name in logs and metrics.
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) retry: RetryPolicy,
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    /// JSON. Signed and sent byte for byte, the same in every attempt.
    pub(super) body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum Target<'a> {
    /// Segments, which are escaped, and a query.
    Path(&'a [&'a str], &'a [(&'a str, &'a str)]),
    /// A file, at an address that WeChat gave. Its answer is the only one that may be unsigned
    /// (§6.4).
    File(Url),
}

impl<'a> Call<'a> {
    /// Asks for something, changes nothing.
    pub(super) fn get(
        name: &'static str,
        class: Class,
        path: &'a [&'a str],
        query: &'a [(&'a str, &'a str)],
    ) -> Self {
        Self {
            name,
            class,
            retry: RetryPolicy::Read,
            method: Method::GET,
            target: Target::Path(path, query),
            body: None,
        }
    }

    pub(super) fn post(
        name: &'static str,
        class: Class,
        retry: RetryPolicy,
        path: &'a [&'a str],
        body: &impl serde::Serialize,
    ) -> Self {
        let body = serde_json::to_vec(body).expect("a struct of text and numbers is JSON");
        Self {
            name,
            class,
            retry,
            method: Method::POST,
            target: Target::Path(path, &[]),
            body: Some(body),
        }
    }
}

/// How long and how large.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// One attempt.
    attempt: Duration,
    /// All of them, with the waits between.
    deadline: Duration,
    answer_max_bytes: usize,
}

const OF_ANSWERS: Limits = Limits {
    attempt: Duration::from_secs(5),
    deadline: Duration::from_secs(12),
    answer_max_bytes: http::ANSWER_MAX_BYTES,
};

/// A day of the largest merchant, compressed, is some tens of megabytes.
const OF_FILES: Limits = Limits {
    attempt: Duration::from_mins(1),
    deadline: Duration::from_mins(2),
    answer_max_bytes: 64 << 20,
};

/// Decides whether an answer is WeChat's.
pub(super) type VerifyAnswer<'a> =
    &'a (dyn Fn(StatusCode, NoticeHeaders<'_>, &[u8]) -> SignatureCheck + Send + Sync);

#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    hosts: Hosts,
    breakers: Breakers,
    mchid: String,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Transport {
    pub(super) fn new(
        settings: &WechatSettings,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, WechatError> {
        Ok(Self {
            client: http::client(settings.allow_loopback_http)?,
            hosts: Hosts::new(settings.pay_url.clone(), settings.backup_url.clone()),
            breakers: Breakers::new(&settings.sp_mchid),
            mchid: settings.sp_mchid.clone(),
            keys,
            clock,
            ids,
        })
    }

    /// 32 characters that nobody can guess.
    pub(super) fn nonce(&self) -> String {
        format!("{:016X}{:016X}", self.ids.random(), self.ids.random())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether an address is WeChat Pay's, so that our signature may be sent there.
    pub(super) fn is_ours(&self, url: &Url) -> bool {
        self.hosts.of(url).is_some()
    }

    /// Calls WeChat with the keys in force.
    pub(super) async fn call(&self, call: Call<'_>) -> CallAnswer {
        self.call_with(&self.keys.take(), call).await
    }

    /// Calls WeChat with keys that something in the body was encrypted under.
    pub(super) async fn call_with(&self, keys: &Keys, call: Call<'_>) -> CallAnswer {
        let is_file = matches!(call.target, Target::File(_));
        let verify_answer = |status: StatusCode, headers: NoticeHeaders<'_>, body: &[u8]| {
            if is_file && status == StatusCode::OK {
                // Its hash is compared by who asked for it.
                SignatureCheck::Signed
            } else {
                self.verify_answer(headers, body)
            }
        };
        self.call_verified_by(keys, call, &verify_answer).await
    }

    /// Calls WeChat; `verify_answer` says which answers are authentic.
    pub(super) async fn call_verified_by(
        &self,
        keys: &Keys,
        call: Call<'_>,
        verify_answer: VerifyAnswer<'_>,
    ) -> CallAnswer {
        let span = tracing::info_span!(
            "wechat.call",
            wechat.call = call.name,
            wechat.host = tracing::field::Empty,
            wechat.request_id = tracing::field::Empty,
        );
        let name = call.name;
        async {
            let began = Instant::now();
            let (answer, request_id) = self.repeatedly(keys, call, verify_answer).await;
            let outcome = match &answer {
                CallAnswer::Done(_) => "done",
                CallAnswer::Refused(_) => "refused",
                CallAnswer::Unknown(_) => "unknown",
            };
            metrics::histogram!("wechat_request_seconds", "call" => name, "outcome" => outcome)
                .record(began.elapsed().as_secs_f64());
            log(name, &answer, request_id.as_deref().unwrap_or("-"));
            answer
        }
        .instrument(span)
        .await
    }

    async fn repeatedly(
        &self,
        keys: &Keys,
        call: Call<'_>,
        verify_answer: VerifyAnswer<'_>,
    ) -> (CallAnswer, Option<String>) {
        let limits = match call.target {
            Target::Path(..) => OF_ANSWERS,
            Target::File(_) => OF_FILES,
        };
        let began = Instant::now();
        let left = || limits.deadline.saturating_sub(began.elapsed());
        let (mut attempts, mut request_id) = (Attempts::new(call.retry), None);
        loop {
            let limits = Limits {
                attempt: limits.attempt.min(left()),
                ..limits
            };
            let (answer, id) = self.attempt(keys, &call, verify_answer, limits).await;
            request_id = id.or(request_id);
            match attempts.step(answer, left(), self.ids.random()) {
                Step::Over(answer) => return (answer, request_id),
                Step::Again(pause) => sleep(pause).await,
            }
        }
    }

    /// One attempt at the host that is assumed to be up, if its circuit lets it pass; at the other
    /// otherwise.
    async fn attempt(
        &self,
        keys: &Keys,
        call: &Call<'_>,
        verify_answer: VerifyAnswer<'_>,
        limits: Limits,
    ) -> (CallAnswer, Option<String>) {
        let now = Instant::now();
        let (first, second) = match &call.target {
            Target::Path(..) => self.hosts.choose(now),
            Target::File(url) => match self.hosts.of(url) {
                Some(host) => (host, None),
                None => return (not_asked("the file is at somebody else's"), None),
            },
        };
        let admit = |host| Some((host, self.breakers.admit(host, call.class, now)?));
        let Some((host, permit)) = admit(first).or_else(|| admit(second?)) else {
            return (not_asked("WeChat has not answered lately"), None);
        };
        let (answer, request_id) = self.ask(keys, call, verify_answer, limits, host).await;
        Span::current().record("wechat.host", host.name());
        if let Some(id) = &request_id {
            Span::current().record("wechat.request_id", id);
        }
        match &answer {
            CallAnswer::Unknown(Unknown { failure, reason }) => {
                tracing::debug!("attempt at the {} host: {reason}", host.name());
                self.hosts.note(host, *failure, Instant::now());
                match failure {
                    Failure::Unreachable
                    | Failure::Broken
                    | Failure::Server(_)
                    | Failure::Unverified
                    | Failure::Unclear => permit.failed(Instant::now()),
                    // WeChat is there.
                    Failure::Pending | Failure::Probe | Failure::NotAsked => permit.succeeded(),
                }
            }
            CallAnswer::Done(_) | CallAnswer::Refused(_) => permit.succeeded(),
        }
        (answer, request_id)
    }

    async fn ask(
        &self,
        keys: &Keys,
        call: &Call<'_>,
        verify_answer: VerifyAnswer<'_>,
        limits: Limits,
        host: Host,
    ) -> (CallAnswer, Option<String>) {
        let url = match &call.target {
            Target::Path(path, query) => address(self.hosts.base(host), path, query),
            Target::File(url) => url.clone(),
        };
        let authorization = signature::authorization(
            &keys.merchant,
            &self.mchid,
            SignedRequest {
                method: call.method.as_str(),
                target: &url[Position::BeforePath..Position::AfterQuery],
                body: call.body.as_deref().unwrap_or_default(),
            },
            self.clock.now(),
            &self.nonce(),
        );
        let mut request = self
            .client
            .request(call.method.clone(), url)
            .timeout(limits.attempt)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, authorization);
        if let Some(key) = keys.wechat.preferred() {
            // Asks for answers under this key; without it WeChat signs with its certificate while
            // it has one (§2.2).
            request = request.header("Wechatpay-Serial", key.serial());
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let failure = if error.is_connect() {
                    Failure::Unreachable
                } else {
                    Failure::Broken
                };
                let unknown = Unknown::new(failure, http::reason(error));
                return (CallAnswer::Unknown(unknown), None);
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let request_id = text(&headers, "request-id").map(str::to_owned);
        let answer = match http::body_up_to(response, limits.answer_max_bytes).await {
            Ok(body) => judge(status, verify_answer(status, signed(&headers), &body), body),
            Err(reason) => {
                let reason = format!("HTTP {status}, then {reason}");
                CallAnswer::Unknown(Unknown::new(Failure::Broken, reason))
            }
        };
        (answer, request_id)
    }

    /// By the keys in force when the answer came: they may have been exchanged since it was asked
    /// for.
    pub(super) fn verify_answer(&self, given: NoticeHeaders<'_>, body: &[u8]) -> SignatureCheck {
        match signature::verify(&self.keys.load().wechat, given, body, self.clock.now()) {
            Ok(()) => SignatureCheck::Signed,
            Err(NoticeError::MissingHeader)
                if given.signature.is_none() && given.serial.is_none() =>
            {
                SignatureCheck::Unsigned
            }
            Err(error) => {
                if error == NoticeError::UnknownKey {
                    self.keys
                        .note_unknown_serial(given.serial.unwrap_or_default());
                }
                SignatureCheck::Wrong(error)
            }
        }
    }
}

fn not_asked(reason: &str) -> CallAnswer {
    CallAnswer::Unknown(Unknown::new(Failure::NotAsked, reason))
}

/// An address under `base`.
fn address(base: &Url, segments: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

fn signed(headers: &HeaderMap) -> NoticeHeaders<'_> {
    NoticeHeaders {
        timestamp: text(headers, "wechatpay-timestamp"),
        nonce: text(headers, "wechatpay-nonce"),
        signature: text(headers, "wechatpay-signature"),
        serial: text(headers, "wechatpay-serial"),
        signature_type: text(headers, "wechatpay-signature-type"),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn log(call: &'static str, answer: &CallAnswer, request_id: &str) {
    match answer {
        CallAnswer::Done(_) => {
            tracing::debug!(
                wechat.call = call,
                wechat.request_id = request_id,
                "{call} done"
            );
        }
        CallAnswer::Refused(no) if no.code == "SIGN_ERROR" => tracing::error!(
            wechat.call = call,
            wechat.request_id = request_id,
            "WeChat does not accept our signature: key, serial number or clock ({})",
            no.message
        ),
        CallAnswer::Refused(no) => tracing::info!(
            wechat.call = call,
            wechat.request_id = request_id,
            wechat.code = no.code,
            "{call} refused: {} {}",
            no.code,
            no.message
        ),
        // WeChat looks whether anybody looks; nothing is wrong.
        CallAnswer::Unknown(unknown) if unknown.failure == Failure::Probe => tracing::debug!(
            wechat.call = call,
            wechat.request_id = request_id,
            "{call} was answered with a signature probe"
        ),
        CallAnswer::Unknown(unknown) => tracing::warn!(
            wechat.call = call,
            wechat.request_id = request_id,
            "{call} has an unknown outcome: {}",
            unknown.reason
        ),
    }
}
