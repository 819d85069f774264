//! Files of a test.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
};

/// A folder that is gone when the test is, however it ends.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = fresh_path(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file into it; its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where nothing is yet.
pub(super) fn fresh_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("zf-{name}-{:08x}", rand::random::<u32>()))
}
