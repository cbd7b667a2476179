//! Locks that show which processes still live.
//!
//! A process that has unfinished things (staged files, running runs) holds an exclusive advisory
//! lock on a file `<pid>-<random>.lock` of its own. The system releases the lock when the process
//! ends, however it ends. Why not the process identifier and its start time? Identifiers mean
//! nothing in another container that shares the directory, and start times need /proc.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{StoreError, io_error};

const EXTENSION: &str = "lock";

/// A lock that shows that this process lives. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct LivenessLock(NamedTempFile);

impl LivenessLock {
    /// Creates a file in `directory` and locks it.
    pub(crate) fn create(directory: &Path) -> Result<Self, StoreError> {
        loop {
            let lock = tempfile::Builder::new()
                .prefix(&format!("{}-", std::process::id()))
                .suffix(&format!(".{EXTENSION}"))
                .tempfile_in(directory)
                .map_err(io_error("create a file in", directory))?;
            lock.as_file().lock().map_err(io_error("lock", lock.path()))?;
            // Between creation and locking, another process may have taken the file for an
            // abandoned one and removed it. Once it is locked and still there, it stays.
            if lock.path().exists() {
                return Ok(Self(lock));
            }
        }
    }

    /// Returns the file's path without its extension, which is unique among all processes that
    /// share the directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().with_extension("")
    }

    /// Returns the file's name without its extension.
    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The lock of a process that has died. This process holds it while it cleans up.
#[derive(Debug)]
pub(crate) struct AbandonedLock {
    path: PathBuf,
    _lock: File,
}

impl AbandonedLock {
    /// Returns the file's path without its extension.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.with_extension("")
    }

    /// Returns the file's name without its extension.
    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Removes the file, once everything of the dead process has been cleaned up.
    pub(crate) fn remove(self) {
        // If it cannot be removed, the next process to look tries again.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the locks in `directory` whose processes have died, except those that another process is
/// cleaning up.
pub(crate) fn abandoned_locks(directory: &Path) -> Result<Vec<AbandonedLock>, StoreError> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
        let path = entry.map_err(io_error("list", directory))?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        // It is gone by now, or this user may not read it: then another process cleans it up.
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            dead.push(AbandonedLock { path, _lock: lock });
        }
    }
    Ok(dead)
}

/// Returns whether no lock file has this path, without its extension. If that cannot be determined,
/// returns false: the process may live.
pub(crate) fn is_gone(path: &Path) -> bool {
    matches!(path.with_added_extension(EXTENSION).try_exists(), Ok(false))
}
