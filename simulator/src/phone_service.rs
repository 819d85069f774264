//! What the phone asks of the service, through the public API only, as the mini-program would.

use std::time::Duration;

use http::StatusCode;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::Url;

use super::error::SimulatorError;

/// The tenant that the demo prepares.
const TENANT: &str = "demo";

/// The merchant behind a collection code.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ScannedMerchant {
    pub(super) code: String,
    pub(super) merchant_name: String,
    #[serde(default)]
    pub(super) label: Option<String>,
    #[serde(default)]
    pub(super) amount_fen: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Token {
    access_token: String,
}

/// An order with the parameters for `wx.requestPayment`.
#[derive(Debug, Deserialize)]
pub(super) struct Created {
    pub(super) order_no: String,
    pub(super) amount_fen: i64,
    pub(super) wechat_pay: RequestPayment,
}

#[derive(Debug, Deserialize)]
pub(super) struct RequestPayment {
    #[serde(rename = "timeStamp")]
    pub(super) time_stamp: String,
    #[serde(rename = "nonceStr")]
    pub(super) nonce_str: String,
    pub(super) package: String,
    #[serde(rename = "signType")]
    pub(super) sign_type: String,
    #[serde(rename = "paySign")]
    pub(super) pay_sign: String,
}

/// What the service says of an order.
#[derive(Debug, Deserialize)]
pub(super) struct OrderStatus {
    #[serde(alias = "state")]
    pub(super) status: String,
    #[serde(default)]
    pub(super) points_earned: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Balance {
    pub(super) available: i64,
    #[serde(default)]
    pub(super) held: i64,
}

#[derive(Debug, Deserialize)]
struct Records {
    items: Vec<Record>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) points_change: i64,
    #[serde(default)]
    pub(super) points_balance: Option<i64>,
    #[serde(default)]
    pub(super) change_type: String,
    #[serde(default)]
    pub(super) merchant_name: Option<String>,
    #[serde(default)]
    pub(super) created_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// Why the phone cannot go on: a sentence for the person who holds it.
#[derive(Debug)]
pub(super) struct PhoneError(pub(super) String);

/// The service, as the phone sees it.
#[derive(Debug)]
pub(super) struct Service {
    http: reqwest::Client,
    base: Url,
}

impl Service {
    pub(super) fn new(base: Url) -> Result<Self, SimulatorError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .user_agent("zhangfang-simulated-phone")
            .no_proxy()
            .build()?;
        Ok(Self { http, base })
    }

    /// `path` below `/api/v1`; each part is escaped.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only addresses such as `mailto:` have no path; those do not come this far.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    pub(super) async fn code(&self, code: &str) -> Result<ScannedMerchant, PhoneError> {
        ask(self.http.get(self.url(&["codes", code]))).await
    }

    /// Logs in with a code of the simulator's own.
    pub(super) async fn login(&self, customer: &str) -> Result<String, PhoneError> {
        let body = json!({"tenant": TENANT, "code": format!("sim-{customer}"), "as": "customer"});
        let url = self.url(&["auth", "wechat", "login"]);
        let token: Token = ask(self.http.post(url).json(&body)).await?;
        Ok(token.access_token)
    }

    pub(super) async fn create_payment(
        &self,
        token: &str,
        key: &str,
        code: &str,
        amount_fen: i64,
    ) -> Result<Created, PhoneError> {
        let request = self
            .http
            .post(self.url(&["customer", "payments"]))
            .bearer_auth(token)
            .header("idempotency-key", key)
            .json(&json!({"code": code, "amount_fen": amount_fen}));
        ask(request).await
    }

    pub(super) async fn order(
        &self,
        token: &str,
        order_no: &str,
    ) -> Result<OrderStatus, PhoneError> {
        let url = self.url(&["customer", "payments", order_no]);
        ask(self.http.get(url).bearer_auth(token)).await
    }

    pub(super) async fn points(&self, token: &str) -> Result<Balance, PhoneError> {
        ask(self
            .http
            .get(self.url(&["customer", "points"]))
            .bearer_auth(token))
        .await
    }

    pub(super) async fn records(&self, token: &str) -> Result<Vec<Record>, PhoneError> {
        let mut url = self.url(&["customer", "points", "records"]);
        url.query_pairs_mut().append_pair("limit", "5");
        let records: Records = ask(self.http.get(url).bearer_auth(token)).await?;
        Ok(records.items)
    }
}

/// Sends and reads; a problem document becomes its Chinese sentence.
async fn ask<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, PhoneError> {
    let unreachable = |error: reqwest::Error| PhoneError(format!("服务暂时无法访问（{error}）"));
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| PhoneError(format!("无法理解服务的回答（{error}）")));
    }
    Err(phone_error(status, &body))
}

fn phone_error(status: StatusCode, body: &[u8]) -> PhoneError {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let sentence = problem.detail.or(problem.title);
    PhoneError(sentence.unwrap_or_else(|| format!("服务回答 {status}")))
}
