//! The rule file on the disk.

use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

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
