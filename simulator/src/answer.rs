//! What the merchant API answers, before it is signed.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// An answer of the merchant API.
#[derive(Debug)]
pub(super) enum Answer {
    /// JSON, signed.
    Json(StatusCode, Vec<u8>),
    /// 204: no body, signed all the same.
    Done,
    /// A bill's file, of that content type: not signed, its hash was given before.
    File(&'static str, Vec<u8>),
    /// A proxy (502) that never reached WeChat Pay: HTML, not signed.
    BadGateway,
    /// The connection ends before the body does.
    Cut,
}

impl Answer {
    pub(super) fn ok(value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("answers are maps with text keys");
        Self::Json(StatusCode::OK, body)
    }
}

/// How an answer is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureKind {
    Genuine,
    Wrong,
    Probe,
    Absent,
}

/// A refusal in WeChat's form: `{"code","message","detail"}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    pub(super) code: &'static str,
    message: String,
    detail: Option<Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            detail: None,
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// 404: nothing is served there.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_EXISTS",
            "请求的URL不存在",
        )
    }

    /// 401: whoever this is, it did not sign what came.
    pub(super) fn sign_error(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "SIGN_ERROR", message)
    }

    /// As WeChat explains it, with the message that *it* verified.
    pub(super) fn signature_mismatch(
        method: &str,
        target: &str,
        head: &str,
        message_length: usize,
    ) -> Self {
        let mut refusal = Self::sign_error("错误的签名，验签失败");
        refusal.detail = Some(json!({
            "detail": {"issue": "sign not match"},
            "field": "signature",
            "location": "authorization",
            "sign_information": {
                "method": method,
                "url": target,
                "truncated_sign_message": head,
                "sign_message_length": message_length,
            },
        }));
        refusal
    }

    /// 400 for a field that must be there.
    pub(super) fn missing(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut refusal = Self::param(format!(
            "输入源“/body{path}”映射到字段“{name}”必填性规则校验失败，此字段为必填项"
        ));
        refusal.detail = Some(json!({"location": "body", "value": ""}));
        refusal
    }

    /// 400 for one field; `value` is what was sent, if anything was.
    pub(super) fn field(path: &str, value: Option<Value>, issue: &str) -> Self {
        let mut refusal = Self::new(
            StatusCode::BAD_REQUEST,
            "PARAM_ERROR",
            format!("输入源“/body{path}”校验失败：{issue}"),
        );
        let mut detail = json!({"location": "body", "field": path, "issue": issue});
        if let (Some(value), Some(map)) = (value, detail.as_object_mut()) {
            map.insert("value".to_owned(), value);
        }
        refusal.detail = Some(detail);
        refusal
    }

    pub(super) fn param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PARAM_ERROR", message)
    }

    pub(super) fn order_not_exist() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ORDER_NOT_EXIST", "订单不存在")
    }

    pub(super) fn refund_not_exists() -> Self {
        let status = StatusCode::NOT_FOUND;
        Self::new(status, "RESOURCE_NOT_EXISTS", "退款单不存在")
    }

    /// The merchant has less than what is to go out.
    pub(super) fn not_enough() -> Self {
        let message = "基本账户余额不足，请充值后重新发起";
        Self::new(StatusCode::FORBIDDEN, "NOT_ENOUGH", message)
    }

    pub(super) fn rate_limited() -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(
            status,
            "RATELIMIT_EXCEEDED",
            "接口限频，请降低请求频率后重试",
        )
    }

    pub(super) fn order_paid() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ORDERPAID", "该订单已支付")
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let mut body = json!({"code": refusal.code, "message": refusal.message});
        if let (Some(detail), Some(map)) = (refusal.detail, body.as_object_mut()) {
            map.insert("detail".to_owned(), detail);
        }
        Self::Json(refusal.status, body.to_string().into_bytes())
    }
}
