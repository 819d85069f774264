//! The signed messages: our requests (§1), and WeChat's answers and callbacks (§2).

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::keys::{MerchantKey, WechatKey, WechatKeys};
use crate::{
    payments::{NoticeError, NoticeHeaders},
    primitives::Timestamp,
};

/// How far WeChat's clock may be from ours, either way.
const WINDOW_SECONDS: u64 = 300;

/// WeChat signs a small share of answers and callbacks wrongly on purpose, to see whether anybody
/// looks (§2.4).
const PROBE: &str = "WECHATPAY/SIGNTEST/";

/// The longest signature: RSA of 8192 bits. base64's decoder wants room for whole groups.
const SIGNATURE_MAX: usize = 1_026;

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    /// Path and query exactly as they are sent.
    pub(super) target: &'a str,
    pub(super) body: &'a [u8],
}

/// The `Authorization` of a request.
pub(super) fn authorization(
    key: &MerchantKey,
    mchid: &str,
    SignedRequest {
        method,
        target,
        body,
    }: SignedRequest<'_>,
    now: Timestamp,
    nonce: &str,
) -> String {
    let seconds = now.seconds();
    let mut message = format!("{method}\n{target}\n{seconds}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    let (serial, signature) = (key.serial(), key.sign(&message));
    format!(
        "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",nonce_str=\"{nonce}\",timestamp=\"{seconds}\",\
         serial_no=\"{serial}\",signature=\"{signature}\""
    )
}

/// Whether WeChat sent `body`, just now. Four headers are required; the fifth, the signature's
/// type, is not (RSA is all that is accepted, whatever it says).
pub(super) fn verify(
    keys: &WechatKeys,
    headers: NoticeHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), NoticeError> {
    verify_with(|serial| keys.find(serial), headers, body, now)
}

/// Verifies with keys from anywhere; `find` gives the one of a serial.
pub(super) fn verify_with<'h, 'k>(
    find: impl FnOnce(&str) -> Option<&'k WechatKey>,
    headers: NoticeHeaders<'h>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), NoticeError> {
    let given = |header: Option<&'h str>| {
        header
            .filter(|text| !text.is_empty())
            .ok_or(NoticeError::MissingHeader)
    };
    let (timestamp, nonce) = (given(headers.timestamp)?, given(headers.nonce)?);
    let (signature, serial) = (given(headers.signature)?, given(headers.serial)?);

    let seconds: i64 = timestamp.parse().map_err(|_| NoticeError::OutsideWindow)?;
    if now.seconds().abs_diff(seconds) > WINDOW_SECONDS {
        return Err(NoticeError::OutsideWindow);
    }
    if signature.starts_with(PROBE) {
        return Err(NoticeError::Probe);
    }
    let key = find(serial).ok_or(NoticeError::UnknownKey)?;
    // Piece by piece, so that the body is not copied.
    let mut digest = Context::new(&SHA256);
    for piece in [
        timestamp.as_bytes(),
        b"\n",
        nonce.as_bytes(),
        b"\n",
        body,
        b"\n",
    ] {
        digest.update(piece);
    }
    let mut decoded = [0; SIGNATURE_MAX];
    let length = BASE64
        .decode_slice(signature, &mut decoded)
        .map_err(|_| NoticeError::BadSignature)?;
    let decoded = decoded.get(..length).unwrap_or_default();
    key.verifies()
        .verify_digest_sig(&digest.finish(), decoded)
        .map_err(|_| NoticeError::BadSignature)
}
