//! Garbage: artifacts that nothing reaches, removed beside running pipelines.
//!
//! A pipeline publishes artifacts and records them a moment later; or finds one that is there already and leaves it. So what
//! is younger than a time of grace is never removed, publishing makes what it finds young again, and both hold a lock:
//! publishing a shared one, collecting an exclusive one from looking for what is reachable to removing the rest.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use crate::artifact::kind::ArtifactKind;
use crate::artifact::shared::{SharedArtifact, SharedArtifacts};
use crate::artifact::sharing::{KEPT_FOR, REMOVED_WITHIN};
use crate::artifact::store::{ArtifactStore, named};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};

/// An artifact that nothing reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedArtifact {
    /// The shared place that it was at; `None`: in the store's directory.
    pub place: Option<String>,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
    /// The bytes of its file.
    pub bytes: u64,
}

/// An artifact's file.
struct Stored {
    artifact: CollectedArtifact,
    /// For how long it has not been published; `None`: for less than nothing, by this clock.
    age: Option<Duration>,
}

impl Stored {
    fn is_older_than(&self, grace: Duration) -> bool {
        self.age.is_some_and(|age| age >= grace)
    }
}

impl ArtifactStore {
    /// Removes artifacts that are older than `grace` and not among what `reachable` finds, which is
    /// called once the store is locked; with `dry_run` only lists them. `reachable` is told for how
    /// long a deleted run still counts: in the folder not at all, at a shared place as long as
    /// nothing is collected there, since a run of another machine may be about to take its
    /// artifacts over.
    ///
    /// # Errors
    /// [`StoreError::Io`], or what `reachable` fails with.
    pub fn collect(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: impl Fn(Duration) -> Result<HashSet<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let _collecting = self.lock_exclusive()?;
        let needed = reachable(Duration::ZERO)?;
        let mut collected = self.stored()?;
        collected.retain(|it| !needed.contains(&it.artifact.digest) && it.is_older_than(grace));
        let mut collected: Vec<CollectedArtifact> = self.removed(collected, dry_run)?;
        collected.extend(self.collect_shared(grace, dry_run, reachable)?);
        collected
            .sort_by(|one, other| (&one.place, one.digest, one.kind).cmp(&(&other.place, other.digest, other.kind)));
        Ok(collected)
    }

    /// Removes artifacts in this order until what is stored has at most `most` bytes; those that
    /// are younger than `grace` stay. `order` is asked once the store is locked, and names what may
    /// go; with `dry_run` this only lists. Returns what it removed, in order.
    ///
    /// # Errors
    /// [`StoreError::Io`], or what `order` fails with.
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
        self.removed(evicted, dry_run)
    }

    /// Makes artifacts young again, so that no collection takes them before they are recorded once
    /// more, here and at the shared place; whether all of them were there.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the store cannot be locked; [`StoreError::Shared`] if the shared place
    /// does not say, or not take it; as [`ArtifactStore::verify`] if one was fetched and is not
    /// whole.
    pub fn renew(&self, artifacts: &[(ArtifactKind, Digest)]) -> Result<bool, StoreError> {
        let _publishing = self.lock_shared()?;
        let renewed = |(kind, digest): &(ArtifactKind, Digest)| {
            let path = self.path(*kind, digest);
            if !self.contains(*kind, digest) {
                return self.renew_shared(*kind, digest);
            }
            // Of an artifact of another user, who publishes it, its owner keeps the time.
            let Ok(file) = File::open(&path) else { return Ok(self.contains(*kind, digest)) };
            let is_verified = self.is_verified(*kind, digest);
            if file.set_modified(SystemTime::now()).is_ok() && is_verified {
                self.note_written(*kind, *digest);
            }
            // It may have been made here before the place was named, or be about to be collected.
            match self.share(*kind, digest) {
                // Who asks makes it once more.
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

    /// All that is stored.
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

    fn removed(&self, artifacts: Vec<Stored>, dry_run: bool) -> Result<Vec<CollectedArtifact>, StoreError> {
        let removed = |Stored { artifact, .. }: Stored| {
            if !dry_run {
                let path = self.path(artifact.kind, &artifact.digest);
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            Ok(artifact)
        };
        artifacts.into_iter().map(removed).collect()
    }

    /// Keeps everybody from publishing.
    fn lock_exclusive(&self) -> Result<File, StoreError> {
        let lock = self.directory_file()?;
        lock.lock().map_err(io_error("lock", self.directory()))?;
        Ok(lock)
    }

    /// The same at the shared place. No lock holds off other machines: age protects what they
    /// publish, so that it is never less than a day, by the clock of the place; and what they send
    /// again at the last moment is sent once more after a removal that was announced.
    fn collect_shared(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: impl Fn(Duration) -> Result<HashSet<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let Some(shared) = self.shared() else { return Ok(Vec::new()) };
        let (grace, now) = (grace.max(KEPT_FOR), shared.now()?);
        // After the clock, so that whatever is recorded later was young then.
        let reachable = reachable(grace)?;
        let mut collected = Vec::new();
        for there in shared.list()? {
            if reachable.contains(&there.digest) || !there.is_older_than(grace, now) {
                continue;
            }
            if !dry_run && !is_removed(&**shared, &there, grace, now)? {
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

    /// The directory itself, which can be locked as a file can.
    fn directory_file(&self) -> Result<File, StoreError> {
        File::open(self.directory()).map_err(io_error("open", self.directory()))
    }
}

/// Removes an artifact at a shared place, if it is as old as it was when it was listed. Returns
/// whether it did.
fn is_removed(
    shared: &dyn SharedArtifacts,
    listed: &SharedArtifact,
    grace: Duration,
    now: SystemTime,
) -> Result<bool, StoreError> {
    let (kind, digest) = (listed.kind, &listed.digest);
    let begin = Instant::now();
    if let Err(error) = shared.announce(kind, digest) {
        // It may have come there, and its answer not here: whoever sends the artifact would wait.
        let _ = shared.withdraw(kind, digest);
        return Err(error);
    }
    // Sent again since the list was made, it is young again. Sent again from here on, it is sent
    // once more by whoever does it, when this is over.
    let removed = match shared.find(kind, digest) {
        Ok(Some(there)) if there.is_older_than(grace, now) && begin.elapsed() < REMOVED_WITHIN => {
            shared.remove(&there).map(|()| true)
        }
        Ok(_) => Ok(false),
        Err(error) => Err(error),
    };
    // What went wrong first is what to tell.
    let withdrawn = shared.withdraw(kind, digest);
    let removed = removed?;
    withdrawn?;
    Ok(removed)
}
