//! Signed calls to WeChat Pay and proven answers.

use std::{sync::Arc, time::Instant};

use reqwest::{
    Client, Method, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap},
};
use url::{Position, Url};

use super::{
    answer::{Answer, Proof, judge},
    error::WechatError,
    http,
    keys::{MerchantKey, WechatKeys},
    signature,
};
use crate::{
    config::WechatSettings,
    payments::{NoticeError, NoticeHeaders},
    primitives::{Clock, IdSource},
};

#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    base: Url,
    sp_mchid: String,
    pub(super) merchant: MerchantKey,
    pub(super) wechat: WechatKeys,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl Transport {
    pub(super) fn new(
        settings: &WechatSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, WechatError> {
        Ok(Self {
            client: http::client(settings.allow_loopback_http)?,
            base: settings.pay_url.clone(),
            sp_mchid: settings.sp_mchid.clone(),
            merchant: MerchantKey::parse(&settings.merchant_serial, &settings.private_key_pem)?,
            wechat: WechatKeys::parse(settings)?,
            clock,
            ids,
        })
    }

    /// 32 characters that nobody can guess.
    pub(super) fn nonce(&self) -> String {
        format!("{:016X}{:016X}", self.ids.random(), self.ids.random())
    }

    /// An address at WeChat Pay. `segments` are escaped.
    pub(super) fn address(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Calls WeChat. `call` names it in logs and metrics.
    pub(super) async fn call(
        &self,
        call: &'static str,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> Answer {
        let began = Instant::now();
        let (answer, request_id) = self.ask(method, url, body).await;
        let seconds = began.elapsed().as_secs_f64();
        let outcome = match &answer {
            Answer::Done(_) => "done",
            Answer::Refused(_) => "refused",
            Answer::Unknown(_) => "unknown",
        };
        metrics::histogram!("wechat_request_seconds", "call" => call, "outcome" => outcome)
            .record(seconds);
        log(call, &answer, request_id.as_deref().unwrap_or("-"));
        answer
    }

    async fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
    ) -> (Answer, Option<String>) {
        let bytes = body.unwrap_or_default();
        let authorization = signature::authorization(
            &self.merchant,
            &self.sp_mchid,
            (
                method.as_str(),
                &url[Position::BeforePath..Position::AfterQuery],
                &bytes,
            ),
            self.clock.now(),
            &self.nonce(),
        );
        let mut request = self
            .client
            .request(method, url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, authorization)
            // Asks for answers under this key; without it WeChat signs with its certificate while it has one (§2.2).
            .header("Wechatpay-Serial", self.wechat.preferred());
        if !bytes.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(bytes);
        }
        match request.send().await {
            Ok(response) => {
                let request_id = text(response.headers(), "request-id").map(str::to_owned);
                (self.hear(response).await, request_id)
            }
            Err(error) => (Answer::Unknown(http::reason(error)), None),
        }
    }

    async fn hear(&self, response: Response) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        match http::body(response).await {
            Ok(body) => judge(status, &self.prove(&headers, &body), body),
            Err(reason) => Answer::Unknown(format!("HTTP {status}, then {reason}")),
        }
    }

    fn prove(&self, headers: &HeaderMap, body: &[u8]) -> Proof {
        let given = NoticeHeaders {
            timestamp: text(headers, "wechatpay-timestamp"),
            nonce: text(headers, "wechatpay-nonce"),
            signature: text(headers, "wechatpay-signature"),
            serial: text(headers, "wechatpay-serial"),
            signature_type: text(headers, "wechatpay-signature-type"),
        };
        match signature::verify(&self.wechat, given, body, self.clock.now()) {
            Ok(()) => Proof::Signed,
            Err(NoticeError::MissingHeader)
                if given.signature.is_none() && given.serial.is_none() =>
            {
                Proof::Unsigned
            }
            Err(error) => Proof::Wrong(error.reason()),
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// `Request-ID` is what WeChat's support asks for first.
fn log(call: &'static str, answer: &Answer, request_id: &str) {
    match answer {
        Answer::Done(_) => {
            tracing::debug!(
                wechat.call = call,
                wechat.request_id = request_id,
                "{call} done"
            );
        }
        Answer::Refused(no) if no.refusal.code == "SIGN_ERROR" => tracing::error!(
            wechat.call = call,
            wechat.request_id = request_id,
            "WeChat does not accept our signature: key, serial number or clock ({})",
            no.refusal.message
        ),
        Answer::Refused(no) => tracing::info!(
            wechat.call = call,
            wechat.request_id = request_id,
            wechat.code = no.refusal.code,
            "{call} refused: {} {}",
            no.refusal.code,
            no.refusal.message
        ),
        Answer::Unknown(reason) => tracing::warn!(
            wechat.call = call,
            wechat.request_id = request_id,
            "{call} has an unknown outcome: {reason}"
        ),
    }
}
