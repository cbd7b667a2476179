//! Models and versions that clients of the tracking server register.
//!
//! They follow MLflow's rules: any source is taken, any number of versions may be in production,
//! and `champion` is an alias like others. They can be tagged, described, aliased, moved between
//! stages and deleted. They are never run, judged, deployed or promoted
//! ([`TrackingError::Foreign`]): this program knows neither their code nor their format.

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::accounts::{Permission, manage_model};
use crate::registry::audit::NewEntry;
use crate::registry::foreign_source::{self, ForeignState};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::models::{self, Model, NewModel};
use crate::registry::names::{check_client_name, check_key, shortened};
use crate::registry::run_id::RunId;
use crate::registry::tracking_error::TrackingError;
use crate::registry::transitions::stage_of;
use crate::registry::versions::{self, ModelVersion};
use crate::registry::webhooks::occurrence;
use crate::registry::{ids, rows};

/// The facts known when a client registers a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewForeignVersion {
    /// The folder with its files: a URI.
    pub source: String,
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
}

impl Registry {
    /// Registers a model without versions, by MLflow's rules of names: any text of at most 256
    /// bytes without `/`, `:` and control characters.
    ///
    /// # Errors
    /// [`StoreError::ModelExists`], [`TrackingError::BadModelName`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn create_foreign_model(&self, name: &str, model: &NewModel) -> Result<Model, StoreError> {
        check_client_name(name)?;
        for (tag, value) in &model.tags {
            check_key("tag", tag, value)?;
        }
        self.write("register a model", Scope::Models, |connection| {
            let id = models::insert_new(self, connection, name, model, true)?;
            manage_model(connection, self.creator, id, Permission::Manage)?;
            models::numbered(connection, id)
        })
    }

    /// Registers a version of a model that exists. It is pinned to its files at once if this server
    /// has them.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`TrackingError::PipelineModel`], [`StoreError::BadKey`],
    /// [`StoreError::BadKeyValue`] or [`StoreError::Database`]. If the source refers to something
    /// that is not there: [`StoreError::NoRun`], [`TrackingError::NoLoggedModel`],
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::NoAlias`] or
    /// [`TrackingError::BadSource`].
    pub fn create_foreign_version(&self, model: &str, new: &NewForeignVersion) -> Result<ModelVersion, StoreError> {
        check(new)?;
        self.write("register a model version", Scope::Models, |connection| {
            let found = ids::find_model_and_kind(connection, model)?;
            let (model_id, is_foreign) = found.ok_or_else(|| StoreError::NoModel { model: shortened(model) })?;
            if !is_foreign {
                foreign_source::claim(connection, model_id, model, true)?;
            }
            if let Some(logged) = &new.model_id {
                ids::logged_model(connection, logged)?;
            }
            let location = foreign_source::location_of(connection, &new.source)?;
            let now = now_ms();
            let next = "UPDATE registered_models SET last_version = last_version + 1, updated_ms = ?2 WHERE id = ?1
                RETURNING last_version";
            let number: u32 = connection.one(next, values![model_id, now])?.get(0)?;
            let insert = "INSERT INTO versions
                    (model, version, run_id, created_ms, updated_ms, actor, description, contents, is_foreign)
                VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, 'null', 1) RETURNING id";
            let run = new.run_id.as_ref().map(RunId::as_str);
            let all = values![model_id, number, run, now, &*self.actor, &new.description];
            let id: i64 = connection.one(insert, all)?.get(0)?;
            let digest = foreign_source::digest_of(connection, &location)?;
            let insert = "INSERT INTO foreign_versions (id, source, location, run_link, model_id, digest)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let all = values![id, &new.source, location, new.run_link.as_ref(), new.model_id.as_ref(), digest];
            connection.execute(insert, all)?;
            rows::set_pairs(connection, ("version_tags", "version"), id, &new.tags)?;
            let entry = NewEntry::about("version.registered", model, Some(number));
            self.audit(connection, &entry.because("by a client"))?;
            occurrence::version_created(connection, id)?;
            versions::numbered(connection, id)
        })
    }

    /// Checks that a pipeline may register versions of a model, if there is one of this name.
    ///
    /// # Errors
    /// [`TrackingError::ForeignModel`] if clients registered its versions, or
    /// [`StoreError::Database`].
    pub fn check_own_model(&self, model: &str) -> Result<(), StoreError> {
        self.read("look at a model", |connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM versions JOIN registered_models
                ON registered_models.id = versions.model WHERE name = ?1 AND versions.is_foreign = 1)";
            if connection.one(query, values![model])?.get(0)? {
                return Err(StoreError::from(TrackingError::ForeignModel { model: model.to_owned() }).into());
            }
            Ok(())
        })
    }

    /// Moves a client's version to another stage. With `archive_existing`, the versions that are in
    /// staging or production before are archived when another one comes there.
    ///
    /// # Errors
    /// [`TrackingError::NotForeign`], [`StoreError::NoModel`], [`StoreError::NoVersion`] or
    /// [`StoreError::Database`].
    pub fn transition_foreign(
        &self,
        model: &str,
        version: u32,
        to: LifecycleStage,
        archive_existing: bool,
        reason: &str,
    ) -> Result<ModelVersion, StoreError> {
        self.write("move a version to another stage", Scope::Models, |connection| {
            let id = foreign_version(connection, model, version)?;
            self.move_foreign(connection, id, (model, version), to, reason)?;
            if archive_existing && matches!(to, LifecycleStage::Staging | LifecycleStage::Production) {
                let others = "SELECT id, version FROM versions
                    WHERE model = (SELECT model FROM versions WHERE id = ?1) AND stage = ?2 AND id <> ?1 ORDER BY version";
                for row in connection.query(others, values![id, to.name()])? {
                    let why = format!("version {version} followed");
                    self.move_foreign(connection, row.get(0)?, (model, row.get(1)?), LifecycleStage::Archived, &why)?;
                }
            }
            versions::numbered(connection, id)
        })
    }

    /// Moves a client's version to another stage.
    pub(super) fn move_foreign(
        &self,
        connection: &mut Connection,
        id: i64,
        (model, version): (&str, u32),
        to: LifecycleStage,
        reason: &str,
    ) -> Outcome<()> {
        let from = stage_of(connection, id)?;
        if from == to {
            return Ok(());
        }
        let update = "UPDATE versions SET stage = ?2, stage_ms = ?3, updated_ms = ?3 WHERE id = ?1";
        connection.execute(update, values![id, to.name(), now_ms()])?;
        let model_id: i64 = connection.one("SELECT model FROM versions WHERE id = ?1", values![id])?.get(0)?;
        models::touch(connection, model_id)?;
        // Not `version.transitioned`, by which a champion is known.
        let entry = NewEntry::about("foreign.transitioned", model, Some(version));
        let entry = entry.states(Some(from.name().to_owned()), Some(to.name().to_owned()));
        self.audit(connection, &entry.because(reason))?;
        occurrence::version_moved(connection, (model, version, true), (from, to), (&self.actor, reason))
    }

    /// Pins a client's version to its files if this server has some by now and had none before.
    /// Returns the version.
    ///
    /// # Errors
    /// [`TrackingError::NotForeign`], [`StoreError::NoModel`], [`StoreError::NoVersion`] or
    /// [`StoreError::Database`].
    pub fn pin_foreign_version(&self, model: &str, version: u32) -> Result<ModelVersion, StoreError> {
        let pinned = self.read("look for the files of a version", |connection| {
            let id = foreign_version(connection, model, version)?;
            let found = versions::numbered(connection, id)?;
            let unverified = found.foreign.as_ref().filter(|foreign| !foreign.is_verified());
            let Some(location) = unverified.map(|foreign| foreign.location.clone()) else { return Ok(Some(found)) };
            Ok(if foreign_source::digest_of(connection, &location)?.is_none() { Some(found) } else { None })
        })?;
        if let Some(unchanged) = pinned {
            return Ok(unchanged);
        }
        self.write("pin a version to its files", Scope::Models, |connection| {
            let id = foreign_version(connection, model, version)?;
            let location = "SELECT location FROM foreign_versions WHERE id = ?1 AND digest IS NULL";
            if let Some(row) = connection.first(location, values![id])?
                && let Some(digest) = foreign_source::digest_of(connection, &row.get::<String>(0)?)?
            {
                connection.execute("UPDATE foreign_versions SET digest = ?2 WHERE id = ?1", values![id, digest])?;
                let entry = NewEntry::about("foreign.pinned", model, Some(version));
                self.audit(connection, &entry.states(None, Some(digest.to_string())))?;
            }
            versions::numbered(connection, id)
        })
    }

    /// Returns whether the files of a client's version are those that it is pinned to.
    ///
    /// # Errors
    /// As [`Registry::pin_foreign_version`].
    pub fn foreign_state(&self, model: &str, version: u32) -> Result<ForeignState, StoreError> {
        self.read("compare the files of a version", |connection| {
            let id = foreign_version(connection, model, version)?;
            let query = "SELECT location, digest FROM foreign_versions WHERE id = ?1";
            let row = connection.one(query, values![id])?;
            let Some(pinned) = row.optional_parsed(1)? else { return Ok(ForeignState::Unverified) };
            let now = foreign_source::digest_of(connection, &row.get::<String>(0)?)?;
            Ok(if now == Some(pinned) { ForeignState::Verified } else { ForeignState::Changed })
        })
    }

    /// Returns the newest version of each stage of these models, model by model in this order.
    /// Models that do not exist have none.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn latest_versions(&self, models: &[&str]) -> Result<Vec<ModelVersion>, StoreError> {
        self.read("read the latest versions", |connection| {
            let query = "SELECT max(versions.id) FROM versions
                JOIN registered_models ON registered_models.id = versions.model WHERE name = ?1
                GROUP BY stage ORDER BY max(version)";
            let mut numbers = Vec::new();
            for model in models {
                for row in connection.query(query, values![*model])? {
                    numbers.push(row.get(0)?);
                }
            }
            numbers.into_iter().map(|number| versions::numbered(connection, number)).collect()
        })
    }
}

/// Returns the row id of a client's version.
fn foreign_version(connection: &mut Connection, model: &str, version: u32) -> Outcome<i64> {
    match ids::version_and_kind(connection, model, version)? {
        (id, true) => Ok(id),
        _ => Err(StoreError::from(TrackingError::NotForeign { model: model.to_owned(), version }).into()),
    }
}

fn check(new: &NewForeignVersion) -> Result<(), StoreError> {
    for (tag, value) in &new.tags {
        check_key("tag", tag, value)?;
    }
    let model_id = new.model_id.as_deref().unwrap_or_default();
    let run_link = new.run_link.as_deref().unwrap_or_default();
    for (name, value) in [
        ("source", new.source.as_str()),
        ("run_link", run_link),
        ("model_id", model_id),
        ("description", &new.description),
    ] {
        check_key("version", name, value)?;
    }
    Ok(())
}
