//! Experiments.

use serde::Serialize;
use stagewright_store::search::Entity;
use stagewright_store::{DatasetSummary, Experiment, Permission, StoreError, Visible};
use stagewright_text::Untrusted;

use super::fields::{check_key, check_length, experiment_id, experiment_ids, filter, order, view};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::Asked;
use crate::request::Fields;
use crate::wire::{Empty, WireExperiment};

const MOST_TAG_VALUE: usize = 20_000;
const MOST_LOCATION: usize = 2_048;
/// The most experiments of a search.
const MOST: usize = 50_000;
/// The most datasets that a search finds.
const MOST_DATASETS: usize = 1_000;
/// The most experiments whose datasets are searched at once.
const MOST_SEARCHED: usize = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/mlflow/experiments/create",
            Needs::All(vec![]).and(Permission::Edit, Of::Location("artifact_location")),
            create,
        ),
        Route::get("/mlflow/experiments/get", Needs::read(Of::Experiment("experiment_id")), get),
        Route::get("/mlflow/experiments/get-by-name", Needs::read(Of::ExperimentNamed("experiment_name")), get_by_name),
        Route::get("/mlflow/experiments/search", Needs::Anybody, search),
        Route::post("/mlflow/experiments/search", Needs::Anybody, search),
        Route::post("/mlflow/experiments/update", Needs::edit(Of::Experiment("experiment_id")), update),
        Route::post("/mlflow/experiments/delete", Needs::manage(Of::Experiment("experiment_id")), delete),
        Route::post("/mlflow/experiments/restore", Needs::manage(Of::Experiment("experiment_id")), restore),
        Route::post("/mlflow/experiments/set-experiment-tag", Needs::edit(Of::Experiment("experiment_id")), set_tag),
        Route::post(
            "/mlflow/experiments/delete-experiment-tag",
            Needs::edit(Of::Experiment("experiment_id")),
            delete_tag,
        ),
        Route::post("/mlflow/experiments/search-datasets", Needs::Anybody, search_datasets),
    ]
}

#[derive(Serialize)]
struct Created {
    experiment_id: String,
}

#[derive(Serialize)]
struct One<'a> {
    experiment: WireExperiment<'a>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiments: Vec<WireExperiment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn create(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let name = fields.required("name")?;
    let tags = fields.pairs("tags")?;
    let location = fields.filled("artifact_location")?;
    check_length("name", name, 500)?;
    for (key, value) in &tags {
        check_key("key", key)?;
        check_length("value", value, MOST_TAG_VALUE)?;
    }
    location.map_or(Ok(()), check_location)?;
    let id = app.registry.create_experiment_at(name, location, &tags)?;
    reply(&Created { experiment_id: id.to_string() })
}

/// Checks where clients are told to put artifacts. The server itself follows it only below its own
/// artifacts.
fn check_location(location: &str) -> Result<(), MlflowError> {
    check_length("artifact_location", location, MOST_LOCATION)?;
    let refuse = |problem: &str| {
        let shown = Untrusted::new(location).cut(200);
        Err(MlflowError::invalid(format!("Invalid artifact location: '{shown}'. {problem}")))
    };
    if location.starts_with("runs:") {
        return refuse("Artifact location cannot be a runs:/ URI.");
    }
    if location.chars().any(char::is_control) || location.contains(['#', '?']) {
        return refuse("It has a control character, a query or a fragment.");
    }
    if location.split(['/', '\\']).any(|part| part == "..") {
        return refuse("It has a `..`.");
    }
    Ok(())
}

fn get(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let experiment = app.registry.experiment_numbered(experiment_id(fields)?)?;
    reply(&One { experiment: (&experiment).into() })
}

fn get_by_name(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let name = fields.required("experiment_name")?;
    let found: Option<Experiment> = app.registry.experiment(name)?;
    let experiment = found.ok_or_else(|| MlflowError::no_experiment_named(name))?;
    reply(&One { experiment: (&experiment).into() })
}

fn search(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (filter, order) = (filter(fields, Entity::Experiments)?, order(fields, Entity::Experiments)?);
    let (view, asked) = (view(fields, "view_type")?, Asked::read(fields, 1_000, MOST)?);
    let visible = app.visible_experiments()?;
    let search = |page| app.registry.search_experiments(&filter, &order, view, page);
    let is_in = |visible: &Visible<i64>, experiment: &Experiment| visible.contains(&experiment.id);
    let (found, next_page_token) = asked.page(search, visible.as_ref(), is_in)?;
    reply(&Found { experiments: found.iter().map(WireExperiment::from).collect(), next_page_token })
}

fn update(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (id, name) = (experiment_id(fields)?, fields.required("new_name")?);
    check_length("name", name, 500)?;
    app.registry.rename_experiment_numbered(id, name)?;
    reply(&Empty {})
}

fn delete(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    set_deleted(app, experiment_id(fields)?, true)
}

fn restore(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    set_deleted(app, experiment_id(fields)?, false)
}

/// Deletes or restores an experiment. One that is in that state already counts as missing.
fn set_deleted(app: &Context, id: i64, deleted: bool) -> Result<Reply, MlflowError> {
    if app.registry.experiment_numbered(id)?.deleted_ms.is_some() == deleted {
        return Err(StoreError::NoExperiment { name: id.to_string() }.into());
    }
    app.registry.delete_experiment_numbered(id, deleted)?;
    reply(&Empty {})
}

fn set_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (id, key) = (experiment_id(fields)?, fields.required("key")?);
    let value = fields.text("value")?.unwrap_or_default();
    check_key("key", key)?;
    check_length("value", value, MOST_TAG_VALUE)?;
    app.registry.tag_experiment_numbered(id, key, Some(value))?;
    reply(&Empty {})
}

fn delete_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (id, key) = (experiment_id(fields)?, fields.required("key")?);
    match app.registry.tag_experiment_numbered(id, key, None) {
        Err(StoreError::NoTag { name }) => {
            Err(MlflowError::missing(format!("No tag with name: {name} in experiment with id {id}")))
        }
        done => {
            done?;
            reply(&Empty {})
        }
    }
}

#[derive(Serialize)]
struct Datasets<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_summaries: Vec<WireSummary<'a>>,
}

#[derive(Serialize)]
struct WireSummary<'a> {
    experiment_id: String,
    name: &'a str,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
}

fn search_datasets(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    const REQUEST: &str = "SearchDatasets request";
    match fields.texts("experiment_ids")?.len() {
        0 => return Err(MlflowError::invalid(format!("{REQUEST} must specify at least one experiment_id."))),
        1..=MOST_SEARCHED => {}
        _ => {
            let refusal = format!("{REQUEST} cannot specify more than {MOST_SEARCHED} experiment_ids.");
            return Err(MlflowError::invalid(refusal));
        }
    }
    let experiments = app.readable(experiment_ids(fields, MOST_SEARCHED)?)?;
    let found: Vec<DatasetSummary> = app.registry.search_datasets(&experiments, MOST_DATASETS)?;
    let dataset_summaries = found
        .iter()
        .map(|summary| WireSummary {
            experiment_id: summary.experiment_id.to_string(),
            name: &summary.dataset.name,
            digest: &summary.dataset.digest,
            context: summary.context.as_deref(),
        })
        .collect();
    reply(&Datasets { dataset_summaries })
}
