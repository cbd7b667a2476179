//! Models, versions and logged models as MLflow's JSON has them. See [`crate::wire`].

use serde::Serialize;
use stagewright_store::{
    LifecycleStage, LoggedModel, LoggedModelMetric, LoggedModelStatus, Model, ModelVersion, RunId,
};

use crate::wire::{Pair, WireMetric, pairs};

/// The message of a version whose files were not seen.
const UNVERIFIED: &str = "unverified: nothing was uploaded to the source of this version yet";

/// A registered model.
#[derive(Serialize)]
pub(crate) struct WireModel<'a> {
    name: &'a str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<WireVersion<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<WireAlias<'a>>,
}

#[derive(Serialize)]
struct WireAlias<'a> {
    alias: &'a str,
    version: String,
}

impl<'a> WireModel<'a> {
    /// Returns a model with the newest version of each stage, among those of several models.
    pub(crate) fn with_latest(model: &'a Model, latest: &'a [ModelVersion]) -> Self {
        let of_model = latest.iter().filter(|version| version.model == model.name);
        let alias = |(alias, version): &'a (String, u32)| WireAlias { alias, version: version.to_string() };
        Self {
            name: &model.name,
            creation_timestamp: model.created_ms,
            last_updated_timestamp: model.updated_ms,
            description: &model.description,
            latest_versions: of_model.map(WireVersion::from).collect(),
            tags: pairs(&model.tags),
            aliases: model.aliases.iter().map(alias).collect(),
        }
    }
}

/// A version of a model.
#[derive(Serialize)]
pub(crate) struct WireVersion<'a> {
    name: &'a str,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_id: &'a str,
    current_stage: &'static str,
    source: String,
    run_id: &'a str,
    run_link: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aliases: &'a [String],
}

impl<'a> From<&'a ModelVersion> for WireVersion<'a> {
    fn from(version: &'a ModelVersion) -> Self {
        let foreign = version.foreign.as_ref();
        Self {
            name: &version.model,
            version: version.version.to_string(),
            creation_timestamp: version.created_ms,
            last_updated_timestamp: version.updated_ms,
            description: &version.description,
            // MLflow's own versions name no user.
            user_id: if foreign.is_some() { "" } else { &version.actor },
            current_stage: match version.stage {
                LifecycleStage::None => "None",
                LifecycleStage::Staging => "Staging",
                LifecycleStage::Production => "Production",
                LifecycleStage::Archived => "Archived",
            },
            source: source(version),
            run_id: version.run_id.as_ref().map_or("", RunId::as_str),
            run_link: foreign.and_then(|foreign| foreign.run_link.as_deref()).unwrap_or_default(),
            status: "READY",
            status_message: foreign.filter(|foreign| !foreign.is_verified()).map(|_| UNVERIFIED),
            tags: pairs(&version.tags),
            aliases: &version.aliases,
        }
    }
}

/// Returns the source of a version: a client's own words, or where this server has the files of a
/// version that a pipeline made.
pub(crate) fn source(version: &ModelVersion) -> String {
    match &version.foreign {
        Some(foreign) => foreign.source.clone(),
        None => format!("mlflow-artifacts:/stagewright/models/{}/{}", version.model, version.version),
    }
}

/// A logged model.
#[derive(Serialize)]
pub(crate) struct WireLoggedModel<'a> {
    info: LoggedModelInfo<'a>,
    data: LoggedModelData<'a>,
}

#[derive(Serialize)]
struct LoggedModelInfo<'a> {
    model_id: &'a str,
    experiment_id: String,
    name: &'a str,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: &'a str,
    status: &'static str,
    model_type: &'a str,
    source_run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registrations: Vec<WireRegistration<'a>>,
}

#[derive(Serialize)]
struct WireRegistration<'a> {
    name: &'a str,
    version: String,
}

#[derive(Serialize)]
struct LoggedModelData<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<WireMetric<'a>>,
}

impl<'a> From<&'a LoggedModel> for WireLoggedModel<'a> {
    fn from(model: &'a LoggedModel) -> Self {
        let registration = |(name, version): &'a (String, u32)| WireRegistration { name, version: version.to_string() };
        Self {
            info: LoggedModelInfo {
                model_id: &model.model_id,
                experiment_id: model.experiment_id.to_string(),
                name: &model.name,
                creation_timestamp_ms: model.created_ms,
                last_updated_timestamp_ms: model.updated_ms,
                artifact_uri: &model.artifact_uri,
                status: match model.status {
                    LoggedModelStatus::Pending => "LOGGED_MODEL_PENDING",
                    LoggedModelStatus::Ready => "LOGGED_MODEL_READY",
                    LoggedModelStatus::Failed => "LOGGED_MODEL_UPLOAD_FAILED",
                },
                model_type: model.model_type.as_deref().unwrap_or_default(),
                source_run_id: model.source_run.as_ref().map_or("", RunId::as_str),
                status_message: model.status_message.as_deref(),
                tags: pairs(&model.tags),
                registrations: model.registrations.iter().map(registration).collect(),
            },
            data: LoggedModelData {
                params: pairs(&model.parameters),
                metrics: model.metrics.iter().map(|metric| metric_of(model, metric)).collect(),
            },
        }
    }
}

fn metric_of<'a>(model: &'a LoggedModel, of_model: &'a LoggedModelMetric) -> WireMetric<'a> {
    let dataset = of_model.dataset.as_ref();
    WireMetric {
        dataset_name: dataset.map(|dataset| dataset.name.as_str()),
        dataset_digest: dataset.map(|dataset| dataset.digest.as_str()),
        model_id: Some(&model.model_id),
        run_id: Some(of_model.run_id.as_str()),
        ..WireMetric::from(&of_model.metric)
    }
}
