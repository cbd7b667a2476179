//! A production location, a folder or a bucket, as the origin of versions.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_promotion::{Destination, Etag, LoadedVersion};
use stagewright_store::{ArtifactKind, ArtifactStore, Digest, StoreError};

use super::{OfferedVersion, OriginError, RecordedBlobs, VersionOrigin, blobs_of};

/// The bytes of an object that are copied at once.
const PIECE: usize = 1 << 20;

/// How long copies may be in the store before their version is on record: it is loaded and tried
/// first.
pub(crate) const COPIES_STAY_FOR: Duration = Duration::from_secs(10 * 60);

/// Versions of a model at a production location.
pub struct LocationOrigin {
    destination: Destination,
    /// The folder into which objects are fetched before they are in the store.
    folder: PathBuf,
    artifacts: ArtifactStore,
    model: String,
    /// The version that is served always; `None` follows the pointer.
    version: Option<u32>,
    /// The pointer that was seen last.
    seen: Option<Etag>,
    /// The location's own folder, if it is one.
    root: Option<PathBuf>,
}

impl LocationOrigin {
    /// Creates an origin that copies the bytes of versions to `artifacts`, by way of `folder`.
    pub fn new(
        destination: Destination,
        folder: PathBuf,
        artifacts: ArtifactStore,
        model: String,
        version: Option<u32>,
    ) -> Self {
        Self { destination, folder, artifacts, model, version, seen: None, root: None }
    }

    /// Says that the location is this folder, so that a folder that is not there is told from one
    /// without a champion.
    #[must_use]
    pub fn in_folder(self, root: PathBuf) -> Self {
        Self { root: Some(root), ..self }
    }

    /// Copies the objects that a version is loaded from, those that the store does not have. Every
    /// byte is verified: by the fetch, and again by whoever opens a blob.
    fn keep(&self, loaded: &LoadedVersion, contents: &RegisteredModel) -> Result<(), OriginError> {
        let blobs = blobs_of(contents);
        // Those that are there become young, so that nobody removes them before they are on record.
        if self.artifacts.renew(&blobs.map(|digest| (ArtifactKind::Blob, digest)))? {
            return Ok(());
        }
        let is_missing = |digest: &Digest| !self.artifacts.contains(ArtifactKind::Blob, digest);
        for fetched in loaded.fetch(&self.folder)? {
            if blobs.contains(&fetched.object.digest) && is_missing(&fetched.object.digest) {
                let staging = self.artifacts.stage();
                let mut blob = staging.create_blob()?;
                copy(&fetched.path, |bytes| blob.write(bytes))?;
                blob.finish()?;
                staging.publish()?;
            }
            // The store has it now. What remains would be fetched again at worst.
            let _ = std::fs::remove_file(&fetched.path);
        }
        Ok(())
    }
}

/// Passes the bytes of a file on, piece by piece.
fn copy(path: &PathBuf, mut write: impl FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), OriginError> {
    let unreadable = |reason: std::io::Error| {
        OriginError::Fault(stagewright_lifecycle::fault::StageFault::host(format!(
            "cannot read `{}`: {reason}",
            path.display()
        )))
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(unreadable)? {
            0 => return Ok(()),
            length => write(&piece[..length])?,
        }
    }
}

impl VersionOrigin for LocationOrigin {
    fn current(&mut self) -> Result<OfferedVersion, OriginError> {
        if let Some(root) = self.root.as_ref().filter(|root| !root.is_dir()) {
            return Err(OriginError::Away { place: root.display().to_string() });
        }
        // Read before the version is: if the pointer moves meanwhile, the next look sees another.
        let etag = match self.version {
            Some(_) => None,
            None => self.destination.pointer(&self.model)?.map(|(_, etag)| etag),
        };
        let loaded = self.destination.load(&self.model, self.version)?;
        let unreadable =
            |problem: String| OriginError::Contents { model: self.model.clone(), version: loaded.version, problem };
        let manifest: serde_json::Value =
            serde_json::from_slice(&loaded.manifest).map_err(|reason| unreadable(reason.to_string()))?;
        let contents: RegisteredModel =
            serde_json::from_value(manifest["contents"].clone()).map_err(|reason| unreadable(reason.to_string()))?;
        self.keep(&loaded, &contents)?;
        self.seen = etag;
        Ok(OfferedVersion { version: loaded.version, contents, artifacts: self.artifacts.clone() })
    }

    fn artifacts(&self) -> &ArtifactStore {
        &self.artifacts
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        std::thread::sleep(timeout);
        match (self.version, self.destination.pointer(&self.model)) {
            (Some(_), _) => false,
            // A location that cannot be reached is looked at as a whole, which reports why.
            (None, Err(_)) => true,
            (None, Ok(pointer)) => pointer.map(|(_, etag)| etag) != self.seen,
        }
    }

    fn refused(&mut self, _version: u32, _reason: &str) {}

    fn prune(&self, recorded: &RecordedBlobs<'_>) -> Result<(), StoreError> {
        let removed = self.artifacts.collect(COPIES_STAY_FOR, false, |_| recorded())?;
        if !removed.is_empty() {
            tracing::debug!("{} copies of earlier versions were removed", removed.len());
        }
        Ok(())
    }
}
