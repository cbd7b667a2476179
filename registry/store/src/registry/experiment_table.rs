//! Tables of experiments: each with its latest run and the number of its runs.

use crate::database::{Connection, Outcome, Row, Value};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::rows::listed;
use crate::registry::search::ViewType;
use crate::registry::search_query::{Page, Query};
use crate::search::{Entity, Filter, OrderBy};

/// The most runs of an experiment that are counted.
pub const MOST_COUNTED_RUNS: u64 = 1_000;

/// An experiment in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentRow {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// When it was deleted, if it is.
    pub deleted_ms: Option<i64>,
    /// The number of its runs that are not deleted; one more than [`MOST_COUNTED_RUNS`] if there
    /// are more than that.
    pub runs: u64,
    /// When its latest run began.
    pub last_run_ms: Option<i64>,
}

impl Registry {
    /// Returns the experiments of a search, in order: of those with the numbers `among`, or of all.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiment_table(
        &self,
        among: Option<&[i64]>,
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
    ) -> Result<Vec<ExperimentRow>, StoreError> {
        self.read("search experiments", |connection| {
            let mut query = Query::new(Entity::Experiments, connection.is_sqlite());
            query.conditions.extend(view.condition(&["experiments.deleted_ms"]));
            if let Some(among) = among {
                query.conditions.push(format!("experiments.id IN ({})", listed(among)));
            }
            let numbers = query.row_ids(connection, filter, order, page)?;
            rows(connection, &numbers)
        })
    }

    /// Returns the numbers of all experiments, deleted or not, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiment_numbers(&self) -> Result<Vec<i64>, StoreError> {
        self.read("list experiments", |connection| {
            let rows = connection.query("SELECT id FROM experiments ORDER BY id", &[])?;
            rows.iter().map(|row| Ok(row.get(0)?)).collect()
        })
    }

    /// Returns numbers and names of the experiments that are not deleted, of those with the numbers
    /// `among` or of all: the ones that changed last, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiment_names(&self, among: Option<&[i64]>, limit: usize) -> Result<Vec<(i64, String)>, StoreError> {
        let condition = among.map_or(String::new(), |among| format!(" AND id IN ({})", listed(among)));
        let query = format!(
            "SELECT id, name FROM experiments WHERE deleted_ms IS NULL{condition} ORDER BY updated_ms DESC, id LIMIT ?1"
        );
        self.read("list experiments", |connection| {
            let rows = connection.query_once(&query, &[limit.into()])?;
            rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        })
    }
}

fn rows(connection: &mut Connection, numbers: &[i64]) -> Outcome<Vec<ExperimentRow>> {
    let counted: Value = (MOST_COUNTED_RUNS as usize + 1).into();
    let query = format!(
        "SELECT id, name, created_ms, updated_ms, deleted_ms,
             (SELECT count(*) FROM (SELECT 1 FROM runs WHERE runs.experiment = experiments.id AND runs.deleted_ms IS NULL
              LIMIT ?1) counted),
             (SELECT max(started_ms) FROM runs WHERE runs.experiment = experiments.id)
         FROM experiments WHERE id IN ({})",
        listed(numbers)
    );
    let mut rows: Vec<ExperimentRow> =
        connection.query_once(&query, &[counted])?.iter().map(row).collect::<Outcome<_>>()?;
    rows.sort_by_key(|row| numbers.iter().position(|number| *number == row.id));
    Ok(rows)
}

fn row(row: &Row) -> Outcome<ExperimentRow> {
    Ok(ExperimentRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created_ms: row.get(2)?,
        updated_ms: row.get(3)?,
        deleted_ms: row.get(4)?,
        runs: row.get(5)?,
        last_run_ms: row.get(6)?,
    })
}
