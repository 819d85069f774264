//! The mini-program's login: a code for a person (§13.1).

use std::time::Instant;

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{super::http, MiniProgram};
use crate::{
    auth::{LoginFailure, WechatIdentity, WechatLogin},
    primitives::Secret,
};

/// Codes have some 32 characters; what is far longer is not sent on.
const CODE_MAX: usize = 256;

/// Errors come with HTTP 200, and success may leave `errcode` out. `session_key` is not read, so it
/// cannot leak.
#[derive(Debug, Deserialize)]
struct Session {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
    openid: Option<Secret<String>>,
}

impl MiniProgram {
    async fn ask(&self, code: &str) -> Result<WechatIdentity, LoginFailure> {
        if code.is_empty() || code.len() > CODE_MAX {
            return Err(LoginFailure::BadCode);
        }
        let mut url = self.address(&["sns", "jscode2session"]);
        // From here on the URL is a secret.
        url.query_pairs_mut()
            .append_pair("appid", &self.app_id)
            .append_pair("secret", self.app_secret.expose())
            .append_pair("js_code", code)
            .append_pair("grant_type", "authorization_code");

        let unavailable = LoginFailure::Unavailable;
        let answer = self.client.get(url).send().await;
        let answer = answer.map_err(|error| unavailable(http::reason(error)))?;
        let status = answer.status();
        let body = http::body(answer).await.map_err(unavailable)?;
        if !status.is_success() {
            return Err(unavailable(format!("HTTP {status}")));
        }
        // The content type is text/plain on some routes, so it is not looked at.
        judge(&body)
    }
}

impl WechatLogin for MiniProgram {
    fn exchange(&self, code: &str) -> BoxFuture<'_, Result<WechatIdentity, LoginFailure>> {
        let code = code.to_owned();
        Box::pin(async move {
            let began = Instant::now();
            let identity = self.ask(&code).await;
            let outcome = match &identity {
                Ok(_) => "done",
                Err(LoginFailure::Unavailable(_)) => "unknown",
                Err(LoginFailure::BadCode | LoginFailure::Blocked | LoginFailure::TooFrequent) => {
                    "refused"
                }
            };
            metrics::histogram!("wechat_request_seconds", "call" => "login", "outcome" => outcome)
                .record(began.elapsed().as_secs_f64());
            identity
        })
    }
}

fn judge(body: &[u8]) -> Result<WechatIdentity, LoginFailure> {
    let session: Session = serde_json::from_slice(body)
        .map_err(|_| LoginFailure::Unavailable("the answer is not JSON".to_owned()))?;
    let said = format!("{} {}", session.errcode, session.errmsg);
    match session.errcode {
        0 => match session.openid.filter(|openid| !openid.expose().is_empty()) {
            Some(openid) => Ok(WechatIdentity { openid }),
            None => Err(LoginFailure::Unavailable(
                "the answer has no openid".to_owned(),
            )),
        },
        40029 | 40163 => Err(LoginFailure::BadCode),
        40226 => Err(LoginFailure::Blocked),
        45011 => Err(LoginFailure::TooFrequent),
        40013 | 40125 => {
            tracing::error!("WeChat does not accept the mini-program's id or secret: {said}");
            Err(LoginFailure::Unavailable(said))
        }
        _ => Err(LoginFailure::Unavailable(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_wechat_says_they_mean() {
        let person = judge(br#"{"session_key":"a2V5","openid":"oA"}"#).unwrap();
        assert_eq!(person.openid.expose(), "oA");
        assert!(judge(br#"{"errcode":0,"errmsg":"ok","openid":"oA"}"#).is_ok());
        let failure = |code: i64| {
            judge(format!(r#"{{"errcode":{code},"errmsg":"no"}}"#).as_bytes()).unwrap_err()
        };
        assert_eq!(failure(40029), LoginFailure::BadCode);
        assert_eq!(failure(40163), LoginFailure::BadCode);
        assert_eq!(failure(40226), LoginFailure::Blocked);
        assert_eq!(failure(45011), LoginFailure::TooFrequent);
        assert_eq!(failure(-1), LoginFailure::Unavailable("-1 no".to_owned()));
        assert_eq!(
            failure(40125),
            LoginFailure::Unavailable("40125 no".to_owned())
        );
        assert!(matches!(
            judge(b"<html>"),
            Err(LoginFailure::Unavailable(_))
        ));
        assert!(matches!(judge(b"{}"), Err(LoginFailure::Unavailable(_))));
    }
}
