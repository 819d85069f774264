//! A call with the access token, and what its answer means.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{super::http, MiniProgram};
use crate::{
    payments::{Outcome, Refusal, RefusalKind},
    primitives::Secret,
};

#[derive(Debug, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
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
    ) -> Outcome<Vec<u8>> {
        let began = Instant::now();
        let outcome = match self.try_twice(path, body).await {
            Heard::Done(body) => Outcome::Done(body),
            Heard::Code(code, message) => judge(code, message),
            Heard::Lost(reason) => Outcome::Unknown(reason),
        };
        let label = match &outcome {
            Outcome::Done(_) => "done",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown(_) => "unknown",
        };
        metrics::histogram!("wechat_request_seconds", "call" => call, "outcome" => label)
            .record(began.elapsed().as_secs_f64());
        log(call, &outcome);
        outcome
    }

    async fn try_twice(&self, path: &[&str], body: &(impl Serialize + Sync)) -> Heard {
        let token = match self.access_token(None).await {
            Ok(token) => token,
            Err(reason) => return Heard::Lost(format!("no access token: {reason}")),
        };
        match self.send(path, &token, body).await {
            Heard::Code(code, message) if refuses_the_token(code) => {
                match self.access_token(Some(&token)).await {
                    Ok(renewed) => self.send(path, &renewed, body).await,
                    Err(reason) => {
                        Heard::Lost(format!("{code} {message}, then no access token: {reason}"))
                    }
                }
            }
            heard @ (Heard::Done(_) | Heard::Code(..) | Heard::Lost(_)) => heard,
        }
    }

    async fn send(&self, path: &[&str], token: &Secret<String>, body: &impl Serialize) -> Heard {
        let mut url = self.address(path);
        // From here on the URL is a secret.
        url.query_pairs_mut()
            .append_pair("access_token", token.expose());
        let answer = match self.client.post(url).json(body).send().await {
            Ok(answer) => answer,
            Err(error) => return Heard::Lost(http::reason(error)),
        };
        let status = answer.status();
        match http::body(answer).await {
            Ok(body) if status.is_success() => hear(body),
            Ok(_) => Heard::Lost(format!("HTTP {status}")),
            Err(reason) => Heard::Lost(reason),
        }
    }
}

fn hear(body: Vec<u8>) -> Heard {
    match serde_json::from_slice(&body) {
        Ok(ErrorBody { errcode: 0, .. }) | Err(_) => Heard::Done(body),
        Ok(ErrorBody { errcode, errmsg }) => Heard::Code(errcode, errmsg),
    }
}

/// Bad, expired, or not the newest.
const fn refuses_the_token(code: i64) -> bool {
    matches!(code, 40001 | 40014 | 42001)
}

/// What a code says where a call does not know better.
fn judge<T>(code: i64, message: String) -> Outcome<T> {
    let kind = match code {
        // Busy; or our token, the second time: the call itself was not judged, and trying again is right.
        -1 => return Outcome::Unknown(format!("{code} {message}")),
        code if refuses_the_token(code) => return Outcome::Unknown(format!("{code} {message}")),
        45009 | 45011 => RefusalKind::RateLimited,
        _ => RefusalKind::Rejected,
    };
    Outcome::Refused(Refusal {
        kind,
        code: code.to_string(),
        message,
    })
}

fn log(call: &'static str, outcome: &Outcome<Vec<u8>>) {
    match outcome {
        Outcome::Done(_) => tracing::debug!(wechat.call = call, "{call} done"),
        Outcome::Refused(no) => {
            tracing::info!(
                wechat.call = call,
                wechat.code = no.code,
                "{call} refused: {}",
                no.code
            );
        }
        Outcome::Unknown(reason) => tracing::warn!(
            wechat.call = call,
            "{call} has an unknown outcome: {reason}"
        ),
    }
}

/// An answer that says no more than that it was done.
pub(super) fn nothing_more(outcome: Outcome<Vec<u8>>) -> Outcome<()> {
    match outcome {
        // `hear` lets through what is not JSON, for pictures. Here it is no answer.
        Outcome::Done(body) if serde_json::from_slice::<ErrorBody>(&body).is_err() => {
            Outcome::Unknown("the answer is not JSON".to_owned())
        }
        Outcome::Done(_) => Outcome::Done(()),
        Outcome::Refused(no) => Outcome::Refused(no),
        Outcome::Unknown(reason) => Outcome::Unknown(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_errcode() {
        let done = |body: &str| matches!(hear(body.into()), Heard::Done(_));
        assert!(done(r#"{"errcode":0,"errmsg":"ok"}"#));
        assert!(done("{}"));
        assert_eq!(
            hear(r#"{"errcode":43101,"errmsg":"user refuse"}"#.into()),
            Heard::Code(43101, "user refuse".to_owned())
        );
        assert!(matches!(
            nothing_more(Outcome::Done(b"<html>".to_vec())),
            Outcome::Unknown(_)
        ));
        assert!(matches!(
            nothing_more(Outcome::Done(b"{}".to_vec())),
            Outcome::Done(())
        ));
    }

    #[test]
    fn what_is_about_the_token_or_about_load_is_not_about_the_call() {
        let of = |code: i64| match judge::<()>(code, String::new()) {
            Outcome::Done(()) => "done".to_owned(),
            Outcome::Refused(no) => format!("{:?}", no.kind),
            Outcome::Unknown(_) => "unknown".to_owned(),
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
