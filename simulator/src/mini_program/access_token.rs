//! `POST /cgi-bin/stable_token`: the token that all servers of a mini-program share.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::super::lock::lock;
use super::super::state::Shared;
use super::admission::json_response;
use super::errcode::Errcode;

const PER_MINUTE_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct TokenRequest {
    grant_type: String,
    appid: String,
    secret: String,
    force_refresh: bool,
}

pub(super) async fn stable_token(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match token(&shared, &body) {
        Ok((token, seconds)) => {
            shared.stats.tokens_given.add();
            json_response(&json!({"access_token": token, "expires_in": seconds}))
        }
        Err(errcode) => shared.refusal(errcode),
    }
}

fn token(shared: &Shared, body: &[u8]) -> Result<(String, i64), Errcode> {
    let request: TokenRequest = serde_json::from_slice(body).map_err(|_| Errcode::malformed())?;
    shared.not_busy()?;
    if request.appid != shared.keys.app_id() {
        return Err(Errcode::new(40013, "invalid appid"));
    }
    if request.secret != shared.keys.app_secret().expose_secret() {
        return Err(Errcode::new(40125, "invalid appsecret"));
    }
    if request.grant_type != "client_credential" {
        return Err(Errcode::new(40002, "invalid grant_type"));
    }
    shared.within_minute("stable_token", PER_MINUTE_MAX)?;
    let (ids, now) = (&shared.ids, shared.clock.now());
    let mut tokens = lock(&shared.mini_program.tokens);
    if request.force_refresh {
        tokens.force(ids, now)
    } else {
        Ok(tokens.get(ids, now))
    }
}

/// `POST /sim/token/expire`: every token has ended, as after two hours.
pub(super) async fn expire(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.expire_access_tokens();
    StatusCode::NO_CONTENT
}

impl Shared {
    pub(in super::super) fn expire_access_tokens(&self) {
        lock(&self.mini_program.tokens).expire(self.clock.now());
    }
}
