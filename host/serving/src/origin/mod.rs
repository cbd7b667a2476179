//! Where versions come from: a registry, or a production location.

mod location;
mod registry;

use std::collections::HashSet;
use std::time::Duration;

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_promotion::PromotionError;
use stagewright_store::{ArtifactStore, Deployment, Digest, StoreError, TrackingError};

#[cfg(test)]
pub(crate) use location::COPIES_STAY_FOR;
pub use location::LocationOrigin;
pub use registry::{OpenRegistry, RegistryOrigin, Selector};

/// A place that says which version of a model is to be served.
pub trait VersionOrigin: Send {
    /// Returns the version that is to be served now. Its bytes are in the store that it names.
    ///
    /// # Errors
    /// The place cannot be reached, or has no such version.
    fn current(&mut self) -> Result<OfferedVersion, OriginError>;

    /// Returns the deployment of the model that is active now, if it is about what is served.
    ///
    /// # Errors
    /// The place cannot be reached.
    fn deployment(&mut self) -> Result<Option<OfferedDeployment>, OriginError> {
        Ok(None)
    }

    /// Ends a deployment that cannot be carried out.
    ///
    /// # Errors
    /// The place cannot be reached, or the deployment has changed since.
    fn abort(&mut self, _deployment: &Deployment, _reason: &str) -> Result<(), OriginError> {
        Ok(())
    }

    /// Returns the store that has the bytes of the versions that this offered.
    fn artifacts(&self) -> &ArtifactStore;

    /// Waits until another version may have to be served, at most `timeout`. Returns whether that
    /// is so.
    fn wait(&mut self, timeout: Duration) -> bool;

    /// Records that a version was not served, for those who look at the place.
    fn refused(&mut self, version: u32, reason: &str);

    /// Removes copies of versions that are not on record, if the place's versions are copied.
    ///
    /// # Errors
    /// The records or the store cannot be read, or a copy cannot be removed.
    fn prune(&self, _recorded: &RecordedBlobs<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Returns the blobs of the versions that are on record.
pub type RecordedBlobs<'a> = dyn Fn() -> Result<HashSet<Digest>, StoreError> + 'a;

/// A version that a place offers.
#[derive(Debug, Clone)]
pub struct OfferedVersion {
    /// The version.
    pub version: u32,
    /// Its contents.
    pub contents: RegisteredModel,
    /// The store that has its bytes.
    pub artifacts: ArtifactStore,
}

/// A deployment that is active at a place.
pub struct OfferedDeployment {
    /// The deployment.
    pub deployment: Deployment,
    /// The versions of its arms, in their order; why they cannot be read.
    pub versions: Result<Vec<OfferedVersion>, OriginError>,
}

/// Returns the blobs that a version is loaded from.
pub(crate) fn blobs_of(contents: &RegisteredModel) -> [Digest; 4] {
    [contents.transformation.digest, contents.state, contents.training.digest, contents.model]
}

/// Why a place offers no version.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The registry or the store of artifacts failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The production location failed.
    #[error(transparent)]
    Location(#[from] PromotionError),
    /// The folder of a production location is not there.
    #[error("there is no folder `{place}`")]
    Away {
        /// The folder.
        place: String,
    },
    /// The model has no such alias.
    #[error("model `{model}` has no alias `{alias}`")]
    NoAlias {
        /// The model.
        model: String,
        /// The alias.
        alias: String,
    },
    /// The contents of the version cannot be read.
    #[error("version {version} of model `{model}` cannot be read: {problem}")]
    Contents {
        /// The model.
        model: String,
        /// The version.
        version: u32,
        /// The problem.
        problem: String,
    },
    /// The version does not load.
    #[error(transparent)]
    Fault(#[from] StageFault),
}

impl OriginError {
    /// Returns whether the place answered that there is nothing to serve. Otherwise it is out of
    /// reach, or names a version that cannot be used.
    pub(crate) fn says_nothing_to_serve(&self) -> bool {
        matches!(
            self,
            Self::NoAlias { .. }
                | Self::Location(PromotionError::NoChampion { .. } | PromotionError::NoVersion { .. })
                | Self::Store(StoreError::NoModel { .. } | StoreError::NoVersion { .. })
        )
    }

    /// Returns the version that the place names and that cannot be used, if it is known.
    pub(crate) fn unusable_version(&self) -> Option<u32> {
        match self {
            Self::Contents { version, .. }
            // The registry answered.
            | Self::Store(StoreError::Tracking(TrackingError::Foreign { version, .. })) => Some(*version),
            _ => None,
        }
    }
}
