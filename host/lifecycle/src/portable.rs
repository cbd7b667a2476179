//! A run in one file, with everything that is needed to execute it again elsewhere.
//!
//! The file ([format](../../../docs/formats/run-file.md)) is a tar archive in canonical form: the
//! same run gives the same bytes, and nothing else is accepted. Its first entry describes the run
//! and lists the artifacts that follow, by kind, digest and size. Every imported byte is compared
//! with a digest before anything is published or recorded.

mod archive;
mod export;
mod import;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stagewright_store::{ArtifactKind, Digest, MetricRecord, Run, RunId, RunStatus, StageRecord, StoreError};

use crate::fault::StageFault;
use crate::invocation::Invocation;
use crate::reproduce::{self, ReproduceError};

pub use export::{Exported, export};
pub use import::{Import, Staged};

/// The format of the file that this version reads and writes.
const FORMAT: u32 = 1;

/// The name of the first entry.
const HEAD: &str = "run.json";

/// The name of the last entry. It holds the digest of the first one, so that a damaged record is
/// detected.
const CHECK: &str = "run.json.sha256";

/// Returns the content of the last entry.
fn check_of(head: &[u8]) -> String {
    format!("{}\n", Digest::of(head))
}

/// The longest first entry, in bytes. It holds the logs of all steps and their invocations.
const MAX_HEAD: u64 = 256 << 20;

/// The longest document, in bytes. It is read into memory.
const MAX_DOCUMENT: u64 = 1 << 30;

/// The error of an export or an import.
#[derive(Debug, thiserror::Error)]
pub enum PortableError {
    /// The file was not written by `runs export`.
    #[error("`{file}` is no exported run{}: {problem}", .entry.as_ref().map(|entry| format!(", at entry `{entry}`")).unwrap_or_default())]
    Format {
        /// The file.
        file: String,
        /// The name of the entry, if it is known.
        entry: Option<String>,
        /// The problem.
        problem: String,
    },
    /// The content of an entry does not match its digest.
    #[error("`{file}` is damaged: {kind} `{digest}`, which is {what}, holds something else")]
    Damaged {
        /// The file.
        file: String,
        /// The kind of the artifact.
        kind: ArtifactKind,
        /// The listed digest.
        digest: Digest,
        /// The role in the run: `training.model`, `the component \`x\``.
        what: String,
    },
    /// The file cannot be read or written.
    #[error("cannot {action} `{file}`: {reason}")]
    File {
        /// The action, as a verb.
        action: &'static str,
        /// The file.
        file: String,
        /// The reason.
        reason: std::io::Error,
    },
    /// The run cannot be executed again.
    #[error(transparent)]
    Run(#[from] ReproduceError),
    /// The content of a source is not a single file.
    #[error("the run's source is a database with a log of changes beside it, and no single file")]
    SourceWithLog,
    /// The content of a source is a folder.
    #[error("the run's source is a folder of files, and no single file")]
    SourceIsFolder,
    /// The export or import was cancelled.
    #[error(transparent)]
    Stopped(StageFault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The content of the first entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    run: RunPart,
    stages: Vec<StagePart>,
    /// The signatures of components, in the form of the files that `stage sign` writes.
    signatures: Vec<String>,
    /// The entries that follow, in order.
    objects: Vec<Object>,
}

/// The record of a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunPart {
    run_id: RunId,
    name: String,
    pipeline: String,
    experiment: String,
    actor: String,
    seed: u64,
    manifest: String,
    config: serde_json::Value,
    parameters: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    status: RunStatus,
    started_ms: i64,
    ended_ms: Option<i64>,
    error: Option<serde_json::Value>,
    /// The metrics that are not a step's.
    results: Vec<Figure>,
}

/// A metric of a run; `None` is NaN.
#[derive(Debug, Serialize, Deserialize)]
struct Figure {
    name: String,
    value: Option<f64>,
    step: i64,
    at_ms: i64,
}

/// The record of a step. Its metrics are separate, because JSON has no NaN.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StagePart {
    record: StageRecord,
    metrics: Vec<(String, Option<f64>, u64)>,
}

/// An artifact of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    digest: Digest,
    kind: ArtifactKind,
    /// The size of its entry, in bytes.
    bytes: u64,
    /// For a table, the SHA-256 of the file. Other artifacts are named by it.
    file: Option<Digest>,
}

impl Object {
    /// Returns the name of its entry.
    fn entry(&self) -> String {
        format!("artifacts/{}.{}", self.digest.to_hex(), self.kind)
    }
}

impl StagePart {
    fn of(stage: &StageRecord) -> Self {
        let metrics = stage.metrics.iter().map(|MetricRecord { name, value, step }| {
            (name.clone(), Some(*value).filter(|value| value.is_finite()), *step)
        });
        Self { metrics: metrics.collect(), record: StageRecord { metrics: Vec::new(), ..stage.clone() } }
    }

    fn whole(self) -> StageRecord {
        let metric = |(name, value, step): (String, Option<f64>, u64)| MetricRecord {
            name,
            value: value.unwrap_or(f64::NAN),
            step,
        };
        StageRecord { metrics: self.metrics.into_iter().map(metric).collect(), ..self.record }
    }
}

/// Returns the invocations of the completed steps.
fn finished(stages: &[StageRecord]) -> Result<Vec<Invocation>, ReproduceError> {
    reproduce::invocations(stages)
}

/// Returns the artifacts that are needed to execute the steps and compare the results, each with
/// its role in the run.
fn needed(stages: &[StageRecord], invocations: &[Invocation]) -> Vec<(ArtifactKind, Digest, String)> {
    let mut needed = Vec::new();
    for invocation in invocations {
        let input = |role: &str| format!("the input `{role}` of stage `{}`", invocation.step);
        needed.extend(invocation.inputs.iter().map(|it| (it.kind, it.digest, input(&it.role))));
        let guests = invocation.guests().into_iter();
        needed.extend(guests.map(|it| (ArtifactKind::Blob, it.component, format!("the component `{}`", it.name))));
    }
    for stage in stages {
        let output = |name: &str| format!("`{}.{name}`", stage.name);
        needed.extend(stage.outputs.iter().map(|it| (it.kind, it.digest, output(&it.name))));
    }
    // If an artifact has several roles, the last one is kept, which names the step that made it.
    let mut seen = BTreeSet::new();
    needed.reverse();
    needed.retain(|(kind, digest, _)| seen.insert((*digest, *kind)));
    needed
}

/// Returns the components that the steps call, by name and digest.
fn components(invocations: &[Invocation]) -> BTreeSet<(String, Digest)> {
    let guests = invocations.iter().flat_map(Invocation::guests);
    guests.map(|guest| (guest.name.clone(), guest.component)).collect()
}

/// Returns the components that recorded steps call, by name and digest.
///
/// # Errors
/// A step has no invocation that this version can read.
pub fn components_of(stages: &[StageRecord]) -> Result<BTreeSet<(String, Digest)>, ReproduceError> {
    Ok(components(&finished(stages)?))
}

impl RunPart {
    fn of(run: &Run, stages: &[StageRecord]) -> Self {
        let own: BTreeSet<String> = stages
            .iter()
            .flat_map(|stage| stage.metrics.iter().map(move |metric| format!("{}.{}", stage.name, metric.name)))
            .collect();
        let results = run.metrics.iter().filter(|metric| !own.contains(&metric.name)).map(|metric| Figure {
            name: metric.name.clone(),
            value: Some(metric.value).filter(|value| value.is_finite()),
            step: metric.step,
            at_ms: metric.at_ms,
        });
        Self {
            run_id: run.run_id.clone(),
            name: run.name.clone(),
            pipeline: run.pipeline.clone(),
            experiment: run.experiment.clone(),
            actor: run.actor.clone(),
            seed: run.seed,
            manifest: run.manifest.clone(),
            config: run.config.clone(),
            parameters: run.parameters.clone(),
            tags: run.tags.clone(),
            status: run.status,
            started_ms: run.started_ms,
            ended_ms: run.ended_ms,
            error: run.error.clone(),
            results: results.collect(),
        }
    }
}
