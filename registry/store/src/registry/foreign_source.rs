//! The sources of versions that clients registered: where their files are, and whether they are
//! what they were.
//!
//! A client may name any place, even one without a file. A reference to a run or to another model
//! is followed once, when the version is registered, as MLflow does. A version is pinned to the
//! digest of its files as soon as this server has some; until then it is *unverified*. Files at
//! other places are never seen, so that versions of them stay unverified.

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::client_files::{RESERVED, digest_of_folder, proxied_path};
use crate::registry::names::shortened;
use crate::registry::tracking_error::TrackingError;
use crate::registry::{experiments, ids};

/// Where the files of a client's version are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignSource {
    /// The folder with its files: a URI, as the client gave it.
    pub source: String,
    /// The folder that the source meant when the version was registered: a URI. It stays when the
    /// run or the model that the source names is renamed or deleted.
    pub location: String,
    /// A page about the run that made it, as the client gave it.
    pub run_link: Option<String>,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// The digest of its files when this server first saw them; `None`: it has seen none.
    pub digest: Option<Digest>,
}

impl ForeignSource {
    /// Returns whether this server has seen its files.
    pub fn is_verified(&self) -> bool {
        self.digest.is_some()
    }

    /// Reads the columns from `first` on: whether it is foreign, source, link, model, digest,
    /// location.
    pub(super) fn from_row(row: &Row, first: usize) -> Outcome<Option<Self>> {
        if !row.get::<bool>(first)? {
            return Ok(None);
        }
        Ok(Some(Self {
            source: row.get::<Option<String>>(first + 1)?.unwrap_or_default(),
            location: row.get::<Option<String>>(first + 5)?.unwrap_or_default(),
            run_link: row.get(first + 2)?,
            model_id: row.get(first + 3)?,
            digest: row.optional_parsed(first + 4)?,
        }))
    }
}

/// The files of a client's version, compared with what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignState {
    /// This server has seen no file of it.
    Unverified,
    /// The files are those that this server first saw.
    Verified,
    /// They differ from those that this server first saw.
    Changed,
}

/// Turns a model of the other kind into one that takes versions of this kind, if it has none yet:
/// the first version decides.
pub(super) fn claim(connection: &mut Connection, id: i64, model: &str, is_foreign: bool) -> Outcome<()> {
    let has_versions = "SELECT EXISTS (SELECT 1 FROM versions WHERE model = ?1)";
    if connection.one(has_versions, values![id])?.get(0)? {
        let model = model.to_owned();
        let refused =
            if is_foreign { TrackingError::PipelineModel { model } } else { TrackingError::ForeignModel { model } };
        return Err(StoreError::from(refused).into());
    }
    connection.execute("UPDATE registered_models SET is_foreign = ?2 WHERE id = ?1", values![id, is_foreign])?;
    Ok(())
}

/// Returns where the files of a source are: the source itself, or what it refers to at this moment.
///
/// `runs:/RUN/PATH`, `models:/MODEL_ID`, `models:/NAME/VERSION` and `models:/NAME@ALIAS` are
/// references. Fails if one names nothing.
pub(super) fn location_of(connection: &mut Connection, source: &str) -> Outcome<String> {
    if let Some(rest) = source.strip_prefix("runs:/") {
        let (run, path) = rest.trim_matches('/').split_once('/').unwrap_or((rest.trim_matches('/'), ""));
        let query = "SELECT experiments.id, artifact_location FROM runs
            JOIN experiments ON experiments.id = runs.experiment WHERE run_id = ?1";
        let row = connection.first(query, values![run])?;
        let row = row.ok_or_else(|| StoreError::NoRun { id: shortened(run) })?;
        let folder = format!("{}/{run}/artifacts/{path}", root(&row)?);
        return Ok(folder.trim_end_matches('/').to_owned());
    }
    let Some(named) = source.strip_prefix("models:/") else { return Ok(source.to_owned()) };
    let named = named.trim_matches('/');
    if let Some((model, version)) = named.rsplit_once('/') {
        let bad = || StoreError::from(TrackingError::BadSource { source_uri: shortened(source) });
        return location_of_version(connection, model, version.parse().map_err(|_| bad())?);
    }
    if let Some((model, alias)) = named.rsplit_once('@') {
        ids::model(connection, model)?;
        let none = || StoreError::NoAlias { model: shortened(model), alias: shortened(alias) };
        let version = ids::alias(connection, model, alias)?.ok_or_else(none)?;
        return location_of_version(connection, model, version);
    }
    let id = ids::logged_model(connection, named)?;
    let query = "SELECT experiments.id, artifact_location FROM logged_models
        JOIN experiments ON experiments.id = logged_models.experiment WHERE logged_models.id = ?1";
    let row = connection.one(query, values![id])?;
    Ok(format!("{}/models/{named}/artifacts", root(&row)?))
}

/// Returns where the files of a version are. Those of a pipeline's have a place of their own, where
/// no client can put files.
fn location_of_version(connection: &mut Connection, model: &str, version: u32) -> Outcome<String> {
    match ids::version_and_kind(connection, model, version)? {
        (_, false) => Ok(format!("mlflow-artifacts:/{RESERVED}/models/{model}/{version}")),
        (id, true) => Ok(connection.one("SELECT location FROM foreign_versions WHERE id = ?1", values![id])?.get(0)?),
    }
}

/// Returns the root of an experiment's files: number and location are the columns.
fn root(row: &Row) -> Outcome<String> {
    let location: Option<String> = row.get(1)?;
    Ok(experiments::artifact_root(row.get(0)?, location.as_deref()).trim_end_matches('/').to_owned())
}

/// Returns the digest of the files at a location, if this server has some.
pub(super) fn digest_of(connection: &mut Connection, location: &str) -> Outcome<Option<Digest>> {
    match proxied_path(location) {
        Some(folder) => digest_of_folder(connection, &folder),
        None => Ok(None),
    }
}

/// Returns the versions of a logged model that are not pinned to its files yet.
pub(super) fn unverified_of(connection: &mut Connection, model_id: &str) -> Outcome<Vec<(String, u32)>> {
    versions_of(connection, model_id, "AND foreign_versions.digest IS NULL")
}

/// Returns the versions of registered models that a logged model was registered as.
pub(super) fn registrations_of(connection: &mut Connection, model_id: &str) -> Outcome<Vec<(String, u32)>> {
    versions_of(connection, model_id, "")
}

fn versions_of(connection: &mut Connection, model_id: &str, condition: &str) -> Outcome<Vec<(String, u32)>> {
    let query = format!(
        "SELECT registered_models.name, versions.version FROM foreign_versions
         JOIN versions ON versions.id = foreign_versions.id
         JOIN registered_models ON registered_models.id = versions.model
         WHERE model_id = ?1 {condition} ORDER BY registered_models.name, versions.version"
    );
    connection.query(&query, values![model_id])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
