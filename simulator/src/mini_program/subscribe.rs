//! `POST /cgi-bin/message/subscribe/send`: a message to a user who agreed to get one.
//!
//! Every consent is for one message of one template; `/sim/consent` gives them, as a user's tap on
//! 允许 would. A template exists if its id looks like one: 20 characters or more.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::super::lock::lock;
use super::super::prepay::is_openid;
use super::super::state::Shared;
use super::admission::{TokenQuery, ok};
use super::errcode::Errcode;
use super::state::SubscribeMessage;
use super::wxacode::check_page;

/// Past this many the oldest messages are forgotten.
const MESSAGES_MAX: usize = 10_000;

#[derive(Deserialize)]
struct MessageRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    template_id: String,
    page: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, Value>,
    miniprogram_state: Option<String>,
    lang: Option<String>,
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

pub(super) async fn send(
    State(shared): State<Arc<Shared>>,
    query: Query<TokenQuery>,
    body: Bytes,
) -> Response {
    match deliver(&shared, &query, &body) {
        Ok(()) => ok(),
        Err(errcode) => shared.refusal(errcode),
    }
}

fn deliver(shared: &Shared, query: &Query<TokenQuery>, body: &[u8]) -> Result<(), Errcode> {
    let request: MessageRequest = shared.admit_mini_program(query, body)?;
    if !is_openid(&request.touser) {
        return Err(Errcode::new(40003, "invalid openid"));
    }
    if !is_template(&request.template_id) {
        return Err(Errcode::new(40037, "invalid template_id"));
    }
    if let Some(page) = &request.page {
        check_page(page.split('?').next().unwrap_or_default())?;
    }
    let states = [None, Some("developer"), Some("trial"), Some("formal")];
    let languages = ["zh_CN", "en_US", "zh_HK", "zh_TW"];
    let language = request
        .lang
        .as_deref()
        .is_none_or(|l| languages.contains(&l));
    if !states.contains(&request.miniprogram_state.as_deref()) || !language {
        return Err(Errcode::new(40097, "invalid args"));
    }
    let key = (request.touser.clone(), request.template_id.clone());
    let mut consents = lock(&shared.mini_program.consents);
    let left = consents.get_mut(&key).filter(|left| **left > 0);
    let left = left.ok_or_else(|| Errcode::new(43101, "user refuse to accept the msg"))?;
    let mut data = BTreeMap::new();
    for (name, Value { value }) in request.data {
        if !fits(&name, &value) {
            let message = format!("argument invalid! data.{name}.value is invalid");
            return Err(Errcode::new(47003, message));
        }
        data.insert(name, value);
    }
    if data.is_empty() {
        return Err(Errcode::new(47003, "argument invalid! data is empty"));
    }
    *left -= 1;
    drop(consents);
    shared.stats.messages_sent.add();
    let mut messages = lock(&shared.mini_program.messages);
    messages.push_back(SubscribeMessage {
        openid: request.touser,
        template_id: request.template_id,
        page: request.page,
        data,
        sent_at: shared.clock.now(),
    });
    if messages.len() > MESSAGES_MAX {
        messages.pop_front();
    }
    Ok(())
}

/// Real ids have 43 characters.
fn is_template(id: &str) -> bool {
    let charset = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (20..=64).contains(&id.len()) && id.bytes().all(charset)
}

/// Whether a value keeps the rule of its key's kind, which is the key without the digits behind.
fn fits(key: &str, value: &str) -> bool {
    let kind = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let length = value.chars().count();
    let all = |allowed: &dyn Fn(char) -> bool| value.chars().all(allowed);
    if length == 0 || kind.len() == key.len() || value.trim().is_empty() {
        return false;
    }
    match kind {
        "thing" | "const" => length <= 20,
        "number" => length <= 32 && is_number(value),
        "letter" => length <= 32 && all(&|c| c.is_ascii_alphabetic()),
        "symbol" => length <= 5 && all(&|c| !c.is_alphanumeric()),
        "character_string" => length <= 32 && all(&|c| c.is_ascii_graphic() || c == ' '),
        "time" | "date" => value
            .split('~')
            .all(|part| is_time(part.trim(), kind == "time")),
        "amount" => is_amount(value),
        "phone_number" => length <= 17 && all(&|c| c.is_ascii_digit() || "+-() ".contains(c)),
        "car_number" => length <= 8,
        "name" => length <= if value.is_ascii() { 20 } else { 10 },
        "phrase" => length <= 5 && all(&is_chinese),
        _ => false,
    }
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Digits with at most one point between them.
fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        None => digits(text),
        Some((whole, rest)) => digits(whole) && digits(rest),
    }
}

/// At most one currency sign, at most ten digits, and perhaps 元.
fn is_amount(text: &str) -> bool {
    let text = text.strip_suffix('元').unwrap_or(text);
    let number = text.trim_start_matches(['¥', '￥', '$', '€', '£']);
    let signs = text.chars().count() - number.chars().count();
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    signs <= 1 && digits <= 10 && is_number(number)
}

/// `2026年11月21日 15:01`, with `-` or `/` too; the clock may be missing, and for `time` the day.
fn is_time(text: &str, day_optional: bool) -> bool {
    let (day, clock) = match text.split_once(' ') {
        Some((day, clock)) => (day, Some(clock)),
        None if text.contains(':') => ("", Some(text)),
        None => (text, None),
    };
    let clock_fits = clock.is_none_or(|clock| {
        let parts: Vec<Option<u8>> = clock.split(':').map(|n| n.parse().ok()).collect();
        let limits = [23, 59, 59];
        let each = parts.iter().zip(limits);
        (2..=3).contains(&parts.len())
            && each.into_iter().all(|(n, max)| n.is_some_and(|n| n <= max))
    });
    let day_fits = if day.is_empty() {
        day_optional && clock.is_some()
    } else {
        is_day(day)
    };
    clock_fits && day_fits
}

fn is_day(text: &str) -> bool {
    let plain = text.trim_end_matches('日').replace(['年', '月', '/'], "-");
    let parts: Vec<Option<u16>> = plain.split('-').map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        [Some(year), Some(month), Some(day)] => {
            (1000..=9999).contains(year) && (1..=12).contains(month) && (1..=31).contains(day)
        }
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consent {
    openid: String,
    template_id: String,
    #[serde(default = "one")]
    count: u32,
}

fn one() -> u32 {
    1
}

/// `POST /sim/consent`: the user taps 允许, once or `count` times.
pub(super) async fn consent(
    State(shared): State<Arc<Shared>>,
    Json(consent): Json<Consent>,
) -> StatusCode {
    shared.consent(&consent.openid, &consent.template_id, consent.count);
    StatusCode::NO_CONTENT
}

/// `GET /sim/messages`: what was sent, oldest first.
pub(super) async fn messages(State(shared): State<Arc<Shared>>) -> Json<Vec<SubscribeMessage>> {
    Json(shared.messages())
}

impl Shared {
    pub(in super::super) fn consent(&self, openid: &str, template_id: &str, count: u32) {
        let mut consents = lock(&self.mini_program.consents);
        let left = consents.entry((openid.to_owned(), template_id.to_owned()));
        let left = left.or_default();
        *left = left.saturating_add(count);
    }

    pub(in super::super) fn messages(&self) -> Vec<SubscribeMessage> {
        lock(&self.mini_program.messages).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_rule() {
        let good = [
            ("thing1", "面馆二楼"),
            ("number2", "12.50"),
            ("letter3", "abc"),
            ("symbol4", "-"),
            ("character_string5", "ORDER-0001"),
            ("time6", "15:01"),
            ("time6", "2026年11月21日 15:01~16:00"),
            ("date7", "2026-11-21 15:01:09"),
            ("date7", "2026年1月2日"),
            ("amount8", "¥12.80"),
            ("amount8", "12.80元"),
            ("phone_number9", "+86-0766-66888866"),
            ("car_number10", "粤A8Z888挂"),
            ("name11", "张三"),
            ("phrase12", "已退款"),
        ];
        for (key, value) in good {
            assert!(fits(key, value), "{key} = {value}");
        }
        let thing = "面".repeat(21);
        let bad = [
            ("thing1", thing.as_str()),
            ("thing1", ""),
            ("thing1", "  "),
            ("thing", "x"),
            ("surprise1", "x"),
            ("number2", "12,5"),
            ("number2", "12."),
            ("character_string5", "订单1"),
            ("time6", "24:00"),
            ("time6", "yesterday"),
            ("date7", "15:01"),
            ("date7", "2026-13-01"),
            ("amount8", "¥¥1"),
            ("amount8", "12345678901"),
            ("amount8", "¥"),
            ("phrase12", "已经全部退款"),
            ("phrase12", "done"),
        ];
        for (key, value) in bad {
            assert!(!fits(key, value), "{key} = {value}");
        }
        assert!(is_template(&"x".repeat(43)) && !is_template("TPL-1"));
    }
}
