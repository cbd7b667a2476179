//! Searches for runs, versions, models and experiments.

use crate::database::{Connection, Outcome};
use crate::error::StoreError;
use crate::registry::experiments::{self, Experiment};
use crate::registry::handle::Registry;
use crate::registry::models::{self, Model};
use crate::registry::rows::listed;
use crate::registry::runs::Run;
use crate::registry::search_query::{Page, Query};
use crate::registry::versions::ModelVersion;
use crate::search::{Entity, Filter, OrderBy};

/// Whether a search finds deleted records; MLflow's `ViewType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewType {
    /// Only records that are not deleted.
    #[default]
    Active,
    /// Only deleted records.
    Deleted,
    /// All records.
    All,
}

impl ViewType {
    /// Returns the condition on the times at which a record, or what it belongs to, was deleted.
    pub(super) fn condition(self, columns: &[&str]) -> Option<String> {
        let each = |test: &str| columns.iter().map(|column| format!("{column} {test}")).collect::<Vec<_>>();
        match self {
            Self::Active => Some(each("IS NULL").join(" AND ")),
            Self::Deleted => Some(format!("({})", each("IS NOT NULL").join(" OR "))),
            Self::All => None,
        }
    }
}

impl Registry {
    /// Returns the runs that satisfy a filter, in order: of these experiments, or of all that are
    /// not deleted.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_runs(
        &self,
        experiments: Option<&[String]>,
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        self.search_runs_where(filter, order, view, page, |query| match experiments {
            None => "experiments.deleted_ms IS NULL".into(),
            Some(names) => format!("experiments.name IN ({})", query.list(names)),
        })
    }

    /// Returns the runs of the experiments with these numbers that satisfy a filter, in order.
    /// Those of a deleted experiment count as deleted.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_runs_in(
        &self,
        experiments: &[i64],
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
    ) -> Result<Vec<Run>, StoreError> {
        if experiments.is_empty() {
            return Ok(Vec::new());
        }
        self.search_runs_where(filter, order, view, page, |_| format!("runs.experiment IN ({})", listed(experiments)))
    }

    fn search_runs_where(
        &self,
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
        condition: impl FnOnce(&mut Query) -> String,
    ) -> Result<Vec<Run>, StoreError> {
        self.read("search runs", |connection| {
            let mut query = Query::new(Entity::Runs, connection.is_sqlite());
            query.conditions.extend(view.condition(&["runs.deleted_ms", "experiments.deleted_ms"]));
            let condition = condition(&mut query);
            query.conditions.push(condition);
            let numbers = query.row_ids(connection, filter, order, page)?;
            Self::runs_numbered(connection, &numbers)
        })
    }

    /// Returns the versions of all models that satisfy a filter, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_versions(
        &self,
        filter: &Filter,
        order: &OrderBy,
        page: Page,
    ) -> Result<Vec<ModelVersion>, StoreError> {
        self.read("search model versions", |connection| {
            let query = Query::new(Entity::ModelVersions, connection.is_sqlite());
            let numbers = query.row_ids(connection, filter, order, page)?;
            Self::versions_numbered(connection, &numbers)
        })
    }

    /// Returns the models that satisfy a filter, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_models(&self, filter: &Filter, order: &OrderBy, page: Page) -> Result<Vec<Model>, StoreError> {
        self.read("search models", |connection| {
            let query = Query::new(Entity::RegisteredModels, connection.is_sqlite());
            let numbers = query.row_ids(connection, filter, order, page)?;
            numbers.iter().map(|number| models::numbered(connection, *number)).collect()
        })
    }

    /// Returns the experiments that satisfy a filter, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_experiments(
        &self,
        filter: &Filter,
        order: &OrderBy,
        view: ViewType,
        page: Page,
    ) -> Result<Vec<Experiment>, StoreError> {
        self.read("search experiments", |connection| {
            let mut query = Query::new(Entity::Experiments, connection.is_sqlite());
            query.conditions.extend(view.condition(&["experiments.deleted_ms"]));
            let numbers = query.row_ids(connection, filter, order, page)?;
            numbers.iter().map(|number| experiments::numbered(connection, *number)).collect()
        })
    }
}

/// Returns the row ids of the runs that satisfy a filter, in order: of the experiments with these
/// numbers, of which there must be one, or of all that are not deleted.
pub(super) fn run_numbers(
    connection: &mut Connection,
    experiments: Option<&[i64]>,
    filter: &Filter,
    order: &OrderBy,
    view: ViewType,
    page: Page,
) -> Outcome<Vec<i64>> {
    let mut query = Query::new(Entity::Runs, connection.is_sqlite());
    query.conditions.extend(view.condition(&["runs.deleted_ms", "experiments.deleted_ms"]));
    query.conditions.push(match experiments {
        None => "experiments.deleted_ms IS NULL".into(),
        Some(numbers) => {
            format!("runs.experiment IN ({})", listed(numbers))
        }
    });
    query.row_ids(connection, filter, order, page)
}
