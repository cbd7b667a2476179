//! Artifacts that several machines reach: the place that they share, of which a store's folder is a
//! cache.
//!
//! Artifacts are sent there before they are recorded anywhere; what the folder lacks is fetched
//! from there, and verified before anybody can open it. The place is trusted with nothing but to
//! keep bytes: a digest says what they must be.

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

/// The longest file that is fetched of an artifact whose length is not on record, such as a
/// component that no model needs; and the longest document, which is then read whole. 1 GiB.
const LONGEST: u64 = 1 << 30;

/// Bytes that the file of a table may have beside its values, however few they are: two copies of
/// its schema. 64 MiB.
const AROUND_A_TABLE: u64 = 64 << 20;

/// How many times as long as its values a table's file may be. A table of very many columns has
/// short chunks: each column of one takes 112 bytes in the file, for 8 bytes of booleans.
const AROUND_A_CHUNK: u64 = 16;

/// An artifact older than this is sent again by whoever publishes it: a collection on another
/// machine may be about to remove it.
const RENEWED_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// An artifact younger than this is not collected: its record may be about to be written.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// An announcement older than this is of a collection that died.
const ANNOUNCED_FOR: Duration = Duration::from_secs(60 * 60);

/// Whoever announced a removal does it within this time, or not at all. With all attempts of a
/// request, it is over before [`ANNOUNCED_FOR`].
pub(crate) const REMOVED_WITHIN: Duration = Duration::from_secs(60);

/// How long somebody waits for the end of an announced removal.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often an artifact is sent that is not there afterwards.
const SENT_AGAIN: u32 = 5;

/// How often somebody who waits looks again.
const PAUSE: Duration = Duration::from_millis(50);

impl ArtifactStore {
    /// Sends a published file to the shared place, if there is one and it has not got it.
    pub(crate) fn share(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let Some(shared) = self.shared() else { return Ok(()) };
        let file = self.path(kind, digest);
        let bytes = fs::metadata(&file).map_err(io_error("look at", &file))?.len();
        let is_old = match shared.find(kind, digest)? {
            // A table's file may differ between versions of this program and hold the same; then
            // the newer one is as good.
            Some(there) if there.bytes == bytes && !there.is_older_than(RENEWED_AFTER, SystemTime::now()) => {
                return Ok(());
            }
            there => there.is_some(),
        };
        // A file that was damaged here would replace one that is whole there.
        if !self.is_verified(kind, digest) {
            self.verify(kind, digest)?;
        }
        // What is gone may be removed once more, where the answer to the first request was lost.
        self.outlast(&**shared, kind, digest)?;
        shared.send(kind, digest, &file, bytes)?;
        if !is_old {
            return Ok(());
        }
        // Another machine may have found the old one a moment ago, and remove the new one for it.
        for _ in 0..SENT_AGAIN {
            self.outlast(&**shared, kind, digest)?;
            if shared.find(kind, digest)?.is_some_and(|there| there.bytes == bytes) {
                return Ok(());
            }
            shared.send(kind, digest, &file, bytes)?;
        }
        let problem = format!("it has not the {bytes} bytes that were sent");
        Err(StoreError::SharedDamaged { place: shared.uri().to_owned(), kind, digest: *digest, problem })
    }

    /// Waits until nobody is about to remove an artifact. Whoever announces its removal after it
    /// was sent finds it young.
    fn outlast(&self, shared: &dyn SharedArtifacts, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let Some(since) = shared.announced(kind, digest)? else { return Ok(()) };
        if shared.now()?.duration_since(since).is_ok_and(|age| age > ANNOUNCED_FOR) {
            return Ok(());
        }
        let begin = Instant::now();
        while shared.announced(kind, digest)?.is_some() {
            if begin.elapsed() > PATIENCE {
                let place = shared.uri().to_owned();
                return Err(StoreError::RemovalUnfinished { place, kind, digest: *digest });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
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

    /// Makes an artifact that is at the shared place alone young again, if a collection there could
    /// take it soon. Returns whether it is there.
    pub(super) fn renew_shared(&self, kind: ArtifactKind, digest: &Digest) -> Result<bool, StoreError> {
        let Some(shared) = self.shared() else { return Ok(false) };
        match shared.find(kind, digest)? {
            None => Ok(false),
            Some(there) if !there.is_older_than(RENEWED_AFTER, SystemTime::now()) => Ok(true),
            Some(_) => {
                let fetched = self.fetch(kind, digest)?;
                if fetched {
                    self.share(kind, digest)?;
                }
                Ok(fetched)
            }
        }
    }

    /// Brings an artifact from the shared place into the folder, verified. Returns whether it was
    /// there.
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
            // Not one byte more is kept than the place announced.
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| damaged("it goes on past its end".to_owned()))?;
            std::io::Write::write_all(&mut file, bytes).map_err(io_error("write", &path))
        })?;
        verify(&path, kind, digest)
            .map_err(|problem| damaged(problem.to_string().lines().next().unwrap_or_default().to_owned()))?;
        unfinished.0 = None;
        self.publish_here(StagedFile { path, file, kind, digest: *digest })?;
        Ok(true)
    }

    /// Compares the length that the place tells with the one on record, before a byte is fetched.
    fn check_length(&self, there: &SharedArtifact) -> Result<(), Refused> {
        let recorded = self.recorded_bytes(there.kind, &there.digest)?;
        let SharedArtifact { kind, bytes, .. } = there;
        let problem = match (kind, recorded) {
            (ArtifactKind::Document, _) if *bytes > LONGEST => {
                format!("it has {bytes} bytes, and a document at most {LONGEST}")
            }
            // What is on record are its values: around each chunk of them stand heads and padding.
            (ArtifactKind::Table, Some(values)) => {
                let most = values.saturating_mul(AROUND_A_CHUNK).saturating_add(AROUND_A_TABLE);
                if *bytes <= most {
                    return Ok(());
                }
                format!("it has {bytes} bytes, and a table of {values} at most {most}")
            }
            (_, Some(recorded)) if *bytes != recorded => format!("it has {bytes} bytes, and {recorded} on record"),
            (_, None) if *bytes > LONGEST => {
                format!("it has {bytes} bytes, and what no run recorded at most {LONGEST}")
            }
            _ => return Ok(()),
        };
        Err(Refused::Length(problem))
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

/// Why an artifact is not fetched.
enum Refused {
    /// It cannot be as long as the place says.
    Length(String),
    /// The records cannot be read.
    Records(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Records(error)
    }
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
