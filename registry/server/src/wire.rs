//! Records as MLflow's JSON has them.
//!
//! Members have the names of the protocol buffers. An empty list and an absent value are left out;
//! an object that is there is written even if it is empty. Integers are JSON numbers, and NaN is a
//! text.

use serde::{Serialize, Serializer};
use stagewright_store::{
    DatasetInput, Experiment, FileEntry, LoggedMetric, ModelOutput, Run, RunInputs, RunPoint, RunStatus,
};

/// The tag that repeats a run's name.
pub(crate) const RUN_NAME_TAG: &str = "mlflow.runName";

/// An answer without members.
#[derive(Serialize)]
pub(crate) struct Empty {}

/// A tag or a parameter.
#[derive(Serialize)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// Returns tags or parameters.
pub(crate) fn pairs(pairs: &[(String, String)]) -> Vec<Pair<'_>> {
    pairs.iter().map(|(key, value)| Pair { key, value }).collect()
}

fn lifecycle_stage(deleted_ms: Option<i64>) -> &'static str {
    if deleted_ms.is_some() { "deleted" } else { "active" }
}

/// Writes a number of a metric. JSON has no NaN, and MLflow's infinities are the greatest numbers.
pub(crate) fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_f64(value.clamp(f64::MIN, f64::MAX))
    }
}

/// An experiment.
#[derive(Serialize)]
pub(crate) struct WireExperiment<'a> {
    experiment_id: String,
    name: &'a str,
    artifact_location: String,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    /// The only one of a server without workspaces.
    workspace: &'static str,
}

impl<'a> From<&'a Experiment> for WireExperiment<'a> {
    fn from(experiment: &'a Experiment) -> Self {
        Self {
            experiment_id: experiment.id.to_string(),
            name: &experiment.name,
            artifact_location: experiment.artifact_uri(),
            lifecycle_stage: lifecycle_stage(experiment.deleted_ms),
            last_update_time: experiment.updated_ms,
            creation_time: experiment.created_ms,
            tags: pairs(&experiment.tags),
            workspace: "default",
        }
    }
}

/// A run.
#[derive(Serialize)]
pub(crate) struct WireRun<'a> {
    info: RunInfo<'a>,
    data: RunData<'a>,
    inputs: WireInputs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<WireOutputs<'a>>,
}

/// The facts of a run.
#[derive(Serialize)]
pub(crate) struct RunInfo<'a> {
    run_id: &'a str,
    run_uuid: &'a str,
    run_name: &'a str,
    experiment_id: String,
    user_id: &'a str,
    status: &'static str,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: &'a str,
    lifecycle_stage: &'static str,
}

#[derive(Serialize)]
struct RunData<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<WireMetric<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
}

#[derive(Serialize)]
struct WireInputs<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_inputs: Vec<WireDatasetInput<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_inputs: Vec<ModelInput<'a>>,
}

#[derive(Serialize)]
struct ModelInput<'a> {
    model_id: &'a str,
}

#[derive(Serialize)]
struct WireDatasetInput<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    dataset: WireDataset<'a>,
}

#[derive(Serialize)]
struct WireDataset<'a> {
    name: &'a str,
    digest: &'a str,
    source_type: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
}

#[derive(Serialize)]
struct WireOutputs<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_outputs: Vec<WireModelOutput<'a>>,
}

#[derive(Serialize)]
struct WireModelOutput<'a> {
    model_id: &'a str,
    step: i64,
}

impl<'a> From<&'a Run> for RunInfo<'a> {
    fn from(run: &'a Run) -> Self {
        let run_id = run.run_id.as_str();
        Self {
            run_id,
            run_uuid: run_id,
            run_name: &run.name,
            experiment_id: run.experiment_id.to_string(),
            user_id: &run.actor,
            status: match run.status {
                RunStatus::Running => "RUNNING",
                RunStatus::Finished => "FINISHED",
                RunStatus::Failed => "FAILED",
                RunStatus::Killed => "KILLED",
            },
            start_time: run.started_ms,
            end_time: run.ended_ms,
            artifact_uri: &run.artifact_uri,
            lifecycle_stage: lifecycle_stage(run.deleted_ms),
        }
    }
}

impl<'a> From<&'a Run> for WireRun<'a> {
    fn from(run: &'a Run) -> Self {
        let mut tags = pairs(&run.tags);
        // Runs of pipelines have their name as a tag too, as clients expect of every run.
        if !run.tags.iter().any(|(key, _)| key == RUN_NAME_TAG) {
            tags.push(Pair { key: RUN_NAME_TAG, value: &run.name });
        }
        Self {
            info: run.into(),
            data: RunData {
                metrics: run.metrics.iter().map(WireMetric::from).collect(),
                params: pairs(&run.parameters),
                tags,
            },
            inputs: inputs(&run.inputs),
            outputs: Some(WireOutputs { model_outputs: run.inputs.outputs.iter().map(output).collect() }),
        }
    }
}

impl WireRun<'_> {
    /// Returns a run that has just begun, of which MLflow tells no outputs.
    pub(crate) fn just_begun(self) -> Self {
        Self { outputs: None, ..self }
    }
}

fn inputs(inputs: &RunInputs) -> WireInputs<'_> {
    WireInputs {
        dataset_inputs: inputs.datasets.iter().map(dataset_input).collect(),
        model_inputs: inputs.models.iter().map(|model_id| ModelInput { model_id }).collect(),
    }
}

fn dataset_input(input: &DatasetInput) -> WireDatasetInput<'_> {
    let dataset = &input.dataset;
    WireDatasetInput {
        tags: pairs(&input.tags),
        dataset: WireDataset {
            name: &dataset.name,
            digest: &dataset.digest,
            source_type: &dataset.source_type,
            source: &dataset.source,
            schema: dataset.schema.as_deref(),
            profile: dataset.profile.as_deref(),
        },
    }
}

fn output(output: &ModelOutput) -> WireModelOutput<'_> {
    WireModelOutput { model_id: &output.model_id, step: output.step }
}

/// A value of a metric.
#[derive(Serialize)]
pub(crate) struct WireMetric<'a> {
    pub(crate) key: &'a str,
    #[serde(serialize_with = "number")]
    pub(crate) value: f64,
    pub(crate) timestamp: i64,
    pub(crate) step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dataset_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dataset_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_id: Option<&'a str>,
}

impl<'a> From<&'a LoggedMetric> for WireMetric<'a> {
    fn from(metric: &'a LoggedMetric) -> Self {
        Self {
            key: &metric.name,
            value: metric.value,
            timestamp: metric.at_ms,
            step: metric.step,
            dataset_name: None,
            dataset_digest: None,
            model_id: None,
            run_id: None,
        }
    }
}

impl<'a> From<&'a RunPoint> for WireMetric<'a> {
    fn from(point: &'a RunPoint) -> Self {
        Self { run_id: Some(point.run_id.as_str()), ..Self::from(&point.point) }
    }
}

/// A file or a folder of artifacts.
#[derive(Serialize)]
pub(crate) struct FileInfo {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

impl FileInfo {
    /// Returns an entry of a folder, with its path from where the client counts.
    pub(crate) fn beneath(folder: &str, entry: &FileEntry) -> Self {
        let path = if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
        // As MLflow, an empty file has no size.
        Self { path, is_dir: entry.is_folder, file_size: entry.bytes.filter(|bytes| *bytes > 0) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;

    #[test]
    fn metrics_have_nan_as_text_and_infinities_as_the_greatest_numbers() {
        let wire = |value: f64| {
            let metric = LoggedMetric { name: "a".into(), value, step: 0, at_ms: 5 };
            to_value(WireMetric::from(&metric)).expect("JSON")
        };
        assert_eq!(wire(f64::NAN), json!({ "key": "a", "value": "NaN", "timestamp": 5, "step": 0 }));
        assert_eq!(wire(f64::INFINITY)["value"], json!(f64::MAX));
        assert_eq!(wire(f64::NEG_INFINITY)["value"], json!(f64::MIN));
        assert_eq!(wire(0.1)["value"], json!(0.1));
    }

    #[test]
    fn an_empty_file_has_no_size() {
        let entry = |bytes| FileEntry { name: "a.txt".into(), is_folder: false, bytes };
        let wire = |folder, bytes| to_value(FileInfo::beneath(folder, &entry(bytes))).expect("JSON");
        assert_eq!(wire("", Some(0)), json!({ "path": "a.txt", "is_dir": false }));
        assert_eq!(wire("b/c", Some(3)), json!({ "path": "b/c/a.txt", "is_dir": false, "file_size": 3 }));
    }
}
