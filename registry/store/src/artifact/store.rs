//! The directory of published artifacts.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::artifact::blob::{Blob, Document};
use crate::artifact::kind::ArtifactKind;
use crate::artifact::shared::{RecordedBytes, Shared, SharedArtifacts};
use crate::artifact::staged::{StagedFile, StagingArea};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::files::{create_private, open_regular};
use crate::fsyncs::sync_directory;
use crate::table::Table;

const STAGING: &str = "staging";

/// Artifacts by digest, in one directory. Cheap to clone; any number of processes may use a
/// directory at once.
#[derive(Clone, Debug)]
pub struct ArtifactStore {
    inner: Arc<Inner>,
    /// The place that the directory is a cache of.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    staging: Arc<StagingArea>,
    /// The artifacts that this process wrote or verified, and the stamps of their files at that
    /// time.
    verified: Mutex<HashMap<(ArtifactKind, Digest), Stamp>>,
}

/// The metadata of a file that change when its bytes do. A user can forge all of them but the time
/// of the last change of the inode.
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

impl ArtifactStore {
    /// Opens the store in `directory`, which is created if missing. Removes what dead processes
    /// left behind.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the directory cannot be created or listed.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let staging = directory.join(STAGING);
        create_private(&directory).map_err(io_error("create", &directory))?;
        create_private(&staging).map_err(io_error("create", &staging))?;
        let staging = Arc::new(StagingArea::open(staging)?);
        let inner = Inner { directory, staging, verified: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), shared: None })
    }

    /// Opens the store in `directory` to read from it. Nothing is created or removed, not even what
    /// dead processes left behind.
    pub fn open_to_read(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let staging = Arc::new(StagingArea::unlisted(directory.join(STAGING)));
        let inner = Inner { directory, staging, verified: Mutex::default() };
        Self { inner: Arc::new(inner), shared: None }
    }

    /// Returns the same store, with its directory as a cache of a place that several machines
    /// reach. Published artifacts are sent there, missing ones are fetched from there.
    #[must_use]
    pub fn shared_at(self, place: Arc<dyn SharedArtifacts>) -> Self {
        Self { shared: Some(Shared { place, recorded: None }), ..self }
    }

    /// Returns the same store, which fetches nothing from the shared place that is longer than the
    /// records say.
    pub(crate) fn with_recorded_bytes(self, recorded: RecordedBytes) -> Self {
        let shared = self.shared.map(|shared| Shared { recorded: Some(recorded), ..shared });
        Self { shared, ..self }
    }

    /// Returns the URI of the shared place, without secrets.
    pub fn shared_uri(&self) -> Option<&str> {
        self.shared().map(|place| place.uri())
    }

    /// Returns the shared place, if there is one.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn SharedArtifacts>> {
        self.shared.as_ref().map(|shared| &shared.place)
    }

    /// Returns the recorded length of an artifact.
    pub(super) fn recorded_bytes(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<u64>, StoreError> {
        match self.shared.as_ref().and_then(|shared| shared.recorded.as_ref()) {
            Some(recorded) => recorded(kind, digest),
            None => Ok(None),
        }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Returns the path that an artifact has in the directory, whether it is there or not.
    pub fn path(&self, kind: ArtifactKind, digest: &Digest) -> PathBuf {
        self.inner.directory.join(format!("{}.{kind}", digest.to_hex()))
    }

    /// Returns whether the artifact is in the directory, without verifying it.
    pub fn contains(&self, kind: ArtifactKind, digest: &Digest) -> bool {
        self.path(kind, digest).is_file()
    }

    /// Returns whether the artifact is in the directory or at the shared place, without fetching
    /// it.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the shared place fails.
    pub fn reaches(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        if self.contains(kind, digest) {
            return Ok(true);
        }
        self.shared().map_or(Ok(false), |shared| Ok(shared.find(kind, digest)?.is_some()))
    }

    /// Fetches the artifact if it is only at the shared place. Returns its path in the directory.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if it is in neither place; as [`ArtifactStore::verify`] if it was
    /// fetched and is damaged.
    pub fn fetch_if_missing(&self, kind: ArtifactKind, digest: &Digest) -> Result<PathBuf, StoreError> {
        if self.contains(kind, digest) || self.fetch(kind, digest)? {
            return Ok(self.path(kind, digest));
        }
        Err(self.missing(kind, digest))
    }

    /// Opens a table and checks its structure, so that a cut or edited file is an error and never a
    /// panic. [`Table::verify`] checks the content.
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

    /// Reads a document and verifies its digest. Its media type is in the record of the stage that
    /// made it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::DigestDiffers`] or [`StoreError::Io`].
    pub fn open_document(&self, digest: &Digest, media_type: &str) -> Result<Document, StoreError> {
        let (file, path) = self.open_file(ArtifactKind::Document, digest)?;
        Document::open(file, path, *digest, media_type)
    }

    /// Reads all of an artifact and compares it with its digest. Returns its number of logical
    /// bytes. An artifact that this process wrote or verified before is not read again while its
    /// file looks unchanged (identity, size, times of change).
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::DigestDiffers`] or
    /// [`StoreError::Io`].
    pub fn verify(&self, kind: ArtifactKind, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.fetch_if_missing(kind, digest)?;
        // Taken before the file is read, so that a change meanwhile is seen the next time.
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

    /// Returns whether the file that already has a staged file's digest for a name also has that
    /// content. Comparing bytes is cheap. A file of another version of this program may differ in
    /// bytes and have the same content; it is read for its digest. A file that cannot be read does
    /// not count.
    pub(crate) fn is_whole(&self, staged: &StagedFile, target: &Path) -> bool {
        let Ok(stamp) = Stamp::of(target) else { return false };
        if self.verified().get(&(staged.kind, staged.digest)) == Some(&stamp) {
            return true;
        }
        // Opening a table starts at its end, so that a cut file costs little.
        same_bytes(&staged.file, target).unwrap_or(false) || self.verify(staged.kind, &staged.digest).is_ok()
    }

    /// Notes that this process wrote or verified an artifact.
    pub(crate) fn note_written(&self, kind: ArtifactKind, digest: Digest) {
        if let Ok(stamp) = Stamp::of(&self.path(kind, &digest)) {
            self.verified().insert((kind, digest), stamp);
        }
    }

    /// Returns whether this process wrote or verified an artifact and its file looks unchanged.
    pub(crate) fn is_verified(&self, kind: ArtifactKind, digest: &Digest) -> bool {
        let stamp = Stamp::of(&self.path(kind, digest)).ok();
        stamp.is_some() && self.verified().get(&(kind, *digest)).copied() == stamp
    }

    fn verified(&self) -> MutexGuard<'_, HashMap<(ArtifactKind, Digest), Stamp>> {
        // Every change under this lock is a single insertion, which a panic cannot leave half done.
        self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open_file(&self, kind: ArtifactKind, digest: &Digest) -> Result<(File, PathBuf), StoreError> {
        let path = self.path(kind, digest);
        let opened = match open_regular(&path) {
            // A collection may remove it between fetching and opening. Then it is missing after
            // all.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.fetch(kind, digest)? => open_regular(&path),
            opened => opened,
        };
        match opened {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.missing(kind, digest)),
            Err(source) => Err(StoreError::Io { action: "open", path, source }),
        }
    }

    pub(super) fn staging_area(&self) -> &Arc<StagingArea> {
        &self.inner.staging
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

    /// Flushes renames into the directory.
    pub(crate) fn sync_directory(&self) -> Result<(), StoreError> {
        sync_directory(&self.inner.directory)
    }
}

/// Bytes compared at a time: small enough for the second-level cache.
const PIECE: usize = 256 << 10;

/// Returns whether a staged file and the file at a path have the same bytes.
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

/// Returns the artifact that a file of a store's directory holds, by its name.
pub(super) fn named(path: &Path) -> Option<(ArtifactKind, Digest)> {
    let digest = Digest::from_hex(path.file_stem()?.to_str()?).ok()?;
    Some((path.extension()?.to_str()?.parse().ok()?, digest))
}
