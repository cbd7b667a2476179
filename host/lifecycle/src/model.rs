//! A registered model as data: which components, which states, which signature. Enough to predict with, and nothing executable but the components
//! themselves, which are named by digest.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stagewright_data::Signature;
use stagewright_data::Task;
use stagewright_evaluation::metrics::MetricSet;
use stagewright_manifest::{Limits, World};
use stagewright_store::{ArtifactStore, Blob, Digest, Role, Schema};

use crate::fault::StageFault;

/// A component of a registered model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelComponent {
    /// The name the manifest called it by.
    pub name: String,
    /// SHA-256 of its bytes, which the artifact store holds as a blob.
    pub digest: Digest,
    /// The always-failing parts of WASI it may link.
    pub stubs: Vec<String>,
    /// The parameters it was fitted or trained with.
    pub parameters: serde_json::Value,
}

/// Where the manifest came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The commit that was checked out, in hex.
    pub commit: String,
    /// The branch, if one was checked out.
    pub branch: Option<String>,
    /// Whether a file that git knows differed from the commit; `None`: it could not be told.
    pub dirty: Option<bool>,
}

/// What a stage was allowed, and what it used of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageLimits {
    /// The stage's name.
    pub stage: String,
    /// Bytes of memory allowed.
    pub memory: u64,
    /// Bytes of memory used at most.
    pub memory_used: u64,
    /// Milliseconds of processor time allowed.
    pub cpu_ms: u64,
    /// Milliseconds of processor time used.
    pub cpu_used_ms: u64,
    /// Milliseconds from beginning to end allowed.
    pub wall_ms: u64,
    /// Milliseconds from beginning to end used.
    pub wall_used_ms: u64,
}

/// The format of [`RegisteredModel`] that this version writes (docs/formats/home.md). It reads the
/// formats before it too: format 1 has no lineage of code and features, and no limits; formats 1
/// and 2 have the metrics of an evaluation, which belong to verdicts since.
const FORMAT: u32 = 3;

/// What a model version holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// The version of this format.
    pub format: Format,
    /// Makes features of raw rows.
    pub transformation: ModelComponent,
    /// Its fitted state, a blob.
    pub state: Digest,
    /// Makes predictions of features.
    pub training: ModelComponent,
    /// Its model, a blob.
    pub model: Digest,
    /// What is predicted.
    pub task: Task,
    /// How raw rows are decoded; its features are what the transformation reads.
    pub signature: Signature,
    /// The name of the target.
    pub target: String,
    /// How much the transformed features count.
    pub importance: Vec<(String, f64)>,
    /// On the test rows, of formats before 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricSet>,
    /// The digest of the test rows of the run that trained it.
    pub test_digest: Digest,
    /// The digest of the table that it was trained on, as ingested.
    pub data_digest: Digest,
    /// The digest of the transformed rows that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features_digest: Option<Digest>,
    /// The source's name in the manifest, if the table came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where the manifest came from; `None` outside of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Limits of the stages that made it, and what they used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<StageLimits>,
    /// The run that made it.
    pub run_id: String,
    /// All randomness of that run.
    pub seed: u64,
    /// Where its clocks started, microseconds since the epoch.
    pub as_of: i64,
}

/// A format that this version reads: [`FORMAT`] and those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u32", try_from = "u32")]
pub struct Format;

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        FORMAT
    }
}

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(format: u32) -> Result<Self, String> {
        if (1..=FORMAT).contains(&format) {
            return Ok(Self);
        }
        Err(format!(
            "the model was written in format {format}, and this version reads formats up to {FORMAT}: use a newer stagewright"
        ))
    }
}

impl RegisteredModel {
    /// A digest over everything that its predictions depend on. Two models with the same parts give
    /// the same predictions.
    pub fn parts(&self) -> Digest {
        let component = |component: &ModelComponent| {
            let ModelComponent { name: _, digest, stubs, parameters } = component;
            serde_json::json!({ "digest": digest, "stubs": stubs, "parameters": parameters })
        };
        let parts = serde_json::json!({
            "transformation": component(&self.transformation),
            "state": self.state,
            "training": component(&self.training),
            "model": self.model,
            "task": self.task,
            "signature": self.signature,
            "target": self.target,
            "seed": self.seed,
            "as_of": self.as_of,
        });
        Digest::of(parts.to_string().as_bytes())
    }

    /// Numbers per row of its predictions.
    pub fn width(&self) -> usize {
        width(&self.task)
    }

    /// The raw features, in order.
    pub fn features(&self) -> Schema {
        self.signature.features()
    }

    /// Returns the limits of a stage of the run that made it, as far as they are on record; the
    /// defaults of its world otherwise.
    pub fn limits_of(&self, world: World) -> Limits {
        let defaults = world.default_limits();
        let recorded = self.limits.iter().find(|limits| limits.stage == world.as_str());
        recorded.map_or(defaults, |limits| Limits {
            memory: limits.memory,
            cpu: Duration::from_millis(limits.cpu_ms),
            wall: Duration::from_millis(limits.wall_ms),
            ..defaults
        })
    }

    /// Its state and its model, read and verified.
    ///
    /// # Errors
    /// A blob is missing or does not match its digest.
    pub fn blobs(&self, artifacts: &ArtifactStore) -> Result<(Blob, Blob), StageFault> {
        let open = |digest: &Digest| artifacts.open_blob(digest).map_err(StageFault::host);
        Ok((open(&self.state)?, open(&self.model)?))
    }

    /// Why it cannot predict the rows of a table with this schema, if it cannot.
    pub fn cannot_read(&self, table: &Schema, task: &Task) -> Option<String> {
        if &self.task != task {
            return Some("it was trained for another task or other classes".into());
        }
        let wrong: Vec<String> = self
            .features()
            .fields()
            .iter()
            .filter_map(|wanted| match table.field(&wanted.name) {
                Some(found) if found.data_type == wanted.data_type && found.role == Role::Feature => None,
                Some(found) if found.role != Role::Feature => Some(format!("`{}` is no feature any more", wanted.name)),
                Some(found) => Some(format!("`{}` is {} and not {}", wanted.name, found.data_type, wanted.data_type)),
                None => Some(format!("`{}` is missing", wanted.name)),
            })
            .collect();
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }
}

/// Numbers per row of a task's predictions.
pub fn width(task: &Task) -> usize {
    match task {
        Task::MultiClass { classes } => classes.len(),
        Task::Binary { .. } | Task::Regression => 1,
    }
}
