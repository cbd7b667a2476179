//! Versions of models: complete when they are created, numbered without gaps, immutable except for
//! verdict, stage and tags.
//!
//! A version exists from the end of its training on, without a verdict at first. It refers to every
//! artifact that is needed to use and to explain it. All of them are verified before the version is
//! recorded, so that no version exists without its bytes. The artifacts that explain a verdict are
//! recorded with the verdict.

use serde::Serialize;

use crate::artifact::ArtifactStore;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::foreign_source::{self, ForeignSource};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::judgement::{JudgedAgainst, Verdict};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::names::{CHAMPION, check_key, check_name, shortened};
use crate::registry::references::{self, Reference};
use crate::registry::row_memory::{self, RowMemory};
use crate::registry::run_id::RunId;
use crate::registry::tracking_error::TrackingError;
use crate::registry::version_parts::{self, Parts};
use crate::registry::webhooks::occurrence;
use crate::registry::{ids, models, rows, version_metrics};

/// The facts known when a version is registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewVersion {
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// Everything that is needed to use and to explain it (components, digests of states,
    /// signature, lineage), as the caller's JSON.
    pub contents: serde_json::Value,
    /// Every artifact that `contents` refers to.
    pub references: Vec<Reference>,
    /// The digest of everything that its predictions depend on; `None`: unknown, so that no other
    /// version counts as the same.
    pub parts: Option<Digest>,
    /// The rows that it was trained on; `None`: unknown.
    pub rows: Option<RowMemory>,
    /// The metrics that were measured before it was registered, by name; empty if nothing was
    /// measured.
    pub metrics: Vec<(String, f64)>,
    /// The parameters of its training, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// The result of registering a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The version.
    pub version: u32,
    /// Whether it was registered now. Otherwise a version of the same parts existed already.
    pub is_new: bool,
}

/// The tag that says where a version was imported from. The audit records it too.
pub const SOURCE_TAG: &str = "stagewright.source";

/// Computes the semantic version of a new version. It is called inside the transaction with the
/// contents and the semantic version of the newest version; `None` for a model's first.
pub type Numbering<'a> = &'a dyn Fn(Option<(&serde_json::Value, &str)>) -> Option<String>;

/// A recorded version of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// Counted from 1, without gaps.
    pub version: u32,
    /// `MAJOR.MINOR.PATCH`, by how much it differs from the version before it.
    pub semantic_version: Option<String>,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// When it was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When its verdict, stage or tags last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Who registered it.
    pub actor: String,
    /// A description for people.
    pub description: String,
    /// The contents that it was registered with.
    pub contents: serde_json::Value,
    /// Its latest verdict ([`Registry::verdicts`] returns all of them); `None`: it was not judged
    /// yet.
    pub verdict: Option<Verdict>,
    /// The reason of the verdict.
    pub reason: Option<String>,
    /// The champion that the verdict was reached against; `None` without a verdict.
    pub judged_against: Option<JudgedAgainst>,
    /// When it was judged, in milliseconds since the epoch.
    pub judged_ms: Option<i64>,
    /// The stage of its lifecycle.
    pub stage: LifecycleStage,
    /// Since when it is in that stage, in milliseconds since the epoch; `None`: since it was
    /// registered.
    pub stage_ms: Option<i64>,
    /// Whether a rollback went away from it.
    pub withdrawn: bool,
    /// The aliases that point to it, by name; `champion` if it is in production.
    pub aliases: Vec<String>,
    /// The digest of everything that its predictions depend on, if known.
    pub parts: Option<Digest>,
    /// Its artifacts, by role, including those that explain its verdicts. Of several with the same
    /// role, the latest.
    pub references: Vec<Reference>,
    /// Its metrics, by name: those of the latest verdict that measured any.
    pub metrics: Vec<(String, f64)>,
    /// The metrics of its manifest in production, which never change: those that it was registered
    /// with, or else those of its first verdict; `None` if it has neither yet.
    #[serde(skip)]
    pub published_metrics: Option<Vec<(String, f64)>>,
    /// The parameters of its training, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
    /// Where its files are, if a client registered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignSource>,
}

impl ModelVersion {
    /// Checks that a pipeline registered it, so that it can be run, judged and deployed.
    ///
    /// # Errors
    /// [`TrackingError::Foreign`] if a client registered it.
    pub fn check_runnable(&self) -> Result<(), StoreError> {
        match self.foreign {
            None => Ok(()),
            Some(_) => Err(TrackingError::Foreign { model: self.model.clone(), version: self.version }.into()),
        }
    }
}

/// The table of the tags, and its column of the version.
const TAGS: (&str, &str) = ("version_tags", "version");

/// The most versions that one statement reads.
const PIECE: usize = 500;

const COLUMNS: &str = "versions.id, version, semantic_version, run_id, versions.created_ms, versions.updated_ms, actor, \
     versions.description, contents, verdict, reason, judged_ms, stage, stage_ms, withdrawn, registered_models.name, \
     judged_against, parts, published, versions.is_foreign, source, run_link, model_id, foreign_versions.digest, \
     location \
     FROM versions JOIN registered_models ON registered_models.id = versions.model \
     LEFT JOIN foreign_versions ON foreign_versions.id = versions.id";

impl Registry {
    /// Registers an existing version from elsewhere, with its metrics. The model is created if
    /// missing. Versions are consecutive from 1 on, whatever other processes register at the same
    /// time.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if an artifact that it refers to is missing or damaged in
    /// `artifacts`, in which case nothing is registered; [`StoreError::BadName`],
    /// [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn create_version(
        &self,
        artifacts: &ArtifactStore,
        model: &str,
        version: &NewVersion,
        numbering: Numbering<'_>,
    ) -> Result<u32, StoreError> {
        let sizes = verify(artifacts, model, version)?;
        self.write("register a model version", Scope::Models, |connection| {
            insert(self, connection, model, (version, true), &sizes, numbering)
        })
    }

    /// Registers the result of a training, before it is judged. If a version of the same `parts`
    /// exists, returns that one and adds the rows of this training to its own.
    ///
    /// # Errors
    /// Those of [`Registry::create_version`].
    pub fn register_candidate(
        &self,
        artifacts: &ArtifactStore,
        model: &str,
        version: &NewVersion,
        numbering: Numbering<'_>,
    ) -> Result<Registration, StoreError> {
        let sizes = verify(artifacts, model, version)?;
        self.write("register a candidate", Scope::Models, |connection| {
            if let Some((id, same)) = of_same_parts(connection, model, version.parts)? {
                if row_memory::add(connection, id, version.rows.as_ref())? {
                    let run = version.run_id.as_ref().map_or_else(String::new, |run| format!("run {run}"));
                    let entry = NewEntry::about("version.rows-added", model, Some(same));
                    self.audit(connection, &entry.because(&run))?;
                }
                return Ok(Registration { version: same, is_new: false });
            }
            let version = insert(self, connection, model, (version, !version.metrics.is_empty()), &sizes, numbering)?;
            Ok(Registration { version, is_new: true })
        })
    }

    /// Returns a version of a model with these parts, if there is one: the champion if possible,
    /// else the newest.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn version_of_parts(&self, model: &str, parts: Digest) -> Result<Option<u32>, StoreError> {
        self.read("look for a version by its parts", |connection| {
            Ok(of_same_parts(connection, model, Some(parts))?.map(|(_, version)| version))
        })
    }

    /// Returns all versions of a model, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn versions(&self, model: &str) -> Result<Vec<ModelVersion>, StoreError> {
        self.read("read model versions", |connection| {
            let id = ids::model(connection, model)?;
            let rows = connection
                .query(&format!("SELECT {COLUMNS} WHERE versions.model = ?1 ORDER BY version"), values![id])?;
            complete(connection, &rows)
        })
    }

    /// Returns the versions that a run of a pipeline made, oldest first. Those that clients
    /// registered under the run are not among them.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn versions_made_by(&self, run_id: &RunId) -> Result<Vec<ModelVersion>, StoreError> {
        self.read("read the versions of a run", |connection| {
            let query = format!("SELECT {COLUMNS} WHERE run_id = ?1 AND versions.is_foreign = 0 ORDER BY versions.id");
            let rows = connection.query(&query, values![run_id.as_str()])?;
            complete(connection, &rows)
        })
    }

    /// Returns the number of each version of a model, and when it was made, in milliseconds since
    /// the epoch. The two together differ from those of a model of the same name that was deleted.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn version_numbers(&self, model: &str) -> Result<Vec<(u32, i64)>, StoreError> {
        self.read("read the numbers of versions", |connection| {
            let id = ids::model(connection, model)?;
            let query = "SELECT version, created_ms FROM versions WHERE model = ?1 ORDER BY version";
            connection.query(query, values![id])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        })
    }

    /// Returns one version of a model.
    ///
    /// # Errors
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`], [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn version(&self, model: &str, version: u32) -> Result<ModelVersion, StoreError> {
        self.read("read a model version", |connection| {
            let id = ids::version(connection, model, version)?;
            numbered(connection, id)
        })
    }

    /// Replaces the description of a version.
    ///
    /// # Errors
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn describe_version(&self, model: &str, version: u32, description: &str) -> Result<(), StoreError> {
        self.write("describe a model version", Scope::Models, |connection| {
            let id = ids::version(connection, model, version)?;
            let update = "UPDATE versions SET description = ?2, updated_ms = ?3 WHERE id = ?1";
            connection.execute(update, values![id, description, now_ms()])?;
            self.audit(connection, &NewEntry::about("version.described", model, Some(version)))
        })
    }

    /// Sets a tag of a version; `None` removes it.
    ///
    /// # Errors
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`], [`StoreError::NoTag`],
    /// [`StoreError::BadKey`] or [`StoreError::Database`].
    pub fn tag_version(&self, model: &str, version: u32, tag: &str, value: Option<&str>) -> Result<(), StoreError> {
        check_key("tag", tag, value.unwrap_or_default())?;
        self.write("tag a model version", Scope::Models, |connection| {
            let id = ids::version(connection, model, version)?;
            let query = "SELECT value FROM version_tags WHERE version = ?1 AND name = ?2";
            let old: Option<String> = connection.first(query, values![id, tag])?.map(|row| row.get(0)).transpose()?;
            match (value, &old) {
                (Some(value), _) => rows::set_pairs(connection, TAGS, id, &[(tag.to_owned(), value.to_owned())])?,
                (None, Some(_)) => {
                    let delete = "DELETE FROM version_tags WHERE version = ?1 AND name = ?2";
                    connection.execute(delete, values![id, tag])?;
                }
                (None, None) => return Err(StoreError::NoTag { name: shortened(tag) }.into()),
            }
            connection.execute("UPDATE versions SET updated_ms = ?2 WHERE id = ?1", values![id, now_ms()])?;
            let named = |value: &str| format!("{tag} = {value}");
            let entry = NewEntry::about("version.tagged", model, Some(version));
            self.audit(connection, &entry.states(old.as_deref().map(named), value.map(named)))?;
            occurrence::version_tagged(connection, (model, version), tag, value)
        })
    }

    /// Returns the versions with these row ids, in this order.
    pub(super) fn versions_numbered(connection: &mut Connection, numbers: &[i64]) -> Outcome<Vec<ModelVersion>> {
        let mut versions = Vec::with_capacity(numbers.len());
        for piece in numbers.chunks(PIECE) {
            let listed = rows::listed(piece);
            let mut rows = connection.query_once(&format!("SELECT {COLUMNS} WHERE versions.id IN ({listed})"), &[])?;
            let place = |row: &Row| piece.iter().position(|number| row.get::<i64>(0).is_ok_and(|id| id == *number));
            rows.sort_by_key(place);
            versions.extend(complete(connection, &rows)?);
        }
        Ok(versions)
    }
}

/// Returns the version with this row id.
pub(super) fn numbered(connection: &mut Connection, number: i64) -> Outcome<ModelVersion> {
    let row = connection.one(&format!("SELECT {COLUMNS} WHERE versions.id = ?1"), values![number])?;
    let parts = version_parts::of(connection, &[number])?.remove(&number);
    whole(&row, parts.unwrap_or_default())
}

/// Returns a version of a model with these parts, with its row id: the champion if possible, else
/// the newest.
fn of_same_parts(connection: &mut Connection, model: &str, parts: Option<Digest>) -> Outcome<Option<(i64, u32)>> {
    let Some(parts) = parts else { return Ok(None) };
    let query =
        "SELECT versions.id, version FROM versions JOIN registered_models ON registered_models.id = versions.model
        WHERE name = ?1 AND parts = ?2 ORDER BY stage = 'production' DESC, version DESC LIMIT 1";
    let row = connection.first(query, values![model, parts])?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Checks a new version and verifies every artifact that it refers to. Returns their sizes in
/// bytes.
fn verify(artifacts: &ArtifactStore, model: &str, version: &NewVersion) -> Result<Vec<u64>, StoreError> {
    check_name("model", model)?;
    for (name, value) in version.parameters.iter().chain(&version.tags) {
        check_key("parameter or tag", name, value)?;
    }
    for (name, _) in &version.metrics {
        check_key("metric", name, "")?;
    }
    references::sizes(artifacts, model, &version.references)
}

/// Inserts a verified version. `published` says whether its metrics are those of its manifest.
/// Returns its number.
fn insert(
    registry: &Registry,
    connection: &mut Connection,
    model: &str,
    (version, published): (&NewVersion, bool),
    sizes: &[u64],
    numbering: Numbering<'_>,
) -> Outcome<u32> {
    let model_id = match ids::find_model_and_kind(connection, model)? {
        Some((id, is_foreign)) => {
            if is_foreign {
                foreign_source::claim(connection, id, model, false)?;
            }
            id
        }
        None => models::create(registry, connection, model)?,
    };
    let newest = "SELECT contents, semantic_version FROM versions WHERE model = ?1 AND semantic_version IS NOT NULL
        ORDER BY version DESC LIMIT 1";
    let semantic = match connection.first(newest, values![model_id])? {
        None => numbering(None),
        Some(row) => numbering(Some((&row.json(0)?, &row.get::<String>(1)?))),
    };
    let next = "UPDATE registered_models SET last_version = last_version + 1, updated_ms = ?2 WHERE id = ?1
        RETURNING last_version";
    let now = now_ms();
    let number: u32 = connection.one(next, values![model_id, now])?.get(0)?;
    let row = connection.one(
        "INSERT INTO versions (model, version, semantic_version, run_id, created_ms, updated_ms, actor, contents, parts, published)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9) RETURNING id",
        values![
            model_id,
            number,
            semantic,
            version.run_id.as_ref().map(RunId::as_str),
            now,
            &*registry.actor,
            version.contents.to_string(),
            version.parts,
            published
        ],
    )?;
    let id = row.get(0)?;
    insert_parts(connection, id, version, sizes)?;
    if published {
        version_metrics::insert(connection, "published_metrics", id, &version.metrics)?;
    }
    // The origin of an imported version. Verdicts from there are not imported.
    let source = version.tags.iter().find(|(name, _)| name == SOURCE_TAG).map_or("", |(_, source)| source.as_str());
    registry.audit(connection, &NewEntry::about("version.registered", model, Some(number)).because(source))?;
    occurrence::version_created(connection, id)?;
    Ok(number)
}

fn insert_parts(connection: &mut Connection, id: i64, version: &NewVersion, sizes: &[u64]) -> Outcome<()> {
    let artifact = "INSERT INTO version_artifacts (version, role, kind, digest, bytes, needed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    for (Reference { role, kind, digest, needed }, bytes) in version.references.iter().zip(sizes) {
        connection.execute(artifact, values![id, role, *kind, *digest, *bytes, *needed])?;
    }
    version_metrics::insert(connection, "version_metrics", id, &version.metrics)?;
    row_memory::insert(connection, id, version.rows.as_ref())?;
    let parameter = "INSERT INTO version_parameters (version, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    for (name, value) in &version.parameters {
        connection.execute(parameter, values![id, name, value])?;
    }
    rows::set_pairs(connection, TAGS, id, &version.tags)
}

/// Returns the versions of these rows, in this order.
fn complete(connection: &mut Connection, rows: &[Row]) -> Outcome<Vec<ModelVersion>> {
    let ids = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut parts = version_parts::of(connection, &ids)?;
    rows.iter().zip(ids).map(|(row, id)| whole(row, parts.remove(&id).unwrap_or_default())).collect()
}

/// Returns the version of a row.
fn whole(row: &Row, parts: Parts) -> Outcome<ModelVersion> {
    let stage: LifecycleStage = row.parsed(12)?;
    let mut aliases = parts.aliases;
    let foreign = ForeignSource::from_row(row, 19)?;
    if stage == LifecycleStage::Production && foreign.is_none() {
        aliases.push(CHAMPION.to_owned());
        aliases.sort();
    }
    let is_published: bool = row.get(18)?;
    let verdict: Option<Verdict> = row.optional_parsed(9)?;
    let against = row.get(16)?;
    Ok(ModelVersion {
        version: row.get(1)?,
        semantic_version: row.get(2)?,
        run_id: row.optional_parsed(3)?,
        created_ms: row.get(4)?,
        updated_ms: row.get(5)?,
        actor: row.get(6)?,
        description: row.get(7)?,
        contents: row.json(8)?,
        verdict,
        reason: row.get(10)?,
        judged_against: verdict.map(|_| JudgedAgainst::from_stored(against)),
        judged_ms: row.get(11)?,
        stage,
        stage_ms: row.get(13)?,
        withdrawn: row.get(14)?,
        model: row.get(15)?,
        aliases,
        parts: row.optional_parsed(17)?,
        references: parts.references.into_values().collect(),
        metrics: parts.metrics,
        published_metrics: is_published.then_some(parts.published),
        parameters: parts.parameters,
        tags: parts.tags,
        foreign,
    })
}
