//! Logged models: models that clients save, before or without registering them.
//!
//! Their files lie beside those of runs ([`crate::registry::client_files`]). A deleted model stays
//! on record, so that its identifier is not given again, but no method finds it.

use std::fmt;
use std::str::FromStr;

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::logged_model_metrics::{self, LoggedModelMetric};
use crate::registry::names::{check_key, random_id, shortened};
use crate::registry::run_id::RunId;
use crate::registry::tracking_error::TrackingError;
use crate::registry::{experiments, foreign_source, ids, rows, runs};

/// The most bytes in the name of a logged model.
const MAX_NAME_BYTES: usize = 500;

/// The status of a logged model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoggedModelStatus {
    /// Its files are not complete.
    Pending,
    /// Its client uploaded all of its files.
    Ready,
    /// Its client could not upload them.
    Failed,
}

impl LoggedModelStatus {
    /// Returns the name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for LoggedModelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LoggedModelStatus {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Pending, Self::Ready, Self::Failed];
        all.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a logged model is `{name}`"))
    }
}

/// The facts known when a client begins to save a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewLoggedModel {
    /// The number of its experiment.
    pub experiment_id: i64,
    /// Its name, which others may have.
    pub name: String,
    /// Its kind, in the client's words.
    pub model_type: Option<String>,
    /// The run that made it.
    pub source_run: Option<RunId>,
    /// Its parameters, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
}

/// A logged model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedModel {
    /// Its identifier: `m-` and 32 hex digits.
    pub model_id: String,
    /// The number of its experiment.
    pub experiment_id: i64,
    /// The URI of the folder with its files.
    pub artifact_uri: String,
    /// Its name.
    pub name: String,
    /// Its kind, in the client's words.
    pub model_type: Option<String>,
    /// The run that made it.
    pub source_run: Option<RunId>,
    /// Its status.
    pub status: LoggedModelStatus,
    /// The client's words about its status.
    pub status_message: Option<String>,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Its parameters, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// The last value of each metric, by name, dataset and run.
    pub metrics: Vec<LoggedModelMetric>,
    /// The versions of registered models that it was registered as.
    pub registrations: Vec<(String, u32)>,
}

const COLUMNS: &str = "logged_models.id, model_id, logged_models.experiment, artifact_location, logged_models.name, \
     model_type, source_run, status, status_message, logged_models.created_ms, logged_models.updated_ms \
     FROM logged_models JOIN experiments ON experiments.id = logged_models.experiment";

impl Registry {
    /// Records that a client begins to save a model.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`], [`StoreError::NoRun`],
    /// [`TrackingError::BadLoggedModelName`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn create_logged_model(&self, model: &NewLoggedModel) -> Result<LoggedModel, StoreError> {
        check_model_name(&model.name)?;
        for (name, value) in model.parameters.iter().chain(&model.tags) {
            check_key("parameter or tag", name, value)?;
        }
        check_key("logged model", "model_type", model.model_type.as_deref().unwrap_or_default())?;
        let model_id = format!("m-{}", random_id()?);
        self.write("record a logged model", Scope::Runs, |connection| {
            experiments::active(connection, model.experiment_id)?;
            if let Some(run) = &model.source_run {
                runs::number_of(connection, run)?;
            }
            let insert = "INSERT INTO logged_models
                    (model_id, experiment, name, model_type, source_run, status, created_ms, updated_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6) RETURNING id";
            let run = model.source_run.as_ref().map(RunId::as_str);
            let all = values![&model_id, model.experiment_id, &model.name, model.model_type.as_ref(), run, now_ms()];
            let id: i64 = connection.one(insert, all)?.get(0)?;
            rows::set_pairs(connection, TAGS, id, &model.tags)?;
            add_parameters(connection, id, &model_id, &model.parameters)?;
            numbered(connection, id)
        })
    }

    /// Returns a logged model.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`] or [`StoreError::Database`].
    pub fn logged_model(&self, model_id: &str) -> Result<LoggedModel, StoreError> {
        self.read("read a logged model", |connection| {
            let id = ids::logged_model(connection, model_id)?;
            numbered(connection, id)
        })
    }

    /// Records that a client has uploaded all files of a model, or failed to. Versions that were
    /// registered of it before are pinned to its files.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`], [`StoreError::BadKeyValue`] or [`StoreError::Database`].
    pub fn finalize_logged_model(
        &self,
        model_id: &str,
        status: LoggedModelStatus,
        message: Option<&str>,
    ) -> Result<LoggedModel, StoreError> {
        check_key("logged model", "status_message", message.unwrap_or_default())?;
        let (model, unverified) = self.write("record the status of a logged model", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            let update = "UPDATE logged_models SET status = ?2, status_message = ?3, updated_ms = ?4 WHERE id = ?1";
            connection.execute(update, values![id, status.name(), message, now_ms()])?;
            Ok((numbered(connection, id)?, foreign_source::unverified_of(connection, model_id)?))
        })?;
        if status == LoggedModelStatus::Ready {
            for (name, version) in unverified {
                self.pin_foreign_version(&name, version)?;
            }
        }
        Ok(model)
    }

    /// Deletes a logged model. Its files become garbage, unless a version of a registered model has
    /// them as its source.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`] or [`StoreError::Database`].
    pub fn delete_logged_model(&self, model_id: &str) -> Result<(), StoreError> {
        self.write("delete a logged model", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            connection.execute("UPDATE logged_models SET deleted_ms = ?2 WHERE id = ?1", values![id, now_ms()])?;
            Ok(())
        })
    }

    /// Sets tags of a logged model. Returns the model.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`], [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn tag_logged_model(&self, model_id: &str, tags: &[(String, String)]) -> Result<LoggedModel, StoreError> {
        for (name, value) in tags {
            check_key("tag", name, value)?;
        }
        self.write("tag a logged model", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            rows::set_pairs(connection, TAGS, id, tags)?;
            touch(connection, id)?;
            numbered(connection, id)
        })
    }

    /// Removes a tag of a logged model.
    ///
    /// # Errors
    /// [`TrackingError::NoLoggedModel`], [`StoreError::NoTag`] or [`StoreError::Database`].
    pub fn delete_logged_model_tag(&self, model_id: &str, tag: &str) -> Result<(), StoreError> {
        self.write("delete a tag", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            let delete = "DELETE FROM logged_model_tags WHERE model = ?1 AND name = ?2";
            if connection.execute(delete, values![id, tag])? == 0 {
                return Err(StoreError::NoTag { name: shortened(tag) }.into());
            }
            touch(connection, id)
        })
    }

    /// Logs parameters of a logged model, each of which has one value.
    ///
    /// # Errors [`TrackingError::NoLoggedModel`], [`StoreError::ParameterChanged`],
    /// [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn log_logged_model_parameters(
        &self,
        model_id: &str,
        parameters: &[(String, String)],
    ) -> Result<(), StoreError> {
        for (name, value) in parameters {
            check_key("parameter", name, value)?;
        }
        self.write("log parameters of a logged model", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            add_parameters(connection, id, model_id, parameters)?;
            touch(connection, id)
        })
    }
}

/// The table of the tags, and its column of the model.
const TAGS: (&str, &str) = ("logged_model_tags", "model");

/// Returns the logged model with this row id.
pub(super) fn numbered(connection: &mut Connection, number: i64) -> Outcome<LoggedModel> {
    let row = connection.one(&format!("SELECT {COLUMNS} WHERE logged_models.id = ?1"), values![number])?;
    complete(connection, &row)
}

fn add_parameters(
    connection: &mut Connection,
    id: i64,
    model_id: &str,
    parameters: &[(String, String)],
) -> Outcome<()> {
    let changed = rows::add_parameters(connection, ("logged_model_parameters", "model"), id, parameters)?;
    let Some((name, old, new)) = changed else { return Ok(()) };
    let (name, old, new) = (shortened(&name), shortened(&old), shortened(&new));
    Err(StoreError::ParameterChanged { run: model_id.to_owned(), name, old, new }.into())
}

fn touch(connection: &mut Connection, id: i64) -> Outcome<()> {
    connection.execute("UPDATE logged_models SET updated_ms = ?2 WHERE id = ?1", values![id, now_ms()])?;
    Ok(())
}

fn complete(connection: &mut Connection, row: &Row) -> Outcome<LoggedModel> {
    let (id, model_id): (i64, String) = (row.get(0)?, row.get(1)?);
    let (experiment_id, location): (i64, Option<String>) = (row.get(2)?, row.get(3)?);
    let root = experiments::artifact_root(experiment_id, location.as_deref());
    Ok(LoggedModel {
        artifact_uri: format!("{}/models/{model_id}/artifacts", root.trim_end_matches('/')),
        experiment_id,
        name: row.get(4)?,
        model_type: row.get(5)?,
        source_run: row.optional_parsed(6)?,
        status: row.parsed(7)?,
        status_message: row.get(8)?,
        created_ms: row.get(9)?,
        updated_ms: row.get(10)?,
        parameters: pairs(connection, "logged_model_parameters", id)?,
        tags: pairs(connection, "logged_model_tags", id)?,
        metrics: logged_model_metrics::of_model(connection, id)?,
        registrations: foreign_source::registrations_of(connection, &model_id)?,
        model_id,
    })
}

fn pairs(connection: &mut Connection, table: &str, model: i64) -> Outcome<Vec<(String, String)>> {
    let query = format!("SELECT name, value FROM {table} WHERE model = ?1 ORDER BY name");
    connection.query(&query, values![model])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Checks the name of a logged model, which is part of paths and URIs: MLflow's rule.
pub(super) fn check_model_name(name: &str) -> Result<(), StoreError> {
    let is_odd = |letter: char| letter.is_control() || matches!(letter, '/' | ':' | '.' | '%' | '"' | '\'');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(is_odd) {
        return Err(TrackingError::BadLoggedModelName { name: shortened(name) }.into());
    }
    Ok(())
}
