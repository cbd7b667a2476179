//! The values of metrics.

use serde::Serialize;

use crate::database::{Outcome, Row};

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

/// The name and the digest of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DatasetName {
    /// Its name.
    pub name: String,
    /// The digest of its content, as its reader computes it.
    pub digest: String,
}

/// A value to log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricPoint {
    /// The metric's name.
    pub name: String,
    /// Its value; NaN and infinities are values.
    pub value: f64,
    /// Its step on the curve; 0 for a single value.
    pub step: i64,
    /// When it was measured, in milliseconds since the epoch; `None`: now.
    pub at_ms: Option<i64>,
    /// The logged model that it was measured of.
    pub model_id: Option<String>,
    /// The dataset that it was measured on; recorded with the logged model.
    pub dataset: Option<DatasetName>,
}

impl LoggedMetric {
    /// Reads name, value, step and time from column `first` on.
    pub(super) fn from_row(row: &Row, first: usize) -> Outcome<Self> {
        let value = row.get::<Option<f64>>(first + 1)?.unwrap_or(f64::NAN);
        Ok(Self { name: row.get(first)?, value, step: row.get(first + 2)?, at_ms: row.get(first + 3)? })
    }
}
