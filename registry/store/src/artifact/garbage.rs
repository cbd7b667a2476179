//! Garbage: artifacts that nothing reaches, removed beside running pipelines.
//!
//! A pipeline publishes artifacts and records them a moment later; or finds one that is there already and leaves it. So what
//! is younger than a time of grace is never removed, publishing makes what it finds young again, and both hold a lock:
//! publishing a shared one, collecting an exclusive one from looking for what is reachable to removing the rest.

use std::collections::HashSet;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::artifact::shared::{KEPT_FOR, named};
use crate::artifact::{ArtifactKind, ArtifactStore};
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

impl ArtifactStore {
    /// Removes artifacts that are older than `grace` and not among what `reachable` finds, which is called once the store is
    /// locked; with `dry_run` only lists them.
    ///
    /// # Errors
    /// [`StoreError::Io`], or what `reachable` fails with.
    pub fn collect(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: impl FnOnce() -> Result<HashSet<Digest>, StoreError>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let lock = self.directory_file()?;
        lock.lock().map_err(io_error("lock", self.directory()))?;
        let reachable = reachable()?;
        let mut collected = Vec::new();
        let directory = self.directory();
        for entry in fs::read_dir(directory).map_err(io_error("list", directory))? {
            let path = entry.map_err(io_error("list", directory))?.path();
            let Some((kind, digest)) = named(&path) else { continue };
            let metadata = fs::metadata(&path).map_err(io_error("look at", &path))?;
            let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if reachable.contains(&digest) || age.is_none_or(|age| age < grace) {
                continue;
            }
            if !dry_run {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            collected.push(CollectedArtifact { place: None, kind, digest, bytes: metadata.len() });
        }
        collected.extend(self.collect_shared(grace, dry_run, &reachable)?);
        collected
            .sort_by(|one, other| (&one.place, one.digest, one.kind).cmp(&(&other.place, other.digest, other.kind)));
        Ok(collected)
    }

    /// The same at the shared place. No lock holds off other machines: age alone protects what they
    /// publish, so that it is never less than a day.
    fn collect_shared(
        &self,
        grace: Duration,
        dry_run: bool,
        reachable: &HashSet<Digest>,
    ) -> Result<Vec<CollectedArtifact>, StoreError> {
        let Some(shared) = self.shared() else { return Ok(Vec::new()) };
        let grace = grace.max(KEPT_FOR);
        let mut collected = Vec::new();
        for there in shared.list()? {
            if reachable.contains(&there.digest) || !there.is_older_than(grace) {
                continue;
            }
            if !dry_run {
                // Published again since the list was made, it is young again.
                match shared.find(there.kind, &there.digest)? {
                    Some(now) if now.is_older_than(grace) => shared.remove(&now)?,
                    _ => continue,
                }
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
