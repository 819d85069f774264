//! One RSA key: parsed once, used for ever.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::SimulatorError;

/// A key pair and what others need of it. `Debug` of the inner pair shows the public half only.
#[derive(Debug)]
pub(super) struct RsaKey {
    pair: RsaKeyPair,
    public: ParsedPublicKey,
    spki_der: Vec<u8>,
}

impl RsaKey {
    pub(super) fn generate() -> Result<Self, SimulatorError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| SimulatorError::Key("could not be generated"))?;
        Self::from_pair(pair)
    }

    pub(super) fn from_pem(pem: &str) -> Result<Self, SimulatorError> {
        let der = pem_decode(pem).ok_or(SimulatorError::Key("is not PEM"))?;
        let pair = RsaKeyPair::from_pkcs8(&der)
            .map_err(|_| SimulatorError::Key("is not an RSA key in PKCS#8"))?;
        Self::from_pair(pair)
    }

    fn from_pair(pair: RsaKeyPair) -> Result<Self, SimulatorError> {
        let spki: PublicKeyX509Der<'_> = pair
            .public_key()
            .as_der()
            .map_err(|_| SimulatorError::Key("has no public half"))?;
        let spki_der = spki.as_ref().to_vec();
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki_der)
            .map_err(|_| SimulatorError::Key("has an unusable public half"))?;
        Ok(Self {
            pair,
            public,
            spki_der,
        })
    }

    pub(super) fn private_pem(&self) -> Result<String, SimulatorError> {
        let der: Pkcs8V1Der<'_> = self
            .pair
            .as_der()
            .map_err(|_| SimulatorError::Key("cannot be written"))?;
        Ok(pem_encode("PRIVATE KEY", der.as_ref()))
    }

    pub(super) fn public_pem(&self) -> String {
        pem_encode("PUBLIC KEY", &self.spki_der)
    }

    pub(super) fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .expect("a parsed RSA key of 2048 bits signs any message");
        signature
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        BASE64.encode(self.sign_bytes(message))
    }

    /// What was encrypted to this key by RSA-OAEP with SHA-1 and sent as base64, if it was.
    ///
    /// The key is parsed anew: names are decrypted a few times a minute, signatures made
    /// constantly.
    pub(super) fn decrypt(&self, text: &str) -> Option<Vec<u8>> {
        let ciphertext = BASE64.decode(text).ok()?;
        let der: Pkcs8V1Der<'_> = self.pair.as_der().ok()?;
        let key = PrivateDecryptingKey::from_pkcs8(der.as_ref()).ok()?;
        let key = OaepPrivateDecryptingKey::new(key).ok()?;
        let mut plain = vec![0; key.min_output_size()];
        let plain = key.decrypt(&OAEP_SHA1_MGF1SHA1, &ciphertext, &mut plain, None);
        plain.ok().map(|plain| plain.to_vec())
    }

    /// The other side of [`RsaKey::decrypt`], as a merchant does it.
    #[cfg(test)]
    pub(super) fn encrypt(&self, plain: &[u8]) -> String {
        use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
        let key = PublicEncryptingKey::from_der(&self.spki_der).unwrap();
        let key = OaepPublicEncryptingKey::new(key).unwrap();
        let mut out = vec![0; key.ciphertext_size()];
        let out = key.encrypt(&OAEP_SHA1_MGF1SHA1, plain, &mut out, None);
        BASE64.encode(out.unwrap())
    }

    pub(super) fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// Whether `signature` is base64 of this key's signature over `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &str) -> bool {
        BASE64
            .decode(signature)
            .is_ok_and(|bytes| self.verify_bytes(message, &bytes))
    }
}

pub(super) fn pem_encode(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

pub(super) fn pem_decode(pem: &str) -> Option<Vec<u8>> {
    let text: String = pem
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"))
        .collect();
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem_and_its_signature_is_deterministic() {
        let key = RsaKey::generate().unwrap();
        let again = RsaKey::from_pem(&key.private_pem().unwrap()).unwrap();
        assert_eq!(again.public_pem(), key.public_pem());
        let signature = key.sign(b"GET\n/\n1\nn\n\n");
        assert_eq!(again.sign(b"GET\n/\n1\nn\n\n"), signature);
        assert!(again.verify(b"GET\n/\n1\nn\n\n", &signature));
        assert!(!again.verify(b"GET\n/\n1\nn\n \n", &signature));
        assert!(!again.verify(b"x", "WECHATPAY/SIGNTEST/not-base64"));
    }
}
