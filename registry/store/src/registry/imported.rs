//! Imports from another server: what has which identifier here, and what is whole.
//!
//! An import may end at any moment and is then run again. So each run, model and version is
//! reserved under an identifier first, and marked as whole last. Records keep the times, states and
//! numbers that they have on the other server, which no other method of the registry can set.

use crate::database::{Connection, Outcome, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::logged_models::{self, LoggedModelStatus};
use crate::registry::models::{self, NewModel};
use crate::registry::names::{CLIENT, check_client_name, check_key, random_id, shortened};
use crate::registry::run_id::RunId;
use crate::registry::runs::RunStatus;
use crate::registry::{experiments, foreign_source, ids, rows};

/// A kind of record that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedKind {
    /// A run of a client.
    Run,
    /// A logged model.
    LoggedModel,
    /// A registered model.
    Model,
    /// A version of one: `NAME/NUMBER`.
    Version,
}

impl ImportedKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::LoggedModel => "logged-model",
            Self::Model => "model",
            Self::Version => "version",
        }
    }
}

/// A record of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// The server's address.
    pub source: &'a str,
    /// The kind of record.
    pub kind: ImportedKind,
    /// Its identifier there.
    pub id: &'a str,
}

/// A record of another server, as it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its identifier here.
    pub local: String,
    /// The digest of what was read of it; `None`: it is not whole yet.
    pub digest: Option<Digest>,
}

/// The facts of a run that another server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedClientRun {
    /// Its identifier here.
    pub run_id: RunId,
    /// The number of its experiment here.
    pub experiment_id: i64,
    /// Its name for people.
    pub name: String,
    /// Who began it.
    pub user: String,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
}

/// The facts of a logged model that another server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedLoggedModel {
    /// Its identifier here.
    pub model_id: String,
    /// The number of its experiment here.
    pub experiment_id: i64,
    /// Its name.
    pub name: String,
    /// Its type.
    pub model_type: Option<String>,
    /// The run that made it, which need not be here.
    pub source_run: Option<RunId>,
    /// Its parameters.
    pub parameters: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
}

/// The facts of a version that another server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedVersion {
    /// Its number, there and here.
    pub number: u32,
    /// The folder with its files, as the other server names it.
    pub source: String,
    /// The folder with its files here: a URI.
    pub location: String,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// A page about that run.
    pub run_link: Option<String>,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// A description for people.
    pub description: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Who registered it; empty: whoever the registry acts as.
    pub user: String,
    /// The stage of its lifecycle.
    pub stage: LifecycleStage,
    /// When it was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
}

impl Registry {
    /// Returns what a record of another server is here; `None` if none was reserved for it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn imported(&self, remote: Remote<'_>) -> Result<Option<Imported>, StoreError> {
        self.read("look for what was imported", |connection| found(connection, remote))
    }

    /// Reserves the identifier `local` for a record of another server, unless another one was
    /// reserved for it before. Returns what is reserved.
    ///
    /// # Errors
    /// [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn reserve_import(&self, remote: Remote<'_>, local: &str) -> Result<Imported, StoreError> {
        for (what, text) in [("source", remote.source), ("identifier", remote.id), ("identifier", local)] {
            check_key("imported record", what, text)?;
        }
        self.write("reserve an identifier", Scope::Runs, |connection| {
            let insert = "INSERT INTO imported (source, kind, remote, local, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                ON CONFLICT DO NOTHING";
            connection.execute(insert, values![remote.source, remote.kind.name(), remote.id, local, now_ms()])?;
            let reserved = found(connection, remote)?;
            reserved.ok_or_else(|| crate::database::Failure::Record("a reserved identifier is gone".to_owned()))
        })
    }

    /// Marks a record of another server as whole: all that was read of it, which has this digest,
    /// is here.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn finish_import(&self, remote: Remote<'_>, digest: Digest) -> Result<(), StoreError> {
        self.write("record an import", Scope::Runs, |connection| {
            let update = "UPDATE imported SET digest = ?4, at_ms = ?5 WHERE source = ?1 AND kind = ?2 AND remote = ?3";
            connection.execute(update, values![remote.source, remote.kind.name(), remote.id, digest, now_ms()])?;
            Ok(())
        })
    }

    /// Returns a new identifier for a run whose own is taken here.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn new_run_id(&self) -> Result<RunId, StoreError> {
        RunId::random()
    }

    /// Returns a new identifier for a logged model whose own is taken here.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn new_logged_model_id(&self) -> Result<String, StoreError> {
        Ok(format!("m-{}", random_id()?))
    }

    /// Records a run of another server as a running one of a client, unless it is here. Returns
    /// whether it was not. Log to it as a client does, and end it with [`Registry::update_run`].
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn import_client_run(&self, run: &ImportedClientRun) -> Result<bool, StoreError> {
        check_key("run", "name", &run.name)?;
        check_key("run", "user", &run.user)?;
        self.write("record a run", Scope::Runs, |connection| {
            let experiment = experiments::active(connection, run.experiment_id)?;
            let name = if run.name.is_empty() { &run.run_id.as_str()[..8] } else { &run.name };
            let insert = "INSERT INTO runs
                    (run_id, name, experiment, pipeline, actor, seed, manifest, config, status, started_ms, owner)
                VALUES (?1, ?2, ?3, '', ?4, 0, '', '{}', ?5, ?6, ?7) ON CONFLICT DO NOTHING";
            let running = RunStatus::Running.name();
            let all = values![run.run_id.as_str(), name, experiment.id, &run.user, running, run.started_ms, CLIENT];
            Ok(connection.execute(insert, all)? > 0)
        })
    }

    /// Records a logged model of another server as a pending one, unless it is here. Returns
    /// whether it was not. [`Registry::end_imported_model`] gives it its status.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`],
    /// [`crate::TrackingError::BadLoggedModelName`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn import_logged_model(&self, model: &ImportedLoggedModel) -> Result<bool, StoreError> {
        logged_models::check_model_name(&model.name)?;
        for (name, value) in model.parameters.iter().chain(&model.tags) {
            check_key("parameter or tag", name, value)?;
        }
        check_key("logged model", &model.model_id, model.model_type.as_deref().unwrap_or_default())?;
        self.write("record a logged model", Scope::Runs, |connection| {
            experiments::active(connection, model.experiment_id)?;
            let insert = "INSERT INTO logged_models
                    (model_id, experiment, name, model_type, source_run, status, created_ms, updated_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?6) ON CONFLICT DO NOTHING RETURNING id";
            let (kind, run) = (model.model_type.as_ref(), model.source_run.as_ref().map(RunId::as_str));
            let all = values![&model.model_id, model.experiment_id, &model.name, kind, run, model.created_ms];
            let Some(row) = connection.first(insert, all)? else { return Ok(false) };
            let id: i64 = row.get(0)?;
            rows::set_pairs(connection, ("logged_model_tags", "model"), id, &model.tags)?;
            rows::set_pairs(connection, ("logged_model_parameters", "model"), id, &model.parameters)?;
            Ok(true)
        })
    }

    /// Gives an imported logged model the status and the time of its last change that it has on the
    /// other server.
    ///
    /// # Errors
    /// [`crate::TrackingError::NoLoggedModel`] or [`StoreError::Database`].
    pub fn end_imported_model(
        &self,
        model_id: &str,
        status: LoggedModelStatus,
        message: Option<&str>,
        updated_ms: i64,
    ) -> Result<(), StoreError> {
        check_key("logged model", "status_message", message.unwrap_or_default())?;
        self.write("record the status of a logged model", Scope::Runs, |connection| {
            let id = ids::logged_model(connection, model_id)?;
            let update = "UPDATE logged_models SET status = ?2, status_message = ?3, updated_ms = ?4 WHERE id = ?1";
            connection.execute(update, values![id, status.name(), message, updated_ms])?;
            Ok(())
        })
    }

    /// Registers a model of another server with its times. Its versions are foreign.
    ///
    /// # Errors
    /// [`StoreError::ModelExists`], [`crate::TrackingError::BadModelName`], [`StoreError::BadKey`]
    /// or [`StoreError::Database`].
    pub fn import_foreign_model(
        &self,
        name: &str,
        model: &NewModel,
        (created_ms, updated_ms): (i64, i64),
        source: &str,
    ) -> Result<(), StoreError> {
        check_client_name(name)?;
        for (tag, value) in &model.tags {
            check_key("tag", tag, value)?;
        }
        self.write("register a model", Scope::Models, |connection| {
            let id = models::insert_new(self, connection, name, model, true)?;
            let update = "UPDATE registered_models SET created_ms = ?2, updated_ms = ?3 WHERE id = ?1";
            connection.execute(update, values![id, created_ms, updated_ms])?;
            // The audit has the digest of the model as it is after each entry.
            let why = format!("imported from {source}");
            self.audit(connection, &NewEntry::about("model.described", name, None).because(&why))
        })
    }

    /// Registers a version of another server under its number, pinned to its files if they are
    /// here. Returns whether the number was free; a version that has it stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`crate::TrackingError::PipelineModel`], [`StoreError::BadKey`],
    /// [`StoreError::BadKeyValue`] or [`StoreError::Database`].
    pub fn import_foreign_version(
        &self,
        model: &str,
        version: &ImportedVersion,
        source: &str,
    ) -> Result<bool, StoreError> {
        check_version(version)?;
        self.write("register a model version", Scope::Models, |connection| {
            let found = ids::find_model_and_kind(connection, model)?;
            let (model_id, is_foreign) = found.ok_or_else(|| StoreError::NoModel { model: shortened(model) })?;
            if !is_foreign {
                foreign_source::claim(connection, model_id, model, true)?;
            }
            let ImportedVersion { number, location, description, created_ms, updated_ms, .. } = version;
            let actor = if version.user.is_empty() { &*self.actor } else { &version.user };
            let insert = "INSERT INTO versions
                    (model, version, run_id, created_ms, updated_ms, actor, description, contents, is_foreign)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'null', 1) ON CONFLICT DO NOTHING RETURNING id";
            let run = version.run_id.as_ref().map(RunId::as_str);
            let all = values![model_id, *number, run, *created_ms, *updated_ms, actor, description];
            let Some(row) = connection.first(insert, all)? else { return Ok(false) };
            let id: i64 = row.get(0)?;
            let digest = foreign_source::digest_of(connection, location)?;
            let insert = "INSERT INTO foreign_versions (id, source, location, run_link, model_id, digest)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let (link, logged) = (version.run_link.as_ref(), version.model_id.as_ref());
            connection.execute(insert, values![id, &version.source, location, link, logged, digest])?;
            rows::set_pairs(connection, ("version_tags", "version"), id, &version.tags)?;
            let last = "UPDATE registered_models SET last_version = ?2 WHERE id = ?1 AND last_version < ?2";
            connection.execute(last, values![model_id, *number])?;
            let (entry, why) =
                (NewEntry::about("version.registered", model, Some(*number)), format!("imported from {source}"));
            self.audit(connection, &entry.because(&why))?;
            if version.stage != LifecycleStage::None {
                // The audit has the digest of the version as it is after each entry.
                let update = "UPDATE versions SET stage = ?2, stage_ms = ?3 WHERE id = ?1";
                connection.execute(update, values![id, version.stage.name(), *updated_ms])?;
                let entry = NewEntry::about("foreign.transitioned", model, Some(*number));
                let stages = (Some(LifecycleStage::None.name().to_owned()), Some(version.stage.name().to_owned()));
                self.audit(connection, &entry.states(stages.0, stages.1).because(&why))?;
            }
            Ok(true)
        })
    }

    /// Gives an imported model the time of its last change that it has on the other server.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn end_imported_registered_model(&self, name: &str, updated_ms: i64) -> Result<(), StoreError> {
        self.write("record an import", Scope::Models, |connection| {
            let id = ids::model(connection, name)?;
            connection
                .execute("UPDATE registered_models SET updated_ms = ?2 WHERE id = ?1", values![id, updated_ms])?;
            Ok(())
        })
    }
}

fn found(connection: &mut Connection, remote: Remote<'_>) -> Outcome<Option<Imported>> {
    let query = "SELECT local, digest FROM imported WHERE source = ?1 AND kind = ?2 AND remote = ?3";
    let row = connection.first(query, values![remote.source, remote.kind.name(), remote.id])?;
    row.map(|row| Ok(Imported { local: row.get(0)?, digest: row.optional_parsed(1)? })).transpose()
}

fn check_version(version: &ImportedVersion) -> Result<(), StoreError> {
    for (tag, value) in &version.tags {
        check_key("tag", tag, value)?;
    }
    for (name, value) in [
        ("source", version.source.as_str()),
        ("location", &version.location),
        ("run_link", version.run_link.as_deref().unwrap_or_default()),
        ("model_id", version.model_id.as_deref().unwrap_or_default()),
        ("description", &version.description),
        ("user", &version.user),
    ] {
        check_key("version", name, value)?;
    }
    Ok(())
}
