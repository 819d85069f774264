//! Callbacks (§12): verified, decrypted and parsed. This is the hot path of the service.
//!
//! Copies are avoided: the signature is verified over the bytes as received, the envelope borrows
//! from them, the content is decrypted in place, and only what the notice keeps is allocated.
//!
//! The kind of a callback follows from three values together, since no two suffice (§12.2):
//!
//! | `event_type` | `original_type` | merchant numbers in the content | is |
//! |---|---|---|---|
//! | `TRANSACTION.SUCCESS` | `transaction` | `sp_mchid`, `sub_mchid` | a payment to a merchant, in partner mode |
//! | `TRANSACTION.SUCCESS` | `transaction` | `mchid` | a payment to us, in direct mode |
//! | `TRANSACTION.SUCCESS` | `transaction` | `combine_mchid` | a combined order: not ours to handle |
//! | `TRANSACTION.SUCCESS` | `profitsharing` | | shared money: for its receiver |
//! | `REFUND.SUCCESS`, `.ABNORMAL`, `.CLOSED` | `refund` | as above | the end of a refund |
//!
//! A verified callback that is not for an account of our mode is [`NoticeBody::Other`], which is
//! accepted so that WeChat does not repeat it.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    keys::{ContentKeys, WechatKeys},
    refund::Refund,
    signature,
    transaction::{Shape, Transaction},
};
use crate::{
    payments::{ChannelMode, Notice, NoticeBody, NoticeError, NoticeHeaders},
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
    /// May be empty, null or missing.
    #[serde(borrow, default)]
    associated_data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
}

/// What of an envelope names it, whatever else is wrong with it.
#[derive(Debug, Deserialize)]
struct Name {
    id: String,
    create_time: Timestamp,
}

/// WeChat's id of a notification and when it was made, if that much can be read.
pub(super) fn name_of(body: &[u8]) -> Option<(String, Timestamp)> {
    let name: Name = serde_json::from_slice(body).ok()?;
    (1..=ID_MAX)
        .contains(&name.id.len())
        .then_some((name.id, name.create_time))
}

/// Longest id of a notification that is taken; WeChat's have 36 characters.
const ID_MAX: usize = 64;

/// What WeChat says, if it is WeChat that says it.
pub(super) fn read(
    wechat: &WechatKeys,
    content: &ContentKeys,
    mode: ChannelMode,
    headers: NoticeHeaders<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Notice, NoticeError> {
    signature::verify(wechat, headers, body, now)?;
    reread(content, mode, body)
}

/// What a callback says that was verified when it came. Its encryption proves once more that it has
/// not been changed since.
pub(super) fn reread(
    content: &ContentKeys,
    mode: ChannelMode,
    body: &[u8],
) -> Result<Notice, NoticeError> {
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
            resource.associated_data.as_deref().unwrap_or_default(),
            &resource.ciphertext,
            &mut buffer,
        )
        .ok_or(NoticeError::Undecryptable)?;

    let body = match (&*envelope.event_type, &*resource.original_type) {
        ("TRANSACTION.SUCCESS", "transaction") => paid(plain, mode)?,
        ("REFUND.SUCCESS", "refund") => refund(plain, mode, "SUCCESS")?,
        ("REFUND.ABNORMAL", "refund") => refund(plain, mode, "ABNORMAL")?,
        ("REFUND.CLOSED", "refund") => refund(plain, mode, "CLOSED")?,
        // Movements of profit sharing, which have come as TRANSACTION.SUCCESS too, and what WeChat
        // has thought of since.
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

/// A payment; `None` for other people's shapes of it: combined orders, the mode that is not ours.
fn paid(plain: &[u8], mode: ChannelMode) -> Result<Option<NoticeBody>, NoticeError> {
    let transaction: Transaction<'_> =
        serde_json::from_slice(plain).map_err(|_| NoticeError::BadContent)?;
    if transaction.shape() != Shape::One(mode) {
        return Ok(None);
    }
    if transaction.state() != "SUCCESS" {
        return Err(NoticeError::BadContent);
    }
    let paid = transaction.paid().ok_or(NoticeError::BadContent)?;
    Ok(Some(NoticeBody::Paid(paid)))
}

/// The end of a refund, which must be the one that the event is named for.
fn refund(
    plain: &[u8],
    mode: ChannelMode,
    status: &str,
) -> Result<Option<NoticeBody>, NoticeError> {
    let refund: Refund = serde_json::from_slice(plain).map_err(|_| NoticeError::BadContent)?;
    match refund.shape() {
        Some(its) if its != mode => Ok(None),
        Some(_) if refund.status() == status => {
            let notice = refund.notice().ok_or(NoticeError::BadContent)?;
            Ok(Some(NoticeBody::Refund(notice)))
        }
        Some(_) | None => Err(NoticeError::BadContent),
    }
}
