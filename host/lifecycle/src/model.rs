//! A registered model as data: its components, its state, its signature and its task.
//!
//! This is enough to predict with. Nothing in it is executable; the components are named by digest.

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
    /// The name by which the manifest calls it.
    pub name: String,
    /// SHA-256 of its bytes, which the artifact store holds as a blob.
    pub digest: Digest,
    /// The stubs of WASI, which always fail, that it may link.
    pub stubs: Vec<String>,
    /// The parameters it was fitted or trained with.
    pub parameters: serde_json::Value,
}

/// The commit that the manifest came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The commit that was checked out, in hex.
    pub commit: String,
    /// The branch, if one was checked out.
    pub branch: Option<String>,
    /// Whether a tracked file differed from the commit; `None` if that is unknown.
    pub dirty: Option<bool>,
}

/// The limits of a stage, and its use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageLimits {
    /// The stage's name.
    pub stage: String,
    /// Allowed memory, in bytes.
    pub memory: u64,
    /// Peak memory, in bytes.
    pub memory_used: u64,
    /// Allowed CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Used CPU time, in milliseconds.
    pub cpu_used_ms: u64,
    /// Allowed wall time, in milliseconds.
    pub wall_ms: u64,
    /// Used wall time, in milliseconds.
    pub wall_used_ms: u64,
}

/// The format of [`RegisteredModel`] that this version writes (docs/formats/home.md). It reads the
/// earlier formats, too. Format 1 has no code, no digest of features and no limits. Formats 1 and 2
/// hold the metrics of an evaluation, which verdicts hold now.
const FORMAT: u32 = 3;

/// The contents of a model version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegisteredModel {
    /// The version of the format.
    pub format: Format,
    /// The component that makes features of raw rows.
    pub transformation: ModelComponent,
    /// Its fitted state, a blob.
    pub state: Digest,
    /// The component that makes predictions of features.
    pub training: ModelComponent,
    /// Its model, a blob.
    pub model: Digest,
    /// The task that it predicts for.
    pub task: Task,
    /// The columns of raw rows. Its features are the columns that the transformation reads.
    pub signature: Signature,
    /// The name of the target.
    pub target: String,
    /// The importance of each transformed feature.
    pub importance: Vec<(String, f64)>,
    /// The metrics on the test rows. Only formats before 3 have them.
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
    /// The commit that the manifest came from; `None` outside a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The limits of the stages that made it, and their use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<StageLimits>,
    /// The run that made it.
    pub run_id: String,
    /// The seed of that run.
    pub seed: u64,
    /// The time at which its clocks started, in microseconds since the epoch.
    pub as_of: i64,
}

/// The version of the format: [`FORMAT`] or an earlier one.
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
    /// Returns a digest of everything that its predictions depend on. Models with equal parts give
    /// equal predictions.
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

    /// Returns the number of values that it predicts for each row.
    pub fn width(&self) -> usize {
        width(&self.task)
    }

    /// Returns the raw features, in order.
    pub fn features(&self) -> Schema {
        self.signature.features()
    }

    /// Returns the limits of a stage of the run that made it. Limits that are not on record are the
    /// defaults of the stage's world.
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

    /// Reads and verifies its state and its model.
    ///
    /// # Errors
    /// A blob is missing or does not match its digest.
    pub fn blobs(&self, artifacts: &ArtifactStore) -> Result<(Blob, Blob), StageFault> {
        let open = |digest: &Digest| artifacts.open_blob(digest).map_err(StageFault::host);
        Ok((open(&self.state)?, open(&self.model)?))
    }

    /// Returns the reason why it cannot predict rows of a table with this schema, if there is one.
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
                Some(found) if found.role != Role::Feature => {
                    Some(format!("`{}` is not a feature any more", wanted.name))
                }
                Some(found) => Some(format!("`{}` is {} and not {}", wanted.name, found.data_type, wanted.data_type)),
                None => Some(format!("`{}` is missing", wanted.name)),
            })
            .collect();
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }
}

/// Returns the number of values that a model of this task predicts for each row: 1, or one for each
/// class.
pub fn width(task: &Task) -> usize {
    match task {
        Task::MultiClass { classes } => classes.len(),
        Task::Binary { .. } | Task::Regression => 1,
    }
}
