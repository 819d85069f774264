//! The access token: one for all processes, while there is a cache to share it through (§13.2).

use std::{
    fmt::{self, Display},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{super::http, MiniProgram};
use crate::{
    cache::{Cache, CacheKey},
    primitives::{Clock, Secret, Timestamp},
};

/// WeChat renews a token in its last five minutes, in which the old one and the new one both work.
const RENEWED_BEFORE_END_SECONDS: i64 = 300;
/// WeChat's clock and ours differ: a token that was given a moment ago counts as valid this long,
/// so that the last moments before the renewal are not spent asking at every call.
const VALID_AT_LEAST_SECONDS: i64 = 10;
/// What WeChat gives at most; an answer that says more is rejected.
const LIFE_MAX_SECONDS: i64 = 7_200;
/// WeChat asks for room for 512 characters; what is far longer is no token.
const LENGTH_MAX: usize = 2_048;

/// While one process asks, the others look into the cache this often, and for no longer than this.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(3);

/// The token of this process, and where the others keep theirs.
pub(super) struct AccessTokens {
    shared: Option<Shared>,
    clock: Arc<dyn Clock>,
    /// Held while asking, so that one process asks once however many of its callers want a token.
    known: Mutex<Option<AccessToken>>,
}

/// Where all processes of one mini-program find their token.
struct Shared {
    cache: Cache,
    /// The mini-program, and the WeChat that knows it: a simulator's token is good for that
    /// simulator only.
    name: String,
}

/// A token and how long it is good.
#[derive(Clone, Serialize, Deserialize)]
struct AccessToken {
    /// Not a `Secret`, which would be written as a mask; the type has no `Debug` instead.
    text: String,
    /// From here on another is asked for.
    renew_at: Timestamp,
    /// Until here it works.
    ends_at: Timestamp,
}

impl AccessToken {
    fn given(text: String, expires_in: i64, now: Timestamp) -> Self {
        let life = expires_in.clamp(1, LIFE_MAX_SECONDS);
        let renew = (life - RENEWED_BEFORE_END_SECONDS)
            .max(VALID_AT_LEAST_SECONDS)
            .min(life);
        Self {
            text,
            renew_at: now.plus_seconds(renew),
            ends_at: now.plus_seconds(life),
        }
    }

    fn is_fresh(&self, refused: Option<&str>, now: Timestamp) -> bool {
        now < self.renew_at && refused != Some(self.text.as_str())
    }

    fn still_works(&self, refused: Option<&str>, now: Timestamp) -> bool {
        now < self.ends_at && refused != Some(self.text.as_str())
    }

    fn secret(&self) -> Secret<String> {
        Secret::new(self.text.clone())
    }
}

struct TokenKey<'a>(&'a str);

impl CacheKey for TokenKey<'_> {
    type Value = AccessToken;
    const KIND: &'static str = "access_token";
    const TTL: Duration = Duration::from_hours(2);

    fn name(&self) -> impl Display + Send {
        self.0
    }
}

/// Who holds it asks WeChat. It lasts a little longer than a call may take.
struct LeaseKey<'a>(&'a str);

impl CacheKey for LeaseKey<'_> {
    type Value = u8;
    const KIND: &'static str = "access_token_lease";
    const TTL: Duration = Duration::from_secs(10);

    fn name(&self) -> impl Display + Send {
        self.0
    }
}

impl AccessTokens {
    pub(super) fn alone(clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: None,
            clock,
            known: Mutex::default(),
        }
    }

    /// `name` is the same in all processes that may use the same token, and in no others.
    pub(super) fn shared(cache: Cache, name: String, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Some(Shared { cache, name }),
            ..Self::alone(clock)
        }
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens")
            .field("shared", &self.shared.is_some())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct TokenRequest<'a> {
    grant_type: &'static str,
    appid: &'a str,
    secret: &'a str,
    force_refresh: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    errcode: i64,
    #[serde(default)]
    errmsg: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

impl MiniProgram {
    /// A token to call with, other than the one that WeChat has just `refused`; or why there is
    /// none, for logs.
    pub(super) async fn access_token(
        &self,
        refused: Option<&Secret<String>>,
    ) -> Result<Secret<String>, String> {
        let refused = refused.map(|token| token.expose().as_str());
        let mut known = self.tokens.known.lock().await;
        let now = self.tokens.clock.now();
        if let Some(token) = known.as_ref().filter(|token| token.is_fresh(refused, now)) {
            return Ok(token.secret());
        }
        let old = known
            .as_ref()
            .filter(|token| token.still_works(refused, now))
            .map(AccessToken::secret);
        let began = Instant::now();
        loop {
            if let Some(token) = self.look(refused, now).await {
                return Ok(keep(&mut known, token));
            }
            if !self.another_asks().await {
                break;
            }
            if let Some(old) = old {
                return Ok(old);
            }
            // Whoever asks may have been killed, or cannot reach WeChat. Perhaps we can.
            if began.elapsed() > WAIT_MAX {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // Another may have ended between our look and our claim.
        let token = match self.look(refused, now).await {
            Some(token) => Ok(token),
            None => self.ask_token().await,
        };
        if let Some(Shared { cache, name }) = &self.tokens.shared {
            if let Ok(token) = &token {
                cache.put(&TokenKey(name), token).await;
            }
            cache.forget(&LeaseKey(name)).await;
        }
        match token {
            Ok(token) => Ok(keep(&mut known, token)),
            Err(reason) => {
                tracing::warn!("no access token for the mini-program: {reason}");
                old.ok_or(reason)
            }
        }
    }

    /// What another process may have put down for all.
    async fn look(&self, refused: Option<&str>, now: Timestamp) -> Option<AccessToken> {
        let Shared { cache, name } = self.tokens.shared.as_ref()?;
        let token = cache.get(&TokenKey(name)).await?;
        token.is_fresh(refused, now).then_some(token)
    }

    /// False when the lease is ours now, or there is nobody to share with.
    async fn another_asks(&self) -> bool {
        match &self.tokens.shared {
            Some(Shared { cache, name }) => cache.claim(&LeaseKey(name), &1).await == Some(false),
            None => false,
        }
    }

    async fn ask_token(&self) -> Result<AccessToken, String> {
        let began = Instant::now();
        let token = self.ask_stable_token().await;
        let outcome = if token.is_ok() { "done" } else { "unknown" };
        metrics::histogram!("wechat_request_seconds", "call" => "access_token", "outcome" => outcome)
            .record(began.elapsed().as_secs_f64());
        token
    }

    async fn ask_stable_token(&self) -> Result<AccessToken, String> {
        let request = TokenRequest {
            grant_type: "client_credential",
            appid: &self.app_id,
            secret: self.app_secret.expose(),
            force_refresh: false,
        };
        // The token's life is counted from before the question, so ours ends first.
        let asked_at = self.tokens.clock.now();
        let url = self.address(&["cgi-bin", "stable_token"]);
        let answer = self.client.post(url).json(&request).send().await;
        let answer = answer.map_err(http::reason)?;
        let status = answer.status();
        let body = http::body(answer).await?;
        if !status.is_success() {
            return Err(format!("HTTP {status}"));
        }
        read(&body, asked_at)
    }
}

fn keep(known: &mut Option<AccessToken>, token: AccessToken) -> Secret<String> {
    let secret = token.secret();
    *known = Some(token);
    secret
}

fn read(body: &[u8], asked_at: Timestamp) -> Result<AccessToken, String> {
    let answer: TokenAnswer =
        serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_owned())?;
    match answer.errcode {
        0 => {}
        code @ (40013 | 40125 | 40164 | 41002 | 41004) => {
            let said = format!("{code} {}", answer.errmsg);
            tracing::error!(
                "WeChat does not accept the mini-program's id, secret or address: {said}"
            );
            return Err(said);
        }
        code => return Err(format!("{code} {}", answer.errmsg)),
    }
    let text = answer.access_token;
    let sound =
        (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound || answer.expires_in <= 0 {
        return Err("the answer has no token".to_owned());
    }
    Ok(AccessToken::given(text, answer.expires_in, asked_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(0).plus_seconds(seconds)
    }

    #[test]
    fn a_token_is_renewed_before_its_last_five_minutes_and_used_until_its_end() {
        let token = AccessToken::given("T".to_owned(), 7_200, at(0));
        assert!(token.is_fresh(None, at(6_899)));
        assert!(!token.is_fresh(None, at(6_900)));
        assert!(token.still_works(None, at(7_199)));
        assert!(!token.still_works(None, at(7_200)));
        assert!(!token.is_fresh(Some("T"), at(0)) && !token.still_works(Some("T"), at(0)));
        assert!(token.is_fresh(Some("older"), at(0)));
    }

    #[test]
    fn a_token_in_its_last_minutes_is_not_asked_for_at_every_call() {
        let token = AccessToken::given("T".to_owned(), 280, at(0));
        assert!(token.is_fresh(None, at(9)) && !token.is_fresh(None, at(10)));
        let token = AccessToken::given("T".to_owned(), 3, at(0));
        assert!(token.is_fresh(None, at(2)) && !token.is_fresh(None, at(3)));
        let token = AccessToken::given("T".to_owned(), 1_000_000, at(0));
        assert!(!token.is_fresh(None, at(6_900)));
    }

    #[test]
    fn an_answer_is_a_token_or_a_reason_without_one() {
        let read = |body: &str| read(body.as_bytes(), at(0)).map(|token| token.text);
        assert_eq!(
            read(r#"{"access_token":"ACCESS","expires_in":7200}"#).as_deref(),
            Ok("ACCESS")
        );
        for bad in [
            r#"{"access_token":"","expires_in":7200}"#,
            r#"{"access_token":"A B","expires_in":7200}"#,
            r#"{"access_token":"ACCESS","expires_in":0}"#,
            r#"{"access_token":"ACCESS"}"#,
            r#"{"errcode":-1,"errmsg":"busy","access_token":"ACCESS","expires_in":7200}"#,
            "<html>",
        ] {
            let reason = read(bad).unwrap_err();
            assert!(!reason.contains("ACCESS"), "{bad}");
        }
        assert_eq!(
            read(r#"{"errcode":40164,"errmsg":"invalid ip"}"#).unwrap_err(),
            "40164 invalid ip"
        );
    }
}
