//! A merchant for tests, whose clock is WeChat's clock and is turned by hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::signature::{SIGNATURE_TYPE, answer_message};
use super::*;

pub(super) const SUB_MCHID: &str = "1900000109";

/// Keys for all tests: making them takes longer than most tests.
pub(super) fn keys() -> Arc<KeySet> {
    static KEYS: OnceLock<Arc<KeySet>> = OnceLock::new();
    Arc::clone(KEYS.get_or_init(|| Arc::new(KeySet::generate().unwrap())))
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it is signed by the key of that kind.
    pub(super) fn is_signed_by(&self, kind: KeyKind) -> bool {
        let text = |name: &str| self.headers.get(name).map(|value| value.to_str().unwrap());
        let (Some(time), Some(nonce)) = (text("wechatpay-timestamp"), text("wechatpay-nonce"))
        else {
            return false;
        };
        let message = answer_message(time, nonce, &self.body);
        let keys = keys();
        text("wechatpay-serial") == Some(keys.serial(kind))
            && keys
                .wechat(kind)
                .verify(&message, text("wechatpay-signature").unwrap_or(""))
    }
}

/// A merchant and its simulator.
#[derive(Debug)]
pub(super) struct Merchant {
    pub(super) simulator: Simulator,
    pub(super) keys: Arc<KeySet>,
    seconds: Arc<AtomicI64>,
    http: reqwest::Client,
}

impl Merchant {
    /// The clock stands at `at` until it is turned.
    pub(super) async fn start(at: OffsetDateTime, settings: SimulatorSettings) -> Self {
        let seconds = Arc::new(AtomicI64::new(at.unix_timestamp()));
        let hand = Arc::clone(&seconds);
        let clock = WallClock::from_fn(move || {
            OffsetDateTime::from_unix_timestamp(hand.load(Ordering::Relaxed)).unwrap()
        });
        let simulator = Simulator::start(SimulatorSettings {
            keys: Some(keys()),
            clock,
            ..settings
        })
        .await
        .unwrap();
        Self {
            simulator,
            keys: keys(),
            seconds,
            http: reqwest::Client::new(),
        }
    }

    /// Turns the clock on.
    pub(super) fn turn(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) async fn call(
        &self,
        method: Method,
        target: &str,
        body: &str,
        serial: Option<&str>,
    ) -> Answer {
        self.try_call(method, target, body, serial).await.unwrap()
    }

    /// Calls where no whole answer may come.
    pub(super) async fn try_call(
        &self,
        method: Method,
        target: &str,
        body: &str,
        serial: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let now = self.seconds.load(Ordering::Relaxed);
        let message = format!("{method}\n{target}\n{now}\nNONCE\n{body}\n");
        let authorization = format!(
            r#"{SIGNATURE_TYPE} mchid="{}",nonce_str="NONCE",timestamp="{now}",serial_no="{}",signature="{}""#,
            self.keys.sp_mchid(),
            self.keys.merchant_serial(),
            self.keys.merchant().sign(message.as_bytes()),
        );
        let url = self.simulator.base_url().join(target).unwrap();
        let mut request = self
            .http
            .request(method, url)
            .header("authorization", authorization)
            .header("user-agent", "test")
            .header("accept", "application/json");
        if !body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        if let Some(serial) = serial {
            request = request.header("wechatpay-serial", serial);
        }
        let answer = request.send().await?;
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes().await?,
        })
    }

    pub(super) async fn get(&self, target: &str) -> (StatusCode, Value) {
        let reply = self.call(Method::GET, target, "", None).await;
        (reply.status, reply.json())
    }

    /// Names the public key, as a merchant does who encrypts.
    pub(super) async fn post(&self, target: &str, body: &Value) -> (StatusCode, Value) {
        let serial = self.keys.serial(KeyKind::PublicKey).to_owned();
        let body = body.to_string();
        let reply = self.call(Method::POST, target, &body, Some(&serial)).await;
        assert!(reply.is_signed_by(KeyKind::PublicKey));
        (reply.status, reply.json())
    }

    /// The code of a refusal, which must be one.
    pub(super) async fn refused(&self, target: &str, body: &Value) -> String {
        let (status, reply) = self.post(target, body).await;
        assert!(status.is_client_error(), "{status} {reply}");
        format!("{} {}", status.as_u16(), reply["code"].as_str().unwrap())
    }

    /// An order of the sub-merchant that is paid without a callback; its transaction number.
    pub(super) async fn paid(&self, number: &str, total_fen: i64, more: Value) -> String {
        let mut order = json!({
            "sp_appid": self.keys.app_id(), "sp_mchid": self.keys.sp_mchid(), "sub_mchid": SUB_MCHID,
            "description": "面馆", "out_trade_no": number, "notify_url": "http://127.0.0.1:1/n",
            "amount": {"total": total_fen}, "payer": {"sp_openid": "oUser-1"},
        });
        merge(&mut order, more);
        let (status, reply) = self
            .post("/v3/pay/partner/transactions/jsapi", &order)
            .await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let paid = self.simulator.pay(number, Payment::silent()).await.unwrap();
        paid.transaction_id
    }

    /// An order in direct mode that is paid without a callback; its transaction number.
    pub(super) async fn paid_directly(&self, number: &str, total_fen: i64, more: Value) -> String {
        let mut order = json!({
            "appid": self.keys.app_id(), "mchid": self.keys.sp_mchid(), "description": "面馆",
            "out_trade_no": number, "notify_url": "http://127.0.0.1:1/n",
            "amount": {"total": total_fen}, "payer": {"openid": "oUser-1"},
        });
        merge(&mut order, more);
        let (status, reply) = self.post("/v3/pay/transactions/jsapi", &order).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let paid = self.simulator.pay(number, Payment::silent()).await.unwrap();
        paid.transaction_id
    }
}

/// Puts the members of `more` over those of `object`; a null takes one away.
pub(super) fn merge(object: &mut Value, more: Value) {
    let Value::Object(more) = more else {
        return;
    };
    for (name, value) in more {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(&name);
        } else {
            object[name.as_str()] = value;
        }
    }
}
