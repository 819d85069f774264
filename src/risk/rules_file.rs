//! The rule file and the detection of changes.
//!
//! The file's identity, size and times are checked twice a second. It is read when they have
//! changed and then stayed the same for half a second: a file that is being written might be valid
//! with half of its rules. So a change is in force within about a second. A refused file is not
//! read again until it changes, so its mistakes are logged once. A file that cannot be read is
//! tried again.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Weak,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::active_rules::{LiveRules, LoadError, log_rejected};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// More is not read: far above what a rule file may have, so that it is the parser that refuses,
/// with its sentence.
const READ_MAX: u64 = 1024 * 1024;

/// Where the rules are.
#[derive(Debug, Clone)]
pub(super) struct RulesFile {
    pub(super) path: PathBuf,
}

/// Which file it is and when it was written, as far as that can be told without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl RulesFile {
    /// None when there is no file.
    pub(super) async fn stamp(&self) -> Option<Stamp> {
        let path = self.path.clone();
        let looking = tokio::task::spawn_blocking(move || stamp_of(&path));
        looking.await.ok().flatten()
    }

    pub(super) async fn read(&self) -> io::Result<String> {
        let path = self.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            fs::File::open(&path)?
                .take(READ_MAX)
                .read_to_string(&mut text)?;
            Ok(text)
        });
        reading.await.map_err(io::Error::other)?
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// SHA-256: what a rule set is known by.
pub(super) fn hash_of(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

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
