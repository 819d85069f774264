//! Keys, parsed once.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::SystemRandom,
    signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use x509_parser::pem::parse_x509_pem;

use super::{error::WechatError, sdk};
use crate::{config::WechatSettings, primitives::Secret};

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
    pub(super) fn parse(serial: &str, pem: &Secret<String>) -> Result<Self, WechatError> {
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

/// WeChat's: a public key, platform certificates, or both while WeChat switches from one to the other (§2.2). The
/// `Wechatpay-Serial` of what was signed says which.
#[derive(Debug)]
pub(super) struct WechatKeys {
    keys: Vec<(String, ParsedPublicKey)>,
}

impl WechatKeys {
    pub(super) fn parse(settings: &WechatSettings) -> Result<Self, WechatError> {
        let mut keys = Vec::new();
        if let Some(public) = &settings.public_key {
            let key = public_key(&public.pem).ok_or(WechatError::PublicKey)?;
            keys.push((public.id.clone(), key));
        }
        if let Some(pem) = &settings.platform_certificates_pem {
            for certificate in sdk::platform_certificates(pem).ok_or(WechatError::Certificate)? {
                if !certificate.valid {
                    tracing::warn!(
                        "platform certificate {} has expired; ignored",
                        certificate.serial
                    );
                    continue;
                }
                let key =
                    public_key(&certificate.public_key_pem).ok_or(WechatError::Certificate)?;
                keys.push((certificate.serial, key));
            }
            if keys.is_empty() {
                return Err(WechatError::CertificateExpired);
            }
        }
        if keys.is_empty() {
            Err(WechatError::NoKey)
        } else {
            Ok(Self { keys })
        }
    }

    /// What we ask WeChat to sign its answers with: the public key if there is one.
    pub(super) fn preferred(&self) -> &str {
        self.keys.first().map_or("", |(serial, _)| serial)
    }

    pub(super) fn find(&self, serial: &str) -> Option<&ParsedPublicKey> {
        let named = self
            .keys
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(serial));
        named.map(|(_, key)| key)
    }
}

fn public_key(pem: &str) -> Option<ParsedPublicKey> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    if block.label != "PUBLIC KEY" {
        return None;
    }
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &block.contents).ok()
}

/// The `APIv3` key, which callbacks are encrypted with, and the one before it while callbacks under that may still come (§12.3).
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
    pub(super) fn parse(settings: &WechatSettings) -> Result<Self, WechatError> {
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

    /// The plain text of `ciphertext` (base64 of data and tag). It lies in `buffer`, where it was decrypted in place.
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
