//! What all calls of the mini-program's server API have in common: the checks before they are
//! carried out, and how they are answered.

use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::lock::lock;
use super::super::state::Shared;
use super::errcode::Errcode;

/// The token in the query of every call but one.
#[derive(Deserialize)]
pub(super) struct TokenQuery {
    #[serde(default)]
    access_token: String,
}

impl Shared {
    /// Wraps a refusal as WeChat does: with an id for its own support desk.
    pub(super) fn refusal(&self, Errcode(code, message): Errcode) -> Response {
        self.stats.mini_program_refused.add();
        tracing::debug!(errcode = code, "simulated WeChat refuses with {code}");
        let message = format!("{message} rid: {}", self.ids.rid());
        json_response(&json!({"errcode": code, "errmsg": message}))
    }

    /// What is asked of every call that needs a token, and then its body.
    pub(super) fn admit_mini_program<T: DeserializeOwned>(
        &self,
        Query(query): &Query<TokenQuery>,
        body: &[u8],
    ) -> Result<T, Errcode> {
        self.not_busy()?;
        lock(&self.mini_program.tokens).check(&query.access_token, self.clock.now())?;
        serde_json::from_slice(body).map_err(|_| Errcode::malformed())
    }

    /// `-1`, as often as the switch says: the same call again may do.
    pub(super) fn not_busy(&self) -> Result<(), Errcode> {
        let busy = {
            let mut switches = lock(&self.switches);
            let (faults, rng) = &mut *switches;
            faults.mini_program_busy.happens(rng)
        };
        if busy {
            Err(Errcode::new(-1, "system error"))
        } else {
            Ok(())
        }
    }

    /// Counts a call against its limit per minute, while the limits are in effect.
    pub(super) fn within_minute(&self, call: &'static str, limit: u32) -> Result<(), Errcode> {
        if !self.faults().rate_limits {
            return Ok(());
        }
        let minute = self.started.elapsed().as_secs() / 60;
        if lock(&self.mini_program.minutes).admit(call, limit, minute) {
            return Ok(());
        }
        let message = "api minute-quota reach limit, must slower, retry next minute";
        Err(Errcode::new(45009, message))
    }
}

/// Returns HTTP 200 with this JSON.
pub(super) fn json_response(body: &serde_json::Value) -> Response {
    let kind = "application/json; encoding=utf-8";
    ([(CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// `{"errcode":0,"errmsg":"ok"}`.
pub(super) fn ok() -> Response {
    json_response(&json!({"errcode": 0, "errmsg": "ok"}))
}
