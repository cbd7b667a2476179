//! The registry, the artifacts and the bounds that every request works with.

use std::sync::Arc;
use std::time::Duration;

use stagewright_pages::Pipelines;
use stagewright_store::{ArtifactStore, Registry};
use stagewright_webhooks::WebhookPolicy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::authentication::Authentication;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::pool::Pool;
use crate::quota::Quotas;

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
    /// The most artifacts on their way at once, in either direction. A quarter of them is the most
    /// of one caller.
    pub transfers: usize,
    /// The most requests of one caller a second. What it did not use in five seconds, it may send
    /// at once.
    pub requests_per_second: u32,
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
            requests_per_second: 5_000,
            threads: 32,
        }
    }
}

/// The registry, the artifacts, and the bounds.
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) limits: HttpLimits,
    pub(crate) pipelines: Option<Arc<dyn Pipelines>>,
    pub(crate) pool: Pool,
    pub(crate) authentication: Authentication,
    pub(crate) quotas: Arc<Quotas>,
    /// Whether browsers reach the server by TLS alone, so that a cookie is for nothing else.
    pub(crate) speaks_tls: bool,
    /// KiB that bodies may still take.
    pub(crate) memory: Arc<Semaphore>,
    /// Where events of webhooks may go.
    pub(crate) webhooks: WebhookPolicy,
    /// Whether the server was told to stop, so that streams without an end come to theirs.
    pub(crate) stopping: watch::Sender<bool>,
    /// Artifacts that may still be on their way.
    transfers: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(
        registry: Registry,
        artifacts: ArtifactStore,
        limits: HttpLimits,
        pipelines: Option<Arc<dyn Pipelines>>,
    ) -> Self {
        let kib = limits.bodies_bytes.max(limits.body_bytes).div_ceil(1 << 10);
        let memory = Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS)));
        let transfers = Arc::new(Semaphore::new(limits.transfers.clamp(1, Semaphore::MAX_PERMITS)));
        let pool = Pool::new(limits.threads);
        let quotas = Quotas::new(limits.requests_per_second);
        let authentication = Authentication::new(registry.clone(), pool.clone(), quotas.clone());
        Self {
            registry,
            artifacts,
            pool,
            authentication,
            quotas,
            speaks_tls: false,
            limits,
            pipelines,
            memory,
            webhooks: WebhookPolicy::default(),
            stopping: watch::Sender::new(false),
            transfers,
        }
    }

    /// Returns the same application, whose webhooks keep to this policy.
    pub(crate) fn with_webhooks(self, webhooks: WebhookPolicy) -> Self {
        Self { webhooks, ..self }
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
    pub(crate) fn in_new_home(
        limits: HttpLimits,
        pipelines: Option<Arc<dyn Pipelines>>,
    ) -> (tempfile::TempDir, Arc<Self>) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = stagewright_store::Home::open(folder.path()).expect("a home");
        home.registry.ensure_default_experiment().expect("an experiment");
        (folder, Arc::new(Self::new(home.registry, home.artifacts, limits, pipelines)))
    }
}
