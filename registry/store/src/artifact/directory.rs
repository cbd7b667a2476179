//! The directory that holds published artifacts, and the one in which a process makes new ones.
//!
//! Each process stages in `staging/<pid>-<random>/`, beside the lock of that name that says that it lives
//! ([`crate::liveness`]). Opening a store removes the staging directories of dead processes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::artifact::shared::Shared;
use crate::artifact::{ArtifactKind, Blob, Document, SharedArtifacts, StagedFile, Staging, count_fsync};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::files::{create_private, open_regular};
use crate::liveness::{self, LifeLock};
use crate::registry::Registry;
use crate::table::Table;

const STAGING: &str = "staging";

/// Artifacts by content, in one directory. Cheap to clone; any number of processes may use a directory at once.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    inner: Arc<Inner>,
    /// The place of which the directory is a cache.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    /// Where this process stages; made when first needed, since reading needs none.
    staging: Mutex<Option<StagingDirectory>>,
    next_file: AtomicU64,
    /// What this process wrote or verified, and how the file looked then.
    verified: Mutex<HashMap<(ArtifactKind, Digest), Stamp>>,
}

/// What changes of a file when its bytes do: a user can forge all but the time of the last change of the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A staging directory and the lock that says that its process lives. Dropping it removes both.
#[derive(Debug)]
struct StagingDirectory {
    path: PathBuf,
    _lock: LifeLock,
}

impl ArtifactStore {
    /// Opens the store in `directory`, which is made if missing, and removes what dead processes left behind.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be made or listed.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let staging = directory.join(STAGING);
        create_private(&directory).map_err(io_error("create", &directory))?;
        create_private(&staging).map_err(io_error("create", &staging))?;
        remove_abandoned(&staging)?;
        let inner =
            Inner { directory, staging: Mutex::new(None), next_file: AtomicU64::new(0), verified: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), shared: None })
    }

    /// The same store, whose directory is from now on a cache of a place that several machines
    /// reach: what is published is sent there, what is missing is fetched from there.
    #[must_use]
    pub fn shared_at(self, place: Arc<dyn SharedArtifacts>) -> Self {
        Self { shared: Some(Shared { place, records: None }), ..self }
    }

    /// The same store, which fetches nothing from the shared place that is longer than this
    /// registry has it on record.
    pub(crate) fn recorded_in(self, registry: &Registry) -> Self {
        let shared = self.shared.map(|shared| Shared { records: Some(registry.clone()), ..shared });
        Self { shared, ..self }
    }

    /// The URI of the place of which the directory is a cache, without secrets.
    pub fn shared_uri(&self) -> Option<&str> {
        self.shared().map(|place| place.uri())
    }

    /// The place of which the directory is a cache, if there is one.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn SharedArtifacts>> {
        self.shared.as_ref().map(|shared| &shared.place)
    }

    /// The records of what is at the shared place.
    pub(crate) fn records(&self) -> Option<&Registry> {
        self.shared.as_ref()?.records.as_ref()
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Begins a set of artifacts that will become visible together, or not at all.
    pub fn stage(&self) -> Staging {
        Staging::new(self.clone())
    }

    /// Where the artifact of this kind and digest is, or would be.
    pub fn path(&self, kind: ArtifactKind, digest: &Digest) -> PathBuf {
        self.inner.directory.join(format!("{}.{kind}", digest.to_hex()))
    }

    /// Whether the artifact is in the directory. Does not verify it.
    pub fn contains(&self, kind: ArtifactKind, digest: &Digest) -> bool {
        self.path(kind, digest).is_file()
    }

    /// Whether the artifact can be had: in the directory, or at the shared place. Does not fetch
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the shared place does not say.
    pub fn reaches(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        if self.contains(kind, digest) {
            return Ok(true);
        }
        self.shared().map_or(Ok(false), |shared| Ok(shared.find(kind, digest)?.is_some()))
    }

    /// Brings the artifact into the directory if it is at the shared place alone. Returns the path
    /// that it then has.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is nowhere; as [`ArtifactStore::verify`] if it was fetched and
    /// is not whole.
    pub fn bring(&self, kind: ArtifactKind, digest: &Digest) -> Result<PathBuf, StoreError> {
        if self.contains(kind, digest) || self.fetch(kind, digest)? {
            return Ok(self.path(kind, digest));
        }
        Err(self.missing(kind, digest))
    }

    /// Opens a table and checks its structure, so that a cut or edited file is an error and never a panic. The content is
    /// checked by [`Table::verify`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] or [`StoreError::Io`].
    pub fn open_table(&self, digest: &Digest) -> Result<Table, StoreError> {
        let (file, path) = self.open_file(ArtifactKind::Table, digest)?;
        Table::open(&file, path, *digest)
    }

    /// Opens a blob and verifies its digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::DigestDiffers`] or [`StoreError::Io`].
    pub fn open_blob(&self, digest: &Digest) -> Result<Blob, StoreError> {
        let (file, path) = self.open_file(ArtifactKind::Blob, digest)?;
        Blob::open(file, path, *digest)
    }

    /// Reads a document and verifies its digest. Its media type is in the record of the stage that made it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::DigestDiffers`] or [`StoreError::Io`].
    pub fn open_document(&self, digest: &Digest, media_type: &str) -> Result<Document, StoreError> {
        let (file, path) = self.open_file(ArtifactKind::Document, digest)?;
        Document::open(file, path, *digest, media_type)
    }

    /// Reads an artifact whole and compares it with its digest; how many logical bytes it has. What this process wrote or
    /// verified before is not read again while its file looks the same (identity, size, times of change).
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::DigestDiffers`] or [`StoreError::Io`].
    pub fn verify(&self, kind: ArtifactKind, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.bring(kind, digest)?;
        // Taken before the file is read: what changes meanwhile is seen the next time.
        let stamp = Stamp::of(&path).ok();
        if let Some(stamp) = stamp
            && self.verified().get(&(kind, *digest)) == Some(&stamp)
        {
            return match kind {
                ArtifactKind::Table => Ok(self.open_table(digest)?.bytes()),
                ArtifactKind::Blob | ArtifactKind::Document => Ok(stamp.bytes),
            };
        }
        let bytes = match kind {
            ArtifactKind::Table => {
                let table = self.open_table(digest)?;
                table.verify()?;
                table.bytes()
            }
            ArtifactKind::Blob => self.open_blob(digest)?.size(),
            ArtifactKind::Document => self.open_document(digest, "")?.bytes().len() as u64,
        };
        if let Some(stamp) = stamp {
            self.verified().insert((kind, *digest), stamp);
        }
        Ok(bytes)
    }

    /// Whether what is stored under the name of a staged file is what the name says. Equal bytes are the cheap answer; a file
    /// of another version of this program may differ in its bytes and hold the same, and is read for its digest. One that
    /// cannot be read is not whole.
    pub(crate) fn is_whole(&self, staged: &StagedFile, target: &Path) -> bool {
        let Ok(stamp) = Stamp::of(target) else { return false };
        if self.verified().get(&(staged.kind, staged.digest)) == Some(&stamp) {
            return true;
        }
        // A table is opened from its end on: of a cut one that is no more work than to see that it is cut.
        same_bytes(&staged.file, target).unwrap_or(false) || self.verify(staged.kind, &staged.digest).is_ok()
    }

    /// Notes that this process wrote or verified these bytes under this digest.
    pub(crate) fn note_written(&self, kind: ArtifactKind, digest: Digest) {
        if let Ok(stamp) = Stamp::of(&self.path(kind, &digest)) {
            self.verified().insert((kind, digest), stamp);
        }
    }

    /// Whether this process wrote or verified an artifact, and its file looks as it did.
    pub(crate) fn is_verified(&self, kind: ArtifactKind, digest: &Digest) -> bool {
        let stamp = Stamp::of(&self.path(kind, digest)).ok();
        stamp.is_some() && self.verified().get(&(kind, *digest)).copied() == stamp
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<(ArtifactKind, Digest), Stamp>> {
        // Every change under this lock is a single insertion.
        self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_file(&self, kind: ArtifactKind, digest: &Digest) -> Result<(File, PathBuf), StoreError> {
        let path = self.path(kind, digest);
        let opened = match open_regular(&path) {
            // Fetched, it may be collected before it is opened; then it is missing after all.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.fetch(kind, digest)? => open_regular(&path),
            opened => opened,
        };
        match opened {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.missing(kind, digest)),
            Err(source) => Err(StoreError::Io { action: "open", path, source }),
        }
    }

    fn missing(&self, kind: ArtifactKind, digest: &Digest) -> StoreError {
        let store = self.inner.directory.clone();
        match self.shared() {
            None => StoreError::Missing { kind, digest: *digest, store },
            Some(shared) => {
                StoreError::MissingEverywhere { kind, digest: *digest, store, place: shared.uri().to_owned() }
            }
        }
    }

    /// Creates a new file, readable and writable through the handle only: nobody may open it for writing again.
    pub(crate) fn create_staged(&self) -> Result<(File, PathBuf), StoreError> {
        let number = self.inner.next_file.fetch_add(1, Ordering::Relaxed);
        let path = self.staging_directory()?.join(number.to_string());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o444);
        let file = options.open(&path).map_err(io_error("create", &path))?;
        Ok((file, path))
    }

    fn staging_directory(&self) -> Result<PathBuf, StoreError> {
        // A panic elsewhere cannot leave the option half set.
        let mut staging = self.inner.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(staging) = &*staging {
            return Ok(staging.path.clone());
        }
        let made = StagingDirectory::create(&self.inner.directory.join(STAGING))?;
        Ok(staging.insert(made).path.clone())
    }

    /// Makes renames into the directory last.
    pub(crate) fn sync_directory(&self) -> Result<(), StoreError> {
        sync_directory(&self.inner.directory)
    }
}

/// Bytes compared at a time: small enough for the second-level cache.
const PIECE: usize = 256 << 10;

/// Whether a file, whose handle reads anywhere, and the one at a path have the same bytes.
fn same_bytes(staged: &File, path: &Path) -> io::Result<bool> {
    let stored = File::open(path)?;
    let bytes = staged.metadata()?.len();
    if !stored.metadata()?.is_file() || stored.metadata()?.len() != bytes {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut start = 0;
    while start < bytes {
        let length = (bytes - start).min(PIECE as u64) as usize;
        staged.read_exact_at(&mut left[..length], start)?;
        stored.read_exact_at(&mut right[..length], start)?;
        if left[..length] != right[..length] {
            return Ok(false);
        }
        start += length as u64;
    }
    Ok(true)
}

/// Makes names in a directory last.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    count_fsync();
    File::open(directory).and_then(|it| it.sync_all()).map_err(io_error("synchronise", directory))
}

impl StagingDirectory {
    fn create(parent: &Path) -> Result<Self, StoreError> {
        let lock = LifeLock::create(parent)?;
        let path = lock.path();
        fs::create_dir(&path).map_err(io_error("create", &path))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for StagingDirectory {
    fn drop(&mut self) {
        // What cannot be removed is removed by whoever opens the store next. The lock goes after this.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the staging directories of dead processes.
fn remove_abandoned(staging: &Path) -> Result<(), StoreError> {
    for dead in liveness::dead_locks(staging)? {
        // A failure costs no more than disk space, and the next one to look tries again.
        if removed(&dead.path()) {
            dead.remove();
        }
    }
    // A process that could not remove its directory at its end has removed the lock all the same. The lock is made before
    // the directory and removed after it: a directory without one is nobody's.
    for entry in fs::read_dir(staging).map_err(io_error("list", staging))? {
        let path = entry.map_err(io_error("list", staging))?.path();
        if path.is_dir() && liveness::is_gone(&path) {
            removed(&path);
        }
    }
    Ok(())
}

/// Removes a directory; whether nothing is there any more.
fn removed(directory: &Path) -> bool {
    match fs::remove_dir_all(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
