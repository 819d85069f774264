//! `https://api.weixin.qq.com` as a mini-program's server sees it: tokens, codes, messages,
//! shipping.
//!
//! Nothing here is signed, everything is HTTP 200, and what went wrong stands in `errcode`. All but
//! the token itself need an `access_token` in the query. (Login is older and lives in `login`.)
//! Rules: developers.weixin.qq.com/miniprogram/dev/server.

mod access_token;
mod shipping;
mod subscribe;
mod wxacode;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::server::{Shared, lock};
use access_token::Tokens;
use shipping::ShippingReports;
use subscribe::{Consents, Messages};

pub use shipping::Shipping;
pub use subscribe::SubscribeMessage;

/// What the mini-program's side of WeChat remembers.
#[derive(Debug, Default)]
pub(super) struct MiniProgram {
    tokens: Mutex<Tokens>,
    consents: Mutex<Consents>,
    messages: Mutex<Messages>,
    shipping: Mutex<ShippingReports>,
    /// The pages of the released version; `None` has them all.
    pages: Mutex<Option<BTreeSet<String>>>,
    minutes: Mutex<Minutes>,
}

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/cgi-bin/stable_token", post(access_token::stable_token))
        .route("/wxa/getwxacodeunlimit", post(wxacode::unlimited))
        .route("/cgi-bin/message/subscribe/send", post(subscribe::send))
        .route(
            "/wxa/sec/order/upload_shipping_info",
            post(shipping::upload),
        )
        .route("/sim/consent", post(subscribe::consent))
        .route("/sim/messages", get(subscribe::messages))
        .route("/sim/shipping", get(shipping::list))
        .route("/sim/pages", axum::routing::put(wxacode::put_pages))
        .route("/sim/token/expire", post(access_token::expire))
}

/// An `errcode` and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Errcode(i64, String);

impl Errcode {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self(code, message.into())
    }

    fn malformed() -> Self {
        Self::new(47001, "data format error")
    }
}

/// The token in the query of every call but one.
#[derive(Deserialize)]
struct TokenQuery {
    #[serde(default)]
    access_token: String,
}

impl Shared {
    /// Wraps a refusal as WeChat does: with an id for its own support desk.
    fn refusal(&self, Errcode(code, message): Errcode) -> Response {
        self.stats.mini_program_refused.add();
        tracing::debug!(errcode = code, "simulated WeChat refuses with {code}");
        let message = format!("{message} rid: {}", self.ids.rid());
        told(&json!({"errcode": code, "errmsg": message}))
    }

    /// What is asked of every call that needs a token, and then its body.
    fn admit_mini_program<T: DeserializeOwned>(
        &self,
        Query(query): &Query<TokenQuery>,
        body: &[u8],
    ) -> Result<T, Errcode> {
        self.not_busy()?;
        lock(&self.mini_program.tokens).check(&query.access_token, self.clock.now())?;
        serde_json::from_slice(body).map_err(|_| Errcode::malformed())
    }

    /// `-1`, as often as the switch says: the same call again may do.
    fn not_busy(&self) -> Result<(), Errcode> {
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
    fn within_minute(&self, call: &'static str, limit: u32) -> Result<(), Errcode> {
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

/// Calls of this minute.
#[derive(Debug, Default)]
struct Minutes {
    minute: u64,
    counts: HashMap<&'static str, u32>,
}

impl Minutes {
    fn admit(&mut self, call: &'static str, limit: u32, minute: u64) -> bool {
        if self.minute != minute {
            self.minute = minute;
            self.counts.clear();
        }
        let count = self.counts.entry(call).or_default();
        *count = count.saturating_add(1);
        *count <= limit
    }
}

fn told(body: &serde_json::Value) -> Response {
    let kind = "application/json; encoding=utf-8";
    ([(CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// `{"errcode":0,"errmsg":"ok"}`.
fn ok() -> Response {
    told(&json!({"errcode": 0, "errmsg": "ok"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_minute_counts_anew() {
        let mut minutes = Minutes::default();
        assert!(minutes.admit("a", 1, 5) && !minutes.admit("a", 1, 5));
        assert!(minutes.admit("b", 1, 5) && minutes.admit("a", 1, 6));
    }
}
