//! Logging to a run: metrics, parameters, tags.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::metric::MetricPoint;
use crate::registry::names::{check_key, shortened};
use crate::registry::run_id::RunId;
use crate::registry::{logged_model_metrics, rows};

/// A value to insert.
pub(super) struct Reported<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: f64,
    pub(super) step: i64,
    pub(super) at_ms: i64,
    /// The stage that reported it; `None`: the host.
    pub(super) stage: Option<i64>,
}

impl Registry {
    /// Logs one value of a metric. It is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn log_metric(&self, run_id: &RunId, point: &MetricPoint) -> Result<(), StoreError> {
        self.log_batch(run_id, std::slice::from_ref(point), &[], &[])
    }

    /// Logs metrics, parameters and tags of a run in one transaction.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::ParameterChanged`] if a parameter already has another
    /// value, [`TrackingError::NoLoggedModel`], [`StoreError::BadKey`] or [`StoreError::Database`].
    ///
    /// [`TrackingError::NoLoggedModel`]: crate::TrackingError::NoLoggedModel
    pub fn log_batch(
        &self,
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
            let now = now_ms();
            insert_points(connection, run, &metrics.iter().map(|point| reported(point, now)).collect::<Vec<_>>())?;
            let changed = rows::add_parameters(connection, ("parameters", "run"), run, parameters)?;
            if let Some((name, old, new)) = changed {
                let (run, name) = (run_id.to_string(), shortened(&name));
                let (old, new) = (shortened(&old), shortened(&new));
                return Err(StoreError::ParameterChanged { run, name, old, new }.into());
            }
            rows::set_pairs(connection, ("run_tags", "run"), run, tags)?;
            logged_model_metrics::insert(connection, run_id, metrics, now)
        })
    }

    /// Removes a tag of a run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::NoTag`] or [`StoreError::Database`].
    pub fn delete_run_tag(&self, run_id: &RunId, name: &str) -> Result<(), StoreError> {
        self.write("delete a tag", Scope::Runs, |connection| {
            let run = active(connection, run_id)?;
            let delete = "DELETE FROM run_tags WHERE run = ?1 AND name = ?2";
            if connection.execute(delete, values![run, name])? == 0 {
                return Err(StoreError::NoTag { name: shortened(name) }.into());
            }
            Ok(())
        })
    }
}

/// Inserts values, and updates the last value of each metric.
pub(super) fn insert_points(connection: &mut Connection, run: i64, points: &[Reported<'_>]) -> Outcome<()> {
    let insert = "INSERT INTO metric_points (run, stage, name, value, step, at_ms) VALUES";
    rows::insert_all(connection, (insert, ""), values![run], points, |point, row| {
        row.extend_from_slice(values![point.stage, &*point.name, point.value, point.step, point.at_ms]);
    })?;
    // Sorted by name, since loggers that lock rows in different orders would wait for each other.
    let mut last: BTreeMap<&str, &Reported<'_>> = BTreeMap::new();
    for point in points {
        let last = last.entry(&*point.name).or_insert(point);
        if point.rank() > last.rank() {
            *last = point;
        }
    }
    let last: Vec<&Reported<'_>> = last.into_values().collect();
    let insert = "INSERT INTO latest_metrics (run, name, value, step, at_ms) VALUES";
    // NaN, stored as NULL, is less than every value at the same step and time.
    let replace =
        "ON CONFLICT (run, name) DO UPDATE SET value = excluded.value, step = excluded.step, at_ms = excluded.at_ms
         WHERE (excluded.step, excluded.at_ms) > (latest_metrics.step, latest_metrics.at_ms)
            OR ((excluded.step, excluded.at_ms) = (latest_metrics.step, latest_metrics.at_ms)
                AND (latest_metrics.value IS NULL OR excluded.value > latest_metrics.value))";
    rows::insert_all(connection, (insert, replace), values![run], &last, |point, row| {
        row.extend_from_slice(values![&*point.name, point.value, point.step, point.at_ms]);
    })?;
    Ok(())
}

/// Returns the value to insert for a point.
fn reported(point: &MetricPoint, now: i64) -> Reported<'_> {
    let MetricPoint { name, value, step, at_ms, .. } = point;
    Reported { name: name.into(), value: *value, step: *step, at_ms: at_ms.unwrap_or(now), stage: None }
}

impl Reported<'_> {
    /// Returns the order in which the last of several values is chosen.
    fn rank(&self) -> (i64, i64, Option<f64>) {
        (self.step, self.at_ms, Some(self.value).filter(|value| !value.is_nan()))
    }
}

/// Returns the row id of a run that is not deleted. It may have ended.
pub(super) fn active(connection: &mut Connection, run_id: &RunId) -> Outcome<i64> {
    let query = "SELECT id FROM runs WHERE run_id = ?1 AND deleted_ms IS NULL";
    let row = connection.first(query, values![run_id.as_str()])?;
    let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
    Ok(row.get(0)?)
}
