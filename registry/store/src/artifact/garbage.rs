//! Garbage collection: removing artifacts that nothing refers to, beside running pipelines.
//!
//! A pipeline publishes artifacts and records them a moment later, or finds an artifact that exists
//! already and leaves it in place. So nothing younger than a grace period is removed, and
//! publishing an artifact again renews its age. Publication holds a shared lock. Collection holds
//! an exclusive one, from the query for what is reachable until the last removal.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use crate::artifact::kind::ArtifactKind;
use crate::artifact::parts::PARTS_LIFETIME;
use crate::artifact::shared::{SharedArtifact, SharedArtifacts};
use crate::artifact::sharing::{MIN_GRACE, REMOVAL_DEADLINE};
use crate::artifact::store::{ArtifactStore, named};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};

/// An artifact that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedArtifact {
    /// The shared place of the artifact; `None`: the store's directory.
    pub place: Option<String>,
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The bytes of its file.
    pub bytes: u64,
}

/// An artifact's file.
struct Stored {
    artifact: CollectedArtifact,
    /// The time since it was published; `None` if its file's time lies in the future.
    age: Option<Duration>,
}

impl Stored {
    fn is_older_than(&self, grace: Duration) -> bool {
        self.age.is_some_and(|age| age >= grace)
    }
}

impl ArtifactStore {
    /// Removes artifacts that are older than `grace` and that `reachable` does not return. With
    /// `dry_run`, only lists them. `reachable` is called once the store is locked.
    ///
    /// Its argument is how long a deleted run still counts: not at all for the directory; for a
    /// shared place the grace period there, since a run of another machine may be about to reuse
    /// its artifacts.
    ///
    /// # Errors
    /// [`StoreError::Io`], or those of `reachable`.
    pub fn collect(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: impl Fn(Duration) -> Result<HashSet<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let _collecting = self.lock_exclusive()?;
        if !dry_run {
            self.collect_parts(PARTS_LIFETIME)?;
        }
        let needed = reachable(Duration::ZERO)?;
        let mut collected = self.stored()?;
        collected.retain(|it| !needed.contains(&it.artifact.digest) && it.is_older_than(grace));
        let mut collected: Vec<CollectedArtifact> = self.remove_files(collected, dry_run)?;
        collected.extend(self.collect_shared(grace, dry_run, reachable)?);
        collected
            .sort_by(|one, other| (&one.place, one.digest, one.kind).cmp(&(&other.place, other.digest, other.kind)));
        Ok(collected)
    }

    /// Removes artifacts in the order of `order` until those stored have at most `most` bytes.
    /// Artifacts younger than `grace` stay. With `dry_run`, only lists them. `order` is called once
    /// the store is locked and returns what may be removed. Returns what was removed, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`], or those of `order`.
    pub fn evict(
        &self,
        most: u64,
        grace: Duration,
        dry_run: bool,
        order: impl FnOnce() -> Result<Vec<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let _collecting = self.lock_exclusive()?;
        let order: HashMap<Digest, usize> = order()?.into_iter().zip(0..).collect();
        let mut stored = self.stored()?;
        let mut bytes: u64 = stored.iter().map(|it| it.artifact.bytes).sum();
        stored.retain(|it| order.contains_key(&it.artifact.digest) && it.is_older_than(grace));
        stored.sort_by_key(|it| (order[&it.artifact.digest], it.artifact.kind));
        let mut evicted = Vec::new();
        for it in stored {
            if bytes <= most {
                break;
            }
            bytes -= it.artifact.bytes;
            evicted.push(it);
        }
        self.remove_files(evicted, dry_run)
    }

    /// Renews the age of artifacts, here and at the shared place, so that no collection removes
    /// them before they are recorded once more. Returns whether all of them exist.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store cannot be locked; [`StoreError::Shared`] if the shared place
    /// fails; as [`ArtifactStore::verify`] if one was fetched and is damaged.
    pub fn renew(&self, artifacts: &[(ArtifactKind, Digest)]) -> Result<bool, StoreError> {
        let _publishing = self.lock_shared()?;
        let renewed = |(kind, digest): &(ArtifactKind, Digest)| {
            let path = self.path(*kind, digest);
            if !self.contains(*kind, digest) {
                return self.renew_shared(*kind, digest);
            }
            // The file belongs to another user: only its owner can set its time.
            let Ok(file) = File::open(&path) else { return Ok(self.contains(*kind, digest)) };
            let is_verified = self.is_verified(*kind, digest);
            if file.set_modified(SystemTime::now()).is_ok() && is_verified {
                self.note_written(*kind, *digest);
            }
            // It may have been made before the place was named, or be about to be collected there.
            match self.share(*kind, digest) {
                // The caller makes it once more.
                Err(StoreError::Damaged { .. } | StoreError::DigestDiffers { .. }) => Ok(false),
                shared => shared.map(|()| true),
            }
        };
        for artifact in artifacts {
            if !renewed(artifact)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns all artifacts in the directory.
    fn stored(&self) -> Result<Vec<Stored>, StoreError> {
        let directory = self.directory();
        let mut stored = Vec::new();
        for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
            let path = entry.map_err(io_error("list", directory))?.path();
            let Some((kind, digest)) = named(&path) else { continue };
            let metadata = fs::metadata(&path).map_err(io_error("look at", &path))?;
            let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            stored
                .push(Stored { artifact: CollectedArtifact { place: None, kind, digest, bytes: metadata.len() }, age });
        }
        Ok(stored)
    }

    fn remove_files(&self, artifacts: Vec<Stored>, dry_run: bool) -> Result<Vec<CollectedArtifact>, StoreError> {
        let removed = |Stored { artifact, .. }: Stored| {
            if !dry_run {
                let path = self.path(artifact.kind, &artifact.digest);
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            Ok(artifact)
        };
        artifacts.into_iter().map(removed).collect()
    }

    /// Waits for publications to end, and holds new ones off.
    fn lock_exclusive(&self) -> Result<File, StoreError> {
        let lock = self.directory_file()?;
        lock.lock().map_err(io_error("lock", self.directory()))?;
        Ok(lock)
    }

    /// Collects garbage at the shared place. No lock holds off other machines. Instead, the grace
    /// period is at least a day by the place's clock, and an artifact that is sent again while its
    /// removal is announced is sent once more afterwards.
    fn collect_shared(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: impl Fn(Duration) -> Result<HashSet<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let Some(shared) = self.shared() else { return Ok(Vec::new()) };
        let (grace, now) = (grace.max(MIN_GRACE), shared.now()?);
        // Queried after the clock, so that whatever is recorded later was young then.
        let reachable = reachable(grace)?;
        let mut collected = Vec::new();
        for there in shared.list()? {
            if reachable.contains(&there.digest) || !there.is_older_than(grace, now) {
                continue;
            }
            if !dry_run && !remove_unless_renewed(&**shared, &there, grace, now)? {
                continue;
            }
            let place = Some(shared.uri().to_owned());
            collected.push(CollectedArtifact { place, kind: there.kind, digest: there.digest, bytes: there.bytes });
        }
        Ok(collected)
    }

    /// Holds collections off while artifacts are published.
    pub(crate) fn lock_shared(&self) -> Result<File, StoreError> {
        let lock = self.directory_file()?;
        lock.lock_shared().map_err(io_error("lock", self.directory()))?;
        Ok(lock)
    }

    /// Opens the directory, which can be locked as a file can.
    fn directory_file(&self) -> Result<File, StoreError> {
        File::open(self.directory()).map_err(io_error("open", self.directory()))
    }
}

/// Removes an artifact at a shared place, if it has not been renewed since it was listed. Returns
/// whether it did.
fn remove_unless_renewed(
    shared: &dyn SharedArtifacts,
    listed: &SharedArtifact,
    grace: Duration,
    now: SystemTime,
) -> Result<bool, StoreError> {
    let (kind, digest) = (listed.kind, &listed.digest);
    let begin = Instant::now();
    if let Err(error) = shared.announce(kind, digest) {
        // The announcement may have been written although its reply was lost. Machines that send
        // the artifact would wait for it.
        let _ = shared.withdraw(kind, digest);
        return Err(error);
    }
    // If it was sent again since it was listed, it is young again. If it is sent from here on, its
    // sender sends it once more after this removal.
    let removed = match shared.find(kind, digest) {
        Ok(Some(there)) if there.is_older_than(grace, now) && begin.elapsed() < REMOVAL_DEADLINE => {
            shared.remove(&there).map(|()| true)
        }
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    };
    // The first error is the one to return.
    let withdrawn = shared.withdraw(kind, digest);
    let removed = removed?;
    withdrawn?;
    Ok(removed)
}
