//! The registry, the artifacts and the bounds that every request works with.

use std::sync::Arc;
use std::time::Duration;

use stagewright_store::{ArtifactStore, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::pool::Pool;

/// Bounds on what a client may take from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The most bytes of a JSON body. Most operations take fewer.
    pub body_bytes: usize,
    /// The most bytes of the JSON bodies of all requests together, beside short ones. What is read
    /// from them takes some times as much.
    pub bodies_bytes: usize,
    /// The most bytes of an artifact.
    pub artifact_bytes: u64,
    /// The most bytes of a head; at least 8 KiB.
    pub header_bytes: usize,
    /// The time for the head of a request, and that a connection may be without one.
    pub idle_time: Duration,
    /// The time for a JSON body, and for each piece of an artifact in either direction.
    pub body_time: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// The most artifacts on their way at once, in either direction.
    pub transfers: usize,
    /// The threads that wait for the registry and for files.
    pub threads: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            bodies_bytes: 64 << 20,
            artifact_bytes: 1 << 40,
            header_bytes: 64 << 10,
            idle_time: Duration::from_secs(60),
            body_time: Duration::from_secs(30),
            connections: 10_000,
            transfers: 512,
            threads: 32,
        }
    }
}

/// Promotes a version of a pipeline's model, as `models promote` does.
pub type Promote = dyn Fn(&str, u32) -> Result<(), PromotionFault> + Send + Sync;

/// The reason why a version was not promoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromotionFault {
    /// The version may not become champion, for this reason, which the client is told.
    Refused(String),
    /// The promotion failed and may succeed if it is repeated: another was under way, or the
    /// production location did not answer. The text is for the log.
    Busy(String),
    /// The promotion fails until a person mends something. The text is for the log, since it may
    /// name places and accounts.
    Failed(String),
}

/// The registry, the artifacts, and the bounds.
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) limits: HttpLimits,
    pub(crate) promote: Option<Box<Promote>>,
    pub(crate) pool: Pool,
    /// KiB that bodies may still take.
    pub(crate) memory: Arc<Semaphore>,
    /// Artifacts that may still be on their way.
    transfers: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(
        registry: Registry,
        artifacts: ArtifactStore,
        limits: HttpLimits,
        promote: Option<Box<Promote>>,
    ) -> Self {
        let kib = limits.bodies_bytes.max(limits.body_bytes).div_ceil(1 << 10);
        let memory = Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS)));
        let transfers = Arc::new(Semaphore::new(limits.transfers.clamp(1, Semaphore::MAX_PERMITS)));
        Self { registry, artifacts, pool: Pool::new(limits.threads), limits, promote, memory, transfers }
    }

    /// Waits until one more artifact may be on its way. It is until the permit is dropped.
    ///
    /// # Errors
    /// Others are for too long.
    pub(crate) async fn transfer(&self) -> Result<OwnedSemaphorePermit, MlflowError> {
        match timeout(self.limits.body_time, self.transfers.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(MlflowError::new(ErrorCode::TemporarilyUnavailable, "too many files are on their way")),
        }
    }

    /// Returns an application over a new home.
    #[cfg(test)]
    pub(crate) fn in_new_home(limits: HttpLimits, promote: Option<Box<Promote>>) -> (tempfile::TempDir, Arc<Self>) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = stagewright_store::Home::open(folder.path()).expect("a home");
        home.registry.ensure_default_experiment().expect("an experiment");
        (folder, Arc::new(Self::new(home.registry, home.artifacts, limits, promote)))
    }
}
