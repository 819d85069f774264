//! Callbacks: signed, encrypted, and spoiled on request.
//!
//! [`CallbackFactory`] works without a server. One callback costs one RSA signature (about half a
//! millisecond); threads share a factory freely.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::apiv3::Apiv3Cipher;
use super::callback_content::CallbackContent;
use super::clock::{Ids, WallClock, beijing};
use super::faults::Fault;
use super::key_switch::KeySwitch;
use super::keys::{KeyKind, KeySet};
use super::refunds::Refund;
use super::signature::{SIGNATURE_TYPE, answer_message, header};
use super::transaction::{Notice, Party, TradeType};

/// A callback as it goes over the wire: deliver both, unchanged, by POST.
#[derive(Debug, Clone)]
pub struct SignedCallback {
    /// The five `Wechatpay-*` headers, the content type, and what else WeChat sends.
    pub headers: HeaderMap,
    /// The raw body; its bytes are what was signed.
    pub body: Bytes,
}

/// What stays the same when a notification is sent again.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    id: String,
    create_time: String,
    kind: KeyKind,
    /// A new `APIv3` key; `None` is the first one.
    cipher: Option<Arc<Apiv3Cipher>>,
    /// `associated_data` is what it is about, or else empty.
    associated: bool,
}

/// Makes callbacks that verify under a [`KeySet`].
#[derive(Debug)]
pub struct CallbackFactory {
    keys: Arc<KeySet>,
    switching: Arc<KeySwitch>,
    clock: WallClock,
    ids: Arc<Ids>,
}

impl CallbackFactory {
    /// A factory of its own, without a simulator.
    pub fn new(keys: Arc<KeySet>, clock: WallClock) -> Self {
        let switching = Arc::new(KeySwitch::new(0));
        Self::sharing(keys, switching, clock, Arc::new(Ids::new()))
    }

    pub(super) fn sharing(
        keys: Arc<KeySet>,
        switching: Arc<KeySwitch>,
        clock: WallClock,
        ids: Arc<Ids>,
    ) -> Self {
        Self {
            keys,
            switching,
            clock,
            ids,
        }
    }

    /// A number for a payment that the simulator never saw: 28 digits, never the same twice.
    pub fn transaction_id(&self) -> String {
        self.ids.transaction_id(self.clock.now())
    }

    /// A notice of a payment made now in partner mode, by a user of the service provider's
    /// mini-program.
    pub fn notice(
        &self,
        out_trade_no: impl Into<String>,
        transaction_id: impl Into<String>,
        total_fen: i64,
        sub_mchid: impl Into<String>,
        sp_openid: impl Into<String>,
    ) -> Notice {
        Notice {
            out_trade_no: out_trade_no.into(),
            transaction_id: transaction_id.into(),
            party: Party::Partner {
                sub_mchid: sub_mchid.into(),
                sub_appid: None,
                sp_openid: sp_openid.into(),
                sub_openid: None,
            },
            trade_type: TradeType::Jsapi,
            total_fen,
            coupon: None,
            attach: None,
            paid_at: self.clock.now(),
        }
    }

    /// A genuine callback, a notification of its own.
    pub fn sign(&self, notice: &Notice, kind: KeyKind) -> SignedCallback {
        let content = CallbackContent::Payment(notice.clone());
        self.build(&self.envelope(kind, true), &content, None)
    }

    /// A callback with what `fault` does to one callback. A fault of when and how often callbacks
    /// are sent does nothing here.
    pub fn altered(&self, notice: &Notice, kind: KeyKind, fault: Fault) -> SignedCallback {
        let content = CallbackContent::Payment(notice.clone());
        self.build(&self.envelope(kind, true), &content, Some(fault))
    }

    /// A genuine callback of the end of a refund.
    pub fn refund(&self, refund: &Refund, kind: KeyKind) -> SignedCallback {
        let content = CallbackContent::Refund(refund.clone());
        self.build(&self.envelope(kind, true), &content, None)
    }

    pub(super) fn envelope(&self, kind: KeyKind, associated: bool) -> Envelope {
        Envelope {
            id: self.ids.notification_id(),
            create_time: beijing(self.clock.now()),
            kind: self.switching.signer(kind),
            cipher: self.switching.next_cipher(),
            associated,
        }
    }

    /// The callback for one attempt: encrypted and signed anew, under the envelope's id.
    pub(super) fn build(
        &self,
        envelope: &Envelope,
        content: &CallbackContent,
        fault: Option<Fault>,
    ) -> SignedCallback {
        let plain = content.plaintext(&self.keys, fault);
        let heading = content.heading();
        let associated_data = if envelope.associated {
            heading.original_type
        } else {
            ""
        };
        let gcm_nonce = self.ids.gcm_nonce();
        let cipher = envelope.cipher.as_deref().unwrap_or(self.keys.cipher());
        let body = serde_json::to_vec(&Body {
            id: &envelope.id,
            create_time: &envelope.create_time,
            resource_type: "encrypt-resource",
            event_type: heading.event_type,
            summary: heading.summary,
            resource: Resource {
                original_type: heading.original_type,
                algorithm: "AEAD_AES_256_GCM",
                ciphertext: &cipher.encrypt(&gcm_nonce, associated_data, plain),
                associated_data,
                nonce: &gcm_nonce,
            },
        })
        .expect("a struct of text is JSON");
        self.sign_body(envelope.kind, body, fault)
    }

    fn sign_body(&self, kind: KeyKind, body: Vec<u8>, fault: Option<Fault>) -> SignedCallback {
        let has = |one| fault == Some(one);
        let now = self.clock.now().unix_timestamp();
        let timestamp = if has(Fault::StaleTime) {
            now - 360
        } else if has(Fault::FutureTime) {
            now + 360
        } else {
            now
        }
        .to_string();
        let nonce = self.ids.token();
        let message = answer_message(&timestamp, &nonce, &body);
        let key = if has(Fault::WrongKey) {
            self.keys.merchant()
        } else {
            self.keys.wechat(kind)
        };
        let mut signature = key.sign(&message);
        if has(Fault::Probe) {
            signature.insert_str(0, "WECHATPAY/SIGNTEST/");
        }
        let body = if has(Fault::Tampered) {
            tampered(body)
        } else {
            body
        };

        let mut headers = HeaderMap::with_capacity(9);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static("Mozilla/4.0"));
        headers.insert(
            HeaderName::from_static("request-id"),
            header(&self.ids.token()),
        );
        headers.insert(
            HeaderName::from_static("wechatpay-timestamp"),
            header(&timestamp),
        );
        headers.insert(HeaderName::from_static("wechatpay-nonce"), header(&nonce));
        headers.insert(
            HeaderName::from_static("wechatpay-signature"),
            header(&signature),
        );
        headers.insert(
            HeaderName::from_static("wechatpay-serial"),
            header(self.keys.serial(kind)),
        );
        headers.insert(
            HeaderName::from_static("wechatpay-signature-type"),
            HeaderValue::from_static(SIGNATURE_TYPE),
        );
        SignedCallback {
            headers,
            body: Bytes::from(body),
        }
    }
}

/// Changes the first character of the ciphertext, so that the body is still good JSON.
fn tampered(mut body: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"\"ciphertext\":\"";
    let at = body.windows(MARK.len()).position(|window| window == MARK);
    if let Some(byte) = at.and_then(|at| body.get_mut(at + MARK.len())) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    body
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    create_time: &'a str,
    resource_type: &'static str,
    event_type: &'static str,
    summary: &'static str,
    resource: Resource<'a>,
}

#[derive(Serialize)]
struct Resource<'a> {
    original_type: &'static str,
    algorithm: &'static str,
    ciphertext: &'a str,
    associated_data: &'a str,
    nonce: &'a str,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn factory() -> CallbackFactory {
        CallbackFactory::new(Arc::new(KeySet::generate().unwrap()), WallClock::system())
    }

    fn verifies(factory: &CallbackFactory, callback: &SignedCallback) -> bool {
        let text = |name: &str| callback.headers[name].to_str().unwrap();
        let message = answer_message(
            text("wechatpay-timestamp"),
            text("wechatpay-nonce"),
            &callback.body,
        );
        let kind = factory.keys.kind_named(text("wechatpay-serial")).unwrap();
        factory
            .keys
            .wechat(kind)
            .verify(&message, text("wechatpay-signature"))
    }

    fn plain(factory: &CallbackFactory, callback: &SignedCallback) -> Option<Value> {
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        let part = |name: &str| body["resource"][name].as_str().unwrap().to_owned();
        let data = factory.keys.decrypt(
            &part("nonce"),
            &part("associated_data"),
            &part("ciphertext"),
        )?;
        Some(serde_json::from_slice(&data).unwrap())
    }

    #[test]
    fn genuine_callbacks_verify_and_decrypt_under_both_keys() {
        let factory = factory();
        let notice = factory.notice(
            "ORDER-1",
            factory.transaction_id(),
            1280,
            "1900000100",
            "oA",
        );
        for kind in [KeyKind::PublicKey, KeyKind::Certificate] {
            let callback = factory.sign(&notice, kind);
            assert!(verifies(&factory, &callback));
            let content = plain(&factory, &callback).unwrap();
            assert_eq!(content["trade_state"], "SUCCESS");
            assert_eq!(content["amount"]["total"], 1280);
            assert_eq!(content["sub_mchid"], "1900000100");
            assert_eq!(content["payer"]["sp_openid"], "oA");
            assert!(content.get("attach").is_none());
        }
    }

    #[test]
    fn each_fault_spoils_what_it_says_and_nothing_else() {
        let factory = factory();
        let notice = factory.notice(
            "ORDER-1",
            factory.transaction_id(),
            1280,
            "1900000107",
            "oA",
        );
        let made = |fault| factory.altered(&notice, KeyKind::PublicKey, fault);
        let age = |callback: &SignedCallback| {
            let stamp: i64 = callback.headers["wechatpay-timestamp"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            factory.clock.now().unix_timestamp() - stamp
        };

        for refused in [Fault::Tampered, Fault::WrongKey, Fault::Probe] {
            assert!(!verifies(&factory, &made(refused)), "{refused:?}");
        }
        assert!(plain(&factory, &made(Fault::Tampered)).is_none());
        let stale = made(Fault::StaleTime);
        assert!(verifies(&factory, &stale) && age(&stale) >= 360);
        let future = made(Fault::FutureTime);
        assert!(verifies(&factory, &future) && age(&future) <= -350);
        let amount = made(Fault::WrongAmount);
        assert!(verifies(&factory, &amount));
        assert_eq!(plain(&factory, &amount).unwrap()["amount"]["total"], 1281);
        let merchant = made(Fault::WrongMerchant);
        assert!(verifies(&factory, &merchant));
        assert_eq!(
            plain(&factory, &merchant).unwrap()["sub_mchid"],
            "1900000108"
        );
    }
}
