//! What the store needs of a place that several machines share.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::artifact::kind::ArtifactKind;
use crate::digest::Digest;
use crate::error::StoreError;

/// A place that holds artifacts under their kind and digest.
pub trait SharedArtifacts: fmt::Debug + Send + Sync {
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

    /// Tells all machines that an artifact is about to be removed, until [`Self::withdraw`].
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not take it.
    fn announce(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError>;

    /// Tells all machines that an artifact is not about to be removed any more.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not do it.
    fn withdraw(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError>;

    /// Since when an artifact is about to be removed, by the clock of the place; `None`: it is not.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not say.
    fn announced(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SystemTime>, StoreError>;

    /// The time by the clock of the place, which may be another than this machine's.
    ///
    /// # Errors
    /// [`StoreError::Shared`] if the place does not say.
    fn now(&self) -> Result<SystemTime, StoreError>;
}

/// A shared place, and the records of what is there.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) place: Arc<dyn SharedArtifacts>,
    pub(super) recorded: Option<RecordedBytes>,
}

/// Looks up how long an artifact is by the records: of a table its values, of another kind its file.
/// `None` if nothing on record refers to it.
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
    /// Its content.
    pub digest: Digest,
    /// The bytes of its file.
    pub bytes: u64,
    /// When it was written, by the clock of the place.
    pub modified: SystemTime,
}

impl SharedArtifact {
    /// Whether it was written longer ago than `age` at a moment of the place's clock.
    pub(super) fn is_older_than(&self, age: Duration, now: SystemTime) -> bool {
        now.duration_since(self.modified).is_ok_and(|elapsed| elapsed > age)
    }
}
