//! The directory that holds published artifacts.

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
    staging: Arc<StagingArea>,
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
        let staging = Arc::new(StagingArea::open(staging)?);
        let inner = Inner { directory, staging, verified: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), shared: None })
    }

    /// The same store, whose directory is from now on a cache of a place that several machines
    /// reach: what is published is sent there, what is missing is fetched from there.
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

    /// Returns the URI of the place of which the directory is a cache, without secrets.
    pub fn shared_uri(&self) -> Option<&str> {
        self.shared().map(|place| place.uri())
    }

    /// Returns the place of which the directory is a cache, if there is one.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn SharedArtifacts>> {
        self.shared.as_ref().map(|shared| &shared.place)
    }

    /// Returns the length that an artifact has by the records.
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

    /// Returns where the artifact of this kind and digest is, or would be.
    pub fn path(&self, kind: ArtifactKind, digest: &Digest) -> PathBuf {
        self.inner.directory.join(format!("{}.{kind}", digest.to_hex()))
    }

    /// Returns whether the artifact is in the directory. Does not verify it.
    pub fn contains(&self, kind: ArtifactKind, digest: &Digest) -> bool {
        self.path(kind, digest).is_file()
    }

    /// Returns whether the artifact can be had: in the directory, or at the shared place. Does not
    /// fetch it.
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

    /// Returns whether what is stored under the name of a staged file is what the name says. Equal
    /// bytes are the cheap answer; a file of another version of this program may differ in its
    /// bytes and hold the same, and is read for its digest. One that cannot be read is not whole.
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

    /// Returns whether this process wrote or verified an artifact, and its file looks as it did.
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

    /// Makes renames into the directory last.
    pub(crate) fn sync_directory(&self) -> Result<(), StoreError> {
        sync_directory(&self.inner.directory)
    }
}

/// Bytes compared at a time: small enough for the second-level cache.
const PIECE: usize = 256 << 10;

/// Returns whether a file, whose handle reads anywhere, and the one at a path have the same bytes.
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

/// Returns the artifact that a file in a store's directory is by its name.
pub(super) fn named(path: &Path) -> Option<(ArtifactKind, Digest)> {
    let digest = Digest::from_hex(path.file_stem()?.to_str()?).ok()?;
    Some((path.extension()?.to_str()?.parse().ok()?, digest))
}
