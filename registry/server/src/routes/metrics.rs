//! Histories of metrics.

use serde::Serialize;
use stagewright_store::{RunId, RunPoint};

use super::fields::{parsed_run_id, run_id};
use crate::access::{Needs, Of};
use crate::context::Context;
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
        Route::get("/mlflow/metrics/get-history", Needs::read(Of::Run), history),
        Route::get("/mlflow/metrics/get-history-bulk", Needs::read(Of::Runs("run_id")), bulk),
        Route::get("/mlflow/metrics/get-history-bulk-interval", Needs::read(Of::Runs("run_ids")), interval),
    ]
}

#[derive(Serialize)]
struct History<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<WireMetric<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn history(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
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

/// Returns the runs that a request names. An identifier that no run can have has no values, as one
/// that no run has.
///
/// # Errors
/// There are more than a request may name.
fn runs(fields: &Fields, name: &str, refusal: &str) -> Result<Vec<RunId>, MlflowError> {
    let runs = fields.texts(name)?;
    if runs.len() > MOST_RUNS {
        return Err(MlflowError::invalid(format!("{refusal} {MOST_RUNS} run_ids. Received {} run_ids.", runs.len())));
    }
    Ok(runs.into_iter().filter_map(|run| parsed_run_id(run).ok()).collect())
}

fn answer(points: &[RunPoint]) -> Result<Reply, MlflowError> {
    reply(&History { metrics: points.iter().map(WireMetric::from).collect(), next_page_token: None })
}

fn bulk(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    const REQUEST: &str = "GetMetricHistoryBulk request";
    if fields.texts("run_id")?.is_empty() {
        return Err(MlflowError::invalid(format!("{REQUEST} must specify at least one run_id.")));
    }
    let runs = runs(fields, "run_id", &format!("{REQUEST} cannot specify more than"))?;
    let Some(name) = fields.filled("metric_key")? else {
        return Err(MlflowError::invalid(format!("{REQUEST} must specify a metric_key.")));
    };
    let limit = most_results(fields, MOST_BULK, MOST_BULK)?;
    answer(&app.registry.metric_history_bulk(&runs, name, limit)?)
}

fn interval(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    if fields.texts("run_ids")?.is_empty() {
        return Err(fields.missing("run_ids"));
    }
    let runs = runs(fields, "run_ids", "GetMetricHistoryBulkInterval request must specify at most")?;
    let name = fields.required("metric_key")?;
    let steps = match (fields.integer("start_step")?, fields.integer("end_step")?) {
        (None, None) => None,
        (Some(start), Some(end)) if start <= end => Some((start, end)),
        (Some(start), Some(end)) => {
            return Err(MlflowError::invalid(format!(
                "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
            )));
        }
        _ => {
            let message = "If either start step or end step are specified, both must be specified.";
            return Err(MlflowError::invalid(message));
        }
    };
    let most = match fields.integer("max_results")? {
        None => SAMPLED,
        Some(asked) => match usize::try_from(asked) {
            Ok(asked) if (1..=MOST_SAMPLED).contains(&asked) => asked,
            _ => return Err(MlflowError::invalid(format!("max_results must be between 1 and {MOST_SAMPLED}."))),
        },
    };
    answer(&app.registry.metric_history_interval(&runs, name, steps, most)?)
}
