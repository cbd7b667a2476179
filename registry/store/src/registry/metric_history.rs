//! The values of metrics over steps and time: of one run page by page, of several runs, sampled.

use crate::database::{Connection, Outcome, Row, Value, values};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::metric::LoggedMetric;
use crate::registry::rows::listed;
use crate::registry::run_id::RunId;
use crate::registry::{logging, runs};

/// The most runs whose values are returned at once: MLflow's limit.
const MAX_RUNS: usize = 100;
/// The most steps in a sample: MLflow's limit.
const MAX_STEPS: usize = 2_500;

const COLUMNS: &str = "name, value, step, at_ms, id FROM metric_points WHERE run = ?1 AND name = ?2";

/// The order of a history: that of MLflow, to which NaN is 0.
const ORDER: &str = "at_ms, step, coalesce(value, 0), id";

/// A page of the values of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricHistory {
    /// The values, in the order of time, step and value.
    pub points: Vec<LoggedMetric>,
    /// The place after which the next page begins, which is that of a value; `None` on the last
    /// page.
    pub next: Option<i64>,
}

/// A value of a metric of one of several runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPoint {
    /// The run.
    pub run_id: RunId,
    /// The value.
    pub point: LoggedMetric,
}

impl Registry {
    /// Returns every value of a metric of a run that is not deleted, in the order of time, step and
    /// value.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn metric_history(&self, run_id: &RunId, name: &str) -> Result<Vec<LoggedMetric>, StoreError> {
        self.read("read a metric's history", |connection| {
            let run = logging::active(connection, run_id)?.id;
            Ok(page(connection, (run, name), None, usize::MAX)?.points)
        })
    }

    /// Returns every value of a metric of a run that is not deleted, in the order in which they
    /// were recorded, each with a number of its own. A value that is recorded later may have an
    /// earlier time, and so another place in [`Registry::metric_history`], but never the number of
    /// another.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn numbered_history(&self, run_id: &RunId, name: &str) -> Result<Vec<(i64, LoggedMetric)>, StoreError> {
        self.read("read a metric's history", |connection| {
            let run = logging::active(connection, run_id)?.id;
            let rows = connection.query(&format!("SELECT {COLUMNS} ORDER BY id"), values![run, name])?;
            rows.iter().map(|row| Ok((row.get(4)?, point(row)?))).collect()
        })
    }

    /// Returns a page of the values of a metric of a run, deleted or not, in the order of time,
    /// step and value: at most `limit` of those after the place `after`, which an earlier page
    /// gave.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn metric_history_page(
        &self,
        run_id: &RunId,
        name: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<MetricHistory, StoreError> {
        self.read("read a metric's history", |connection| {
            let run = runs::number_of(connection, run_id)?;
            page(connection, (run, name), after, limit)
        })
    }

    /// Returns the values of a metric of several runs, at most `limit` in all: run by run in this
    /// order, then in that of time, step and value. Of more than 100 runs, the first 100 count.
    /// Runs that do not exist have no values.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn metric_history_bulk(&self, runs: &[RunId], name: &str, limit: usize) -> Result<Vec<RunPoint>, StoreError> {
        self.read("read the histories of a metric", |connection| {
            let mut found = Vec::new();
            let query = format!("SELECT {COLUMNS} ORDER BY {ORDER} LIMIT ?3");
            for (run_id, run) in known(connection, runs)? {
                let rows = connection.query(&query, values![run, name, limit - found.len()])?;
                add(&mut found, run_id, &rows)?;
            }
            Ok(found)
        })
    }

    /// Returns a sample of the values of a metric of several runs: those of at most `most` steps,
    /// evenly chosen from all steps of these runs from the first of `steps` to the second, and
    /// those of the first and the last step of each run. All runs have the same chosen steps, so
    /// that their curves can be compared. Of each run, at most 2,500 values are returned, by step.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn metric_history_interval(
        &self,
        runs: &[RunId],
        name: &str,
        steps: Option<(i64, i64)>,
        most: usize,
    ) -> Result<Vec<RunPoint>, StoreError> {
        let (first, last) = steps.unwrap_or((i64::MIN, i64::MAX));
        let most = most.clamp(1, MAX_STEPS);
        self.read("sample the histories of a metric", |connection| {
            let runs = known(connection, runs)?;
            let distinct = "SELECT DISTINCT step FROM metric_points
                WHERE run = ?1 AND name = ?2 AND step BETWEEN ?3 AND ?4 ORDER BY step";
            let (mut all, mut chosen) = (Vec::new(), Vec::new());
            for (_, run) in &runs {
                let rows = connection.query(distinct, values![*run, name, first, last])?;
                let own: Vec<i64> = rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
                chosen.extend(own.first().into_iter().chain(own.last()));
                all.extend(own);
            }
            all.sort_unstable();
            all.dedup();
            chosen.extend(sample(&all, most));
            chosen.sort_unstable();
            chosen.dedup();
            let mut found = Vec::new();
            if chosen.is_empty() {
                return Ok(found);
            }
            let steps = listed(&chosen);
            let query =
                format!("SELECT {COLUMNS} AND step IN ({steps}) ORDER BY step, at_ms, coalesce(value, 0), id LIMIT ?3");
            for (run_id, run) in runs {
                // A step may have several values, and the first and the last step come in addition.
                let asked: [Value; 3] = [run.into(), name.into(), MAX_STEPS.into()];
                let rows = connection.query_once(&query, &asked)?;
                add(&mut found, run_id, &rows)?;
            }
            Ok(found)
        })
    }
}

/// Returns a page of the values of a metric of the run with this row id.
fn page(
    connection: &mut Connection,
    (run, name): (i64, &str),
    after: Option<i64>,
    limit: usize,
) -> Outcome<MetricHistory> {
    let limit = limit.max(1);
    // One more shows whether there is another page.
    let asked = limit.saturating_add(1);
    let mut rows = match after {
        None => connection.query(&format!("SELECT {COLUMNS} ORDER BY {ORDER} LIMIT ?3"), values![run, name, asked])?,
        Some(after) => {
            let place = format!("SELECT {ORDER} FROM metric_points WHERE id = ?3");
            let query = format!("SELECT {COLUMNS} AND ({ORDER}) > ({place}) ORDER BY {ORDER} LIMIT ?4");
            connection.query(&query, values![run, name, after, asked])?
        }
    };
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = if has_more { rows.last().map(|row| row.get(4)).transpose()? } else { None };
    Ok(MetricHistory { points: rows.iter().map(point).collect::<Outcome<_>>()?, next })
}

/// Returns at most `most` of these steps, evenly chosen, and the last one. MLflow's rule.
fn sample(steps: &[i64], most: usize) -> Vec<i64> {
    if steps.len() <= most {
        return steps.to_vec();
    }
    let interval = steps.len() as f64 / most as f64;
    let places = (0..most).map(|place| (place as f64 * interval) as usize);
    places.filter_map(|place| steps.get(place)).chain(steps.last()).copied().collect()
}

/// Returns the runs that exist, with their row ids, in this order.
fn known<'a>(connection: &mut Connection, runs: &'a [RunId]) -> Outcome<Vec<(&'a RunId, i64)>> {
    let mut known = Vec::with_capacity(runs.len().min(MAX_RUNS));
    for run_id in runs.iter().take(MAX_RUNS) {
        let query = "SELECT id FROM runs WHERE run_id = ?1";
        if let Some(row) = connection.first(query, values![run_id.as_str()])? {
            known.push((run_id, row.get(0)?));
        }
    }
    Ok(known)
}

fn add(found: &mut Vec<RunPoint>, run_id: &RunId, rows: &[Row]) -> Outcome<()> {
    for row in rows {
        found.push(RunPoint { run_id: run_id.clone(), point: point(row)? });
    }
    Ok(())
}

fn point(row: &Row) -> Outcome<LoggedMetric> {
    LoggedMetric::from_row(row, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_even_and_has_the_last_step() {
        let steps: Vec<i64> = (0..10).collect();
        assert_eq!(sample(&steps, 10), steps);
        assert_eq!(sample(&steps, 4), [0, 2, 5, 7, 9]);
        assert_eq!(sample(&steps, 1), [0, 9]);
        assert_eq!(sample(&[], 3), [] as [i64; 0]);
    }
}
