//! `GET /sns/jscode2session`: the mini-program's login, unsigned, errors as HTTP 200.
//!
//! `sim-<anything>` is a code of a user whose openid follows from the text after `sim-`.
//! `fail-<errcode>` gets that error, so that a caller's handling of it can be tried.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::clock::random_bytes;
use super::login_codes::openid_for;
use super::state::Shared;

#[derive(Deserialize)]
pub(super) struct Login {
    #[serde(default)]
    appid: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    js_code: String,
    #[serde(default)]
    grant_type: String,
}

pub(super) async fn jscode2session(
    State(shared): State<Arc<Shared>>,
    Query(login): Query<Login>,
) -> Response {
    let body = match session(&shared, &login) {
        Ok(openid) => {
            shared.stats.logins.add();
            json!({"session_key": STANDARD.encode(random_bytes::<16>()), "openid": openid})
        }
        Err((code, message)) => {
            let message = format!("{message}, rid: {}", shared.ids.rid());
            json!({"errcode": code, "errmsg": message})
        }
    };
    // WeChat says text/plain on this route; clients must parse it regardless.
    ([(CONTENT_TYPE, "text/plain")], body.to_string()).into_response()
}

fn session(shared: &Shared, login: &Login) -> Result<String, (i64, &'static str)> {
    if login.appid != shared.keys.app_id() {
        return Err((40013, "invalid appid"));
    }
    if login.secret != shared.keys.app_secret().expose_secret() {
        return Err((40125, "invalid appsecret"));
    }
    if login.grant_type != "authorization_code" {
        return Err((40002, "invalid grant_type"));
    }
    if login.js_code.is_empty() {
        return Err((41008, "missing code"));
    }
    if let Some(code) = login.js_code.strip_prefix("fail-") {
        return Err(match code.parse() {
            Ok(code @ -1) => (code, "system error"),
            Ok(code @ 40226) => (code, "code blocked"),
            Ok(code @ 45011) => (
                code,
                "api minute-quota reach limit, must slower, retry next minute",
            ),
            Ok(code) => (code, "error asked for"),
            Err(_) => (40029, "invalid code"),
        });
    }
    let name = login
        .js_code
        .strip_prefix("sim-")
        .filter(|name| !name.is_empty());
    let name = name.ok_or((40029, "invalid code"))?;
    if shared.faults().login_codes_once && !shared.used_codes.first_use(&login.js_code) {
        return Err((40163, "code been used"));
    }
    Ok(openid_for(name))
}
