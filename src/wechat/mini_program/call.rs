//! A call with the access token, and what its answer means.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{super::http, MiniProgram};
use crate::{
    payments::{ChannelOutcome, Refusal, RefusalKind},
    primitives::Secret,
};

#[derive(Debug, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
enum RawAnswer {
    /// `errcode` 0 or none; or a body that is not JSON, which some calls want.
    Done(Vec<u8>),
    /// An `errcode` with its words.
    Code(i64, String),
    Lost(String),
}

impl MiniProgram {
    /// Posts `body` as JSON and gives the body of a success. `call` names it in logs and metrics.
    ///
    /// A token that WeChat does not accept is renewed once and the call repeated once.
    pub(super) async fn post(
        &self,
        call: &'static str,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> ChannelOutcome<Vec<u8>> {
        let began = Instant::now();
        let outcome = match self.try_twice(path, body).await {
            RawAnswer::Done(body) => ChannelOutcome::Done(body),
            RawAnswer::Code(code, message) => judge(code, message),
            RawAnswer::Lost(reason) => ChannelOutcome::Unknown(reason),
        };
        let label = match &outcome {
            ChannelOutcome::Done(_) => "done",
            ChannelOutcome::Refused(_) => "refused",
            ChannelOutcome::Unknown(_) => "unknown",
        };
        metrics::histogram!("wechat_request_seconds", "call" => call, "outcome" => label)
            .record(began.elapsed().as_secs_f64());
        log(call, &outcome);
        outcome
    }

    async fn try_twice(&self, path: &[&str], body: &(impl Serialize + Sync)) -> RawAnswer {
        let token = match self.access_token(None).await {
            Ok(token) => token,
            Err(reason) => return RawAnswer::Lost(format!("no access token: {reason}")),
        };
        match self.send(path, &token, body).await {
            RawAnswer::Code(code, message) if refuses_the_token(code) => {
                match self.access_token(Some(&token)).await {
                    Ok(renewed) => self.send(path, &renewed, body).await,
                    Err(reason) => {
                        RawAnswer::Lost(format!("{code} {message}, then no access token: {reason}"))
                    }
                }
            }
            answer @ (RawAnswer::Done(_) | RawAnswer::Code(..) | RawAnswer::Lost(_)) => answer,
        }
    }

    async fn send(
        &self,
        path: &[&str],
        token: &Secret<String>,
        body: &impl Serialize,
    ) -> RawAnswer {
        let mut url = self.address(path);
        // From here on the URL is a secret.
        url.query_pairs_mut()
            .append_pair("access_token", token.expose());
        let answer = match self.client.post(url).json(body).send().await {
            Ok(answer) => answer,
            Err(error) => return RawAnswer::Lost(http::reason(error)),
        };
        let status = answer.status();
        match http::body(answer).await {
            Ok(body) if status.is_success() => parse_answer(body),
            Ok(_) => RawAnswer::Lost(format!("HTTP {status}")),
            Err(reason) => RawAnswer::Lost(reason),
        }
    }
}

fn parse_answer(body: Vec<u8>) -> RawAnswer {
    match serde_json::from_slice(&body) {
        Ok(ErrorBody { errcode: 0, .. }) | Err(_) => RawAnswer::Done(body),
        Ok(ErrorBody { errcode, errmsg }) => RawAnswer::Code(errcode, errmsg),
    }
}

/// Bad, expired, or not the newest.
const fn refuses_the_token(code: i64) -> bool {
    matches!(code, 40001 | 40014 | 42001)
}

/// What a code says where a call does not know better.
fn judge<T>(code: i64, message: String) -> ChannelOutcome<T> {
    let kind = match code {
        // Busy; or our token, the second time: the call itself was not judged, and trying again is
        // right.
        -1 => return ChannelOutcome::Unknown(format!("{code} {message}")),
        code if refuses_the_token(code) => {
            return ChannelOutcome::Unknown(format!("{code} {message}"));
        }
        45009 | 45011 => RefusalKind::RateLimited,
        _ => RefusalKind::Rejected,
    };
    ChannelOutcome::Refused(Refusal {
        kind,
        code: code.to_string(),
        message,
    })
}

fn log(call: &'static str, outcome: &ChannelOutcome<Vec<u8>>) {
    match outcome {
        ChannelOutcome::Done(_) => tracing::debug!(wechat.call = call, "{call} done"),
        ChannelOutcome::Refused(no) => {
            tracing::info!(
                wechat.call = call,
                wechat.code = no.code,
                "{call} refused: {}",
                no.code
            );
        }
        ChannelOutcome::Unknown(reason) => tracing::warn!(
            wechat.call = call,
            "{call} has an unknown outcome: {reason}"
        ),
    }
}

/// An answer that says no more than that it was done.
pub(super) fn nothing_more(outcome: ChannelOutcome<Vec<u8>>) -> ChannelOutcome<()> {
    match outcome {
        // `parse_answer` lets through what is not JSON, for pictures. Here it is no answer.
        ChannelOutcome::Done(body) if serde_json::from_slice::<ErrorBody>(&body).is_err() => {
            ChannelOutcome::Unknown("the answer is not JSON".to_owned())
        }
        ChannelOutcome::Done(_) => ChannelOutcome::Done(()),
        ChannelOutcome::Refused(no) => ChannelOutcome::Refused(no),
        ChannelOutcome::Unknown(reason) => ChannelOutcome::Unknown(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_errcode() {
        let done = |body: &str| matches!(parse_answer(body.into()), RawAnswer::Done(_));
        assert!(done(r#"{"errcode":0,"errmsg":"ok"}"#));
        assert!(done("{}"));
        assert_eq!(
            parse_answer(r#"{"errcode":43101,"errmsg":"user refuse"}"#.into()),
            RawAnswer::Code(43101, "user refuse".to_owned())
        );
        assert!(matches!(
            nothing_more(ChannelOutcome::Done(b"<html>".to_vec())),
            ChannelOutcome::Unknown(_)
        ));
        assert!(matches!(
            nothing_more(ChannelOutcome::Done(b"{}".to_vec())),
            ChannelOutcome::Done(())
        ));
    }

    #[test]
    fn what_is_about_the_token_or_about_load_is_not_about_the_call() {
        let of = |code: i64| match judge::<()>(code, String::new()) {
            ChannelOutcome::Done(()) => "done".to_owned(),
            ChannelOutcome::Refused(no) => format!("{:?}", no.kind),
            ChannelOutcome::Unknown(_) => "unknown".to_owned(),
        };
        for code in [-1, 40001, 40014, 42001] {
            assert_eq!(of(code), "unknown", "{code}");
        }
        assert_eq!(of(45009), "RateLimited");
        for code in [40003, 40037, 41030, 43101, 47003] {
            assert_eq!(of(code), "Rejected", "{code}");
        }
    }
}
