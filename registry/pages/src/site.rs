//! The records that pages show.

use stagewright_store::{ArtifactStore, Registry};

use crate::pipelines::Pipelines;

/// The records that pages show, and the registry that their actions change.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Runs and models. It acts in the name of the viewer.
    pub registry: &'a Registry,
    /// The bytes of artifacts.
    pub artifacts: &'a ArtifactStore,
    /// The program's ways with models of pipelines; `None`: it has none.
    pub pipelines: Option<&'a dyn Pipelines>,
}
