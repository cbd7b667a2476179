//! Why a run cannot be reproduced.

use stagewright_manifest::StepId;
use stagewright_store::{Digest, StoreError};

use crate::fault::StageFault;

/// Why a run's steps cannot be executed again.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// There is nothing to execute.
    #[error("the run recorded no stage that came to its end")]
    Nothing,
    /// A step's record is of before invocations were kept, or the step came from elsewhere.
    #[error("stage `{stage}` has no invocation on record: nobody knows what it was given")]
    NoInvocation {
        /// The stage.
        stage: String,
    },
    /// An invocation cannot be read.
    #[error("the invocation of stage `{stage}` cannot be read: {reason}")]
    Unreadable {
        /// The stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// Another version of the host made it.
    #[error("stage `{stage}` was run with {what} {recorded}, and this program has {own}: it would not do the same")]
    OtherHost {
        /// The stage.
        stage: StepId,
        /// The part that differs: `host semantics`, `contract`.
        what: &'static str,
        /// As the step had it.
        recorded: String,
        /// As this program has it.
        own: String,
    },
    /// The bytes of a component are gone, or were never kept.
    #[error("the component `{name}` ({digest}) of stage `{stage}` is not kept")]
    NoComponent {
        /// The stage.
        stage: StepId,
        /// Its name.
        name: String,
        /// Its digest.
        digest: Digest,
    },
    /// An input is gone.
    #[error("the input `{role}` ({digest}) of stage `{stage}` is gone")]
    NoInput {
        /// The stage.
        stage: StepId,
        /// Its role.
        role: String,
        /// Its digest.
        digest: Digest,
    },
    /// The file that ingestion read is not at hand.
    #[error("the source of the run ({digest}) is not at hand{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    NoSource {
        /// The digest of its content.
        digest: Digest,
        /// Why the file that was named cannot be read.
        reason: Option<String>,
    },
    /// Nobody knows what ingestion read.
    #[error("the content of the run's source is not on record: somebody wrote to the database while it was read")]
    UnknownSource,
    /// A step failed that had not failed.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
