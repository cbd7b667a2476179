//! The interface to a place that several machines share.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::artifact::kind::ArtifactKind;
use crate::digest::Digest;
use crate::error::StoreError;

/// A place that holds artifacts under their kind and digest.
/// [`ArtifactStore`](crate::ArtifactStore) calls it from any thread.
pub trait SharedArtifacts: fmt::Debug + Send + Sync {
    /// Returns the place's URI without secrets, for messages.
    fn uri(&self) -> &str;

    /// Looks up an artifact.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn find(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SharedArtifact>, StoreError>;

    /// Writes a file of `bytes` bytes, replacing what is there. Atomic: a reader sees all of it, or
    /// what was there before.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if it is not certain that the file was written.
    fn send(&self, kind: ArtifactKind, digest: &Digest, file: &Path, bytes: u64) -> Result<(), StoreError>;

    /// Passes all bytes of an artifact to `sink`, in order.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails before the end; those of `sink`.
    fn fetch(
        &self,
        artifact: &SharedArtifact,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;

    /// Lists all artifacts at the place.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn list(&self) -> Result<Vec<SharedArtifact>, StoreError>;

    /// Removes an artifact. It is not an error if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn remove(&self, artifact: &SharedArtifact) -> Result<(), StoreError>;

    /// Announces to all machines that an artifact is about to be removed, until [`Self::withdraw`].
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn announce(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError>;

    /// Withdraws the announcement of a removal.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn withdraw(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError>;

    /// Returns when the removal of an artifact was announced, by the place's clock; `None` if it is
    /// not announced.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn announced(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SystemTime>, StoreError>;

    /// Returns the time by the place's clock, which may differ from this machine's.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place fails.
    fn now(&self) -> Result<SystemTime, StoreError>;
}

/// A shared place, and the recorded lengths of artifacts.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) place: Arc<dyn SharedArtifacts>,
    pub(super) recorded: Option<RecordedBytes>,
}

/// Looks up the recorded length of an artifact: of a table's values, of another kind's file.
/// Returns `None` if no record refers to the artifact.
pub(crate) type RecordedBytes = Arc<dyn Fn(ArtifactKind, &Digest) -> Result<Option<u64>, StoreError> + Send + Sync>;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An artifact at a shared place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedArtifact {
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The bytes of its file.
    pub bytes: u64,
    /// When it was written, by the place's clock.
    pub modified: SystemTime,
}

impl SharedArtifact {
    /// Returns whether it was written longer than `age` before `now`, a moment of the place's
    /// clock.
    pub(super) fn is_older_than(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.modified).is_ok_and(|elapsed| elapsed > age)
    }
}
