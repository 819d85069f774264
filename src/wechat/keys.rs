//! Keys, parsed once: our own for signing; WeChat's for verifying and for encrypting personal data;
//! the `APIv3` keys for decrypting callbacks.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::SystemRandom,
    rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey},
    signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use x509_parser::pem::parse_x509_pem;

use super::{
    error::WechatError,
    sdk::{self, PlatformCertificate},
};
use crate::{config::WechatSettings, primitives::Secret};

/// Every key of one merchant account, as they belong together at one time.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) merchant: MerchantKey,
    pub(super) wechat: WechatKeys,
    pub(super) content: ContentKeys,
}

impl Keys {
    /// `fetched` are certificates that WeChat has given us, beside those of the settings.
    pub(super) fn parse(
        settings: &WechatSettings,
        fetched: &[PlatformCertificate],
    ) -> Result<Self, WechatError> {
        Ok(Self {
            merchant: MerchantKey::parse(&settings.merchant_serial, &settings.private_key_pem)?,
            wechat: WechatKeys::parse(settings, fetched)?,
            content: ContentKeys::parse(settings)?,
        })
    }
}

/// Ours: signs requests and `wx.requestPayment`.
pub(super) struct MerchantKey {
    serial: String,
    pair: RsaKeyPair,
    random: SystemRandom,
}

impl std::fmt::Debug for MerchantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MerchantKey")
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

impl MerchantKey {
    fn parse(serial: &str, pem: &Secret<String>) -> Result<Self, WechatError> {
        let (_, block) =
            parse_x509_pem(pem.expose().as_bytes()).map_err(|_| WechatError::PrivateKey)?;
        // from_pkcs8 takes 2048 bits at least.
        let pair = RsaKeyPair::from_pkcs8(&block.contents).map_err(|_| WechatError::PrivateKey)?;
        Ok(Self {
            serial: serial.to_owned(),
            pair,
            random: SystemRandom::new(),
        })
    }

    /// Serial number of the certificate that WeChat knows the key by.
    pub(super) fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA256-RSA, PKCS#1 v1.5, base64: §1.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .expect(
                "the key was valid when it was parsed and the buffer is as long as its modulus",
            );
        BASE64.encode(signature)
    }
}

/// WeChat's: a public key, platform certificates, or both while WeChat switches from one to the
/// other (§2.2). The `Wechatpay-Serial` of what was signed says which.
#[derive(Debug)]
pub(super) struct WechatKeys {
    /// The one we ask for first.
    keys: Vec<WechatKey>,
}

/// One of WeChat's keys, for both of its uses.
#[derive(Debug)]
pub(super) struct WechatKey {
    serial: String,
    verifies: ParsedPublicKey,
    encrypts: OaepPublicEncryptingKey,
}

impl WechatKeys {
    fn parse(
        settings: &WechatSettings,
        fetched: &[PlatformCertificate],
    ) -> Result<Self, WechatError> {
        let mut keys = Vec::new();
        if let Some(public) = &settings.public_key {
            keys.push(WechatKey::parse(&public.id, &public.pem).ok_or(WechatError::PublicKey)?);
        }
        let mut certificates = match &settings.platform_certificates_pem {
            Some(pem) => sdk::platform_certificates(pem).ok_or(WechatError::Certificate)?,
            None => Vec::new(),
        };
        certificates.extend_from_slice(fetched);
        let given = !certificates.is_empty();
        // After the public key, the newest first.
        certificates.sort_by_key(|certificate| std::cmp::Reverse(certificate.begins));
        for certificate in certificates {
            if !certificate.valid {
                tracing::warn!(
                    "platform certificate {} has expired; ignored",
                    certificate.serial
                );
            } else if !keys.iter().any(|key| key.serial == certificate.serial) {
                keys.push(WechatKey::of(&certificate).ok_or(WechatError::Certificate)?);
            }
        }
        match (keys.is_empty(), given) {
            (false, _) => Ok(Self { keys }),
            // The first answer brings them.
            (true, _) if settings.fetch_certificates => Ok(Self { keys }),
            (true, true) => Err(WechatError::CertificateExpired),
            (true, false) => Err(WechatError::NoKey),
        }
    }

    /// The one we ask WeChat to sign its answers with and encrypt to: the public key if there is
    /// one. None before the first certificate was fetched.
    pub(super) fn preferred(&self) -> Option<&WechatKey> {
        self.keys.first()
    }

    pub(super) fn find(&self, serial: &str) -> Option<&WechatKey> {
        self.keys
            .iter()
            .find(|key| key.serial.eq_ignore_ascii_case(serial))
    }
}

impl WechatKey {
    fn parse(serial: &str, pem: &str) -> Option<Self> {
        let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
        if block.label != "PUBLIC KEY" {
            return None;
        }
        let encrypts = PublicEncryptingKey::from_der(&block.contents).ok()?;
        Some(Self {
            serial: serial.to_owned(),
            verifies: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &block.contents).ok()?,
            encrypts: OaepPublicEncryptingKey::new(encrypts).ok()?,
        })
    }

    pub(super) fn of(certificate: &PlatformCertificate) -> Option<Self> {
        Self::parse(&certificate.serial, &certificate.public_key_pem)
    }

    /// What `Wechatpay-Serial` calls it.
    pub(super) fn serial(&self) -> &str {
        &self.serial
    }

    pub(super) const fn verifies(&self) -> &ParsedPublicKey {
        &self.verifies
    }

    /// Personal data (names, card numbers) as WeChat wants it: RSA-OAEP with SHA-1, base64 (§2.2).
    /// The request must say this key's serial. None when the text is longer than the key can take
    /// (214 bytes under 2048 bits), which no name is.
    pub(super) fn encrypt(&self, text: &Secret<String>) -> Option<String> {
        let mut room = vec![0; self.encrypts.ciphertext_size()];
        let sealed = self.encrypts.encrypt(
            &OAEP_SHA1_MGF1SHA1,
            text.expose().as_bytes(),
            &mut room,
            None,
        );
        Some(BASE64.encode(sealed.ok()?))
    }
}

/// The `APIv3` key, which callbacks are encrypted with, and the one before it while callbacks under
/// that may still come (§12.3).
pub(super) struct ContentKeys {
    current: LessSafeKey,
    old: Option<LessSafeKey>,
}

impl std::fmt::Debug for ContentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentKeys")
            .field("old", &self.old.is_some())
            .finish_non_exhaustive()
    }
}

impl ContentKeys {
    fn parse(settings: &WechatSettings) -> Result<Self, WechatError> {
        let key = |secret: &Secret<String>| {
            UnboundKey::new(&AES_256_GCM, secret.expose().as_bytes())
                .map(LessSafeKey::new)
                .map_err(|_| WechatError::Apiv3Key)
        };
        Ok(Self {
            current: key(&settings.apiv3_key)?,
            old: settings.apiv3_key_old.as_ref().map(key).transpose()?,
        })
    }

    /// The plain text of `ciphertext` (base64 of data and tag). It lies in `buffer`, where it was
    /// decrypted in place.
    pub(super) fn open<'b>(
        &self,
        nonce: &str,
        associated_data: &str,
        ciphertext: &str,
        buffer: &'b mut Vec<u8>,
    ) -> Option<&'b [u8]> {
        // A failed attempt leaves nothing usable behind: each key starts from the text again.
        let mut open_with = |key: &LessSafeKey| {
            let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
            buffer.clear();
            BASE64.decode_vec(ciphertext, buffer).ok()?;
            let aad = Aad::from(associated_data.as_bytes());
            Some(key.open_in_place(nonce, aad, buffer).ok()?.len())
        };
        let length = open_with(&self.current).or_else(|| self.old.as_ref().and_then(open_with))?;
        buffer.get(..length)
    }
}
