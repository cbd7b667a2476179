//! Models: numbered versions, verdicts given once, aliases moved by compare-and-set.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::registry::{Registry, RunId, now_ms};

/// The alias of the version that serves. Only approved versions may have it.
pub const CHAMPION: &str = "champion";

/// The most bytes in the name of a model or an alias.
const MAX_NAME_BYTES: usize = 128;

/// What the gates said about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may become champion.
    Approved,
    /// It may not.
    Rejected,
}

impl Verdict {
    /// The name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known when a version is registered.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVersion {
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// All that is needed to use and to explain it (components, digests of states, signature, metrics, parameters), as the
    /// caller's JSON.
    pub description: serde_json::Value,
}

/// A version of a model. Only its verdict and aliases change, the verdict once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The model's name.
    pub model: String,
    /// Counted from 1, without gaps.
    pub version: u32,
    /// The run that made it.
    pub run_id: Option<RunId>,
    /// When it was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// What was registered.
    pub description: serde_json::Value,
    /// What the gates said; `None`: nothing yet.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Option<String>,
    /// When, in milliseconds since the epoch.
    pub judged_ms: Option<i64>,
    /// The aliases that point to it, by name.
    pub aliases: Vec<String>,
}

/// A model: a name for versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// When its first version was registered, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Its newest version.
    pub latest_version: u32,
    /// Its aliases and where they point, by name.
    pub aliases: Vec<(String, u32)>,
}

/// A move of an alias, as it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AliasMove {
    /// The alias.
    pub alias: String,
    /// Where it pointed.
    pub from: Option<u32>,
    /// Where it points since.
    pub to: u32,
    /// When, in milliseconds since the epoch.
    pub moved_ms: i64,
}

impl Registry {
    /// Registers a new version of a model, which is created if missing. Versions are consecutive from 1 on, whoever else
    /// registers at the same time.
    ///
    /// # Errors
    /// [`StoreError::BadName`] or [`StoreError::Database`].
    pub fn create_version(&self, model: &str, version: &NewVersion) -> Result<u32, StoreError> {
        check_name("model", model)?;
        self.write("register a model version", |transaction| self.insert_version(transaction, model, version))
    }

    /// Records what the gates said about a version, once and for all.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::NoVersion`], [`StoreError::AlreadyJudged`] or [`StoreError::Database`].
    pub fn tag_verdict(&self, model: &str, version: u32, verdict: Verdict, reason: &str) -> Result<(), StoreError> {
        self.write("record a verdict", |transaction| self.judge(transaction, model, version, verdict, reason))
    }

    /// Moves an alias to version `new`, if it still points to `expected` (`None`: nowhere). Atomic.
    ///
    /// # Errors
    /// [`StoreError::AliasMoved`] if it points elsewhere, [`StoreError::NotApproved`] if a version that is not approved
    /// would become [`CHAMPION`], [`StoreError::BadName`], [`StoreError::NoModel`], [`StoreError::NoVersion`] or
    /// [`StoreError::Database`].
    pub fn set_alias(&self, model: &str, alias: &str, expected: Option<u32>, new: u32) -> Result<(), StoreError> {
        check_name("alias", alias)?;
        self.write("move an alias", |transaction| self.move_alias(transaction, model, alias, expected, new))
    }

    /// [`Registry::create_version`], [`Registry::tag_verdict`] and, of an approved version, [`Registry::set_alias`] of
    /// [`CHAMPION`] in one step: a process that dies leaves no version that nobody judged, and no approved one that was
    /// not made champion. Returns the version's number.
    ///
    /// # Errors
    /// [`StoreError::AliasMoved`] if the champion is not `expected` any more: the version is registered and judged all the
    /// same. [`StoreError::BadName`] or [`StoreError::Database`]: nothing is.
    pub fn register_candidate(
        &self,
        model: &str,
        version: &NewVersion,
        verdict: Verdict,
        reason: &str,
        expected: Option<u32>,
    ) -> Result<u32, StoreError> {
        check_name("model", model)?;
        let (number, moved) = self.write("register a candidate", |transaction| {
            let number = self.insert_version(transaction, model, version)?;
            self.judge(transaction, model, number, verdict, reason)?;
            let moved = match verdict {
                Verdict::Approved => self.move_alias(transaction, model, CHAMPION, expected, number),
                Verdict::Rejected => Ok(()),
            };
            match moved {
                Ok(()) | Err(StoreError::AliasMoved { .. }) => Ok((number, moved)),
                Err(error) => Err(error),
            }
        })?;
        moved.map(|()| number)
    }

    /// The version that an alias points to; `None` if there is no such model or alias.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn alias(&self, model: &str, alias: &str) -> Result<Option<u32>, StoreError> {
        self.read("read an alias", |connection| alias_of(connection, model, alias))
    }

    /// Every move of a model's aliases, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn alias_moves(&self, model: &str) -> Result<Vec<AliasMove>, StoreError> {
        self.read("read alias moves", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT alias, old_version, new_version, moved_ms FROM alias_moves WHERE model = ?1 ORDER BY id",
            )?;
            let moved = |row: &Row<'_>| {
                Ok(AliasMove { alias: row.get(0)?, from: row.get(1)?, to: row.get(2)?, moved_ms: row.get(3)? })
            };
            statement.query_map([model], moved)?.collect()
        })
    }

    /// All models, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn models(&self) -> Result<Vec<Model>, StoreError> {
        self.read("list models", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, models.created_ms, max(version) FROM models JOIN model_versions ON model = name
                 GROUP BY name ORDER BY name",
            )?;
            let mut aliases =
                connection.prepare_cached("SELECT alias, version FROM aliases WHERE model = ?1 ORDER BY alias")?;
            let mut model = |row: &Row<'_>| {
                let name: String = row.get(0)?;
                let pairs = aliases.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?;
                let aliases = pairs.collect::<Result<_, _>>()?;
                Ok(Model { name, created_ms: row.get(1)?, latest_version: row.get(2)?, aliases })
            };
            statement.query_map([], &mut model)?.collect()
        })
    }

    /// All versions of a model, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn versions(&self, model: &str) -> Result<Vec<ModelVersion>, StoreError> {
        let versions = self.read_versions(model, None)?;
        if versions.is_empty() {
            return Err(StoreError::NoModel { model: shortened(model) });
        }
        Ok(versions)
    }

    /// One version of a model.
    ///
    /// # Errors
    /// [`StoreError::NoVersion`], [`StoreError::NoModel`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn version(&self, model: &str, version: u32) -> Result<ModelVersion, StoreError> {
        if let Some(found) = self.read_versions(model, Some(version))?.pop() {
            return Ok(found);
        }
        let exists = self.read("read a model", |connection| model_exists(connection, model))?;
        Err(missing(exists, model, version))
    }

    fn read_versions(&self, model: &str, version: Option<u32>) -> Result<Vec<ModelVersion>, StoreError> {
        let found = self.read("read model versions", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT version, run_id, created_ms, description, verdict, reason, judged_ms FROM model_versions
                 WHERE model = ?1 AND (?2 IS NULL OR version = ?2) ORDER BY version",
            )?;
            let mut aliases = connection
                .prepare_cached("SELECT alias FROM aliases WHERE model = ?1 AND version = ?2 ORDER BY alias")?;
            let mut found = |row: &Row<'_>| {
                let version: u32 = row.get(0)?;
                let names = aliases.query_map(params![model, version], |row| row.get(0))?;
                version_from_row(model, row, names.collect::<Result<_, _>>()?)
            };
            statement.query_map(params![model, version], &mut found)?.collect::<Result<Vec<_>, _>>()
        })?;
        found.into_iter().map(|it| it.map_err(|problem| self.bad_record(problem))).collect()
    }

    fn insert_version(
        &self,
        transaction: &Transaction<'_>,
        model: &str,
        version: &NewVersion,
    ) -> Result<u32, StoreError> {
        let insert = || {
            let now = now_ms();
            transaction.execute("INSERT INTO models VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![model, now])?;
            transaction.query_row(
                "INSERT INTO model_versions (model, version, run_id, created_ms, description)
                 VALUES (?1, (SELECT coalesce(max(version), 0) + 1 FROM model_versions WHERE model = ?1), ?2, ?3, ?4)
                 RETURNING version",
                params![model, version.run_id.as_ref().map(RunId::as_str), now, version.description.to_string()],
                |row| row.get(0),
            )
        };
        insert().map_err(self.failed("register a model version"))
    }

    fn judge(
        &self,
        transaction: &Transaction<'_>,
        model: &str,
        version: u32,
        verdict: Verdict,
        reason: &str,
    ) -> Result<(), StoreError> {
        if let Some(verdict) = self.verdict(transaction, model, version)? {
            return Err(StoreError::AlreadyJudged { model: model.to_owned(), version, verdict });
        }
        transaction
            .execute(
                "UPDATE model_versions SET verdict = ?3, reason = ?4, judged_ms = ?5 WHERE model = ?1 AND version = ?2",
                params![model, version, verdict.name(), reason, now_ms()],
            )
            .map_err(self.failed("record a verdict"))?;
        Ok(())
    }

    fn move_alias(
        &self,
        transaction: &Transaction<'_>,
        model: &str,
        alias: &str,
        expected: Option<u32>,
        new: u32,
    ) -> Result<(), StoreError> {
        let verdict = self.verdict(transaction, model, new)?;
        if alias == CHAMPION && verdict.as_deref() != Some(Verdict::Approved.name()) {
            let state = verdict.unwrap_or_else(|| "not judged".to_owned());
            let (model, alias) = (model.to_owned(), alias.to_owned());
            return Err(StoreError::NotApproved { model, version: new, alias, state });
        }
        let actual = alias_of(transaction, model, alias).map_err(self.failed("move an alias"))?;
        if actual != expected {
            let (model, alias) = (model.to_owned(), alias.to_owned());
            return Err(StoreError::AliasMoved { model, alias, expected, actual });
        }
        let change = || {
            transaction.execute(
                "INSERT INTO aliases VALUES (?1, ?2, ?3)
                 ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version",
                params![model, alias, new],
            )?;
            transaction.execute(
                "INSERT INTO alias_moves (model, alias, old_version, new_version, moved_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![model, alias, expected, new, now_ms()],
            )
        };
        change().map_err(self.failed("move an alias"))?;
        Ok(())
    }

    /// The verdict on a version that must exist.
    fn verdict(&self, transaction: &Transaction<'_>, model: &str, version: u32) -> Result<Option<String>, StoreError> {
        let query = "SELECT verdict FROM model_versions WHERE model = ?1 AND version = ?2";
        let verdict = transaction.query_row(query, params![model, version], |row| row.get(0)).optional();
        match verdict.map_err(self.failed("read a model version"))? {
            Some(verdict) => Ok(verdict),
            None => {
                let exists = model_exists(transaction, model).map_err(self.failed("read a model"))?;
                Err(missing(exists, model, version))
            }
        }
    }
}

fn missing(model_exists: bool, model: &str, version: u32) -> StoreError {
    let model = shortened(model);
    if model_exists { StoreError::NoVersion { model, version } } else { StoreError::NoModel { model } }
}

fn model_exists(connection: &Connection, model: &str) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM models WHERE name = ?1)", [model], |row| row.get(0))
}

fn alias_of(connection: &Connection, model: &str, alias: &str) -> rusqlite::Result<Option<u32>> {
    let query = "SELECT version FROM aliases WHERE model = ?1 AND alias = ?2";
    connection.prepare_cached(query)?.query_row([model, alias], |row| row.get(0)).optional()
}

fn version_from_row(
    model: &str,
    row: &Row<'_>,
    aliases: Vec<String>,
) -> rusqlite::Result<Result<ModelVersion, String>> {
    let (run_id, description): (Option<String>, String) = (row.get(1)?, row.get(3)?);
    let verdict: Option<String> = row.get(4)?;
    let (version, created_ms) = (row.get(0)?, row.get(2)?);
    let (reason, judged_ms) = (row.get(5)?, row.get(6)?);
    let complete = || {
        let verdict = match verdict.as_deref() {
            None => None,
            Some("approved") => Some(Verdict::Approved),
            Some("rejected") => Some(Verdict::Rejected),
            Some(other) => return Err(format!("version {version} of model `{model}` is `{other}`")),
        };
        let run_id = run_id.map(|id| id.parse()).transpose().map_err(|error: StoreError| error.to_string())?;
        let description = serde_json::from_str(&description).map_err(|error| error.to_string())?;
        let model = model.to_owned();
        Ok(ModelVersion { model, version, run_id, created_ms, description, verdict, reason, judged_ms, aliases })
    };
    Ok(complete())
}

fn check_name(what: &'static str, name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(StoreError::BadName { what, name: shortened(name) })
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(200).collect()
}
