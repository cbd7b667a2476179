//! The metrics of logged models: the last value of each, by dataset and run.

use std::collections::BTreeMap;

use crate::database::{Connection, Outcome, values};
use crate::registry::ids;
use crate::registry::metric::{DatasetName, LoggedMetric, MetricPoint};
use crate::registry::rows::{self, Insert, Kind};
use crate::registry::run_id::RunId;

/// A metric of a logged model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedModelMetric {
    /// Its last value.
    pub metric: LoggedMetric,
    /// The run that measured it.
    pub run_id: RunId,
    /// The dataset that it was measured on.
    pub dataset: Option<DatasetName>,
}

/// Updates the metrics of the logged models that points of a run name.
pub(super) fn insert(connection: &mut Connection, run_id: &RunId, points: &[MetricPoint], now: i64) -> Outcome<()> {
    let rank = |point: &MetricPoint| {
        let value = Some(point.value).filter(|value| !value.is_nan());
        (point.step, point.at_ms.unwrap_or(now), value)
    };
    let mut models: BTreeMap<&str, i64> = BTreeMap::new();
    // Sorted, since loggers that lock rows in different orders would wait for each other.
    let mut last: BTreeMap<(i64, &str, Option<&DatasetName>), &MetricPoint> = BTreeMap::new();
    for point in points {
        let Some(model_id) = point.model_id.as_deref() else { continue };
        let model = match models.get(model_id) {
            Some(model) => *model,
            None => ids::logged_model(connection, model_id)?,
        };
        models.insert(model_id, model);
        let kept = last.entry((model, &point.name, point.dataset.as_ref())).or_insert(point);
        if rank(point) > rank(kept) {
            *kept = point;
        }
    }
    let last: Vec<_> = last.into_iter().collect();
    let before =
        "INSERT INTO logged_model_metrics (run, model, name, dataset_name, dataset_digest, value, step, at_ms)";
    let own = &[Kind::Integer, Kind::Text, Kind::Text, Kind::Text, Kind::Real, Kind::Integer, Kind::Integer];
    let after = "ON CONFLICT (model, name, dataset_name, dataset_digest, run)
        DO UPDATE SET value = excluded.value, step = excluded.step, at_ms = excluded.at_ms
        WHERE (excluded.step, excluded.at_ms) > (logged_model_metrics.step, logged_model_metrics.at_ms)
            OR ((excluded.step, excluded.at_ms) = (logged_model_metrics.step, logged_model_metrics.at_ms)
                AND (logged_model_metrics.value IS NULL OR excluded.value > logged_model_metrics.value))";
    let shared = values![run_id.as_str()];
    let insert = Insert { before, own, after };
    rows::insert_all(connection, &insert, shared, &last, |((model, name, dataset), point), row| {
        let (dataset, digest) = dataset.map_or(("", ""), |it| (it.name.as_str(), it.digest.as_str()));
        let at_ms = point.at_ms.unwrap_or(now);
        row.extend_from_slice(values![*model, *name, dataset, digest, point.value, point.step, at_ms]);
    })?;
    Ok(())
}

/// Returns the metrics of a logged model, by name, dataset and run.
pub(super) fn of_model(connection: &mut Connection, model: i64) -> Outcome<Vec<LoggedModelMetric>> {
    let query = "SELECT name, value, step, at_ms, run, dataset_name, dataset_digest FROM logged_model_metrics
        WHERE model = ?1 ORDER BY name, dataset_name, dataset_digest, run";
    let metric = |row: &crate::database::Row| {
        let (name, digest): (String, String) = (row.get(5)?, row.get(6)?);
        let dataset = (!name.is_empty() || !digest.is_empty()).then_some(DatasetName { name, digest });
        Ok(LoggedModelMetric { metric: LoggedMetric::from_row(row, 0)?, run_id: row.parsed(4)?, dataset })
    };
    connection.query(query, values![model])?.iter().map(metric).collect()
}
