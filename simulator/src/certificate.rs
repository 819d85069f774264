//! A self-signed X.509 certificate, written by hand.
//!
//! WeChat's platform certificate carries a public key, a serial number and five years of validity;
//! nobody builds a chain over it. That is twenty lines of DER, and no reason for another crate.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::rsa::RsaKey;

const UTC_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year repr:last_two][month][day][hour][minute][second]Z");

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// `sha256WithRSAEncryption` (1.2.840.113549.1.1.11) with its NULL parameter.
const SHA256_WITH_RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00,
];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// When the platform certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    pub(super) from: OffsetDateTime,
    pub(super) until: OffsetDateTime,
}

impl Validity {
    /// Five years as WeChat's, begun a month ago, so that nobody's clock is too early for it.
    pub(super) fn starting_before(now: OffsetDateTime) -> Self {
        let from = now.saturating_sub(Duration::days(30));
        Self {
            from,
            until: from.saturating_add(Duration::days(5 * 365)),
        }
    }
}

/// The certificate over `key`, in DER.
pub(super) fn self_signed(key: &RsaKey, serial: &[u8; 20], valid: Validity) -> Vec<u8> {
    let algorithm = tlv(SEQUENCE, SHA256_WITH_RSA);
    let owner = name("Simulated Tenpay.com sign");
    let validity = tlv(
        SEQUENCE,
        &[utc_time(valid.from), utc_time(valid.until)].concat(),
    );
    let version = tlv(VERSION, &tlv(INTEGER, &[2]));
    let body = tlv(
        SEQUENCE,
        &[
            version,
            tlv(INTEGER, serial),
            algorithm.clone(),
            owner.clone(),
            validity,
            owner,
            key.spki_der().to_vec(),
        ]
        .concat(),
    );
    let mut signature = vec![0]; // no unused bits
    signature.extend(key.sign_bytes(&body));
    tlv(
        SEQUENCE,
        &[body, algorithm, tlv(BIT_STRING, &signature)].concat(),
    )
}

fn name(common_name: &str) -> Vec<u8> {
    let part = |oid: &[u8], text: &str| {
        let pair = [tlv(OID, oid), tlv(UTF8_STRING, text.as_bytes())].concat();
        tlv(SET, &tlv(SEQUENCE, &pair))
    };
    tlv(
        SEQUENCE,
        &[
            part(ORGANIZATION, "Zhangfang simulator"),
            part(COMMON_NAME, common_name),
        ]
        .concat(),
    )
}

fn utc_time(at: OffsetDateTime) -> Vec<u8> {
    let text = at
        .to_offset(time::UtcOffset::UTC)
        .format(&UTC_TIME)
        .expect("year to second are present in every date and time");
    tlv(TIME, text.as_bytes())
}

/// Tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = value.len().to_be_bytes();
            let digits = length
                .iter()
                .position(|b| *b != 0)
                .map_or(&length[..], |at| &length[at..]);
            let count = u8::try_from(digits.len()).expect("a usize has at most eight bytes");
            out.push(0x80 | count);
            out.extend(digits);
        }
    }
    out.extend(value);
    out
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn an_independent_parser_reads_the_certificate_and_its_signature_holds() {
        let key = RsaKey::generate().unwrap();
        let mut serial = [7; 20];
        serial[0] = 0x5a;
        let valid = Validity::starting_before(datetime!(2026-11-21 12:00:00 UTC));
        let der = self_signed(&key, &serial, valid);

        let (rest, parsed) = X509Certificate::from_der(&der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(parsed.raw_serial(), serial);
        assert_eq!(
            parsed.validity().not_before.timestamp(),
            valid.from.unix_timestamp()
        );
        assert_eq!(
            parsed.validity().not_after.timestamp(),
            valid.until.unix_timestamp()
        );
        assert_eq!(parsed.public_key().raw, key.spki_der());
        let body = parsed.tbs_certificate.as_ref();
        assert!(key.verify_bytes(body, &parsed.signature_value.data));
    }
}
