//! Experiments by number, as clients of the tracking server name them.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::experiments::{self, Experiment, check_experiment};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::{check_key, shortened};
use crate::registry::rows;

/// The number of the experiment that clients log to unless they name another: MLflow's.
const DEFAULT: i64 = 0;
/// Its name.
const DEFAULT_NAME: &str = "Default";

impl Registry {
    /// Creates the experiment that clients log to unless they name another: `Default`, with the
    /// number 0. If one of that name exists under another number, it gets this one, with its runs.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn ensure_default_experiment(&self) -> Result<(), StoreError> {
        let exists = self.read("look for an experiment", |connection| is_there(connection, DEFAULT))?;
        if exists {
            return Ok(());
        }
        self.write("create an experiment", Scope::Runs, |connection| {
            // The name is free only when the other experiment is gone.
            let insert = "INSERT INTO experiments (id, name, created_ms, updated_ms) VALUES (?1, '', ?2, ?2)
                ON CONFLICT DO NOTHING";
            if connection.execute(insert, values![DEFAULT, now_ms()])? == 0 {
                return Ok(());
            }
            let other = "SELECT id FROM experiments WHERE name = ?1";
            if let Some(row) = connection.first(other, values![DEFAULT_NAME])? {
                let other: i64 = row.get(0)?;
                for table in ["runs", "experiment_tags", "datasets", "logged_models", "experiment_permissions"] {
                    let update = format!("UPDATE {table} SET experiment = ?1 WHERE experiment = ?2");
                    connection.execute(&update, values![DEFAULT, other])?;
                }
                let dates = "UPDATE experiments SET (created_ms, updated_ms, deleted_ms, artifact_location) =
                    (SELECT created_ms, updated_ms, deleted_ms, coalesce(artifact_location, ?3) FROM experiments WHERE id = ?2)
                    WHERE id = ?1";
                let location = experiments::artifact_root(other, None);
                connection.execute(dates, values![DEFAULT, other, location])?;
                connection.execute("DELETE FROM experiments WHERE id = ?1", values![other])?;
            }
            connection.execute("UPDATE experiments SET name = ?2 WHERE id = ?1", values![DEFAULT, DEFAULT_NAME])?;
            Ok(())
        })
    }

    /// Returns the experiment with this number, deleted or not.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`] or [`StoreError::Database`].
    pub fn experiment_numbered(&self, id: i64) -> Result<Experiment, StoreError> {
        self.read("read an experiment", |connection| experiments::numbered(connection, id))
    }

    /// Renames an experiment that is not deleted.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`],
    /// [`StoreError::ExperimentExists`], [`StoreError::BadExperimentName`] or
    /// [`StoreError::Database`].
    pub fn rename_experiment_numbered(&self, id: i64, new: &str) -> Result<(), StoreError> {
        check_experiment(new)?;
        self.write("rename an experiment", Scope::Runs, |connection| {
            experiments::active(connection, id)?;
            let taken = "SELECT EXISTS (SELECT 1 FROM experiments WHERE name = ?1 AND id <> ?2)";
            if connection.one(taken, values![new, id])?.get(0)? {
                return Err(StoreError::ExperimentExists { name: shortened(new) }.into());
            }
            let update = "UPDATE experiments SET name = ?2, updated_ms = ?3 WHERE id = ?1";
            connection.execute(update, values![id, new, now_ms()])?;
            Ok(())
        })
    }

    /// As [`Registry::delete_experiment`].
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`] or [`StoreError::Database`].
    pub fn delete_experiment_numbered(&self, id: i64, deleted: bool) -> Result<(), StoreError> {
        self.write("delete an experiment", Scope::Runs, |connection| {
            let now = now_ms();
            let update = "UPDATE experiments SET deleted_ms = ?2, updated_ms = ?3 WHERE id = ?1";
            if connection.execute(update, values![id, deleted.then_some(now), now])? == 0 {
                return Err(StoreError::NoExperiment { name: id.to_string() }.into());
            }
            Ok(())
        })
    }

    /// Sets a tag of an experiment that is not deleted; `None` removes it.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`], [`StoreError::NoTag`],
    /// [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn tag_experiment_numbered(&self, id: i64, tag: &str, value: Option<&str>) -> Result<(), StoreError> {
        check_key("tag", tag, value.unwrap_or_default())?;
        self.write("tag an experiment", Scope::Runs, |connection| {
            experiments::active(connection, id)?;
            match value {
                Some(value) => {
                    rows::set_pairs(connection, experiments::TAGS, id, &[(tag.to_owned(), value.to_owned())])?;
                }
                None => {
                    let delete = "DELETE FROM experiment_tags WHERE experiment = ?1 AND name = ?2";
                    if connection.execute(delete, values![id, tag])? == 0 {
                        return Err(StoreError::NoTag { name: shortened(tag) }.into());
                    }
                }
            }
            connection.execute("UPDATE experiments SET updated_ms = ?2 WHERE id = ?1", values![id, now_ms()])?;
            Ok(())
        })
    }
}

fn is_there(connection: &mut Connection, number: i64) -> Outcome<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM experiments WHERE id = ?1)";
    Ok(connection.one(query, values![number])?.get(0)?)
}
