//! The directory that holds everything that outlives a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifact::{ArtifactStore, SharedArtifacts};
use crate::error::{StoreError, io_error};
use crate::files::{create_private, read_regular_text, write_whole};
use crate::fsyncs::sync_directory;
use crate::registry::{OpenMode, Registry};

/// `STAGEWRIGHT_HOME`: `artifacts/`, `cache/`, and the registry `stagewright.db`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// The artifacts that stages made.
    pub artifacts: ArtifactStore,
    /// The records of runs and models.
    pub registry: Registry,
}

impl Home {
    /// Opens the home at `path`, which is created if missing.
    ///
    /// # Errors
    /// Those of [`ArtifactStore::open`] and [`Registry::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, None, None)
    }

    /// As [`Home::open`], with the registry in a PostgreSQL database at this URL, and the password
    /// to use if the URL has none.
    ///
    /// # Errors
    /// Those of [`ArtifactStore::open`] and [`Registry::connect`]; [`StoreError::OtherRegistry`] if
    /// the home was used with another registry before.
    pub fn open_with(
        path: impl AsRef<Path>,
        registry: Option<&str>,
        password: Option<&str>,
    ) -> Result<Self, StoreError> {
        Self::open_as(path, registry, password, OpenMode::Full)
    }

    /// As [`Home::open_with`], for a use. To serve from a registry on a server, a home is created
    /// if it is missing, since it holds copies of artifacts alone. To read, nothing is created or
    /// removed.
    ///
    /// # Errors
    /// Those of [`Home::open_with`], and of [`Registry::open_as`].
    pub fn open_as(
        path: impl AsRef<Path>,
        registry: Option<&str>,
        password: Option<&str>,
        mode: OpenMode,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let is_created = mode == OpenMode::Full || (mode == OpenMode::Serving && registry.is_some());
        if is_created && !path.is_dir() {
            create_durably(path)?;
        }
        // First the registry: a folder without one is left as it is.
        let open_registry = || match registry {
            Some(url) => open_external_registry(path, url, password, mode),
            None => open_own_registry(path, mode),
        };
        if mode.only_reads() {
            let (registry, path) = (open_registry()?, path.to_owned());
            return Ok(Self { artifacts: ArtifactStore::open_to_read(path.join("artifacts")), registry, path });
        }
        let existing = if mode == OpenMode::Serving { Some(open_registry()?) } else { None };
        let cache = path.join("cache");
        create_private(&cache).map_err(io_error("create", &cache))?;
        let artifacts = ArtifactStore::open(path.join("artifacts"))?;
        let registry = existing.map_or_else(open_registry, Ok)?;
        Ok(Self { artifacts, registry, path: path.to_owned() })
    }

    /// Returns the same home, sharing its artifacts at a place that several machines reach, or at
    /// none. When a home names a place for the first time, its artifacts are sent there, unless it
    /// is only read.
    ///
    /// # Errors
    /// [`StoreError::OtherArtifacts`] if the home was used with another place before, or if `place`
    /// is none and it was used with one; [`StoreError::Shared`] if its artifacts cannot be sent.
    pub fn sharing(self, place: Option<Arc<dyn SharedArtifacts>>) -> Result<Self, StoreError> {
        let file = self.path.join(SHARED_FILE);
        let before = match read_regular_text(&file, MAX_ADDRESS_BYTES) {
            // Empty if a process died before it wrote the name.
            Ok(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &file)(error)),
        };
        match (before, place) {
            (None, None) => Ok(self),
            (Some(before), Some(place)) if address(&before) == address(place.uri()) => {
                Ok(Self { artifacts: shared(self.artifacts, place, &self.registry), ..self })
            }
            (None, Some(place)) => {
                let uri = place.uri().to_owned();
                let artifacts = shared(self.artifacts, place, &self.registry);
                if self.registry.is_read_only() {
                    return Ok(Self { artifacts, ..self });
                }
                artifacts.share_all()?;
                write_whole(&file, format!("{uri}\n").as_bytes()).map_err(io_error("write", &file))?;
                Ok(Self { artifacts, ..self })
            }
            (Some(before), _) => Err(StoreError::OtherArtifacts { home: self.path, place: before }),
        }
    }

    /// Returns the path of the home.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the registry is in the home, so that both move and are copied together.
    pub fn has_own_registry(&self) -> bool {
        matches!(self.path.join(DATABASE).try_exists(), Ok(true))
    }

    /// Returns the default production location: where approved versions are copied to.
    pub fn production_dir(&self) -> PathBuf {
        self.path.join("production")
    }

    /// Returns the directory of what can be computed again: compiled components, stage results by
    /// key.
    pub fn cache_dir(&self) -> PathBuf {
        self.path.join("cache")
    }
}

/// Shares artifacts at a place. Nothing is fetched that is longer than the registry says.
fn shared(artifacts: ArtifactStore, place: Arc<dyn SharedArtifacts>, registry: &Registry) -> ArtifactStore {
    let registry = registry.clone();
    artifacts.shared_at(place).with_recorded_bytes(Arc::new(move |kind, digest| registry.bytes_of(kind, digest)))
}

/// The file that names a home's registry, if it is elsewhere.
const REGISTRY_FILE: &str = "registry";
/// The file that names the place where a home's artifacts are shared.
const SHARED_FILE: &str = "shared-artifacts";
/// The most bytes that are read of a file with an address, which is one line.
const MAX_ADDRESS_BYTES: u64 = 64 << 10;
/// The name of the registry's file in a home.
const DATABASE: &str = "stagewright.db";

/// Opens a registry elsewhere. A home has one registry: with another one, everything in the home
/// would look like garbage.
fn open_external_registry(
    path: &Path,
    url: &str,
    password: Option<&str>,
    mode: OpenMode,
) -> Result<Registry, StoreError> {
    let own = path.join(DATABASE);
    if own.try_exists().map_err(io_error("look at", &own))? {
        return Err(StoreError::OtherRegistry { home: path.to_owned(), own: DATABASE.to_owned() });
    }
    let registry = Registry::connect_as(url, password, mode)?;
    let (file, place) = (path.join(REGISTRY_FILE), registry.place());
    match read_regular_text(&file, MAX_ADDRESS_BYTES) {
        // Options may differ: they say how to connect, not where.
        Ok(own) if address(own.trim()) == address(&place) => {}
        // Empty if a process died before it wrote the name.
        Ok(own) if !own.trim().is_empty() => {
            return Err(StoreError::OtherRegistry { home: path.to_owned(), own: own.trim().to_owned() });
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error("read", &file)(error)),
        _ if mode.only_reads() => {}
        _ => write_whole(&file, format!("{place}\n").as_bytes()).map_err(io_error("write", &file))?,
    }
    Ok(registry)
}

fn address(place: &str) -> &str {
    place.split('?').next().unwrap_or_default()
}

fn open_own_registry(path: &Path, mode: OpenMode) -> Result<Registry, StoreError> {
    let file = path.join(REGISTRY_FILE);
    match read_regular_text(&file, MAX_ADDRESS_BYTES) {
        Ok(own) => Err(StoreError::OtherRegistry { home: path.to_owned(), own: own.trim().to_owned() }),
        // The registry is elsewhere and its address cannot be read. With a registry of its own,
        // everything in the home would look like garbage.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("read", &file)(error)),
        Err(_) => Registry::open_as(path.join(DATABASE), mode),
    }
}

/// Creates the home and flushes its name, so that it survives a loss of power.
fn create_durably(path: &Path) -> Result<(), StoreError> {
    create_private(path).map_err(io_error("create", path))?;
    let absolute = std::path::absolute(path).map_err(io_error("look at", path))?;
    match absolute.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: as `an_operators_file_that_cannot_be_looked_at_is_an_error_and_not_absent`
    #[test]
    fn a_home_whose_registry_cannot_be_told_is_not_opened_with_another() {
        let home = tempfile::tempdir().expect("a temporary folder");
        // A folder in place of the file: not even the superuser can read it as text.
        std::fs::create_dir(home.path().join(REGISTRY_FILE)).expect("a folder");
        assert!(matches!(Home::open(home.path()), Err(StoreError::Io { .. })));
        assert!(!home.path().join(DATABASE).exists(), "a registry of its own was made");
    }
}
