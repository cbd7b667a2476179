//! Sending artifacts to the place that several machines share, and fetching them from there.
//!
//! A store's directory is a cache of that place. An artifact is sent before it is recorded
//! anywhere. What the directory lacks is fetched, and verified before it can be opened. The place
//! is trusted to keep bytes and with nothing else: the digest determines what they must be.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::artifact::blob::{Blob, Document};
use crate::artifact::kind::ArtifactKind;
use crate::artifact::shared::{SharedArtifact, SharedArtifacts};
use crate::artifact::staged::{RemoveOnDrop, StagedFile};
use crate::artifact::store::{ArtifactStore, named};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::table::Table;

/// The most bytes that are fetched of an artifact whose length is not on record, such as a
/// component that no model needs, and of a document, which is read into memory. 1 GiB.
const MAX_UNRECORDED_BYTES: u64 = 1 << 30;

/// The most bytes of a table's file beside its values, however few they are: two copies of its
/// schema. 64 MiB.
const TABLE_OVERHEAD: u64 = 64 << 20;

/// The most bytes of a table's file for each byte of its values. A table of very many columns has
/// short chunks: each column of one takes 112 bytes in the file for 8 bytes of booleans.
const MAX_FILE_TO_VALUES: u64 = 16;

/// The age from which publication sends an artifact again: a collection on another machine may be
/// about to remove it.
const RENEW_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// The age up to which an artifact is not collected: it may be about to be recorded.
pub(crate) const MIN_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// The age from which an announcement counts as abandoned by a collection that died.
const ANNOUNCEMENT_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How long after its announcement an artifact may be removed. With all attempts of a request, the
/// removal is over before [`ANNOUNCEMENT_LIFETIME`].
pub(crate) const REMOVAL_DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait for the end of an announced removal.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(120);

/// How often an artifact is sent again that is missing after it was sent.
const MAX_RESENDS: u32 = 5;

/// The pause between two looks at an announcement.
const PAUSE: Duration = Duration::from_millis(50);

impl ArtifactStore {
    /// Sends a published file to the shared place, if there is one and it lacks the artifact.
    pub(crate) fn share(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let Some(shared) = self.shared() else { return Ok(()) };
        let file = self.path(kind, digest);
        let bytes = fs::metadata(&file).map_err(io_error("look at", &file))?.len();
        let is_old = match shared.find(kind, digest)? {
            // The files of a table may differ between versions of this program although the content
            // is the same. Then this file replaces the other.
            Some(there) if there.bytes == bytes && !there.is_older_than(RENEW_AFTER, SystemTime::now()) => {
                return Ok(());
            }
            there => there.is_some(),
        };
        // A file that was damaged here would replace an undamaged one there.
        if !self.is_verified(kind, digest) {
            self.verify(kind, digest)?;
        }
        // A removed artifact may be removed once more, if the reply to the first request was lost.
        self.wait_for_removal(&**shared, kind, digest)?;
        shared.send(kind, digest, &file, bytes)?;
        if !is_old {
            return Ok(());
        }
        // Another machine may have found the old one a moment ago, and remove the new one in its
        // place.
        for _ in 0..MAX_RESENDS {
            self.wait_for_removal(&**shared, kind, digest)?;
            if shared.find(kind, digest)?.is_some_and(|there| there.bytes == bytes) {
                return Ok(());
            }
            shared.send(kind, digest, &file, bytes)?;
        }
        let problem = format!("it does not have the {bytes} bytes that were sent");
        Err(StoreError::SharedDamaged { place: shared.uri().to_owned(), kind, digest: *digest, problem })
    }

    /// Waits until no removal of the artifact is announced. A removal that is announced after the
    /// artifact was sent finds it young and does not happen.
    fn wait_for_removal(
        &self,
        shared: &dyn SharedArtifacts,
        kind: ArtifactKind,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let Some(since) = shared.announced(kind, digest)? else { return Ok(()) };
        if shared.now()?.duration_since(since).is_ok_and(|age| age > ANNOUNCEMENT_LIFETIME) {
            return Ok(());
        }
        let begin = Instant::now();
        while shared.announced(kind, digest)?.is_some() {
            if begin.elapsed() > REMOVAL_PATIENCE {
                let place = shared.uri().to_owned();
                return Err(StoreError::RemovalUnfinished { place, kind, digest: *digest });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Sends all artifacts of the directory.
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

    /// Renews the age of an artifact that only the shared place has, if a collection there could
    /// soon remove it. Returns whether the place has it.
    pub(super) fn renew_shared(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        let Some(shared) = self.shared() else { return Ok(false) };
        match shared.find(kind, digest)? {
            None => Ok(false),
            Some(there) if !there.is_older_than(RENEW_AFTER, SystemTime::now()) => Ok(true),
            Some(_) => {
                let fetched = self.fetch(kind, digest)?;
                if fetched {
                    self.share(kind, digest)?;
                }
                Ok(fetched)
            }
        }
    }

    /// Fetches an artifact from the shared place into the directory and verifies it. Returns
    /// whether the place has it.
    pub(crate) fn fetch(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        let Some(shared) = self.shared() else { return Ok(false) };
        let Some(there) = shared.find(kind, digest)? else { return Ok(false) };
        let damaged = |problem: String| {
            let place = shared.uri().to_owned();
            StoreError::SharedDamaged { place, kind, digest: *digest, problem }
        };
        self.check_length(&there).map_err(|refused| match refused {
            Refused::Length(problem) => damaged(problem),
            Refused::Records(error) => error,
        })?;
        let (mut file, path) = self.staging_area().create_file()?;
        let mut unfinished = RemoveOnDrop(Some(path.clone()));
        let mut left = there.bytes;
        shared.fetch(&there, &mut |bytes| {
            // No more bytes are kept than the place announced.
            left = left
                .checked_sub(bytes.len() as u64)
                .ok_or_else(|| damaged("it is longer than announced".to_owned()))?;
            std::io::Write::write_all(&mut file, bytes).map_err(io_error("write", &path))
        })?;
        verify(&path, kind, digest)
            .map_err(|problem| damaged(problem.to_string().lines().next().unwrap_or_default().to_owned()))?;
        unfinished.0 = None;
        self.publish_here(StagedFile { path, file, kind, digest: *digest })?;
        Ok(true)
    }

    /// Compares the length that the place announces with the recorded one, before fetching a byte.
    fn check_length(&self, there: &SharedArtifact) -> Result<(), Refused> {
        let recorded = self.recorded_bytes(there.kind, &there.digest)?;
        let SharedArtifact { kind, bytes, .. } = there;
        let problem = match (kind, recorded) {
            (ArtifactKind::Document, _) if *bytes > MAX_UNRECORDED_BYTES => {
                format!("it has {bytes} bytes, and a document at most {MAX_UNRECORDED_BYTES}")
            }
            // The recorded length is that of the values. In the file, headers and padding surround
            // each chunk.
            (ArtifactKind::Table, Some(values)) => {
                let most = values.saturating_mul(MAX_FILE_TO_VALUES).saturating_add(TABLE_OVERHEAD);
                if *bytes <= most {
                    return Ok(());
                }
                format!("it has {bytes} bytes, and a table of {values} at most {most}")
            }
            (_, Some(recorded)) if *bytes != recorded => format!("it has {bytes} bytes, and {recorded} on record"),
            (_, None) if *bytes > MAX_UNRECORDED_BYTES => {
                format!("it has {bytes} bytes, and what no run recorded at most {MAX_UNRECORDED_BYTES}")
            }
            _ => return Ok(()),
        };
        Err(Refused::Length(problem))
    }

    /// Renames a verified file to its place in the directory.
    fn publish_here(&self, staged: StagedFile) -> Result<(), StoreError> {
        let _publishing = self.lock_shared()?;
        let target = self.path(staged.kind, &staged.digest);
        staged.file.sync_data().map_err(io_error("flush", &staged.path))?;
        fs::rename(&staged.path, &target).map_err(io_error("create", &target))?;
        self.note_written(staged.kind, staged.digest);
        self.sync_directory()
    }
}

/// Why an artifact is not fetched.
enum Refused {
    /// It cannot be as long as the place announces.
    Length(String),
    /// The records cannot be read.
    Records(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Records(error)
    }
}

/// Verifies a file's content against its digest.
fn verify(path: &Path, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    match kind {
        ArtifactKind::Table => Table::open(&file, path.to_owned(), *digest)?.verify(),
        ArtifactKind::Blob => Blob::open(file, path.to_owned(), *digest).map(drop),
        ArtifactKind::Document => Document::open(file, path.to_owned(), *digest, "").map(drop),
    }
}
