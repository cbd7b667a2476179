//! The texts: `MLmodel`, and what an environment for the model needs.
//!
//! They are made of what the registry has, so that the same version always gives the same bytes.
//! The package finds the digest of the version's manifest in `MLmodel`, and there the digests of
//! everything that it executes.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use stagewright_store::{DataType, Digest, Field, ModelVersion, Role, StoreError, VersionManifest};

use crate::mlflow_version::MLFLOW_VERSION;

/// The folder that the loader gets.
pub(crate) const DATA: &str = "stagewright";

/// The folder of a version's files among those of its run.
pub const MODEL: &str = "model";

/// The version of Python that an environment made for the model has. The package runs in others
/// too, but MLflow's client wants one named.
const PYTHON: &str = "3.11";

/// The packages that loading needs and that a package index has. The loader is on none: a line for
/// it would have pip install whatever somebody else publishes by its name.
pub(crate) const REQUIREMENTS: &str =
    "mlflow>=2.22\n# and the package stagewright, from clients/python of Stagewright's repository\n";

/// The limits of a component where its version records none: those of a training.
const MEMORY_BYTES: u64 = 2 << 30;
const WALL_MS: u64 = 90 * 60 * 1_000;

/// The parts of a version's contents that its `MLmodel` tells.
#[derive(Deserialize)]
struct Contents {
    signature: Signature,
    task: Task,
    #[serde(default)]
    limits: Vec<StageLimits>,
}

#[derive(Deserialize)]
struct Signature {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Task {
    kind: String,
}

#[derive(Deserialize)]
struct StageLimits {
    stage: String,
    memory: u64,
    wall_ms: u64,
}

/// Returns the environment that the client makes for the model.
pub(crate) fn python_env() -> String {
    format!("python: \"{PYTHON}\"\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n")
}

/// Returns the text of `MLmodel`.
///
/// # Errors
/// The version's contents are not those of a model that predicts.
pub(crate) fn mlmodel(
    version: &ModelVersion,
    manifest: &VersionManifest,
    run_id: Option<&str>,
) -> Result<String, StoreError> {
    let contents: Contents =
        serde_json::from_value(version.contents.clone()).map_err(|error| StoreError::BadRecord {
            place: format!("version {} of model `{}`", version.version, version.model),
            problem: error.to_string(),
        })?;
    let digest = Digest::of(&manifest.bytes);
    let identity = format!("{}/{}/{}", version.model, version.version, version.created_ms);
    let size = manifest.objects.iter().map(|object| object.size).sum::<u64>() + manifest.bytes.len() as u64;
    let of_predictions =
        || contents.limits.iter().filter(|limits| ["transformation", "training"].contains(&limits.stage.as_str()));
    let memory = of_predictions().map(|limits| limits.memory).max().unwrap_or(MEMORY_BYTES);
    let wall_ms = of_predictions().map(|limits| limits.wall_ms).max().unwrap_or(WALL_MS);
    let lines = [
        format!("artifact_path: {MODEL}"),
        "flavors:".to_owned(),
        "  python_function:".to_owned(),
        "    config:".to_owned(),
        format!("      manifest: {}", quoted(&digest.to_string())),
        format!("      memory_bytes: {memory}"),
        format!("      seconds: {}", wall_ms as f64 / 1_000.0),
        format!("    data: {DATA}"),
        "    env:".to_owned(),
        "      virtualenv: python_env.yaml".to_owned(),
        "    loader_module: stagewright.pyfunc".to_owned(),
        format!("    python_version: {}", quoted(PYTHON)),
        "  stagewright:".to_owned(),
        format!("    model: {}", quoted(&version.model)),
        format!("    version: {}", version.version),
        format!("mlflow_version: {MLFLOW_VERSION}"),
        format!("model_size_bytes: {size}"),
        format!("model_uuid: {}", quoted(&Digest::of(identity.as_bytes()).to_hex()[..32])),
        format!("run_id: {}", run_id.map_or("null".to_owned(), quoted)),
        "signature:".to_owned(),
        format!("  inputs: {}", quoted(&ascii(&inputs(&contents.signature)))),
        format!("  outputs: {}", quoted(&ascii(&outputs(&contents.task)))),
        "  params: null".to_owned(),
        format!("utc_time_created: {}", quoted(&utc(version.created_ms))),
    ];
    Ok(lines.join("\n") + "\n")
}

/// Returns the columns that a client passes: the features.
fn inputs(signature: &Signature) -> Value {
    let features = signature.fields.iter().filter(|field| field.role == Role::Feature);
    features.map(|field| json!({"type": input_type(field), "name": field.name, "required": true})).collect()
}

/// Returns MLflow's name of a column's type.
fn input_type(field: &Field) -> &'static str {
    match field.data_type {
        DataType::Boolean => "boolean",
        // As MLflow infers it from numbers with missing values, which its `long` refuses. The
        // loader checks that the numbers are whole. Why not `any`? MLflow 2 mixes up the rows of
        // such columns where the index does not count from 0.
        DataType::Int64 if field.nullable => "double",
        DataType::Int64 => "long",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::Categorical => "string",
        DataType::Timestamp => "datetime",
    }
}

/// Returns the columns that predictions have.
fn outputs(task: &Task) -> Value {
    let column = |name, of| json!({"type": of, "name": name, "required": true});
    match task.kind.as_str() {
        "regression" => json!([column("value", "double")]),
        _ => json!([column("label", "string"), column("probability", "double")]),
    }
}

/// Writes JSON in ASCII alone. Inside a quoted scalar, YAML would take some other characters for
/// line breaks.
fn ascii(value: &Value) -> String {
    let mut written = String::new();
    for character in value.to_string().chars() {
        match character {
            ' '..='~' => written.push(character),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| written += &format!("\\u{unit:04x}")),
        }
    }
    written
}

/// Quotes a text of ASCII characters, as a scalar of YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Returns a time as MLflow writes it.
fn utc(milliseconds: i64) -> String {
    let at = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000000");
        assert_eq!(utc(951_782_400_000 + 3_723_004), "2000-02-29 01:02:03.004000");
        assert_eq!(utc(-1), "1969-12-31 23:59:59.999000");
        assert_eq!(utc(1_796_051_381_123), "2026-11-30 15:09:41.123000");
        assert_eq!(utc(i64::MAX), utc(0), "no year has five digits");
    }

    #[test]
    fn names_of_columns_are_ascii_in_the_signature() {
        let field = Field::new("größe\u{2028}𝒙\"", DataType::Float64);
        let written = ascii(&inputs(&Signature { fields: vec![field.clone()] }));
        assert!(written.is_ascii() && !written.contains('\n'), "{written}");
        let read: Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read[0]["name"], Value::from(field.name));
    }

    #[test]
    fn whole_numbers_with_missing_values_are_double() {
        let of = |data_type, nullable| input_type(&Field::new("a", data_type).with_nullable(nullable));
        assert_eq!([of(DataType::Int64, false), of(DataType::Int64, true)], ["long", "double"]);
        assert_eq!([of(DataType::Float64, true), of(DataType::Categorical, true)], ["double", "string"]);
    }
}
