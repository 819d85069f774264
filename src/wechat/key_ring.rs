//! The keys in force. Everything that signs, verifies or decrypts takes them from here, so that
//! they can be replaced while the service runs.
//!
//! Reading is one atomic load and never blocks. A caller keeps the keys that it has taken until it
//! is done, so a request is signed, and personal data in it encrypted, under one set. A new set is
//! complete before it is in force; an invalid one changes nothing and is reported once.

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
    source: Mutex<KeySource>,
    /// Somebody signed with a certificate that we do not know.
    unknown_serial: AtomicBool,
}

/// What the keys in force were made of.
#[derive(Debug)]
struct KeySource {
    settings: WechatSettings,
    fetched: Vec<PlatformCertificate>,
    /// Settings that gave no keys: not tried again until they change.
    refused: Option<WechatSettings>,
    /// What was complained about last.
    last_complaint: Option<String>,
}

impl KeyRing {
    pub(super) fn new(settings: &WechatSettings) -> Result<Self, WechatError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Keys::parse(settings, &[])?),
            source: Mutex::new(KeySource {
                settings: settings.clone(),
                fetched: Vec::new(),
                refused: None,
                last_complaint: None,
            }),
            unknown_serial: AtomicBool::new(false),
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
        self.source().settings.clone()
    }

    /// Puts the keys of `settings` in force if they differ from those that are.
    pub(super) fn adopt(&self, settings: WechatSettings) -> Result<(), WechatError> {
        let mut source = self.source();
        if source.settings == settings {
            source.last_complaint = None;
            return Ok(());
        }
        if source.refused.as_ref() == Some(&settings) {
            return Ok(());
        }
        match Keys::parse(&settings, &source.fetched) {
            Ok(keys) => self.current.store(Arc::new(keys)),
            Err(error) => {
                source.refused = Some(settings);
                return Err(error);
            }
        }
        tracing::info!(
            wechat.mchid = settings.sp_mchid,
            "the keys of merchant {} were replaced",
            settings.sp_mchid
        );
        source.settings = settings;
        (source.refused, source.last_complaint) = (None, None);
        Ok(())
    }

    /// Puts fetched certificates in force, in place of those fetched before.
    pub(super) fn adopt_certificates(
        &self,
        fetched: Vec<PlatformCertificate>,
    ) -> Result<(), WechatError> {
        let mut source = self.source();
        if source.fetched != fetched {
            let keys = Keys::parse(&source.settings, &fetched)?;
            self.current.store(Arc::new(keys));
            source.fetched = fetched;
        }
        Ok(())
    }

    /// Says what is wrong with new keys, once for as long as it is the same.
    pub(super) fn complain(&self, error: &WechatError) {
        let sentence = error.to_string();
        let mut source = self.source();
        if source.last_complaint.as_ref() != Some(&sentence) {
            tracing::error!(
                wechat.mchid = source.settings.sp_mchid,
                "new keys were not taken, the old ones stay in force: {sentence}"
            );
            source.last_complaint = Some(sentence);
        }
    }

    /// Notes that `serial` is none of ours. Only what may be a certificate's counts; what comes of
    /// it is bounded by whoever fetches.
    pub(super) fn note_unknown_serial(&self, serial: &str) {
        if serial.len() == 40 && serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.unknown_serial.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a stranger was met since this was asked last.
    pub(super) fn saw_unknown_serial(&self) -> bool {
        self.unknown_serial.swap(false, Ordering::Relaxed)
    }

    fn source(&self) -> MutexGuard<'_, KeySource> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
