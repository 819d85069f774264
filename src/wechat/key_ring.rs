//! The keys in force. Everything that signs, verifies or decrypts takes them from here, so that they can be exchanged while the service runs.
//!
//! Reading is one atomic load and waits for nobody. Whoever has taken the keys keeps them until done: a request is signed, and personal
//! data in it encrypted, under one set. A replacement is complete before it is in force; a broken one changes nothing and is told once.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};

use super::{error::WechatError, keys::Keys, sdk::PlatformCertificate};
use crate::config::WechatSettings;

#[derive(Debug)]
pub(super) struct KeyRing {
    current: ArcSwap<Keys>,
    origin: Mutex<Origin>,
    /// Somebody signed with a certificate that we do not know.
    stranger: AtomicBool,
}

/// What the keys in force were made of.
#[derive(Debug)]
struct Origin {
    settings: WechatSettings,
    fetched: Vec<PlatformCertificate>,
    /// Settings that gave no keys: not tried again until they change.
    refused: Option<WechatSettings>,
    /// What was complained about last.
    complaint: Option<String>,
}

impl KeyRing {
    pub(super) fn new(settings: &WechatSettings) -> Result<Self, WechatError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Keys::parse(settings, &[])?),
            origin: Mutex::new(Origin {
                settings: settings.clone(),
                fetched: Vec::new(),
                refused: None,
                complaint: None,
            }),
            stranger: AtomicBool::new(false),
        })
    }

    /// For work that does not wait.
    pub(super) fn load(&self) -> Guard<Arc<Keys>> {
        self.current.load()
    }

    /// For a call, which does.
    pub(super) fn take(&self) -> Arc<Keys> {
        self.current.load_full()
    }

    /// The settings that the keys in force are from.
    pub(super) fn settings(&self) -> WechatSettings {
        self.origin().settings.clone()
    }

    /// Puts the keys of `settings` in force if they differ from those that are.
    pub(super) fn adopt(&self, settings: WechatSettings) -> Result<(), WechatError> {
        let mut origin = self.origin();
        if origin.settings == settings {
            origin.complaint = None;
            return Ok(());
        }
        if origin.refused.as_ref() == Some(&settings) {
            return Ok(());
        }
        match Keys::parse(&settings, &origin.fetched) {
            Ok(keys) => self.current.store(Arc::new(keys)),
            Err(error) => {
                origin.refused = Some(settings);
                return Err(error);
            }
        }
        tracing::info!(
            wechat.mchid = settings.sp_mchid,
            "the keys of merchant {} were replaced",
            settings.sp_mchid
        );
        origin.settings = settings;
        (origin.refused, origin.complaint) = (None, None);
        Ok(())
    }

    /// Puts fetched certificates in force, in place of those fetched before.
    pub(super) fn adopt_certificates(
        &self,
        fetched: Vec<PlatformCertificate>,
    ) -> Result<(), WechatError> {
        let mut origin = self.origin();
        if origin.fetched != fetched {
            let keys = Keys::parse(&origin.settings, &fetched)?;
            self.current.store(Arc::new(keys));
            origin.fetched = fetched;
        }
        Ok(())
    }

    /// Says what is wrong with new keys, once for as long as it is the same.
    pub(super) fn complain(&self, error: &WechatError) {
        let sentence = error.to_string();
        let mut origin = self.origin();
        if origin.complaint.as_ref() != Some(&sentence) {
            tracing::error!(
                wechat.mchid = origin.settings.sp_mchid,
                "new keys were not taken, the old ones stay in force: {sentence}"
            );
            origin.complaint = Some(sentence);
        }
    }

    /// Notes that `serial` is none of ours. Only what may be a certificate's counts; what comes of it is bounded by whoever fetches.
    pub(super) fn note_stranger(&self, serial: &str) {
        if serial.len() == 40 && serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.stranger.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a stranger was met since this was asked last.
    pub(super) fn met_stranger(&self) -> bool {
        self.stranger.swap(false, Ordering::Relaxed)
    }

    fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
