//! Runs: beginning, ending, finding.

use serde::Serialize;
use stagewright_store::search::Entity;
use stagewright_store::{NewClientRun, Run, RunId, RunPage, RunStatus, RunUpdate, StoreError};

use super::fields::{check_key, check_length, experiment_ids, filter, order, run_id, truncated, view};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::{Asked, token};
use crate::request::{Fields, number_of_experiment};
use crate::run_names;
use crate::wire::{Empty, RUN_NAME_TAG, RunInfo, WireRun};

/// The most characters in the value of a run's tag; the rest is cut, as MLflow does.
pub(super) const MOST_TAG_VALUE: usize = 8_000;
/// The most runs of a page.
const MOST: usize = 50_000;
/// About how many bytes the runs of an answer take. Further ones are on the next page.
const MOST_BYTES: usize = 32 << 20;
/// The most experiments of a search.
const MOST_EXPERIMENTS: usize = 10_000;
/// The most characters in a run's name.
const MOST_NAME: usize = 250;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/mlflow/runs/create", Needs::edit(Of::Experiment("experiment_id")), create),
        Route::get("/mlflow/runs/get", Needs::read(Of::Run), get),
        Route::post("/mlflow/runs/update", Needs::edit(Of::Run), update),
        Route::post("/mlflow/runs/delete", Needs::manage(Of::Run), delete),
        Route::post("/mlflow/runs/restore", Needs::manage(Of::Run), restore),
        Route::post("/mlflow/runs/search", Needs::Anybody, search),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    run: WireRun<'a>,
}

#[derive(Serialize)]
struct Info<'a> {
    run_info: RunInfo<'a>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<WireRun<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Reads the tags of a run, cut to what MLflow keeps of them.
pub(super) fn tags(fields: &Fields) -> Result<Vec<(String, String)>, MlflowError> {
    let mut tags = fields.pairs("tags")?;
    for (key, value) in &mut tags {
        check_key("tags.key", key)?;
        truncated(value, MOST_TAG_VALUE);
    }
    Ok(tags)
}

fn create(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let experiment_id = number_of_experiment(fields.filled("experiment_id")?.unwrap_or("0"))?;
    let user = fields.text("user_id")?.unwrap_or_default();
    let asked = fields.filled("run_name")?;
    // As MLflow, any key and the whole value: what a client logs later is held to more.
    let mut tags = fields.pairs("tags")?;
    for (key, _) in &tags {
        check_length("key", key, MOST_NAME)?;
    }
    let tagged = tags.iter().find(|(key, _)| key == RUN_NAME_TAG).map(|(_, value)| value.clone());
    let name = match (asked, tagged) {
        (Some(name), Some(tag)) if name != tag => {
            return Err(MlflowError::invalid(format!(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
                 (run_name='{name}', mlflow.runName='{tag}')."
            )));
        }
        (_, Some(tag)) if !tag.is_empty() => tag,
        (Some(name), _) => name.to_owned(),
        (None, _) => run_names::random(),
    };
    check_length("run_name", &name, MOST_NAME)?;
    check_length("user_id", user, MOST_NAME)?;
    tags.retain(|(key, _)| key != RUN_NAME_TAG);
    tags.push((RUN_NAME_TAG.to_owned(), name.clone()));
    let started_ms = fields.integer("start_time")?.filter(|time| *time > 0);
    let new = NewClientRun { experiment_id, name, user: user.to_owned(), started_ms, tags };
    let run = app.registry.begin_client_run(&new)?;
    reply(&One { run: WireRun::from(&run).just_begun() })
}

/// Returns the run of this identifier.
pub(super) fn found(app: &Context, fields: &Fields) -> Result<Run, MlflowError> {
    Ok(app.registry.run(run_id(fields)?.as_str())?)
}

fn get(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    reply(&One { run: (&found(app, fields)?).into() })
}

/// Returns the result of a change of a run. One that is deleted is no run to the registry, and to
/// clients one that takes nothing.
pub(super) fn logged<T>(app: &Context, run_id: &RunId, result: Result<T, StoreError>) -> Result<T, MlflowError> {
    result.map_err(|error| {
        let is_deleted = matches!(error, StoreError::NoRun { .. })
            && app.registry.run(run_id.as_str()).is_ok_and(|run| run.deleted_ms.is_some());
        if is_deleted {
            let state = "must be in the 'active' state. Current state is deleted.";
            return MlflowError::invalid(format!("The run {run_id} {state}"));
        }
        error.into()
    })
}

fn update(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run_id = run_id(fields)?;
    // A run that is scheduled counts as running.
    let statuses = [
        ("RUNNING", 1, RunStatus::Running),
        ("SCHEDULED", 2, RunStatus::Running),
        ("FINISHED", 3, RunStatus::Finished),
        ("FAILED", 4, RunStatus::Failed),
        ("KILLED", 5, RunStatus::Killed),
    ];
    let name = fields.filled("run_name")?.map(ToOwned::to_owned);
    if let Some(name) = &name {
        check_length("run_name", name, MOST_NAME)?;
    }
    let update = RunUpdate {
        status: fields.choice("status", &statuses)?,
        ended_ms: fields.integer("end_time")?.filter(|time| *time > 0),
        name: name.clone(),
    };
    let run = logged(app, &run_id, app.registry.update_run(&run_id, &update))?;
    if let Some(name) = name {
        app.registry.log_batch(&run_id, &[], &[], &[(RUN_NAME_TAG.to_owned(), name)])?;
    }
    reply(&Info { run_info: (&run).into() })
}

fn delete(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    app.registry.delete_run(&run_id(fields)?, true)?;
    reply(&Empty {})
}

fn restore(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    app.registry.delete_run(&run_id(fields)?, false)?;
    reply(&Empty {})
}

fn search(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let experiments = app.readable(experiment_ids(fields, MOST_EXPERIMENTS)?)?;
    let (filter, order) = (filter(fields, Entity::Runs)?, order(fields, Entity::Runs)?);
    let (view, asked) = (view(fields, "run_view_type")?, Asked::read(fields, 1_000, MOST)?);
    let within = (&filter, &order, view);
    let RunPage { mut runs, is_cut } =
        app.registry.search_runs_within(MOST_BYTES, &experiments, within, asked.with_one_more())?;
    // What does not fit is on the next page.
    let next_page_token = asked.cut(&mut runs).or_else(|| is_cut.then(|| token(asked.start + runs.len() as u64)));
    reply(&Found { runs: runs.iter().map(WireRun::from).collect(), next_page_token })
}
