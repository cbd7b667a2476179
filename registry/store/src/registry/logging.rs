//! Logging to a run: metrics, parameters, tags.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::metric::MetricPoint;
use crate::registry::metric_points::{self, Reported};
use crate::registry::names::{CLIENT, check_key, shortened};
use crate::registry::run_id::RunId;
use crate::registry::tracking_error::TrackingError;
use crate::registry::{logged_model_metrics, rows};

/// Whoever logs to a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Logger {
    /// The process that carries the run out, or whoever may act as it.
    Host,
    /// A client of the tracking server.
    Client,
}

impl Registry {
    /// Logs one value of a metric. It is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn log_metric(&self, run_id: &RunId, point: &MetricPoint) -> Result<(), StoreError> {
        self.log_batch(run_id, std::slice::from_ref(point), &[], &[])
    }

    /// Logs metrics, parameters and tags of a run in one transaction. Of a client's run, a value
    /// that is logged again counts once: one with the same metric, value, step and time.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::ParameterChanged`] if a parameter already has another
    /// value, [`TrackingError::NoLoggedModel`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn log_batch(
        &self,
        run_id: &RunId,
        metrics: &[MetricPoint],
        parameters: &[(String, String)],
        tags: &[(String, String)],
    ) -> Result<(), StoreError> {
        self.log_as(Logger::Host, run_id, metrics, parameters, tags)
    }

    /// As [`Registry::log_batch`], for a client, which can log only tags to the run of a pipeline.
    ///
    /// # Errors
    /// Those of [`Registry::log_batch`]; [`TrackingError::RunOfPipeline`] if the run is a
    /// pipeline's and there are metrics or parameters.
    pub fn log_client_batch(
        &self,
        run_id: &RunId,
        metrics: &[MetricPoint],
        parameters: &[(String, String)],
        tags: &[(String, String)],
    ) -> Result<(), StoreError> {
        self.log_as(Logger::Client, run_id, metrics, parameters, tags)
    }

    fn log_as(
        &self,
        logger: Logger,
        run_id: &RunId,
        metrics: &[MetricPoint],
        parameters: &[(String, String)],
        tags: &[(String, String)],
    ) -> Result<(), StoreError> {
        for point in metrics {
            check_key("metric", &point.name, "")?;
        }
        for (name, value) in parameters.iter().chain(tags) {
            check_key("parameter or tag", name, value)?;
        }
        self.write("log", Scope::Runs, |connection| {
            let run = active(connection, run_id)?;
            if logger == Logger::Client && (!metrics.is_empty() || !parameters.is_empty()) {
                run.check_client(run_id)?;
            }
            let now = now_ms();
            let points: Vec<Reported<'_>> = metrics.iter().map(|point| reported(point, now)).collect();
            if run.is_client {
                metric_points::insert_once(connection, run.id, &points)?;
            } else {
                metric_points::insert(connection, run.id, &points)?;
            }
            let changed = rows::add_parameters(connection, ("parameters", "run"), run.id, parameters)?;
            if let Some((name, old, new)) = changed {
                let (run, name) = (run_id.to_string(), shortened(&name));
                let (old, new) = (shortened(&old), shortened(&new));
                return Err(StoreError::ParameterChanged { run, name, old, new }.into());
            }
            rows::set_pairs(connection, ("run_tags", "run"), run.id, tags)?;
            logged_model_metrics::insert(connection, run_id, metrics, now)
        })
    }

    /// Removes a tag of a run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::NoTag`] or [`StoreError::Database`].
    pub fn delete_run_tag(&self, run_id: &RunId, name: &str) -> Result<(), StoreError> {
        self.write("delete a tag", Scope::Runs, |connection| {
            let run = active(connection, run_id)?.id;
            let delete = "DELETE FROM run_tags WHERE run = ?1 AND name = ?2";
            if connection.execute(delete, values![run, name])? == 0 {
                return Err(StoreError::NoTag { name: shortened(name) }.into());
            }
            Ok(())
        })
    }
}

/// Returns the value to insert for a point.
fn reported(point: &MetricPoint, now: i64) -> Reported<'_> {
    let MetricPoint { name, value, step, at_ms, .. } = point;
    Reported { name: name.into(), value: *value, step: *step, at_ms: at_ms.unwrap_or(now), stage: None }
}

/// A run that is not deleted. It may have ended.
pub(super) struct ActiveRun {
    /// Its row id.
    pub(super) id: i64,
    /// The number of its experiment.
    pub(super) experiment: i64,
    /// Whether a client logs it.
    is_client: bool,
    pipeline: String,
}

impl ActiveRun {
    /// Checks that a client logs the run, so that one may log to it and end it.
    ///
    /// # Errors
    /// [`TrackingError::RunOfPipeline`].
    pub(super) fn check_client(&self, run_id: &RunId) -> Result<(), StoreError> {
        if self.is_client {
            return Ok(());
        }
        Err(TrackingError::RunOfPipeline { run: run_id.to_string(), pipeline: self.pipeline.clone() }.into())
    }
}

/// Returns a run that is not deleted. A client's run counts as deleted while its experiment is; a
/// process ends its run as it began it.
pub(super) fn active(connection: &mut Connection, run_id: &RunId) -> Outcome<ActiveRun> {
    let query = "SELECT runs.id, runs.experiment, runs.owner, runs.pipeline, experiments.deleted_ms FROM runs
        JOIN experiments ON experiments.id = runs.experiment WHERE run_id = ?1 AND runs.deleted_ms IS NULL";
    let none = || StoreError::NoRun { id: run_id.to_string() };
    let row = connection.first(query, values![run_id.as_str()])?.ok_or_else(none)?;
    let is_client = row.get::<String>(2)? == CLIENT;
    if is_client && row.get::<Option<i64>>(4)?.is_some() {
        return Err(none().into());
    }
    Ok(ActiveRun { id: row.get(0)?, experiment: row.get(1)?, is_client, pipeline: row.get(3)? })
}
