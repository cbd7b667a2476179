//! The artifacts of several machines, in a bucket or a directory that all of them reach.
//!
//! Uses the same object stores as [`Destination`], with other keys:
//! `artifacts/HEX.KIND`. Nothing under a key ever changes, so that no write needs a condition.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use stagewright_store::{ArtifactKind, Digest, SharedArtifact, SharedArtifacts, StoreError};

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::settings::Settings;
use crate::store::{ObjectStore, StoredObject};

/// The prefix of the keys of artifacts.
const ARTIFACTS: &str = "artifacts/";

/// The prefix of the keys that announce the removal of an artifact.
const REMOVALS: &str = "removals/";

/// A bucket or a directory that holds the artifacts of several machines.
#[derive(Clone, Debug)]
pub struct ArtifactObjects {
    store: Arc<dyn ObjectStore>,
}

impl ArtifactObjects {
    /// Opens a place by its URI, as [`Destination::open`] does. Makes no request and creates
    /// nothing.
    ///
    /// # Errors
    /// As [`Destination::open`].
    pub fn open(uri: &str, settings: &Settings) -> Result<Self, PromotionError> {
        Ok(Self { store: Destination::open(uri, settings)?.store })
    }

    /// Checks whether artifacts can be written, read and removed here: credentials, bucket,
    /// permissions. Call it before a training, not after it.
    ///
    /// # Errors
    /// The obstacle, with its fix.
    pub fn check(&self) -> Result<(), PromotionError> {
        self.probe().map(drop)
    }

    /// Writes a key, reads its time and removes it.
    fn probe(&self) -> Result<SystemTime, PromotionError> {
        let random = empty_file()?;
        let random = random.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "");
        let key = format!("{}{}-{random}", crate::layout::PROBES, std::process::id());
        let written = self.write_empty(&key).and_then(|()| self.store.head(&key));
        // The first error is the one to return.
        let removed = self.store.delete(&key);
        let written = written?;
        removed?;
        let vanished = || {
            let problem = "it was written a moment ago and is not there".to_owned();
            PromotionError::Damaged { uri: self.store.uri().to_owned(), key, problem }
        };
        Ok(written.ok_or_else(vanished)?.modified)
    }

    fn write_empty(&self, key: &str) -> Result<(), PromotionError> {
        self.store.put_file(key, empty_file()?.path(), 0, &|_| {})
    }

    fn failed(&self, action: &str, kind: ArtifactKind, digest: &Digest, source: PromotionError) -> StoreError {
        self.fault(format!("{action} {kind} `{digest}`"), source)
    }

    fn fault(&self, action: String, source: PromotionError) -> StoreError {
        StoreError::Shared { action, place: self.store.uri().to_owned(), source: Box::new(source) }
    }
}

fn key(kind: ArtifactKind, digest: &Digest) -> String {
    format!("{ARTIFACTS}{}.{kind}", digest.to_hex())
}

/// Returns the key that announces the removal of an artifact.
fn removal(kind: ArtifactKind, digest: &Digest) -> String {
    format!("{REMOVALS}{}.{kind}", digest.to_hex())
}

fn empty_file() -> Result<tempfile::NamedTempFile, PromotionError> {
    let failed = |source| PromotionError::Io { action: "create a file in", path: std::env::temp_dir(), source };
    tempfile::NamedTempFile::new().map_err(failed)
}

/// Returns the artifact under a key; `None` for other keys.
fn artifact(entry: &StoredObject) -> Option<SharedArtifact> {
    let (hex, kind) = entry.key.strip_prefix(ARTIFACTS)?.split_once('.')?;
    let (digest, kind) = (Digest::from_hex(hex).ok()?, kind.parse().ok()?);
    Some(SharedArtifact { kind, digest, bytes: entry.size, modified: entry.modified })
}

impl SharedArtifacts for ArtifactObjects {
    fn uri(&self) -> &str {
        self.store.uri()
    }

    fn find(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SharedArtifact>, StoreError> {
        let found = self.store.head(&key(kind, digest));
        let found = found.map_err(|error| self.failed("look for", kind, digest, error))?;
        Ok(found.map(|entry| SharedArtifact { kind, digest: *digest, bytes: entry.size, modified: entry.modified }))
    }

    fn send(&self, kind: ArtifactKind, digest: &Digest, file: &Path, bytes: u64) -> Result<(), StoreError> {
        let sent = self.store.put_file(&key(kind, digest), file, bytes, &|_| {});
        sent.map_err(|error| self.failed("write", kind, digest, error))
    }

    fn fetch(
        &self,
        artifact: &SharedArtifact,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let SharedArtifact { kind, digest, bytes, .. } = artifact;
        let mut refused = None;
        let read = self.store.read(&key(*kind, digest), 0..*bytes, &mut |piece| match sink(piece) {
            Ok(()) => std::ops::ControlFlow::Continue(()),
            Err(error) => {
                refused = Some(error);
                std::ops::ControlFlow::Break(())
            }
        });
        match refused {
            Some(error) => Err(error),
            None => read.map_err(|error| self.failed("read", *kind, digest, error)),
        }
    }

    fn list(&self) -> Result<Vec<SharedArtifact>, StoreError> {
        let entries = self.store.list(ARTIFACTS).map_err(|error| self.fault("list the artifacts".to_owned(), error))?;
        Ok(entries.iter().filter_map(artifact).collect())
    }

    fn remove(&self, artifact: &SharedArtifact) -> Result<(), StoreError> {
        let SharedArtifact { kind, digest, .. } = artifact;
        self.store.delete(&key(*kind, digest)).map_err(|error| self.failed("remove", *kind, digest, error))
    }

    fn announce(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let announced = self.write_empty(&removal(kind, digest));
        announced.map_err(|error| self.failed("announce the removal of", kind, digest, error))
    }

    fn withdraw(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        let withdrawn = self.store.delete(&removal(kind, digest));
        withdrawn.map_err(|error| self.failed("end the removal of", kind, digest, error))
    }

    fn announced(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SystemTime>, StoreError> {
        let found = self.store.head(&removal(kind, digest));
        let found = found.map_err(|error| self.failed("look for a removal of", kind, digest, error))?;
        Ok(found.map(|entry| entry.modified))
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.probe().map_err(|error| self.fault("look for the time".to_owned(), error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn keys_of_others_are_no_artifacts() {
        let digest = Digest::of(b"it");
        let entry = |key: String| StoredObject { key, size: 1, modified: SystemTime::UNIX_EPOCH };
        for kind in [ArtifactKind::Table, ArtifactKind::Blob, ArtifactKind::Document] {
            let found = artifact(&entry(key(kind, &digest))).expect("an artifact");
            assert_eq!((found.kind, found.digest, found.bytes), (kind, digest, 1));
        }
        for key in
            ["artifacts/", "artifacts/run/model.pkl", "objects/sha256/00", &format!("artifacts/{}", digest.to_hex())]
        {
            assert_eq!(artifact(&entry(key.to_owned())), None, "{key}");
        }
    }
}
