//! Files of artifacts before they are published.
//!
//! Each process writes them in `staging/<pid>-<random>/`, beside the lock of that name that shows
//! that it lives ([`crate::liveness`]). Opening a store removes the directories of dead processes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::artifact::kind::ArtifactKind;
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::liveness::{self, LivenessLock};

/// A complete file that waits to be published. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) kind: ArtifactKind,
    pub(crate) digest: Digest,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // After publication there is nothing under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes an unfinished file when its writer is dropped.
#[derive(Debug)]
pub(crate) struct RemoveOnDrop(pub(crate) Option<PathBuf>);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // If it cannot be removed now, whoever opens the store after this process does it.
            let _ = fs::remove_file(path);
        }
    }
}

/// The files of one set of artifacts that will be published together. Clones share the set.
#[derive(Clone, Debug)]
pub(crate) struct StagedFiles {
    area: Arc<StagingArea>,
    finished: Arc<Mutex<Vec<StagedFile>>>,
}

impl StagedFiles {
    pub(super) fn new(area: Arc<StagingArea>) -> Self {
        Self { area, finished: Arc::default() }
    }

    /// Creates a file, as [`StagingArea::create_file`] does.
    pub(crate) fn create_file(&self) -> Result<(File, PathBuf), StoreError> {
        self.area.create_file()
    }

    /// Adds a complete file to the set.
    pub(crate) fn add(&self, file: StagedFile) {
        self.finished().push(file);
    }

    pub(super) fn finished(&self) -> MutexGuard<'_, Vec<StagedFile>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where this process writes new files.
#[derive(Debug)]
pub(super) struct StagingArea {
    /// The directory that holds those of all processes.
    parent: PathBuf,
    /// Created when first needed, since reading needs none.
    own: Mutex<Option<StagingDirectory>>,
    next_file: AtomicU64,
}

impl StagingArea {
    /// Removes what dead processes left in `parent`, which exists.
    pub(super) fn open(parent: PathBuf) -> Result<Self, StoreError> {
        remove_abandoned(&parent)?;
        Ok(Self::unlisted(parent))
    }

    /// Leaves `parent` as it is, whether it exists or not.
    pub(super) fn unlisted(parent: PathBuf) -> Self {
        Self { parent, own: Mutex::new(None), next_file: AtomicU64::new(0) }
    }

    /// Creates a file that is read and written through its handle alone: its mode lets nobody open
    /// it for writing again.
    pub(super) fn create_file(&self) -> Result<(File, PathBuf), StoreError> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let path = self.own_directory()?.join(number.to_string());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o444);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        Ok((file, path))
    }

    fn own_directory(&self) -> Result<PathBuf, StoreError> {
        // A panic elsewhere cannot leave the option half set.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = &*own {
            return Ok(own.path.clone());
        }
        let created = StagingDirectory::create(&self.parent)?;
        Ok(own.insert(created).path.clone())
    }
}

/// The directory of one process, and the lock that shows that the process lives. Dropping it
/// removes both.
#[derive(Debug)]
struct StagingDirectory {
    path: PathBuf,
    _lock: LivenessLock,
}

impl StagingDirectory {
    fn create(parent: &Path) -> Result<Self, StoreError> {
        let lock = LivenessLock::create(parent)?;
        let path = lock.path();
        fs::create_dir(&path).map_err(io_error("create", &path))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for StagingDirectory {
    fn drop(&mut self) {
        // Whoever opens the store next removes what this cannot. The lock is dropped after this.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the staging directories of dead processes.
fn remove_abandoned(parent: &Path) -> Result<(), StoreError> {
    for abandoned in liveness::abandoned_locks(parent)? {
        // A failure costs disk space alone, and the next process to open the store tries again.
        if removed(&abandoned.path()) {
            abandoned.remove();
        }
    }
    // A process that could not remove its directory at its end has removed its lock all the same.
    // The lock is created before the directory and removed after it, so that a directory without
    // one belongs to no process.
    for entry in fs::read_dir(parent).map_err(io_error("list", parent))? {
        let path = entry.map_err(io_error("list", parent))?.path();
        if path.is_dir() && liveness::is_gone(&path) {
            removed(&path);
        }
    }
    Ok(())
}

/// Removes a directory. Returns whether nothing is there any more.
fn removed(directory: &Path) -> bool {
    match fs::remove_dir_all(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
