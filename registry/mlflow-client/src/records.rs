//! Records in MLflow's JSON.
//!
//! A member that is missing has its default. Whole numbers are read from numbers and from texts,
//! since protocol buffers write them in either way.

use std::fmt;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A tag or a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pair {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Pair {
    /// Makes one.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// An experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Experiment {
    /// Its identifier.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// The folder with the files of its runs: a URI.
    pub artifact_location: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: String,
    /// Its tags.
    pub tags: Vec<Pair>,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Its facts.
    pub info: RunInfo,
    /// Everything that was logged.
    pub data: RunData,
    /// Everything that it used.
    pub inputs: RunInputs,
    /// Everything that it made.
    pub outputs: RunOutputs,
}

/// The facts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInfo {
    /// Its identifier.
    pub run_id: String,
    /// Its name for people.
    pub run_name: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Who began it.
    pub user_id: String,
    /// `RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`.
    pub status: String,
    /// When it began, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub start_time: i64,
    /// When it ended, in milliseconds since the epoch; 0: it did not.
    #[serde(deserialize_with = "whole")]
    pub end_time: i64,
    /// The folder with its files: a URI.
    pub artifact_uri: String,
    /// `active` or `deleted`.
    pub lifecycle_stage: String,
}

/// Everything that was logged to a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunData {
    /// The last value of each metric.
    pub metrics: Vec<Metric>,
    /// Its parameters.
    pub params: Vec<Pair>,
    /// Its tags.
    pub tags: Vec<Pair>,
}

/// A value of a metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metric {
    /// Its name.
    pub key: String,
    /// Its value.
    #[serde(deserialize_with = "number", serialize_with = "write_number")]
    pub value: f64,
    /// When it was measured, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub timestamp: i64,
    /// Its step.
    #[serde(deserialize_with = "whole")]
    pub step: i64,
    /// The dataset that it was measured on; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dataset_name: String,
    /// The digest of the dataset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dataset_digest: String,
    /// The logged model that it was measured of; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model_id: String,
    /// The run that measured it, where a logged model has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run_id: String,
}

/// Everything that a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInputs {
    /// Datasets.
    pub dataset_inputs: Vec<DatasetInput>,
    /// Logged models.
    pub model_inputs: Vec<ModelInput>,
}

/// A dataset that a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetInput {
    /// Tags, such as its context.
    pub tags: Vec<Pair>,
    /// The dataset.
    pub dataset: Dataset,
}

/// A dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// The kind of its source.
    pub source_type: String,
    /// Its source.
    pub source: String,
    /// Its columns, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Its profile, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// A logged model that a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInput {
    /// Its identifier.
    pub model_id: String,
}

/// Everything that a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOutputs {
    /// Logged models.
    pub model_outputs: Vec<ModelOutput>,
}

/// A logged model that a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelOutput {
    /// Its identifier.
    pub model_id: String,
    /// The step at which it was made.
    #[serde(deserialize_with = "whole")]
    pub step: i64,
}

/// A logged model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedModel {
    /// Its facts.
    pub info: LoggedModelInfo,
    /// Everything that was logged about it.
    pub data: LoggedModelData,
}

/// The facts of a logged model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedModelInfo {
    /// Its identifier.
    pub model_id: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub creation_timestamp_ms: i64,
    /// When it last changed, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub last_updated_timestamp_ms: i64,
    /// The folder with its files: a URI.
    pub artifact_uri: String,
    /// `LOGGED_MODEL_PENDING`, `LOGGED_MODEL_READY` or `LOGGED_MODEL_UPLOAD_FAILED`.
    pub status: String,
    /// Its type.
    pub model_type: String,
    /// The run that made it.
    pub source_run_id: String,
    /// Why it is in this state.
    pub status_message: String,
    /// Its tags.
    pub tags: Vec<Pair>,
}

/// Everything that was logged about a logged model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedModelData {
    /// Its parameters.
    pub params: Vec<Pair>,
    /// The last value of each metric.
    pub metrics: Vec<Metric>,
}

/// A registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// When it was registered, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub creation_timestamp: i64,
    /// When it last changed, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub last_updated_timestamp: i64,
    /// A description for people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<Pair>,
    /// Its aliases.
    pub aliases: Vec<Alias>,
}

/// An alias of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alias {
    /// The alias.
    pub alias: String,
    /// The version that it points to.
    #[serde(deserialize_with = "text")]
    pub version: String,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelVersion {
    /// The model.
    pub name: String,
    /// Its number.
    #[serde(deserialize_with = "text")]
    pub version: String,
    /// When it was registered, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub creation_timestamp: i64,
    /// When it last changed, in milliseconds since the epoch.
    #[serde(deserialize_with = "whole")]
    pub last_updated_timestamp: i64,
    /// Who registered it.
    pub user_id: String,
    /// `None`, `Staging`, `Production` or `Archived`.
    pub current_stage: String,
    /// A description for people.
    pub description: String,
    /// The folder with its files: a URI.
    pub source: String,
    /// The run that made it.
    pub run_id: String,
    /// A page about that run.
    pub run_link: String,
    /// Its tags.
    pub tags: Vec<Pair>,
    /// The logged model that it is.
    pub model_id: String,
}

/// A file or a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileInfo {
    /// Its path.
    pub path: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// The number of its bytes; `None`: not told.
    pub file_size: Option<u64>,
}

/// Reads a whole number from a number, a text, or nothing.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Whole {
        Number(i64),
        Float(f64),
        Text(String),
        None(()),
    }
    Ok(match Whole::deserialize(deserializer)? {
        Whole::Number(number) => number,
        // A step or a time that another program wrote as 1.0.
        Whole::Float(number) => number as i64,
        Whole::Text(text) => text.parse().map_err(|_| D::Error::custom("a text is no whole number"))?,
        Whole::None(()) => 0,
    })
}

/// Reads a text from a text, a number, or nothing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Name {
        Text(String),
        Number(i64),
        None(()),
    }
    Ok(match Name::deserialize(deserializer)? {
        Name::Text(text) => text,
        Name::Number(number) => number.to_string(),
        Name::None(()) => String::new(),
    })
}

/// Reads a number, which may be the text `NaN`, `Infinity` or `-Infinity`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = f64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }
        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }
        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }
        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<f64, E> {
            Ok(f64::NAN)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f64, E> {
            match text {
                "NaN" => Ok(f64::NAN),
                "Infinity" => Ok(f64::INFINITY),
                "-Infinity" => Ok(f64::NEG_INFINITY),
                text => text.parse().map_err(|_| E::custom("a text is no number")),
            }
        }
    }
    deserializer.deserialize_any(Number)
}

/// Writes a number as MLflow's clients do. JSON has no NaN and no infinities.
fn write_number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        serializer.serialize_str("NaN")
    } else if value.is_infinite() {
        serializer.serialize_str(if *value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_in_every_form_that_servers_write() {
        let read = |value: serde_json::Value| serde_json::from_value::<Metric>(value).expect("a metric");
        let metric = read(json!({ "key": "a", "value": "NaN", "timestamp": "5", "step": 2.0 }));
        assert!(metric.value.is_nan() && (metric.timestamp, metric.step) == (5, 2), "{metric:?}");
        assert_eq!(read(json!({ "key": "a", "value": 3 })).value, 3.0);
        assert_eq!(read(json!({ "key": "a", "value": "-Infinity", "step": null })).value, f64::NEG_INFINITY);
        let version: ModelVersion = serde_json::from_value(json!({ "version": 3 })).expect("a version");
        assert_eq!(version.version, "3");
        assert!(serde_json::from_value::<Metric>(json!({ "value": "much" })).is_err());
        assert!(serde_json::from_value::<Metric>(json!({ "step": "x" })).is_err());
    }
}
