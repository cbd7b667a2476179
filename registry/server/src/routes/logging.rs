//! Logging to runs: metrics, parameters, tags, datasets, models.

use serde_json::Value;
use stagewright_store::{
    Dataset, DatasetInput, DatasetName, MetricPoint, ModelOutput, Permission, RunId, RunUpdate, StoreError,
};

use super::fields::{check_key, check_length, run_id, truncated};
use super::runs::{MOST_TAG_VALUE, found, logged, tags};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::request::Fields;
use crate::wire::{Empty, RUN_NAME_TAG};

/// The most bytes of the body of a batch.
const MOST_BATCH: usize = 1_000_000;
/// The most bytes of a body with datasets, whose profiles are long.
const MOST_DATASETS: usize = 16 << 20;
/// The most characters in a parameter's value; the rest is cut, as MLflow does.
const MOST_PARAMETER: usize = 6_000;
/// The most datasets or models that a request logs.
const MOST_INPUTS: usize = 1_000;
/// The tag with the models of clients before MLflow 3.
const MODELS_TAG: &str = "mlflow.log-model.history";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/mlflow/runs/log-metric",
            Needs::edit(Of::Run).and(Permission::Edit, Of::ModelsOfMetrics),
            log_metric,
        ),
        Route::post("/mlflow/runs/log-parameter", Needs::edit(Of::Run), log_parameter),
        Route::post(
            "/mlflow/runs/log-batch",
            Needs::edit(Of::Run).and(Permission::Edit, Of::ModelsOfMetrics),
            log_batch,
        )
        .with_most(MOST_BATCH),
        Route::post("/mlflow/runs/set-tag", Needs::edit(Of::Run), set_tag),
        Route::post("/mlflow/runs/delete-tag", Needs::edit(Of::Run), delete_tag),
        Route::post(
            "/mlflow/runs/log-inputs",
            Needs::edit(Of::Run).and(Permission::Read, Of::LoggedModels("models")),
            log_inputs,
        )
        .with_most(MOST_DATASETS),
        Route::post(
            "/mlflow/runs/outputs",
            Needs::edit(Of::Run).and(Permission::Read, Of::LoggedModels("models")),
            log_outputs,
        ),
        Route::post("/mlflow/runs/log-model", Needs::edit(Of::Run), log_model),
    ]
}

fn log_metric(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let point = metric(fields, "name")?;
    let run_id = run_id(fields)?;
    logged(app, &run_id, app.registry.log_client_batch(&run_id, &[point], &[], &[]))?;
    reply(&Empty {})
}

/// Reads a value of a metric. `path` names its key in messages.
fn metric(fields: &Fields, path: &str) -> Result<MetricPoint, MlflowError> {
    let name = fields.required("key")?;
    check_key(path, name)?;
    let value = fields.float("value")?.ok_or_else(|| fields.missing("value"))?;
    let at_ms = fields.integer("timestamp")?.ok_or_else(|| fields.missing("timestamp"))?;
    if at_ms < 0 {
        return Err(MlflowError::invalid(format!(
            "Invalid value {at_ms} for parameter 'timestamp' supplied: metric '{name}' (value={value}). Timestamp must \
             be a nonnegative long (64-bit integer) "
        )));
    }
    let dataset = match (fields.filled("dataset_name")?, fields.filled("dataset_digest")?) {
        (Some(name), Some(digest)) => Some(DatasetName { name: name.to_owned(), digest: digest.to_owned() }),
        _ => None,
    };
    Ok(MetricPoint {
        name: name.to_owned(),
        value,
        step: fields.integer("step")?.unwrap_or_default(),
        at_ms: Some(at_ms),
        model_id: fields.filled("model_id")?.map(ToOwned::to_owned),
        dataset,
    })
}

fn log_parameter(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (run_id, key) = (run_id(fields)?, fields.required("key")?);
    check_key("key", key)?;
    let mut value = fields.text("value")?.unwrap_or_default().to_owned();
    truncated(&mut value, MOST_PARAMETER);
    logged(app, &run_id, app.registry.log_client_batch(&run_id, &[], &[(key.to_owned(), value)], &[]))?;
    reply(&Empty {})
}

fn log_batch(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run_id = run_id(fields)?;
    let points = fields.objects("metrics")?;
    let mut parameters = fields.pairs("params")?;
    let tags = tags(fields)?;
    let sizes = [("metrics", points.len(), 1_000), ("params", parameters.len(), 100), ("tags", tags.len(), 100)];
    let all = ("metrics, params, and tags", points.len() + parameters.len() + tags.len(), 1_000);
    for (what, size, most) in sizes.into_iter().chain([all]) {
        if size > most {
            return Err(MlflowError::invalid(format!(
                "A batch logging request can contain at most {most} {what}. Got {size} {what}. Please split up {what} \
                 across multiple requests and try again."
            )));
        }
    }
    let points = points.iter().enumerate().map(|(index, fields)| metric(fields, &format!("metrics[{index}].name")));
    let points = points.collect::<Result<Vec<_>, _>>()?;
    for (index, (key, value)) in parameters.iter_mut().enumerate() {
        check_key(&format!("params[{index}].key"), key)?;
        truncated(value, MOST_PARAMETER);
    }
    check_distinct(&parameters)?;
    logged(app, &run_id, app.registry.log_client_batch(&run_id, &points, &parameters, &tags))?;
    rename_by(app, &run_id, &tags)?;
    reply(&Empty {})
}

/// Checks that no parameter comes twice with different values.
fn check_distinct(parameters: &[(String, String)]) -> Result<(), MlflowError> {
    let mut keys: Vec<&str> = parameters.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(MlflowError::invalid(format!(
            "Duplicate parameter keys have been submitted: ['{}']. Please ensure the request contains only one param \
             value per param key.",
            pair[0]
        ))),
    }
}

/// Gives a run the name that one of its new tags has.
fn rename_by(app: &Context, run_id: &RunId, tags: &[(String, String)]) -> Result<(), MlflowError> {
    let name = tags.iter().rev().find(|(key, value)| key == RUN_NAME_TAG && !value.is_empty());
    if let Some((_, name)) = name {
        app.registry.update_run(run_id, &RunUpdate { name: Some(name.clone()), ..RunUpdate::default() })?;
    }
    Ok(())
}

fn set_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (run_id, key) = (run_id(fields)?, fields.required("key")?);
    check_key("key", key)?;
    let mut value = fields.text("value")?.unwrap_or_default().to_owned();
    truncated(&mut value, MOST_TAG_VALUE);
    let tags = [(key.to_owned(), value)];
    logged(app, &run_id, app.registry.log_batch(&run_id, &[], &[], &tags))?;
    rename_by(app, &run_id, &tags)?;
    reply(&Empty {})
}

fn delete_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (run_id, key) = (run_id(fields)?, fields.required("key")?);
    match app.registry.delete_run_tag(&run_id, key) {
        Err(StoreError::NoTag { name }) => {
            Err(MlflowError::missing(format!("No tag with name: {name} in run with id {run_id}")))
        }
        done => {
            logged(app, &run_id, done)?;
            reply(&Empty {})
        }
    }
}

fn log_inputs(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run_id = run_id(fields)?;
    let datasets = fields.objects("datasets")?.iter().map(dataset_input).collect::<Result<Vec<_>, _>>()?;
    let models = fields.objects("models")?;
    let models = models.iter().map(|model| Ok(model.required("model_id")?.to_owned()));
    let models = models.collect::<Result<Vec<String>, MlflowError>>()?;
    check_number(datasets.len().max(models.len()))?;
    logged(app, &run_id, app.registry.log_inputs(&run_id, &datasets, &models))?;
    reply(&Empty {})
}

fn check_number(number: usize) -> Result<(), MlflowError> {
    if number <= MOST_INPUTS {
        return Ok(());
    }
    Err(MlflowError::invalid(format!("A request logs at most {MOST_INPUTS} datasets or models. Got {number}.")))
}

fn dataset_input(fields: &Fields) -> Result<DatasetInput, MlflowError> {
    let tags = fields.pairs("tags")?;
    let dataset = fields.object("dataset")?.ok_or_else(|| fields.missing("dataset"))?;
    let (name, digest) = (dataset.required("name")?, dataset.required("digest")?);
    let (source_type, source) = (dataset.required("source_type")?, dataset.required("source")?);
    let (schema, profile) = (dataset.text("schema")?, dataset.text("profile")?);
    check_length("dataset.name", name, 500)?;
    check_length("dataset.digest", digest, 36)?;
    check_length("dataset.source", source, 65_535)?;
    check_length("dataset.schema", schema.unwrap_or_default(), 1_048_575)?;
    check_length("dataset.profile", profile.unwrap_or_default(), 16_777_215)?;
    Ok(DatasetInput {
        dataset: Dataset {
            name: name.to_owned(),
            digest: digest.to_owned(),
            source_type: source_type.to_owned(),
            source: source.to_owned(),
            schema: schema.map(ToOwned::to_owned),
            profile: profile.map(ToOwned::to_owned),
        },
        tags,
    })
}

fn log_outputs(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run_id = run_id(fields)?;
    let models = fields.objects("models")?;
    if models.is_empty() {
        return Err(fields.missing("models"));
    }
    check_number(models.len())?;
    let output = |model: &Fields| {
        let model_id = model.required("model_id")?.to_owned();
        Ok(ModelOutput { model_id, step: model.integer("step")?.unwrap_or_default() })
    };
    let models = models.iter().map(output).collect::<Result<Vec<_>, MlflowError>>()?;
    logged(app, &run_id, app.registry.log_outputs(&run_id, &models))?;
    reply(&Empty {})
}

/// Notes a model of a client before MLflow 3, as a tag of the run.
fn log_model(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run_id = run_id(fields)?;
    let text = fields.required("model_json")?;
    let model: Value =
        serde_json::from_str(text).map_err(|_| MlflowError::invalid("Malformed model info: it is not JSON"))?;
    for member in ["artifact_path", "flavors", "utc_time_created", "run_id"] {
        if model.get(member).is_none() {
            return Err(MlflowError::invalid(format!("Model json is missing mandatory fields: {{'{member}'}}")));
        }
    }
    let run = found(app, fields)?;
    let history = run.tags.iter().find(|(key, _)| key == MODELS_TAG).map(|(_, value)| value.as_str());
    let mut history: Vec<Value> = history.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    history.push(model);
    let value = Value::Array(history).to_string();
    logged(app, &run_id, app.registry.log_batch(&run_id, &[], &[], &[(MODELS_TAG.to_owned(), value)]))?;
    reply(&Empty {})
}
