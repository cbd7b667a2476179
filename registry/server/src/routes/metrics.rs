//! Histories of metrics.

use serde::Serialize;
use stagewright_store::{RunId, RunPoint};

use super::fields::{parsed_run_id, run_id};
use crate::app::App;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::{position, token};
use crate::request::Fields;
use crate::wire::WireMetric;

/// The most values of an answer where no number is asked for. Further ones are on the next page.
const MOST: usize = 100_000;
/// The most values of several runs.
const MOST_BULK: usize = 25_000;
/// The most runs whose histories are asked for at once.
const MOST_RUNS: usize = 100;
/// The most steps of a sample, and how many there are without a number.
const MOST_SAMPLED: usize = 2_500;
const SAMPLED: usize = 320;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/mlflow/metrics/get-history", history),
        Route::get("/mlflow/metrics/get-history-bulk", bulk),
        Route::get("/mlflow/metrics/get-history-bulk-interval", interval),
    ]
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<WireMetric<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn history(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let (run_id, name) = (run_id(fields)?, fields.required("metric_key")?);
    let limit = most_results(fields, MOST, MOST)?;
    let after = fields.filled("page_token")?.map(position).transpose()?;
    let after = after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
    let history = app.registry.metric_history_page(&run_id, name, after, limit)?;
    let next_page_token = history.next.map(|next| token(next.unsigned_abs()));
    reply(&History { metrics: history.points.iter().map(WireMetric::from).collect(), next_page_token })
}

/// Returns how many results are wanted; more than `most` are that many.
fn most_results(fields: &Fields, default: usize, most: usize) -> Result<usize, MlflowError> {
    match fields.integer("max_results")? {
        None => Ok(default),
        Some(asked) if asked > 0 => Ok(usize::try_from(asked).unwrap_or(most).min(most)),
        Some(asked) => Err(MlflowError::invalid(format!(
            "Invalid value {asked} for parameter 'max_results' supplied. It must be a positive integer."
        ))),
    }
}

fn runs(fields: &Fields, name: &str) -> Result<Vec<RunId>, MlflowError> {
    let runs = fields.texts(name)?;
    if runs.is_empty() {
        return Err(MlflowError::invalid(format!("The request must specify at least one {name}.")));
    }
    if runs.len() > MOST_RUNS {
        return Err(MlflowError::invalid(format!(
            "The request cannot specify more than {MOST_RUNS} runs. Received {}.",
            runs.len()
        )));
    }
    runs.into_iter().map(parsed_run_id).collect()
}

fn answer(points: &[RunPoint]) -> Result<Reply, MlflowError> {
    reply(&History { metrics: points.iter().map(WireMetric::from).collect(), next_page_token: None })
}

fn bulk(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let (runs, name) = (runs(fields, "run_id")?, fields.required("metric_key")?);
    let limit = most_results(fields, MOST_BULK, MOST_BULK)?;
    answer(&app.registry.metric_history_bulk(&runs, name, limit)?)
}

fn interval(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let (runs, name) = (runs(fields, "run_ids")?, fields.required("metric_key")?);
    let steps = match (fields.integer("start_step")?, fields.integer("end_step")?) {
        (None, None) => None,
        (Some(start), Some(end)) if start <= end => Some((start, end)),
        _ => {
            return Err(MlflowError::invalid(
                "If either start step or end step are specified, both must be, and the end is not before the start.",
            ));
        }
    };
    let most = most_results(fields, SAMPLED, MOST_SAMPLED)?;
    answer(&app.registry.metric_history_interval(&runs, name, steps, most)?)
}
