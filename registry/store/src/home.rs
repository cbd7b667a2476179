//! The one directory in which everything lasts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::{ArtifactStore, sync_directory};
use crate::error::{StoreError, io_error};
use crate::registry::Registry;

/// `STAGEWRIGHT_HOME`: `artifacts/`, `cache/`, and the registry `stagewright.db`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
    /// What stages made.
    pub artifacts: ArtifactStore,
    /// What happened, and what may serve.
    pub registry: Registry,
}

impl Home {
    /// Opens the home at `path`, which is made if missing.
    ///
    /// # Errors
    /// What [`ArtifactStore::open`] and [`Registry::open`] fail with.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// The same, with its registry elsewhere: a PostgreSQL database by its URL.
    ///
    /// # Errors
    /// What [`ArtifactStore::open`] and [`Registry::connect`] fail with.
    pub fn open_with(path: impl AsRef<Path>, registry: Option<&str>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if !path.is_dir() {
            make_lasting(path)?;
        }
        let cache = path.join("cache");
        fs::create_dir_all(&cache).map_err(io_error("create", &cache))?;
        Ok(Self {
            artifacts: ArtifactStore::open(path.join("artifacts"))?,
            registry: match registry {
                Some(url) => Registry::connect(url)?,
                None => Registry::open(path.join("stagewright.db"))?,
            },
            path: path.to_owned(),
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where approved versions are copied to if nobody names another place.
    pub fn production_dir(&self) -> PathBuf {
        self.path.join("production")
    }

    /// Where anything that can be made again may be kept: compiled components, stage results by key.
    pub fn cache_dir(&self) -> PathBuf {
        self.path.join("cache")
    }
}

/// Makes the home so that it is there after a loss of power; what is in it sees to itself.
fn make_lasting(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(io_error("create", path))?;
    let absolute = std::path::absolute(path).map_err(io_error("look at", path))?;
    match absolute.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}
