//! Notices that the rule file has changed.
//!
//! The file's identity, size and times are checked twice a second. It is read when they have
//! changed and then stayed the same for half a second: a file that is being written might be valid
//! with half of its rules. So a change is in force within about a second. A refused file is not
//! read again until it changes, so its mistakes are logged once. A file that cannot be read is
//! tried again.

use std::{sync::Weak, time::Duration};

use super::{
    active_rules::{LiveRules, LoadError, log_rejected},
    rules_file::{RulesFile, Stamp},
};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Loads every change of the file, until the last handle on the rules is dropped. `taken` is the
/// file from which the rules in force were read.
pub(super) async fn keep_watching(live: Weak<LiveRules>, file: RulesFile, taken: Option<Stamp>) {
    let mut taken = taken;
    let mut seen = taken;
    // The database was away or the file could not be read, and that was told.
    let mut logged = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(live) = live.upgrade() else { return };
        let now = file.stamp().await;
        if now != seen || now == taken {
            seen = now;
            continue;
        }
        match live.reload(None).await {
            Err(error @ (LoadError::Db(_) | LoadError::Unreadable(_))) => {
                if !logged {
                    log_rejected(&error, live.in_force().number);
                }
                logged = true;
                continue;
            }
            Ok(_) | Err(_) => logged = false,
        }
        taken = now;
    }
}
