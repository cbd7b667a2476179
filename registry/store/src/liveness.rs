//! Which processes still live, known by the locks that they hold.
//!
//! A process that leaves things half done (staged files, running runs) holds an exclusive advisory lock on a file
//! `<pid>-<random>.lock` of its own. The system lets go of the lock when the process ends, however it ends. Why not the
//! process identifier and its start time? Identifiers mean nothing in another container that shares the directory, and
//! start times need /proc.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{StoreError, io_error};

const EXTENSION: &str = "lock";

/// A lock that says "this process lives". Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct LivenessLock(NamedTempFile);

impl LivenessLock {
    /// Creates and locks a file in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self, StoreError> {
        loop {
            let lock = tempfile::Builder::new()
                .prefix(&format!("{}-", std::process::id()))
                .suffix(&format!(".{EXTENSION}"))
                .tempfile_in(directory)
                .map_err(io_error("create a file in", directory))?;
            lock.as_file().lock().map_err(io_error("lock", lock.path()))?;
            // Between creation and lock another process may have taken the file for a dead one's and removed it.
            // Locked and still there, it stays.
            if lock.path().exists() {
                return Ok(Self(lock));
            }
        }
    }

    /// The file's path without its extension; unique among all processes that share the directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().with_extension("")
    }

    /// The file's name without its extension.
    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The lock of a process that has died, held by us while we clean up.
#[derive(Debug)]
pub(crate) struct AbandonedLock {
    path: PathBuf,
    _lock: File,
}

impl AbandonedLock {
    /// The file's path without its extension.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.with_extension("")
    }

    /// The file's name without its extension.
    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Removes the file: everything of this process has been cleaned up.
    pub(crate) fn remove(self) {
        // If it cannot be removed, the next one to look tries again.
        let _ = fs::remove_file(&self.path);
    }
}

/// The locks in `directory` whose processes are dead. A lock that somebody else is cleaning up is left out.
pub(crate) fn abandoned_locks(directory: &Path) -> Result<Vec<AbandonedLock>, StoreError> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let path = entry.map_err(io_error("list", directory))?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        // Gone by now, or not ours to read: then it is somebody else's to clean up.
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            dead.push(AbandonedLock { path, _lock: lock });
        }
    }
    Ok(dead)
}

/// Whether the process holds no lock whose path without extension this is. Where that cannot be told it may live.
pub(crate) fn is_gone(path: &Path) -> bool {
    matches!(path.with_added_extension(EXTENSION).try_exists(), Ok(false))
}
