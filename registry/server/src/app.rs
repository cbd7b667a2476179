//! The registry, the artifacts and the bounds that every request works with.

use std::time::Duration;

use stagewright_store::{ArtifactStore, Registry};
use tokio::sync::Semaphore;

use crate::pool::Pool;

/// Bounds on what a client may take from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The most bytes of a JSON body.
    pub body_bytes: usize,
    /// The most bytes of the JSON bodies of all requests together. What is read from them takes
    /// some times as much.
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
    /// The threads that wait for the registry and for files.
    pub threads: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            bodies_bytes: 64 << 20,
            artifact_bytes: 1 << 40,
            header_bytes: 256 << 10,
            idle_time: Duration::from_secs(60),
            body_time: Duration::from_secs(30),
            connections: 10_000,
            threads: 32,
        }
    }
}

/// Promotes a version of a pipeline's model, as `models promote` does. Its error is the reason, for
/// people.
pub type Promote = dyn Fn(&str, u32) -> Result<(), String> + Send + Sync;

/// The registry, the artifacts, and the bounds.
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) limits: HttpLimits,
    pub(crate) promote: Option<Box<Promote>>,
    pub(crate) pool: Pool,
    /// KiB that bodies may still take.
    pub(crate) memory: Semaphore,
}

impl App {
    pub(crate) fn new(
        registry: Registry,
        artifacts: ArtifactStore,
        limits: HttpLimits,
        promote: Option<Box<Promote>>,
    ) -> Self {
        let memory = Semaphore::new(limits.bodies_bytes.max(limits.body_bytes).div_ceil(1 << 10));
        Self { registry, artifacts, pool: Pool::new(limits.threads), limits, promote, memory }
    }
}
