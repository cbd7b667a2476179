//! Logged models: what `log_model` of MLflow 3 makes.

use axum::http::Method;
use serde::Serialize;
use stagewright_store::search::{Entity, OrderBy};
use stagewright_store::{
    LoggedModel, LoggedModelOrder, LoggedModelSearch, LoggedModelStatus, NewLoggedModel, Permission, StoreError,
};

use super::fields::{experiment_id, experiment_ids, filter, parsed_run_id, truncated};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::Asked;
use crate::request::Fields;
use crate::run_names;
use crate::wire::Empty;
use crate::wire_models::WireLoggedModel;

/// The most logged models of a page, and how many there are without a number.
const MOST: usize = 1_000;
const PAGE: usize = 50;
/// The most experiments, datasets and keys of an order in a search.
const MOST_EXPERIMENTS: usize = 1_000;
const MOST_DATASETS: usize = 100;
const MOST_KEYS: usize = 10;
/// The most characters in a parameter; the rest is cut, as MLflow does with those of runs.
const MOST_PARAMETER: usize = 6_000;

pub(super) fn routes() -> Vec<Route> {
    let delete = |path, needs, operation| Route::new(Method::DELETE, path, needs, operation);
    let patch = |path, needs, operation| Route::new(Method::PATCH, path, needs, operation);
    vec![
        Route::post(
            "/mlflow/logged-models",
            Needs::edit(Of::Experiment("experiment_id")).and(Permission::Read, Of::RunIfNamed("source_run_id")),
            create,
        ),
        Route::post("/mlflow/logged-models/search", Needs::Anybody, search),
        Route::get("/mlflow/logged-models/{model_id}", Needs::read(Of::LoggedModel("model_id")), get),
        patch("/mlflow/logged-models/{model_id}", Needs::edit(Of::LoggedModel("model_id")), finalize),
        delete("/mlflow/logged-models/{model_id}", Needs::manage(Of::LoggedModel("model_id")), remove),
        patch("/mlflow/logged-models/{model_id}/tags", Needs::edit(Of::LoggedModel("model_id")), set_tags),
        delete("/mlflow/logged-models/{model_id}/tags/{tag_key}", Needs::edit(Of::LoggedModel("model_id")), delete_tag),
        Route::post(
            "/mlflow/logged-models/{model_id}/params",
            Needs::edit(Of::LoggedModel("model_id")),
            log_parameters,
        ),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    model: WireLoggedModel<'a>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<WireLoggedModel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn answer(model: &LoggedModel) -> Result<Reply, MlflowError> {
    reply(&One { model: model.into() })
}

fn parameters(fields: &Fields) -> Result<Vec<(String, String)>, MlflowError> {
    let mut pairs = fields.pairs("params")?;
    pairs.iter_mut().for_each(|(_, value)| truncated(value, MOST_PARAMETER));
    Ok(pairs)
}

fn create(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let new = NewLoggedModel {
        experiment_id: experiment_id(fields)?,
        name: fields.filled("name")?.map_or_else(run_names::random, ToOwned::to_owned),
        model_type: fields.filled("model_type")?.map(ToOwned::to_owned),
        source_run: fields.filled("source_run_id")?.map(parsed_run_id).transpose()?,
        parameters: parameters(fields)?,
        tags: fields.pairs("tags")?,
    };
    answer(&app.registry.create_logged_model(&new)?)
}

fn get(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    answer(&app.registry.logged_model(fields.required("model_id")?)?)
}

fn finalize(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let statuses = [
        ("LOGGED_MODEL_PENDING", 1, LoggedModelStatus::Pending),
        ("LOGGED_MODEL_READY", 2, LoggedModelStatus::Ready),
        ("LOGGED_MODEL_UPLOAD_FAILED", 3, LoggedModelStatus::Failed),
    ];
    let status = fields.choice("status", &statuses)?.ok_or_else(|| fields.missing("status"))?;
    answer(&app.registry.finalize_logged_model(fields.required("model_id")?, status, None)?)
}

fn remove(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    app.registry.delete_logged_model(fields.required("model_id")?)?;
    reply(&Empty {})
}

fn set_tags(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let tags = fields.pairs("tags")?;
    app.registry.tag_logged_model(fields.required("model_id")?, &tags)?;
    reply(&Empty {})
}

fn delete_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let model_id = fields.required("model_id")?;
    match app.registry.delete_logged_model_tag(model_id, fields.required("tag_key")?) {
        Err(StoreError::NoTag { name }) => {
            Err(MlflowError::missing(format!("No tag with key '{name}' found for model with ID '{model_id}'.")))
        }
        done => {
            done?;
            reply(&Empty {})
        }
    }
}

fn log_parameters(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let parameters = parameters(fields)?;
    app.registry.log_logged_model_parameters(fields.required("model_id")?, &parameters)?;
    reply(&Empty {})
}

/// A dataset by name, and by digest where that matters.
type NamedDataset = (String, Option<String>);

fn search(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let experiments = experiment_ids(fields, MOST_EXPERIMENTS)?;
    if experiments.is_empty() {
        return Err(fields.missing("experiment_ids"));
    }
    let experiments = app.readable(experiments)?;
    let filter = filter(fields, Entity::LoggedModels)?;
    let datasets = fields.objects("datasets")?;
    let order = fields.objects("order_by")?;
    if datasets.len() > MOST_DATASETS || order.len() > MOST_KEYS {
        return Err(MlflowError::invalid(format!(
            "A search has at most {MOST_DATASETS} datasets and {MOST_KEYS} keys of an order."
        )));
    }
    let datasets = datasets.iter().map(dataset).collect::<Result<Vec<_>, _>>()?;
    if datasets.iter().any(Option::is_none) {
        return Err(MlflowError::invalid("`dataset_name` in the `datasets` clause must be specified."));
    }
    let datasets: Vec<NamedDataset> = datasets.into_iter().flatten().collect();
    let order = order.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    let asked = Asked::read(fields, PAGE, MOST)?;
    let search = LoggedModelSearch {
        experiments: &experiments,
        filter: &filter,
        datasets: &datasets,
        order: &order,
        page: asked.with_one_more(),
    };
    let mut models = app.registry.search_logged_models(&search)?;
    let next_page_token = asked.cut(&mut models);
    reply(&Found { models: models.iter().map(WireLoggedModel::from).collect(), next_page_token })
}

fn dataset(fields: &Fields) -> Result<Option<NamedDataset>, MlflowError> {
    let digest = fields.filled("dataset_digest")?.map(ToOwned::to_owned);
    Ok(fields.filled("dataset_name")?.map(|name| (name.to_owned(), digest)))
}

fn key(fields: &Fields) -> Result<LoggedModelOrder, MlflowError> {
    let text = fields.required("field_name")?;
    let order = OrderBy::parse(Entity::LoggedModels, &[text]).map_err(StoreError::from)?;
    let [only] = order.keys() else {
        return Err(MlflowError::invalid("A `field_name` of an order is one key."));
    };
    let descending = !fields.boolean("ascending")?.unwrap_or(true);
    Ok(LoggedModelOrder { key: only.key.clone(), descending, dataset: dataset(fields)? })
}
