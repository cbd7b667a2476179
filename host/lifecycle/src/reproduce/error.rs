//! The errors of a reproduction.

use stagewright_manifest::StepId;
use stagewright_store::{Digest, StoreError};

use crate::fault::StageFault;

/// The reason why the steps of a run cannot be executed again.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// The run has no completed step.
    #[error("the run recorded no stage that came to its end")]
    Nothing,
    /// The step has no invocation, because its record is older than invocations, or was made by
    /// another program.
    #[error("stage `{stage}` has no invocation on record: its inputs are not known")]
    NoInvocation {
        /// The stage.
        stage: String,
    },
    /// The invocation cannot be read.
    #[error("the invocation of stage `{stage}` cannot be read: {reason}")]
    Unreadable {
        /// The stage.
        stage: String,
        /// The reason.
        reason: String,
    },
    /// Another version of the host executed the step.
    #[error("stage `{stage}` was run with {what} {recorded}, and this program has {own}: it would not do the same")]
    OtherHost {
        /// The stage.
        stage: StepId,
        /// The thing that differs: `host semantics`, `contract`.
        what: &'static str,
        /// Its recorded version.
        recorded: String,
        /// The version of this program.
        own: String,
    },
    /// The bytes of a component are missing.
    #[error("the component `{name}` ({digest}) of stage `{stage}` is not kept")]
    NoComponent {
        /// The stage.
        stage: StepId,
        /// Its name.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// An input is missing.
    #[error("the input `{role}` ({digest}) of stage `{stage}` is gone")]
    NoInput {
        /// The stage.
        stage: StepId,
        /// Its role.
        role: String,
        /// Its digest.
        digest: Digest,
    },
    /// The file that ingestion read is missing.
    #[error("the source of the run ({digest}) is not at hand{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    NoSource {
        /// The digest of its content.
        digest: Digest,
        /// The reason why the given file cannot be read.
        reason: Option<String>,
    },
    /// It is not known what ingestion read.
    #[error("the content of the run's source is not on record: somebody wrote to the database while it was read")]
    UnknownSource,
    /// A step failed that did not fail in the run.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
