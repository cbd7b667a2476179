//! Garbage of failed promotions at a destination: finding it, and removing it without removing
//! anything that is needed.
//!
//! Age protects a promotion in progress: its objects are younger than the grace period. An old
//! object that a new promotion found and reuses is protected in three ways: the caller says what is
//! reachable; a second check precedes each removal; and the promotion checks again after writing
//! its manifest. Why not a mark at the destination? It would have to be cleaned up too.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use stagewright_store::Digest;

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::layout::{MODELS, OBJECTS, PROBES, manifest_objects, manifest_version, object_digest};
use crate::store::{StoredObject, Unfinished};

/// An object at a destination that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// Its key, relative to the destination.
    pub key: String,
    /// Its kind.
    pub kind: GarbageKind,
    /// Its bytes; 0 for an unfinished upload of a store that does not report them.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// A kind of garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GarbageKind {
    /// An object that no manifest lists.
    Object,
    /// A key that a check wrote and could not remove.
    Probe,
    /// A write that was begun and not completed.
    Unfinished(Unfinished),
}

/// The result of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many were removed.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many were kept, because they are needed by now, or were written again.
    pub kept: usize,
}

impl Destination {
    /// Lists what was written longer than `older_than` ago and belongs to no version: objects that
    /// no manifest lists and that are not `reachable`, unfinished uploads, probes. Removes nothing.
    ///
    /// `reachable` must return true for the objects of every promotion in progress. `older_than`
    /// must exceed the duration of any promotion and the difference of clocks: a day does.
    ///
    /// # Errors
    /// Those of the store; [`PromotionError::Damaged`] if a manifest cannot be read, since the
    /// objects that it needs are then unknown.
    pub fn garbage(
        &self,
        older_than: Duration,
        reachable: &dyn Fn(&Digest) -> bool,
    ) -> Result<Vec<Garbage>, PromotionError> {
        let now = SystemTime::now();
        let is_old = |time: &SystemTime| now.duration_since(*time).is_ok_and(|age| age > older_than);
        // Objects are listed before manifests, so that an object that becomes needed meanwhile is
        // found in its manifest.
        let objects = self.store.list(OBJECTS)?;
        let probes = self.store.list(PROBES)?;
        let unfinished = self.store.unfinished()?;
        let needed = self.needed()?;

        let garbage = |kind: GarbageKind| {
            move |StoredObject { key, size, modified }| Garbage { key, kind: kind.clone(), bytes: size, modified }
        };
        let is_orphan = |entry: &StoredObject| {
            object_digest(&entry.key).is_some_and(|digest| !needed.contains(&digest) && !reachable(&digest))
        };
        // Other registries may have prefixes below this one; their uploads are not this one's
        // garbage.
        let is_ours = |it: &Unfinished| it.key.starts_with(OBJECTS) || it.key.starts_with('.');
        let unfinished = unfinished.into_iter().filter(is_ours).map(|it| Garbage {
            key: it.key.clone(),
            bytes: it.bytes,
            modified: it.started,
            kind: GarbageKind::Unfinished(it),
        });
        let mut found: Vec<Garbage> = objects.into_iter().filter(is_orphan).map(garbage(GarbageKind::Object)).collect();
        found.extend(probes.into_iter().map(garbage(GarbageKind::Probe)));
        found.extend(unfinished);
        found.retain(|it| is_old(&it.modified));
        Ok(found)
    }

    /// Removes garbage that [`Destination::garbage`] listed. Checks each object again before
    /// removing it, and keeps what is needed, reachable or written again by now.
    ///
    /// # Errors
    /// Those of the store. What was not removed is found again.
    pub fn remove(&self, garbage: &[Garbage], reachable: &dyn Fn(&Digest) -> bool) -> Result<Removed, PromotionError> {
        let mut removed = Removed::default();
        let needed = self.needed()?;
        for Garbage { key, kind, bytes, modified } in garbage {
            match kind {
                GarbageKind::Object => {
                    let is_needed = object_digest(key).is_none_or(|it| needed.contains(&it) || reachable(&it));
                    if is_needed || self.store.head(key)?.is_some_and(|entry| is_newer(entry.modified, *modified)) {
                        removed.kept += 1;
                        continue;
                    }
                    self.store.delete(key)?;
                }
                GarbageKind::Probe => self.store.delete(key)?,
                GarbageKind::Unfinished(unfinished) => self.store.abort(unfinished)?,
            }
            removed.count += 1;
            removed.bytes += bytes;
        }
        Ok(removed)
    }

    /// Returns the digests that the manifests list.
    pub(crate) fn needed(&self) -> Result<HashSet<Digest>, PromotionError> {
        let mut needed = HashSet::new();
        for StoredObject { key, .. } in self.store.list(MODELS)? {
            if manifest_version(&key).is_none() {
                continue;
            }
            // Removed since the listing: it needs nothing.
            let Some((manifest, _)) = self.store.get(&key)? else { continue };
            let damaged = |problem| PromotionError::Damaged { uri: self.uri().to_owned(), key: key.clone(), problem };
            needed.extend(manifest_objects(&manifest).map_err(damaged)?.into_iter().map(|object| object.digest));
        }
        Ok(needed)
    }
}

/// Returns whether a time is later than another. S3 lists fractions of seconds that its replies to
/// HEAD lack.
fn is_newer(time: SystemTime, than: SystemTime) -> bool {
    time.duration_since(than).is_ok_and(|later| later >= Duration::from_secs(1))
}
