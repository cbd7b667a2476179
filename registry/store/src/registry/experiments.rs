//! Experiments: names under which runs are compared.

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::accounts::{Permission, manage_experiment};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::{check_key, shortened};
use crate::registry::rows;

/// The most bytes in an experiment's name: MLflow's limit.
const MAX_NAME_BYTES: usize = 500;

/// An experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Experiment {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// When it was deleted, in milliseconds since the epoch, if it is. It can be restored.
    pub deleted_ms: Option<i64>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// Where the files of its runs are, as its creator said; `None`: with this server.
    #[serde(skip)]
    pub artifact_location: Option<String>,
}

impl Experiment {
    /// Returns the URI of the folder with the files of its runs.
    pub fn artifact_uri(&self) -> String {
        artifact_root(self.id, self.artifact_location.as_deref())
    }
}

/// Returns the URI of the folder with the files of an experiment's runs.
pub(super) fn artifact_root(experiment: i64, location: Option<&str>) -> String {
    location.map_or_else(|| format!("mlflow-artifacts:/{experiment}"), str::to_owned)
}

/// The table of the tags, and its column of the experiment.
pub(super) const TAGS: (&str, &str) = ("experiment_tags", "experiment");

const COLUMNS: &str = "id, name, created_ms, updated_ms, deleted_ms, artifact_location FROM experiments";

impl Registry {
    /// Creates an experiment. Returns its number.
    ///
    /// # Errors
    /// [`StoreError::ExperimentExists`], [`StoreError::BadExperimentName`], [`StoreError::BadKey`]
    /// or [`StoreError::Database`].
    pub fn create_experiment(&self, name: &str, tags: &[(String, String)]) -> Result<i64, StoreError> {
        self.create_experiment_at(name, None, tags)
    }

    /// As [`Registry::create_experiment`], with the URI of the folder for the files of its runs.
    /// Without one, they are with this server.
    ///
    /// # Errors
    /// As [`Registry::create_experiment`].
    pub fn create_experiment_at(
        &self,
        name: &str,
        artifact_location: Option<&str>,
        tags: &[(String, String)],
    ) -> Result<i64, StoreError> {
        check_experiment(name)?;
        for (tag, value) in tags {
            check_key("tag", tag, value)?;
        }
        check_key("experiment", "artifact_location", artifact_location.unwrap_or_default())?;
        self.write("create an experiment", Scope::Runs, |connection| {
            let insert = "INSERT INTO experiments (name, created_ms, updated_ms, artifact_location)
                VALUES (?1, ?2, ?2, ?3) ON CONFLICT DO NOTHING RETURNING id";
            let Some(row) = connection.first(insert, values![name, now_ms(), artifact_location])? else {
                return Err(StoreError::ExperimentExists { name: shortened(name) }.into());
            };
            let id = row.get(0)?;
            rows::set_pairs(connection, TAGS, id, tags)?;
            manage_experiment(connection, self.creator, id, Permission::Manage)?;
            Ok(id)
        })
    }

    /// Returns all experiments, oldest first, including deleted ones.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiments(&self) -> Result<Vec<Experiment>, StoreError> {
        self.read("list experiments", |connection| {
            let rows = connection.query(&format!("SELECT {COLUMNS} ORDER BY id"), &[])?;
            rows.iter().map(|row| experiment(connection, row)).collect()
        })
    }

    /// Returns the experiment of this name; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiment(&self, name: &str) -> Result<Option<Experiment>, StoreError> {
        self.read("read an experiment", |connection| {
            let row = connection.first(&format!("SELECT {COLUMNS} WHERE name = ?1"), values![name])?;
            row.map(|row| experiment(connection, &row)).transpose()
        })
    }

    /// Renames an experiment.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentExists`],
    /// [`StoreError::BadExperimentName`] or [`StoreError::Database`].
    pub fn rename_experiment(&self, name: &str, new: &str) -> Result<(), StoreError> {
        check_experiment(new)?;
        self.write("rename an experiment", Scope::Runs, |connection| {
            let taken = "SELECT EXISTS (SELECT 1 FROM experiments WHERE name = ?1)";
            if name != new && connection.one(taken, values![new])?.get(0)? {
                return Err(StoreError::ExperimentExists { name: shortened(new) }.into());
            }
            let update = "UPDATE experiments SET name = ?2, updated_ms = ?3 WHERE name = ?1";
            changed(connection.execute(update, values![name, new, now_ms()])?, name)
        })
    }

    /// Deletes an experiment so that it can be restored, or restores it. The runs of a deleted
    /// experiment count as deleted; garbage collection keeps what they refer to.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`] or [`StoreError::Database`].
    pub fn delete_experiment(&self, name: &str, deleted: bool) -> Result<(), StoreError> {
        self.write("delete an experiment", Scope::Runs, |connection| {
            let update = "UPDATE experiments SET deleted_ms = ?2, updated_ms = ?3 WHERE name = ?1";
            changed(connection.execute(update, values![name, deleted.then(now_ms), now_ms()])?, name)
        })
    }

    /// Sets a tag of an experiment.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn tag_experiment(&self, name: &str, tag: &str, value: &str) -> Result<(), StoreError> {
        check_key("tag", tag, value)?;
        self.write("tag an experiment", Scope::Runs, |connection| {
            let row = connection.first("SELECT id FROM experiments WHERE name = ?1", values![name])?;
            let row = row.ok_or_else(|| StoreError::NoExperiment { name: shortened(name) })?;
            rows::set_pairs(connection, TAGS, row.get(0)?, &[(tag.to_owned(), value.to_owned())])
        })
    }
}

/// Returns the experiment with this number, or [`StoreError::NoExperiment`].
pub(super) fn numbered(connection: &mut Connection, number: i64) -> Outcome<Experiment> {
    let row = connection.first(&format!("SELECT {COLUMNS} WHERE id = ?1"), values![number])?;
    let row = row.ok_or_else(|| StoreError::NoExperiment { name: number.to_string() })?;
    experiment(connection, &row)
}

/// As [`numbered`]; [`StoreError::ExperimentDeleted`] if it is deleted.
pub(super) fn active(connection: &mut Connection, number: i64) -> Outcome<Experiment> {
    let found = numbered(connection, number)?;
    match found.deleted_ms {
        None => Ok(found),
        Some(_) => Err(StoreError::ExperimentDeleted { name: shortened(&found.name) }.into()),
    }
}

/// Returns the number of the experiment of this name, which is created if missing.
pub(super) fn named(connection: &mut Connection, name: &str) -> Outcome<i64> {
    check_experiment(name)?;
    let find = "SELECT id, deleted_ms FROM experiments WHERE name = ?1";
    let row = match connection.first(find, values![name])? {
        Some(row) => row,
        None => {
            let insert =
                "INSERT INTO experiments (name, created_ms, updated_ms) VALUES (?1, ?2, ?2) ON CONFLICT DO NOTHING";
            connection.execute(insert, values![name, now_ms()])?;
            connection.one(find, values![name])?
        }
    };
    if row.get::<Option<i64>>(1)?.is_some() {
        return Err(StoreError::ExperimentDeleted { name: shortened(name) }.into());
    }
    Ok(row.get(0)?)
}

fn experiment(connection: &mut Connection, row: &Row) -> Outcome<Experiment> {
    let id: i64 = row.get(0)?;
    let tags =
        connection.query("SELECT name, value FROM experiment_tags WHERE experiment = ?1 ORDER BY name", values![id])?;
    Ok(Experiment {
        id,
        name: row.get(1)?,
        created_ms: row.get(2)?,
        updated_ms: row.get(3)?,
        deleted_ms: row.get(4)?,
        artifact_location: row.get(5)?,
        tags: tags.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Outcome<_>>()?,
    })
}

fn changed(rows: u64, name: &str) -> Outcome<()> {
    if rows == 0 { Err(StoreError::NoExperiment { name: shortened(name) }.into()) } else { Ok(()) }
}

pub(super) fn check_experiment(name: &str) -> Result<(), StoreError> {
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(StoreError::BadExperimentName { name: shortened(name) });
    }
    Ok(())
}
