//! Curves of metrics for people: a history of any length as a bounded number of points.
//!
//! Of a long history, each point stands for an interval and has the least, the greatest and the
//! mean value there. A sample of single values, as MLflow takes it, would lose peaks.

use crate::database::{Connection, Outcome, Row, values};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::run_id::RunId;
use crate::registry::runs;

/// The most points of a curve.
const MOST: usize = 2_000;

/// A curve of a metric of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricCurve {
    /// The points, by step, then by time.
    pub points: Vec<CurvePoint>,
    /// How many values they stand for.
    pub values: u64,
}

/// A value, or the values of an interval of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// The first step.
    pub step: i64,
    /// When its first value was logged, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The mean of the values.
    pub mean: f64,
    /// The least of the values.
    pub least: f64,
    /// The greatest of the values.
    pub greatest: f64,
}

impl Registry {
    /// Returns the curve of a metric of a run, deleted or not, within these steps, of at most
    /// `most` points. A history whose values all have one step is divided by time. A run that has
    /// no such metric has no points.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn metric_curve(
        &self,
        run_id: &RunId,
        name: &str,
        steps: Option<(i64, i64)>,
        most: usize,
    ) -> Result<MetricCurve, StoreError> {
        let (from, to) = steps.unwrap_or((i64::MIN, i64::MAX));
        let most = most.clamp(2, MOST);
        self.read("read a metric's curve", |connection| {
            let run = runs::number_of(connection, run_id)?;
            let of = values![run, name, from, to].to_vec();
            let extent = connection.one(&format!("SELECT {EXTENT}"), &of)?;
            let count: u64 = extent.get(0)?;
            if count <= most as u64 {
                return Ok(MetricCurve { points: every(connection, &of)?, values: count });
            }
            let steps: (i64, i64) = (extent.get(1)?, extent.get(2)?);
            let times: (i64, i64) = (extent.get(3)?, extent.get(4)?);
            let (column, (first, last)) = if steps.0 < steps.1 { ("step", steps) } else { ("at_ms", times) };
            // Halves have a difference, however far apart the ends are.
            let divisor = if last.checked_sub(first).is_some() { 1 } else { 2 };
            let (first, last) = (first / divisor, last / divisor);
            // Wide enough that there are at most `most` intervals.
            let width = (last - first) / most as i64 + 1;
            let place = format!("({column} / ?5 - ?6) / ?7");
            let query = format!(
                "SELECT min(step), min(at_ms), avg(value), min(value), max(value) FROM metric_points
                 WHERE {OF} GROUP BY {place} ORDER BY {place}"
            );
            let mut asked = of;
            asked.extend([divisor.into(), first.into(), width.into()]);
            let rows = connection.query_once(&query, &asked)?;
            Ok(MetricCurve { points: rows.iter().map(interval).collect::<Outcome<_>>()?, values: count })
        })
    }
}

const OF: &str = "run = ?1 AND name = ?2 AND step BETWEEN ?3 AND ?4";
const EXTENT: &str = "count(*), min(step), max(step), min(at_ms), max(at_ms) FROM metric_points
    WHERE run = ?1 AND name = ?2 AND step BETWEEN ?3 AND ?4";

fn every(connection: &mut Connection, of: &[crate::database::Value]) -> Outcome<Vec<CurvePoint>> {
    let query = format!("SELECT step, at_ms, value FROM metric_points WHERE {OF} ORDER BY step, at_ms, id");
    let point = |row: &Row| {
        let value = number(row, 2)?;
        Ok(CurvePoint { step: row.get(0)?, at_ms: row.get(1)?, mean: value, least: value, greatest: value })
    };
    connection.query(&query, of)?.iter().map(point).collect()
}

fn interval(row: &Row) -> Outcome<CurvePoint> {
    let (step, at_ms) = (row.get(0)?, row.get(1)?);
    Ok(CurvePoint { step, at_ms, mean: number(row, 2)?, least: number(row, 3)?, greatest: number(row, 4)? })
}

/// Returns a number of a column in which null is NaN.
fn number(row: &Row, column: usize) -> Outcome<f64> {
    Ok(row.get::<Option<f64>>(column)?.unwrap_or(f64::NAN))
}
