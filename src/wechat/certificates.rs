//! Platform certificates 平台证书, fetched from WeChat (§2.3).
//!
//! WeChat's older kind of key is a certificate that is valid for five years and renewed shortly
//! before its end. `GET /v3/certificates` lists those in force, encrypted under the `APIv3` key.
//! They are fetched at start, every twelve hours, and when a message is signed by an unknown one,
//! then at most once a minute: anybody can send an unknown serial number, and must not be able to
//! make us call.
//!
//! The first answer is signed by a certificate that only the answer itself contains. So this is the
//! only body that is decrypted before its signature is verified. Decryption proves that the sender
//! has our `APIv3` key, and the signature must then verify under a certificate from the body.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::{
    WechatChannel,
    answer::{CallAnswer, SignatureCheck},
    breaker::Class,
    keys::{ContentKeys, WechatKey},
    sdk::{self, PlatformCertificate},
    signature,
    transport::Call,
};
use crate::primitives::Timestamp;

/// Between fetches that nothing calls for, seconds.
const EVERY_SECONDS: i64 = 12 * 3600;

/// Between fetches that something calls for: a stranger, or a fetch that failed. Seconds.
const AT_MOST_EVERY_SECONDS: i64 = 60;

/// When to fetch.
#[derive(Debug)]
pub(super) struct Fetching {
    wanted: bool,
    done: Mutex<Done>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Done {
    tried: Option<Timestamp>,
    succeeded: Option<Timestamp>,
    stranger: bool,
}

impl Fetching {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            done: Mutex::default(),
        }
    }

    /// Whether to fetch now; if so, it counts as tried. `stranger`: an unknown certificate was met
    /// since this was asked last.
    fn is_due(&self, now: Timestamp, stranger: bool) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.stranger |= stranger;
        let past = |at: Option<Timestamp>, seconds: i64| {
            at.is_none_or(|at| at.plus_seconds(seconds) <= now)
        };
        let called_for = done.stranger || past(done.succeeded, EVERY_SECONDS);
        let due = self.wanted && called_for && past(done.tried, AT_MOST_EVERY_SECONDS);
        if due {
            done.tried = Some(now);
            done.stranger = false;
        }
        due
    }

    fn succeeded(&self, now: Timestamp) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.succeeded = Some(now);
    }
}

impl WechatChannel {
    /// Fetches platform certificates if that is wanted and due. Failures are logged; the keys in
    /// force stay.
    pub(super) async fn refresh_certificates(&self) {
        let now = self.transport.now();
        if !self.fetching.is_due(now, self.keys.saw_unknown_serial()) {
            return;
        }
        match self.fetch_certificates(now).await {
            Ok(certificates) => {
                let serials: Vec<_> = certificates.iter().map(|one| one.serial.clone()).collect();
                match self.keys.adopt_certificates(certificates) {
                    Ok(()) => {
                        self.fetching.succeeded(now);
                        tracing::info!("platform certificates: {}", serials.join(", "));
                    }
                    Err(error) => self.keys.complain(&error),
                }
            }
            Err(reason) => tracing::warn!("platform certificates were not fetched: {reason}"),
        }
    }

    async fn fetch_certificates(&self, now: Timestamp) -> Result<Vec<PlatformCertificate>, String> {
        let keys = self.keys.take();
        let call = Call::get(
            "certificates",
            Class::Keys,
            &["v3", "certificates"],
            &[("algorithm_type", "RSA")],
        );
        let answer = self
            .transport
            .call_verified_by(&keys, call, &|_, headers, body| match self
                .transport
                .verify_answer(headers, body)
            {
                SignatureCheck::Signed => SignatureCheck::Signed,
                other @ (SignatureCheck::Unsigned | SignatureCheck::Wrong(_)) => {
                    let inside = certificates_in(&keys.content, body).unwrap_or_default();
                    let own = headers.serial.and_then(|serial| {
                        let signer = |one: &&PlatformCertificate| {
                            one.valid && one.serial.eq_ignore_ascii_case(serial)
                        };
                        WechatKey::of(inside.iter().find(signer)?)
                    });
                    match signature::verify_with(|_| own.as_ref(), headers, body, now) {
                        Ok(()) => SignatureCheck::Signed,
                        Err(_) => other,
                    }
                }
            })
            .await;
        match answer {
            CallAnswer::Done(body) => certificates_in(&keys.content, &body)
                .ok_or_else(|| "the answer holds none that can be read".to_owned()),
            CallAnswer::Refused(no) => Err(format!("{} {}", no.code, no.message)),
            CallAnswer::Unknown(unknown) => Err(unknown.reason),
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    data: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    serial_no: String,
    encrypt_certificate: Sealed,
}

#[derive(Deserialize)]
struct Sealed {
    algorithm: String,
    nonce: String,
    #[serde(default)]
    associated_data: String,
    ciphertext: String,
}

/// The certificates of an answer, if all of them can be opened and are what they are said to be.
fn certificates_in(content: &ContentKeys, body: &[u8]) -> Option<Vec<PlatformCertificate>> {
    let listed: Listed = serde_json::from_slice(body).ok()?;
    let mut certificates = Vec::new();
    for one in listed.data {
        let sealed = one.encrypt_certificate;
        if sealed.algorithm != "AEAD_AES_256_GCM" {
            return None;
        }
        let mut buffer = Vec::new();
        let pem = content.open(
            &sealed.nonce,
            &sealed.associated_data,
            &sealed.ciphertext,
            &mut buffer,
        )?;
        let read = sdk::platform_certificates(str::from_utf8(pem).ok()?)?;
        let [certificate] = <[PlatformCertificate; 1]>::try_from(read).ok()?;
        if !certificate.serial.eq_ignore_ascii_case(&one.serial_no) {
            return None;
        }
        certificates.push(certificate);
    }
    (!certificates.is_empty()).then_some(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_and_failures_call_for_a_fetch_but_not_more_than_once_a_minute() {
        let fetching = Fetching::new(true);
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(fetching.is_due(at(0), false), "at start");
        assert!(
            !fetching.is_due(at(59), false),
            "it failed, and not long ago"
        );
        assert!(fetching.is_due(at(60), false));
        fetching.succeeded(at(60));
        assert!(!fetching.is_due(at(1000), false));
        assert!(fetching.is_due(at(1000), true));
        fetching.succeeded(at(1000));
        assert!(!fetching.is_due(at(1001), true), "made up");
        assert!(!fetching.is_due(at(1059), false));
        assert!(fetching.is_due(at(1060), false), "not forgotten");
        assert!(!Fetching::new(false).is_due(at(0), true));
    }

    #[test]
    fn a_success_lasts_for_twelve_hours() {
        let fetching = Fetching::new(true);
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert!(fetching.is_due(at(0), false));
        fetching.succeeded(at(0));
        assert!(!fetching.is_due(at(EVERY_SECONDS - 1), false));
        assert!(fetching.is_due(at(EVERY_SECONDS), false));
    }
}
