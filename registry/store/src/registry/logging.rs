//! Logging to a run: metrics with their histories, parameters, tags.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::{check_key, shortened};
use crate::registry::run_id::RunId;

/// The last value of a metric: of the values with the greatest step, the latest; of several of
/// these, the greatest. This is MLflow's rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoggedMetric {
    /// Its name.
    pub name: String,
    /// Its value; NaN if it is undefined (`null` in JSON).
    pub value: f64,
    /// Its step on the curve.
    pub step: i64,
    /// When it was logged, in milliseconds since the epoch.
    pub at_ms: i64,
}

/// A value to log.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// The metric's name.
    pub name: String,
    /// Its value; NaN and infinities are values.
    pub value: f64,
    /// Its step on the curve; 0 for a single value.
    pub step: i64,
    /// When it was measured, in milliseconds since the epoch; `None`: now.
    pub at_ms: Option<i64>,
}

impl MetricPoint {
    fn reported(&self) -> Reported<'_> {
        let Self { name, value, step, at_ms } = self;
        let at_ms = at_ms.unwrap_or_else(now_ms);
        Reported { name: name.into(), value: *value, step: *step, at_ms, stage: None }
    }
}

impl LoggedMetric {
    /// Reads name, value, step and time from column `first` on.
    pub(super) fn from_row(row: &Row, first: usize) -> Outcome<Self> {
        let value = row.get::<Option<f64>>(first + 1)?.unwrap_or(f64::NAN);
        Ok(Self { name: row.get(first)?, value, step: row.get(first + 2)?, at_ms: row.get(first + 3)? })
    }
}

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
    /// value, [`StoreError::BadKey`] or [`StoreError::Database`].
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
            insert_points(connection, run, &metrics.iter().map(MetricPoint::reported).collect::<Vec<_>>())?;
            for (name, value) in sorted_by_name(parameters) {
                insert_parameter(connection, run, run_id, name, value)?;
            }
            for (name, value) in sorted_by_name(tags) {
                set_tag(connection, run, name, value)?;
            }
            Ok(())
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

    /// Returns every value of a metric of a run, in the order of logging.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn metric_history(&self, run_id: &RunId, name: &str) -> Result<Vec<LoggedMetric>, StoreError> {
        self.read("read a metric's history", |connection| {
            let run = active(connection, run_id)?;
            let query = "SELECT name, value, step, at_ms FROM metric_points WHERE run = ?1 AND name = ?2 ORDER BY id";
            let rows = connection.query(query, values![run, name])?;
            rows.iter().map(|row| LoggedMetric::from_row(row, 0)).collect()
        })
    }
}

/// Sorts pairs by name. PostgreSQL locks each row, and loggers in different orders would deadlock.
fn sorted_by_name(pairs: &[(String, String)]) -> Vec<&(String, String)> {
    let mut sorted: Vec<_> = pairs.iter().collect();
    sorted.sort_by_key(|(name, _)| name);
    sorted
}

/// Inserts values, and updates the last value of each metric.
pub(super) fn insert_points(connection: &mut Connection, run: i64, points: &[Reported<'_>]) -> Outcome<()> {
    let insert = "INSERT INTO metric_points (run, stage, name, value, step, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    // Sorted by name, for the same reason as in `sorted_by_name`.
    let mut last: BTreeMap<&str, &Reported<'_>> = BTreeMap::new();
    for point in points {
        connection.execute(insert, values![run, point.stage, &*point.name, point.value, point.step, point.at_ms])?;
        let last = last.entry(&*point.name).or_insert(point);
        if point.rank() > last.rank() {
            *last = point;
        }
    }
    // NaN, stored as NULL, is less than every value at the same step and time.
    let upsert = "INSERT INTO latest_metrics (run, name, value, step, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (run, name) DO UPDATE SET value = excluded.value, step = excluded.step, at_ms = excluded.at_ms
         WHERE (excluded.step, excluded.at_ms) > (latest_metrics.step, latest_metrics.at_ms)
            OR ((excluded.step, excluded.at_ms) = (latest_metrics.step, latest_metrics.at_ms)
                AND (latest_metrics.value IS NULL OR excluded.value > latest_metrics.value))";
    for (name, point) in last {
        connection.execute(upsert, values![run, name, point.value, point.step, point.at_ms])?;
    }
    Ok(())
}

impl Reported<'_> {
    /// Returns the order in which the last of several values is chosen.
    fn rank(&self) -> (i64, i64, Option<f64>) {
        (self.step, self.at_ms, Some(self.value).filter(|value| !value.is_nan()))
    }
}

/// Returns the row id of a run that is not deleted. It may have ended.
fn active(connection: &mut Connection, run_id: &RunId) -> Outcome<i64> {
    let query = "SELECT id FROM runs WHERE run_id = ?1 AND deleted_ms IS NULL";
    let row = connection.first(query, values![run_id.as_str()])?;
    let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
    Ok(row.get(0)?)
}

/// Inserts a parameter. It has one value: inserting the same value again changes nothing.
fn insert_parameter(connection: &mut Connection, run: i64, run_id: &RunId, name: &str, value: &str) -> Outcome<()> {
    let insert = "INSERT INTO parameters (run, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    if connection.execute(insert, values![run, name, value])? == 1 {
        return Ok(());
    }
    let query = "SELECT value FROM parameters WHERE run = ?1 AND name = ?2";
    let old: String = connection.one(query, values![run, name])?.get(0)?;
    if old == value {
        return Ok(());
    }
    let (name, run) = (shortened(name), run_id.to_string());
    Err(StoreError::ParameterChanged { run, name, old: shortened(&old), new: shortened(value) }.into())
}

fn set_tag(connection: &mut Connection, run: i64, name: &str, value: &str) -> Outcome<()> {
    let upsert = "INSERT INTO run_tags (run, name, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (run, name) DO UPDATE SET value = excluded.value";
    connection.execute(upsert, values![run, name, value])?;
    Ok(())
}
