//! Keys on the move: a second platform certificate, a new `APIv3` key, and how often each is used.
//!
//! WeChat issues a new platform certificate before the old one ends and signs a growing share with
//! it; `/v3/certificates` lists both all the while. A merchant who sets a new `APIv3` key still
//! gets callbacks under the old one for some time. The third change, from certificate to public
//! key, is decided per callback by [`Faults::callback_key`](super::Faults::callback_key) and per
//! answer by the request's own `Wechatpay-Serial`.
//!
//! Shares are drawn from a running generator that starts at the simulator's seed. Nothing of this
//! outlives a restart.

use std::sync::{Arc, Mutex};

use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::apiv3::Apiv3Cipher;
use super::chance::PerMille;
use super::error::SimulatorError;
use super::keys::{KeyKind, KeySet};
use super::lock::lock;

/// How often what is new is used, once there is something new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyShares {
    /// Of the signatures by certificate, those of the second certificate. An answer to a request
    /// that names the second certificate is always signed by it.
    pub next_certificate: PerMille,
    /// Of what is encrypted, that under the new `APIv3` key.
    pub next_apiv3: PerMille,
}

#[derive(Debug)]
struct SwitchState {
    shares: KeyShares,
    rotated: bool,
    next_apiv3: Option<Arc<Apiv3Cipher>>,
    rng: StdRng,
}

/// The state of the switch in one simulator. The second certificate itself is kept with the keys,
/// which simulators may share.
#[derive(Debug)]
pub(super) struct KeySwitch(Mutex<SwitchState>);

impl KeySwitch {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(SwitchState {
            shares: KeyShares::default(),
            rotated: false,
            next_apiv3: None,
            rng: StdRng::seed_from_u64(seed),
        }))
    }

    pub(super) fn rotate(&self, keys: &KeySet) -> String {
        // Made outside the lock: it takes a while, and others sign meanwhile.
        let serial = keys.serial(KeyKind::NextCertificate).to_owned();
        lock(&self.0).rotated = true;
        serial
    }

    pub(super) fn change_apiv3_key(&self, key: &SecretString) -> Result<(), SimulatorError> {
        let cipher = Arc::new(Apiv3Cipher::new(key)?);
        lock(&self.0).next_apiv3 = Some(cipher);
        Ok(())
    }

    pub(super) fn set_shares(&self, shares: KeyShares) {
        lock(&self.0).shares = shares;
    }

    /// Sets the shares that are given, and leaves the others.
    pub(super) fn change_shares(
        &self,
        next_certificate: Option<PerMille>,
        next_apiv3: Option<PerMille>,
    ) {
        let shares = &mut lock(&self.0).shares;
        shares.next_certificate = next_certificate.unwrap_or(shares.next_certificate);
        shares.next_apiv3 = next_apiv3.unwrap_or(shares.next_apiv3);
    }

    /// The platform certificates that are in force.
    pub(super) fn certificates(&self) -> &'static [KeyKind] {
        if lock(&self.0).rotated {
            &[KeyKind::Certificate, KeyKind::NextCertificate]
        } else {
            &[KeyKind::Certificate]
        }
    }

    /// The key that a request's `Wechatpay-Serial` names, if it is in force here.
    pub(super) fn kind_named(&self, keys: &KeySet, serial: &str) -> Option<KeyKind> {
        let kind = keys.kind_named(serial)?;
        let known = match kind {
            KeyKind::PublicKey | KeyKind::Certificate => true,
            KeyKind::NextCertificate => lock(&self.0).rotated,
        };
        known.then_some(kind)
    }

    /// Which key really signs where `kind` is due: of the two certificates, one by its share.
    pub(super) fn signer(&self, kind: KeyKind) -> KeyKind {
        match kind {
            KeyKind::PublicKey | KeyKind::NextCertificate => kind,
            KeyKind::Certificate => {
                let mut state = lock(&self.0);
                let SwitchState {
                    shares,
                    rotated,
                    rng,
                    ..
                } = &mut *state;
                if *rotated && shares.next_certificate.happens(rng) {
                    KeyKind::NextCertificate
                } else {
                    KeyKind::Certificate
                }
            }
        }
    }

    /// The new `APIv3` key, if there is one and it is its turn; `None` is the one of the key set.
    pub(super) fn next_cipher(&self) -> Option<Arc<Apiv3Cipher>> {
        let mut state = lock(&self.0);
        let SwitchState {
            shares,
            next_apiv3,
            rng,
            ..
        } = &mut *state;
        next_apiv3
            .clone()
            .filter(|_| shares.next_apiv3.happens(rng))
    }

    pub(super) fn view(&self, keys: &KeySet) -> Value {
        let certificates: Vec<_> = self
            .certificates()
            .iter()
            .map(|kind| keys.serial(*kind))
            .collect();
        let state = lock(&self.0);
        json!({
            "public_key_id": keys.serial(KeyKind::PublicKey),
            "certificates": certificates,
            "next_certificate": state.shares.next_certificate,
            "apiv3_key_changed": state.next_apiv3.is_some(),
            "next_apiv3": state.shares.next_apiv3,
        })
    }
}
