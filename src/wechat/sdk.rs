//! The only file that uses `wechat-pay-rust-sdk`: for platform certificates, and in tests to check
//! ours against independent code.
//!
//! The crate's HTTP client, its callback models and its `Debug` (which prints keys) must not be
//! used: see the module docs of `wechat`.

use wechat_pay_rust_sdk::util::{x509_is_valid, x509_to_pem};
use x509_parser::{parse_x509_certificate, pem::Pem};

/// What is needed of a platform certificate 平台证书.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlatformCertificate {
    /// 40 upper-case hex digits.
    pub(super) serial: String,
    pub(super) public_key_pem: String,
    /// Within its dates, by the machine's clock.
    pub(super) valid: bool,
    /// When it began, seconds since 1970: of two, the newer is the one to encrypt to.
    pub(super) begins: i64,
}

const END: &str = "-----END CERTIFICATE-----";

/// Reads one certificate or several after one another. `None` when anything among them is not one.
pub(super) fn platform_certificates(pem: &str) -> Option<Vec<PlatformCertificate>> {
    // The SDK reads the first block of a text only.
    let blocks = pem
        .split_inclusive(END)
        .filter(|block| !block.trim().is_empty());
    let certificates = blocks.map(certificate).collect::<Option<Vec<_>>>()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn certificate(pem: &str) -> Option<PlatformCertificate> {
    let public_key_pem = x509_to_pem(pem.trim().as_bytes()).ok()?;
    let (valid, _) = x509_is_valid(pem.trim().as_bytes()).ok()?;
    let block = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    let (_, parsed) = parse_x509_certificate(&block.contents).ok()?;
    // DER puts a zero before a serial whose first bit is set; the header does not.
    let serial = parsed
        .raw_serial()
        .strip_prefix(&[0])
        .unwrap_or(parsed.raw_serial());
    Some(PlatformCertificate {
        serial: hex::encode_upper(serial),
        public_key_pem,
        valid,
        begins: parsed.validity().not_before.timestamp(),
    })
}

/// Another pair of eyes, for tests.
#[cfg(test)]
pub(super) struct SecondOpinion(wechat_pay_rust_sdk::pay::WechatPay);

#[cfg(test)]
impl SecondOpinion {
    pub(super) fn new(private_key_pem: &str, apiv3_key: &str) -> Self {
        use wechat_pay_rust_sdk::pay::WechatPay;
        Self(WechatPay::new(
            "wx",
            "1900000001",
            private_key_pem,
            "serial",
            apiv3_key,
            "https://x",
        ))
    }

    pub(super) fn sign(&self, message: &str) -> String {
        use wechat_pay_rust_sdk::pay::WechatPayTrait as _;
        self.0.rsa_sign(message)
    }

    pub(super) fn verifies(
        &self,
        public_key_pem: &str,
        [ts, nonce, signature, body]: [&str; 4],
    ) -> bool {
        use wechat_pay_rust_sdk::pay::PayNotifyTrait as _;
        self.0
            .verify_signature(public_key_pem, ts, nonce, signature, body)
            .is_ok()
    }

    pub(super) fn decrypt(
        &self,
        ciphertext: &str,
        nonce: &str,
        associated_data: &str,
    ) -> Option<Vec<u8>> {
        use wechat_pay_rust_sdk::pay::PayNotifyTrait as _;
        self.0
            .decrypt_bytes(ciphertext, nonce, associated_data)
            .ok()
    }
}
