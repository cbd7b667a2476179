//! Versions of models: whole when they are created, numbered without gaps, never changed but for verdict, stage, tags.
//!
//! A version is there from the end of its training, without a verdict. It refers to every artifact without which it could
//! not be used or explained. All of them are read and compared with their digests before the version is recorded, so that
//! no version exists whose bytes do not. What explains a verdict is recorded with the verdict.

use serde::Serialize;

use crate::artifact::ArtifactStore;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::judgement::{JudgedAgainst, Verdict};
use crate::registry::lifecycle_stage::LifecycleStage;
use crate::registry::names::{CHAMPION, check_key, check_name, shortened};
use crate::registry::references::{self, Reference};
use crate::registry::row_memory::{self, RowMemory};
use crate::registry::run_id::RunId;
use crate::registry::{ids, models, version_metrics};

/// What is known when a version is registered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewVersion {
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// All that is needed to use and to explain it (components, digests of states, signature, lineage), as the caller's
    /// JSON.
    pub contents: serde_json::Value,
    /// Every artifact that `contents` names.
    pub references: Vec<Reference>,
    /// The digest of all that its predictions depend on; `None`: not known, so that no other version is taken for the same.
    pub parts: Option<Digest>,
    /// The rows that it learnt from; `None`: not known.
    pub rows: Option<RowMemory>,
    /// What it was measured to be worth before it came here, by name; empty of one that nobody measured.
    pub metrics: Vec<(String, f64)>,
    /// What it was made with, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its version.
    pub version: u32,
    /// Whether it was registered now; else a version of the same parts was there already.
    pub is_new: bool,
}

/// The tag that says where a version was imported from; kept in the audit too.
pub const SOURCE_TAG: &str = "stagewright.source";

/// Gives a new version its semantic number: called inside the transaction with the newest version's contents and semantic
/// number, `None` for a model's first.
pub type Numbering<'a> = &'a dyn Fn(Option<(&serde_json::Value, &str)>) -> Option<String>;

/// A version of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// Counted from 1, without gaps.
    pub version: u32,
    /// `MAJOR.MINOR.PATCH`: how much it differs from the version before it.
    pub semantic_version: Option<String>,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// When it was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When its verdict, stage or tags changed last.
    pub updated_ms: i64,
    /// Who registered it.
    pub actor: String,
    /// What people say of it.
    pub description: String,
    /// What was registered.
    pub contents: serde_json::Value,
    /// Its latest verdict ([`Registry::verdicts`] has all of them); `None`: it was not judged yet.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Option<String>,
    /// The champion that the verdict was reached against; `None` without a verdict.
    pub judged_against: Option<JudgedAgainst>,
    /// When it was judged, in milliseconds since the epoch.
    pub judged_ms: Option<i64>,
    /// Where it stands in its life.
    pub stage: LifecycleStage,
    /// Since when, in milliseconds since the epoch; `None`: since it was registered.
    pub stage_ms: Option<i64>,
    /// Whether a rollback went away from it.
    pub withdrawn: bool,
    /// The aliases that point to it, by name; `champion` if it is in production.
    pub aliases: Vec<String>,
    /// The digest of all that its predictions depend on, if known.
    pub parts: Option<Digest>,
    /// Its artifacts, by role; those that explain its verdicts among them, of each role the latest.
    pub references: Vec<Reference>,
    /// What it was measured to be worth, by name: by the latest verdict that measured.
    pub metrics: Vec<(String, f64)>,
    /// The metrics of its manifest in production, which never change: those that it was registered with, else those of its
    /// first verdict; `None`: it has neither yet.
    #[serde(skip)]
    pub published_metrics: Option<Vec<(String, f64)>>,
    /// What it was made with, by name.
    pub parameters: Vec<(String, String)>,
    /// Its tags, by name.
    pub tags: Vec<(String, String)>,
}

const COLUMNS: &str = "versions.id, version, semantic_version, run_id, versions.created_ms, versions.updated_ms, actor, \
     versions.description, contents, verdict, reason, judged_ms, stage, stage_ms, withdrawn, registered_models.name, \
     judged_against, parts, published \
     FROM versions JOIN registered_models ON registered_models.id = versions.model";

impl Registry {
    /// Registers a new version of a model, which is created if missing, as it comes from elsewhere: with the metrics that it
    /// has. Versions are consecutive from 1 on, whoever else registers at the same time.
    ///
    /// # Errors
    /// [`StoreError::Incomplete`] if an artifact that it refers to is not in `artifacts` whole: nothing is registered then.
    /// [`StoreError::BadName`], [`StoreError::BadKey`] or [`StoreError::Database`].
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

    /// Registers what a training made, before anybody judges it. A version of the same `parts` is the same model: then no
    /// other is made, and the rows that both trainings learnt from are its rows.
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

    /// Returns the version of a model that is made of these parts, if there is one: the champion,
    /// if it is, else the newest.
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
            rows.iter().map(|row| complete(connection, row)).collect()
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
            let row = connection.one(&format!("SELECT {COLUMNS} WHERE versions.id = ?1"), values![id])?;
            complete(connection, &row)
        })
    }

    /// Says something else of a version.
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
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`], [`StoreError::NoTag`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn tag_version(&self, model: &str, version: u32, tag: &str, value: Option<&str>) -> Result<(), StoreError> {
        check_key("tag", tag, value.unwrap_or_default())?;
        self.write("tag a model version", Scope::Models, |connection| {
            let id = ids::version(connection, model, version)?;
            let query = "SELECT value FROM version_tags WHERE version = ?1 AND name = ?2";
            let old: Option<String> = connection.first(query, values![id, tag])?.map(|row| row.get(0)).transpose()?;
            match (value, &old) {
                (Some(value), _) => set_tag(connection, id, tag, value)?,
                (None, Some(_)) => {
                    let delete = "DELETE FROM version_tags WHERE version = ?1 AND name = ?2";
                    connection.execute(delete, values![id, tag])?;
                }
                (None, None) => return Err(StoreError::NoTag { name: shortened(tag) }.into()),
            }
            connection.execute("UPDATE versions SET updated_ms = ?2 WHERE id = ?1", values![id, now_ms()])?;
            let named = |value: &str| format!("{tag} = {value}");
            let entry = NewEntry::about("version.tagged", model, Some(version));
            self.audit(connection, &entry.states(old.as_deref().map(named), value.map(named)))
        })
    }

    /// Returns the versions with these numbers of the database, in this order.
    pub(super) fn versions_numbered(connection: &mut Connection, numbers: &[i64]) -> Outcome<Vec<ModelVersion>> {
        let query = format!("SELECT {COLUMNS} WHERE versions.id = ?1");
        let version = |number: &i64| {
            let row = connection.one(&query, values![*number])?;
            complete(connection, &row)
        };
        numbers.iter().map(version).collect()
    }
}

/// Returns the version of a model that is made of these parts: the champion, if it is, else the
/// newest.
fn of_same_parts(connection: &mut Connection, model: &str, parts: Option<Digest>) -> Outcome<Option<(i64, u32)>> {
    let Some(parts) = parts else { return Ok(None) };
    let query =
        "SELECT versions.id, version FROM versions JOIN registered_models ON registered_models.id = versions.model
        WHERE name = ?1 AND parts = ?2 ORDER BY stage = 'production' DESC, version DESC LIMIT 1";
    let row = connection.first(query, values![model, parts])?;
    row.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

/// Checks what is known of a new version and reads every artifact that it refers to; their sizes in bytes.
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

/// Inserts a version that was verified, and says whether its metrics are those of its manifest; its number.
fn insert(
    registry: &Registry,
    connection: &mut Connection,
    model: &str,
    (version, published): (&NewVersion, bool),
    sizes: &[u64],
    numbering: Numbering<'_>,
) -> Outcome<u32> {
    let model_id = match ids::find_model(connection, model)? {
        Some(id) => id,
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
    // Where an imported one comes from: a verdict that was given there does not come with it.
    let source = version.tags.iter().find(|(name, _)| name == SOURCE_TAG).map_or("", |(_, source)| source.as_str());
    registry.audit(connection, &NewEntry::about("version.registered", model, Some(number)).because(source))?;
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
    for (name, value) in &version.tags {
        set_tag(connection, id, name, value)?;
    }
    Ok(())
}

/// Returns the free aliases of a version, by name.
fn free_aliases(connection: &mut Connection, version: i64) -> Outcome<Vec<String>> {
    let query = "SELECT alias FROM version_aliases WHERE version = ?1 ORDER BY alias";
    connection.query(query, values![version])?.iter().map(|row| Ok(row.get(0)?)).collect()
}

fn set_tag(connection: &mut Connection, version: i64, name: &str, value: &str) -> Outcome<()> {
    let upsert = "INSERT INTO version_tags (version, name, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (version, name) DO UPDATE SET value = excluded.value";
    connection.execute(upsert, values![version, name, value])?;
    Ok(())
}

fn complete(connection: &mut Connection, row: &Row) -> Outcome<ModelVersion> {
    let (id, stage): (i64, LifecycleStage) = (row.get(0)?, row.parsed(12)?);
    let mut aliases = free_aliases(connection, id)?;
    if stage == LifecycleStage::Production {
        aliases.push(CHAMPION.to_owned());
        aliases.sort();
    }
    let latest = "SELECT name, value FROM version_metrics WHERE version = ?1 ORDER BY name";
    let published = "SELECT name, value FROM published_metrics WHERE version = ?1 ORDER BY name";
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
        references: references(connection, id)?,
        metrics: version_metrics::query(connection, latest, id)?,
        published_metrics: is_published.then(|| version_metrics::query(connection, published, id)).transpose()?,
        parameters: pairs(connection, "version_parameters", id)?,
        tags: pairs(connection, "version_tags", id)?,
    })
}

fn references(connection: &mut Connection, version: i64) -> Outcome<Vec<Reference>> {
    let query = "SELECT role, kind, digest, needed FROM version_artifacts WHERE version = ?1";
    let mut found = references::of_verdicts(connection, version)?;
    for row in connection.query(query, values![version])? {
        let reference =
            Reference { role: row.get(0)?, kind: row.parsed(1)?, digest: row.parsed(2)?, needed: row.get(3)? };
        // What explains a verdict is newer than what the registration said of the same role.
        if reference.needed || !found.contains_key(&reference.role) {
            found.insert(reference.role.clone(), reference);
        }
    }
    Ok(found.into_values().collect())
}

fn pairs(connection: &mut Connection, table: &str, version: i64) -> Outcome<Vec<(String, String)>> {
    let query = format!("SELECT name, value FROM {table} WHERE version = ?1 ORDER BY name");
    connection.query(&query, values![version])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
