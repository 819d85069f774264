//! The two signed messages of v3: the merchant's request and WeChat's answer.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::Refusal;
use super::clock::{Ids, WallClock};
use super::keys::{KeyKind, KeySet};

pub(super) const SIGNATURE_TYPE: &str = "WECHATPAY2-SHA256-RSA2048";

/// How far a request's timestamp may be from WeChat's clock.
const WINDOW_SECONDS: u64 = 300;

/// `timestamp\nnonce\nbody\n`, of answers and callbacks alike.
pub(super) fn answer_message(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{timestamp}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    message
}

/// A header value from text that the simulator made itself.
pub(super) fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids, numbers and base64 are visible ASCII")
}

/// Puts WeChat's five headers on an answer.
pub(super) fn sign_answer(
    headers: &mut HeaderMap,
    keys: &KeySet,
    kind: KeyKind,
    clock: &WallClock,
    ids: &Ids,
    body: &[u8],
) {
    let timestamp = clock.now().unix_timestamp().to_string();
    let nonce = ids.token();
    let signature = keys
        .wechat(kind)
        .sign(&answer_message(&timestamp, &nonce, body));
    let pairs = [
        ("wechatpay-timestamp", timestamp.as_str()),
        ("wechatpay-nonce", &nonce),
        ("wechatpay-signature", &signature),
        ("wechatpay-serial", keys.serial(kind)),
        ("wechatpay-signature-type", SIGNATURE_TYPE),
    ];
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), header(value));
    }
}

/// A request as it was signed: method and target exactly as they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// Verifies a merchant's `Authorization` as WeChat does. The order of its fields is free.
pub(super) fn authorize(
    keys: &KeySet,
    clock: &WallClock,
    request: SignedRequest<'_>,
) -> Result<(), Refusal> {
    let malformed = || {
        Refusal::sign_error("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
    };
    let fields = request
        .authorization
        .and_then(|text| text.strip_prefix(SIGNATURE_TYPE))
        .and_then(|rest| rest.strip_prefix(' '))
        .and_then(fields)
        .ok_or_else(malformed)?;
    let field = |name: &str| fields.get(name).copied().ok_or_else(malformed);
    let (timestamp, nonce) = (field("timestamp")?, field("nonce_str")?);
    let signature = field("signature")?;

    if field("mchid")? != keys.sp_mchid() {
        return Err(Refusal::sign_error(
            "商户号不存在，请检查Authorization中的mchid",
        ));
    }
    if field("serial_no")? != keys.merchant_serial() {
        return Err(Refusal::sign_error(
            "商户证书序列号有误。请使用签名私钥匹配的证书序列号",
        ));
    }
    if nonce.is_empty() || nonce.len() > 32 {
        return Err(malformed());
    }
    let seconds: i64 = timestamp.parse().map_err(|_| malformed())?;
    if seconds.abs_diff(clock.now().unix_timestamp()) > WINDOW_SECONDS {
        return Err(Refusal::sign_error(
            "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟",
        ));
    }
    let mut message = format!(
        "{}\n{}\n{timestamp}\n{nonce}\n",
        request.method, request.target
    )
    .into_bytes();
    let head = String::from_utf8_lossy(&message).into_owned();
    message.extend_from_slice(request.body);
    message.push(b'\n');
    if keys.merchant().verify(&message, signature) {
        return Ok(());
    }
    Err(Refusal::signature_mismatch(
        request.method,
        request.target,
        &head,
        message.len(),
    ))
}

/// `a="b",c="d"`. A field that comes twice makes the header malformed.
fn fields(text: &str) -> Option<HashMap<&str, &str>> {
    let mut fields = HashMap::new();
    for part in text.split(',') {
        let (name, value) = part.trim().split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        if fields.insert(name, value).is_some() {
            return None;
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const BODY: &[u8] = br#"{"out_trade_no":"ORDER-1"}"#;

    fn request(keys: &KeySet, timestamp: i64, signed_body: &[u8]) -> String {
        let mut message = format!("POST\n/v3/x?a=1\n{timestamp}\nNONCE\n").into_bytes();
        message.extend_from_slice(signed_body);
        message.push(b'\n');
        let signature = keys.merchant().sign(&message);
        format!(
            r#"{SIGNATURE_TYPE} serial_no="{}",signature="{signature}",mchid="{}",nonce_str="NONCE",timestamp="{timestamp}""#,
            keys.merchant_serial(),
            keys.sp_mchid(),
        )
    }

    fn judge(keys: &KeySet, authorization: Option<&str>) -> Result<(), Refusal> {
        let clock = WallClock::from_fn(|| datetime!(2026-11-21 12:00:00 UTC));
        let (method, target) = ("POST", "/v3/x?a=1");
        authorize(
            keys,
            &clock,
            SignedRequest {
                method,
                target,
                authorization,
                body: BODY,
            },
        )
    }

    #[test]
    fn a_request_is_accepted_only_as_it_was_signed_and_within_five_minutes() {
        let keys = KeySet::generate().unwrap();
        let now = datetime!(2026-11-21 12:00:00 UTC).unix_timestamp();
        for skew in [-300, 0, 300] {
            assert!(judge(&keys, Some(&request(&keys, now + skew, BODY))).is_ok());
        }
        for skew in [-301, 301, now * 999] {
            assert!(judge(&keys, Some(&request(&keys, now + skew, BODY))).is_err());
        }
        assert!(judge(&keys, Some(&request(&keys, now, b"{}"))).is_err());
        assert!(judge(&keys, Some("WECHATPAY2-SHA256-RSA2048 mchid=\"1\"")).is_err());
        assert!(judge(&keys, None).is_err());
        let other = KeySet::generate().unwrap();
        assert!(judge(&keys, Some(&request(&other, now, BODY))).is_err());
    }
}
