//! When bills are ready, and the files that wait to be fetched.

use std::collections::HashMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::lock::lock;

/// When bills are ready, and how they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BillSettings {
    /// Nobody waits for ten o'clock: even today's bill is there, as far as the day has come.
    pub ready_at_once: bool,
    /// Trade bills as the earliest merchants still get them: three columns by older names, three
    /// missing.
    pub early_era: bool,
    /// How long the address of a file works, in seconds. WeChat's older pages say 30.
    pub url_seconds: u32,
}

impl Default for BillSettings {
    fn default() -> Self {
        Self {
            ready_at_once: false,
            early_era: false,
            url_seconds: 300,
        }
    }
}

/// A file behind an address.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) expires_at: OffsetDateTime,
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// The switches, and the files that are waiting to be fetched.
#[derive(Debug)]
pub(super) struct Bills {
    settings: Mutex<BillSettings>,
    pub(super) ready: Mutex<HashMap<String, Ready>>,
}

impl Bills {
    pub(super) fn new(settings: BillSettings) -> Self {
        Self {
            settings: Mutex::new(settings),
            ready: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn set(&self, settings: BillSettings) {
        *lock(&self.settings) = settings;
    }

    pub(super) fn settings(&self) -> BillSettings {
        *lock(&self.settings)
    }
}
