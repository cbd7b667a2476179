//! Artifacts that several machines reach: the place that they share, of which a store's folder is a
//! cache.
//!
//! Artifacts are sent there before they are recorded anywhere; what the folder lacks is fetched
//! from there, and verified before anybody can open it. The place is trusted with nothing but to
//! keep bytes: a digest says what they must be.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::artifact::{ArtifactKind, ArtifactStore, Blob, Document, RemoveOnDrop, StagedFile};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::table::Table;

/// A place that holds artifacts under their kind and digest.
pub trait SharedArtifacts: std::fmt::Debug + Send + Sync {
    /// The name for people: a URI without secrets.
    fn uri(&self) -> &str;

    /// Looks for an artifact under a digest.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not say.
    fn find(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SharedArtifact>, StoreError>;

    /// Writes a file of `bytes` bytes, whatever is there. Atomic: a reader sees all of it, or what
    /// was there.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if it is not known to be there.
    fn send(&self, kind: ArtifactKind, digest: &Digest, file: &Path, bytes: u64) -> Result<(), StoreError>;

    /// Gives all bytes of an artifact to `sink`, in order.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not give all of them; what `sink` fails with.
    fn fetch(
        &self,
        artifact: &SharedArtifact,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// All that is there.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not say.
    fn list(&self) -> Result<Vec<SharedArtifact>, StoreError>;

    /// Removes an artifact. Gone already is no error.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not do it.
    fn remove(&self, artifact: &SharedArtifact) -> Result<(), StoreError>;
}

/// An artifact at a shared place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedArtifact {
    /// The kind.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
    /// The bytes of its file.
    pub bytes: u64,
    /// When it was written, by the clock of the place.
    pub modified: SystemTime,
}

impl SharedArtifact {
    /// Whether it was written longer ago than `age`.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.modified.elapsed().is_ok_and(|elapsed| elapsed > age)
    }
}

/// The longest document that is fetched, which is then read whole. 1 GiB.
const LONGEST_DOCUMENT: u64 = 1 << 30;

/// An artifact older than this is sent again by whoever publishes it: a collection on another
/// machine may be about to remove it.
const RENEWED_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// An artifact younger than this is not collected: its record may be about to be written.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

impl ArtifactStore {
    /// Sends a published file to the shared place, if there is one and it has not got it.
    pub(crate) fn share(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let Some(shared) = self.shared() else { return Ok(()) };
        let file = self.path(kind, digest);
        let bytes = fs::metadata(&file).map_err(io_error("look at", &file))?.len();
        match shared.find(kind, digest)? {
            // A table's file may differ between versions of this program and hold the same; then
            // the newer one is as good.
            Some(there) if there.bytes == bytes && !there.is_older_than(RENEWED_AFTER) => Ok(()),
            _ => shared.send(kind, digest, &file, bytes),
        }
    }

    /// Sends all that is in the folder.
    pub(crate) fn share_all(&self) -> Result<(), StoreError> {
        let directory = self.directory();
        for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
            let path = entry.map_err(io_error("list", directory))?.path();
            if let Some((kind, digest)) = named(&path) {
                self.share(kind, &digest)?;
            }
        }
        Ok(())
    }

    /// Brings an artifact from the shared place into the folder, verified. Returns whether it was
    /// there.
    pub(crate) fn fetch(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        let Some(shared) = self.shared() else { return Ok(false) };
        let Some(there) = shared.find(kind, digest)? else { return Ok(false) };
        if kind == ArtifactKind::Document && there.bytes > LONGEST_DOCUMENT {
            let problem = format!("it has {} bytes, and a document at most {LONGEST_DOCUMENT}", there.bytes);
            return Err(StoreError::SharedDamaged { place: shared.uri().to_owned(), kind, digest: *digest, problem });
        }
        let (mut file, path) = self.create_staged()?;
        let mut unfinished = RemoveOnDrop(Some(path.clone()));
        shared.fetch(&there, &mut |bytes| {
            std::io::Write::write_all(&mut file, bytes).map_err(io_error("write", &path))
        })?;
        verify(&path, kind, digest).map_err(|problem| StoreError::SharedDamaged {
            place: shared.uri().to_owned(),
            kind,
            digest: *digest,
            problem: problem.to_string().lines().next().unwrap_or_default().to_owned(),
        })?;
        unfinished.0 = None;
        self.publish_here(StagedFile { path, file, kind, digest: *digest })?;
        Ok(true)
    }

    /// Makes a verified file visible in the folder.
    fn publish_here(&self, staged: StagedFile) -> Result<(), StoreError> {
        let _publishing = self.lock_shared()?;
        let target = self.path(staged.kind, &staged.digest);
        staged.file.sync_data().map_err(io_error("flush", &staged.path))?;
        fs::rename(&staged.path, &target).map_err(io_error("create", &target))?;
        self.note_written(staged.kind, staged.digest);
        self.sync_directory()
    }
}

/// The artifact that a file in a store's folder is by its name.
pub(super) fn named(path: &Path) -> Option<(ArtifactKind, Digest)> {
    let digest = Digest::from_hex(path.file_stem()?.to_str()?).ok()?;
    Some((path.extension()?.to_str()?.parse().ok()?, digest))
}

/// Compares a file, whole, with the digest that it should have.
fn verify(path: &Path, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    match kind {
        ArtifactKind::Table => Table::open(&file, path.to_owned(), *digest)?.verify(),
        ArtifactKind::Blob => Blob::open(file, path.to_owned(), *digest).map(drop),
        ArtifactKind::Document => Document::open(file, path.to_owned(), *digest, "").map(drop),
    }
}
