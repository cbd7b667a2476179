//! Tables of runs: of each run its facts, and of its parameters, metrics and tags only the chosen
//! ones.
//!
//! A run may have a thousand metrics, and a page shows a hundred runs. Reading all of them to show
//! five would take longer than the search.

use std::collections::HashMap;

use crate::database::{Connection, Outcome, Row, Value};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::names::CLIENT;
use crate::registry::rows::listed;
use crate::registry::run_id::RunId;
use crate::registry::runs::RunStatus;
use crate::registry::search::{self, ViewType};
use crate::registry::search_query::Page;
use crate::search::{Filter, OrderBy};

/// The most characters of a parameter or tag in a table.
const MOST_TEXT: u32 = 300;
/// The first runs of a page, whose names are its columns if none are chosen.
const EXAMPLES: usize = 10;
/// The most names that one search for names looks at.
const MOST_NAMES: usize = 20_000;
/// The latest runs whose names count where not all experiments do.
const LATEST: usize = 300;

/// The tag of a nested run, which names the run around it: MLflow's.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// A kind of values that runs have by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedValue {
    /// Metrics.
    Metric,
    /// Parameters.
    Parameter,
    /// Tags.
    Tag,
}

impl NamedValue {
    const fn table(self) -> &'static str {
        match self {
            Self::Metric => "latest_metrics",
            Self::Parameter => "parameters",
            Self::Tag => "run_tags",
        }
    }
}

/// The columns of a table of runs, beside the facts that every run has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunColumns {
    /// The names of metrics.
    pub metrics: Vec<String>,
    /// The names of parameters.
    pub parameters: Vec<String>,
    /// The names of tags.
    pub tags: Vec<String>,
}

/// A run in a table.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its identifier.
    pub run_id: RunId,
    /// Its name for people.
    pub name: String,
    /// The pipeline's name; empty of a client's run.
    pub pipeline: String,
    /// The number of its experiment.
    pub experiment_id: i64,
    /// The name of its experiment.
    pub experiment: String,
    /// Who began it.
    pub actor: String,
    /// Its status.
    pub status: RunStatus,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Whether it, or its experiment, is deleted.
    pub is_deleted: bool,
    /// Whether a client logs it.
    pub is_client: bool,
    /// The run that it is nested in, as its tag [`PARENT_TAG`] names it. It may not exist.
    pub parent: Option<RunId>,
    /// The last values of the chosen metrics, in their order.
    pub metrics: Vec<Option<f64>>,
    /// The chosen parameters, in their order, cut to 300 characters.
    pub parameters: Vec<Option<String>>,
    /// The chosen tags, in their order, cut to 300 characters.
    pub tags: Vec<Option<String>>,
}

/// A table of runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTable {
    /// The columns, as they were chosen.
    pub columns: RunColumns,
    /// The runs.
    pub rows: Vec<RunRow>,
}

impl Registry {
    /// Returns the runs of a search with the chosen columns: of the experiments with these numbers,
    /// or of all that are not deleted. Without `columns`, they are the most frequent names of the
    /// first runs: at most five metrics and three parameters.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn run_table(
        &self,
        experiments: Option<&[i64]>,
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
        columns: Option<RunColumns>,
    ) -> Result<RunTable, StoreError> {
        if experiments.is_some_and(<[i64]>::is_empty) {
            return Ok(RunTable { columns: columns.unwrap_or_default(), rows: Vec::new() });
        }
        self.read("search runs", |connection| {
            let numbers = search::run_numbers(connection, experiments, filter, order, view, page)?;
            let columns = match columns {
                Some(columns) => columns,
                None => usual(connection, numbers.get(..EXAMPLES).unwrap_or(&numbers))?,
            };
            let rows = rows(connection, &numbers, &columns)?;
            Ok(RunTable { columns, rows })
        })
    }

    /// Returns the names of metrics, parameters or tags that contain a text, whatever its case, at
    /// most `limit`, in order. Without `experiments`, those of all runs count, but no more than
    /// 20,000 names are looked at; with them, those of their latest 300 runs.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn names_of_runs(
        &self,
        what: NamedValue,
        experiments: Option<&[i64]>,
        containing: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let wanted = containing.to_lowercase();
        let mut names: Vec<String> = self.read("list names of runs", |connection| {
            let rows = match experiments {
                None => connection.query(&every_name(what), &[MOST_NAMES.into()])?,
                Some(experiments) => connection.query_once(&names_in(what, experiments), &[LATEST.into()])?,
            };
            rows.iter().map(|row| Ok(row.get(0)?)).collect()
        })?;
        names.retain(|name| name.to_lowercase().contains(&wanted));
        names.sort();
        names.truncate(limit);
        Ok(names)
    }
}

/// Returns the query of all names of a kind. It goes from name to name in the index of names, so
/// that it reads as many entries as there are names, not as there are values.
fn every_name(what: NamedValue) -> String {
    let table = what.table();
    format!(
        "WITH RECURSIVE names (name) AS (
             SELECT (SELECT min(name) FROM {table})
             UNION ALL
             SELECT (SELECT min(name) FROM {table} WHERE name > names.name) FROM names WHERE names.name IS NOT NULL)
         SELECT name FROM names WHERE name IS NOT NULL LIMIT ?1"
    )
}

/// Returns the query of the names in the latest runs of experiments.
fn names_in(what: NamedValue, experiments: &[i64]) -> String {
    let numbers = listed(experiments);
    // An empty list is no SQL.
    let among = if numbers.is_empty() { "NULL" } else { &numbers };
    format!(
        "SELECT DISTINCT name FROM {} WHERE run IN (SELECT id FROM runs WHERE experiment IN ({among})
         AND deleted_ms IS NULL ORDER BY started_ms DESC LIMIT ?1)",
        what.table()
    )
}

/// Returns the names that most of these runs have.
fn usual(connection: &mut Connection, numbers: &[i64]) -> Outcome<RunColumns> {
    let mut most_frequent = |what: NamedValue, most: usize| -> Outcome<Vec<String>> {
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT name FROM {} WHERE run IN ({}) GROUP BY name ORDER BY count(*) DESC, name LIMIT {most}",
            what.table(),
            listed(numbers)
        );
        connection.query_once(&query, &[])?.iter().map(|row| Ok(row.get(0)?)).collect()
    };
    let metrics = most_frequent(NamedValue::Metric, 5)?;
    Ok(RunColumns { metrics, parameters: most_frequent(NamedValue::Parameter, 3)?, tags: Vec::new() })
}

/// Reads the runs with these row ids, in this order.
fn rows(connection: &mut Connection, numbers: &[i64], columns: &RunColumns) -> Outcome<Vec<RunRow>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let among = listed(numbers);
    let query = format!(
        "SELECT runs.id, run_id, runs.name, pipeline, runs.experiment, experiments.name, actor, status, started_ms,
             ended_ms, coalesce(runs.deleted_ms, experiments.deleted_ms), owner
         FROM runs JOIN experiments ON experiments.id = runs.experiment WHERE runs.id IN ({among})"
    );
    let mut found: HashMap<i64, Row> = HashMap::with_capacity(numbers.len());
    for row in connection.query_once(&query, &[])? {
        found.insert(row.get(0)?, row);
    }
    let mut metrics = metrics(connection, &among, &columns.metrics)?;
    let mut parameters = texts(connection, NamedValue::Parameter, &among, &columns.parameters)?;
    let mut tags = texts(connection, NamedValue::Tag, &among, &columns.tags)?;
    let mut parents = texts(connection, NamedValue::Tag, &among, &[PARENT_TAG.to_owned()])?;
    let mut rows = Vec::with_capacity(numbers.len());
    for number in numbers {
        let Some(row) = found.get(number) else { continue };
        rows.push(RunRow {
            run_id: row.parsed(1)?,
            name: row.get(2)?,
            pipeline: row.get(3)?,
            experiment_id: row.get(4)?,
            experiment: row.get(5)?,
            actor: row.get(6)?,
            status: row.parsed(7)?,
            started_ms: row.get(8)?,
            ended_ms: row.get(9)?,
            is_deleted: row.get::<Option<i64>>(10)?.is_some(),
            is_client: row.get::<String>(11)? == CLIENT,
            parent: parents.remove(&(*number, PARENT_TAG.to_owned())).and_then(|text| text.parse().ok()),
            metrics: columns.metrics.iter().map(|name| metrics.remove(&(*number, name.clone()))).collect(),
            parameters: columns.parameters.iter().map(|name| parameters.remove(&(*number, name.clone()))).collect(),
            tags: columns.tags.iter().map(|name| tags.remove(&(*number, name.clone()))).collect(),
        });
    }
    Ok(rows)
}

/// Returns the last values of the named metrics of runs, by run and name.
fn metrics(connection: &mut Connection, among: &str, names: &[String]) -> Outcome<HashMap<(i64, String), f64>> {
    let mut values = HashMap::new();
    for row in named(connection, "run, name, value FROM latest_metrics", among, names)? {
        let value = row.get::<Option<f64>>(2)?.unwrap_or(f64::NAN);
        values.insert((row.get(0)?, row.get(1)?), value);
    }
    Ok(values)
}

/// Returns the named parameters or tags of runs, by run and name.
fn texts(
    connection: &mut Connection,
    what: NamedValue,
    among: &str,
    names: &[String],
) -> Outcome<HashMap<(i64, String), String>> {
    let mut values = HashMap::new();
    let columns = format!("run, name, substr(value, 1, {MOST_TEXT}) FROM {}", what.table());
    for row in named(connection, &columns, among, names)? {
        values.insert((row.get(0)?, row.get(1)?), row.get(2)?);
    }
    Ok(values)
}

/// Selects the rows of these runs that have one of these names.
fn named(connection: &mut Connection, columns: &str, among: &str, names: &[String]) -> Outcome<Vec<Row>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    let query = format!("SELECT {columns} WHERE run IN ({among}) AND name IN ({})", places.join(", "));
    let names: Vec<Value> = names.iter().map(|name| name.as_str().into()).collect();
    Ok(connection.query_once(&query, &names)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::handle::steps_of;

    // invariant: A page of runs reads the values that it shows, however many others the runs have.
    #[test]
    fn names_and_chosen_values_are_read_by_an_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(folder.path().join("stagewright.db")).expect("a registry");
        for what in [NamedValue::Metric, NamedValue::Parameter, NamedValue::Tag] {
            let steps = steps_of(&registry, &every_name(what), 1);
            assert!(steps.iter().filter(|step| step.contains("_by_value")).count() == 2, "{steps:?}");
            let scanned: Vec<&String> = steps.iter().filter(|step| step.starts_with("SCAN")).collect();
            assert!(
                scanned.iter().all(|step| ["SCAN names", "SCAN CONSTANT ROW"].contains(&step.as_str())),
                "{steps:?}"
            );
        }
        let query = "SELECT run, name, value FROM latest_metrics WHERE run IN (1, 2) AND name IN (?1, ?2)";
        let steps = steps_of(&registry, query, 2);
        assert!(steps.iter().all(|step| step.contains("(run=? AND name=?)")), "{steps:?}");
    }
}
