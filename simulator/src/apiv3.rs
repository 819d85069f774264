//! Encryption under the `APIv3` key, of callbacks and certificates.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};

use super::error::SimulatorError;

/// An `APIv3` key, ready to encrypt.
#[derive(Debug)]
pub(super) struct Apiv3Cipher(LessSafeKey);

impl Apiv3Cipher {
    pub(super) fn new(apiv3_key: &SecretString) -> Result<Self, SimulatorError> {
        UnboundKey::new(&AES_256_GCM, apiv3_key.expose_secret().as_bytes())
            .map(|key| Self(LessSafeKey::new(key)))
            .map_err(|_| SimulatorError::Key("for APIv3 is not 32 characters long"))
    }

    /// AES-256-GCM under the key: base64 of ciphertext and tag.
    pub(super) fn encrypt(&self, nonce: &str, associated: &str, mut data: Vec<u8>) -> String {
        let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes())
            .expect("nonces are made with twelve characters");
        self.0
            .seal_in_place_append_tag(nonce, Aad::from(associated.as_bytes()), &mut data)
            .expect("a callback is far below the limit of AES-GCM");
        BASE64.encode(data)
    }

    #[cfg(test)]
    pub(super) fn decrypt(&self, nonce: &str, associated: &str, text: &str) -> Option<Vec<u8>> {
        let mut data = BASE64.decode(text).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
        let aad = Aad::from(associated.as_bytes());
        Some(self.0.open_in_place(nonce, aad, &mut data).ok()?.to_vec())
    }
}
