//! Callbacks (§12): verify, open, read. The hot path of the service.
//!
//! Nothing is copied that is not kept: the signature is taken over the bytes where they lie, the envelope borrows from them, the content
//! is decrypted in place, and only what the notice carries away is allocated.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    keys::{ContentKeys, WechatKeys},
    signature,
    transaction::{Shape, Transaction},
};
use crate::{
    payments::{Notice, NoticeBody, NoticeError, NoticeHeaders},
    primitives::Timestamp,
};

/// What is signed and not encrypted. Text is borrowed unless it has escapes (base64 may: `\/`).
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    create_time: Timestamp,
    #[serde(borrow)]
    resource_type: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    resource: Resource<'a>,
}

#[derive(Debug, Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    original_type: Cow<'a, str>,
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    ciphertext: Cow<'a, str>,
    /// May be empty or missing.
    #[serde(borrow, default)]
    associated_data: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
}

/// Longest id of a notification that is taken; WeChat's have 36 characters.
const ID_MAX: usize = 64;

/// What WeChat says, if it is WeChat that says it.
pub(super) fn read(
    wechat: &WechatKeys,
    content: &ContentKeys,
    headers: NoticeHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Notice, NoticeError> {
    signature::verify(wechat, headers, body, now)?;

    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|_| NoticeError::Malformed)?;
    let resource = &envelope.resource;
    if envelope.resource_type != "encrypt-resource" || !(1..=ID_MAX).contains(&envelope.id.len()) {
        return Err(NoticeError::Malformed);
    }
    if resource.algorithm != "AEAD_AES_256_GCM" {
        return Err(NoticeError::UnknownAlgorithm);
    }
    let mut buffer = Vec::with_capacity(resource.ciphertext.len());
    let plain = content
        .open(
            &resource.nonce,
            &resource.associated_data,
            &resource.ciphertext,
            &mut buffer,
        )
        .ok_or(NoticeError::Undecryptable)?;

    let body = match (&*envelope.event_type, &*resource.original_type) {
        ("TRANSACTION.SUCCESS", "transaction") => paid(plain)?,
        // Refunds, and movements of profit sharing, which have come as TRANSACTION.SUCCESS too.
        _ => None,
    };
    let body = body.unwrap_or_else(|| NoticeBody::Other {
        event_type: envelope.event_type.into_owned(),
        original_type: envelope.resource.original_type.into_owned(),
    });
    Ok(Notice {
        id: envelope.id.into_owned(),
        created_at: envelope.create_time,
        body,
    })
}

/// A payment to one of our shops; `None` for other people's shapes of it (combined orders, direct merchants).
fn paid(plain: &[u8]) -> Result<Option<NoticeBody>, NoticeError> {
    let transaction: Transaction<'_> =
        serde_json::from_slice(plain).map_err(|_| NoticeError::BadContent)?;
    match transaction.shape() {
        Shape::Partner => {
            let paid = transaction.paid().ok_or(NoticeError::BadContent)?;
            Ok(Some(NoticeBody::Paid(paid)))
        }
        Shape::Direct | Shape::Combined => Ok(None),
    }
}
