//! Runs: begun, finished, found again.

use std::fmt;
use std::str::FromStr;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::registry::{Registry, now_ms};

/// A run's identifier: 32 lower-case hex digits, as MLflow's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId(String);

impl RunId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RunId {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.len() == 32 && is_hex(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StoreError::BadRunId { text: text.chars().take(100).collect() })
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

/// Lower-case hex digits only.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Its process lives and works on it.
    Running,
    /// It came to its end, with whatever verdict.
    Finished,
    /// It stopped with an error.
    Failed,
    /// It was interrupted, or its process died.
    Killed,
}

impl RunStatus {
    /// The name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Finished, Self::Failed, Self::Killed].into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known when a run begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewRun {
    /// Its identifier; `None`: a new random one.
    pub run_id: Option<RunId>,
    /// The pipeline's name.
    pub pipeline: String,
    /// The experiment's name; created if missing.
    pub experiment: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// The manifest's text as it was read.
    pub manifest: String,
    /// The configuration in effect, with defaults and overrides.
    pub config: serde_json::Value,
    /// Parameters by name, as text; the last of a repeated name counts.
    pub parameters: Vec<(String, String)>,
}

/// A run as recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its identifier.
    pub run_id: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// The experiment's name.
    pub experiment: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// The manifest's text.
    pub manifest: String,
    /// The configuration in effect.
    pub config: serde_json::Value,
    /// Parameters, by name.
    pub parameters: Vec<(String, String)>,
    /// How it stands.
    pub status: RunStatus,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<serde_json::Value>,
}

/// What [`run_from_row`] reads.
const RUN_COLUMNS: &str = "runs.id, run_id, pipeline, experiments.name, seed, manifest, config, status, started_ms, \
     ended_ms, error FROM runs JOIN experiments ON experiments.id = runs.experiment";

impl Registry {
    /// Records that a run begins, in this process. If the process dies, the next one to open the registry marks the run as
    /// killed.
    ///
    /// # Errors
    /// [`StoreError::RunExists`], [`StoreError::Database`] or [`StoreError::Io`].
    pub fn begin_run(&self, run: &NewRun) -> Result<RunId, StoreError> {
        let owner = self.owner()?;
        self.write("record a run", |transaction| {
            let failed = || self.failed("record a run");
            let run_id = match &run.run_id {
                Some(run_id) => run_id.clone(),
                None => {
                    let random = "SELECT lower(hex(randomblob(16)))";
                    RunId(transaction.query_row(random, [], |row| row.get(0)).map_err(failed())?)
                }
            };
            let exists = "SELECT EXISTS (SELECT 1 FROM runs WHERE run_id = ?1)";
            if transaction.query_row(exists, [run_id.as_str()], |row| row.get(0)).map_err(failed())? {
                return Err(StoreError::RunExists { id: run_id.0 });
            }
            insert_run(transaction, run, &run_id, &owner).map_err(failed())?;
            Ok(run_id)
        })
    }

    /// Records how a run ended. `error` says why it failed, as the caller's JSON.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::RunEnded`] if it had ended before, or [`StoreError::Database`].
    pub fn finish_run(
        &self,
        run_id: &RunId,
        status: RunStatus,
        error: Option<&serde_json::Value>,
    ) -> Result<(), StoreError> {
        self.write("record the end of a run", |transaction| {
            let id = self.running(transaction, run_id)?;
            transaction
                .execute(
                    "UPDATE runs SET status = ?2, ended_ms = ?3, error = ?4 WHERE id = ?1",
                    params![id, status.name(), now_ms(), error.map(ToString::to_string)],
                )
                .map_err(self.failed("record the end of a run"))?;
            Ok(())
        })
    }

    /// The latest runs, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn list_runs(&self, limit: usize) -> Result<Vec<Run>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.runs(&format!("SELECT {RUN_COLUMNS} ORDER BY runs.id DESC LIMIT ?1"), [limit])
    }

    /// The run with this identifier, or with a unique beginning of one.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::AmbiguousRun`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn run(&self, id: &str) -> Result<Run, StoreError> {
        let none = || StoreError::NoRun { id: id.chars().take(100).collect() };
        if id.is_empty() || id.len() > 32 || !is_hex(id) {
            return Err(none());
        }
        // `g` follows every hex digit.
        let matching = "WHERE run_id >= ?1 AND run_id < ?1 || 'g'";
        let mut runs = self.runs(&format!("SELECT {RUN_COLUMNS} {matching} LIMIT 2"), [id])?;
        if runs.len() > 1 {
            let count = format!("SELECT count(*) FROM runs {matching}");
            let count = self.read("count runs", |it| it.query_row(&count, [id], |row| row.get::<_, u32>(0)))?;
            return Err(StoreError::AmbiguousRun { prefix: id.to_owned(), count: count as usize });
        }
        runs.pop().ok_or_else(none)
    }

    /// The run of this pipeline that began last.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn last_run(&self, pipeline: &str) -> Result<Option<Run>, StoreError> {
        let query = format!("SELECT {RUN_COLUMNS} WHERE pipeline = ?1 ORDER BY runs.id DESC LIMIT 1");
        Ok(self.runs(&query, [pipeline])?.pop())
    }

    /// The names of all experiments, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn experiments(&self) -> Result<Vec<String>, StoreError> {
        self.read("list experiments", |connection| {
            let mut statement = connection.prepare_cached("SELECT name FROM experiments ORDER BY id")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    fn runs(&self, query: &str, parameters: impl rusqlite::Params) -> Result<Vec<Run>, StoreError> {
        let found = self.read("read runs", |connection| {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map(parameters, run_from_row)?.collect::<Result<Vec<_>, _>>()?;
            let mut parameters =
                connection.prepare_cached("SELECT name, value FROM parameters WHERE run = ?1 ORDER BY name")?;
            let mut found = Vec::with_capacity(rows.len());
            for (id, run) in rows {
                let pairs = parameters.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                found.push((run, pairs.collect::<Result<Vec<_>, _>>()?));
            }
            Ok(found)
        })?;
        let run = |(run, parameters): (Result<Run, String>, _)| match run {
            Ok(run) => Ok(Run { parameters, ..run }),
            Err(problem) => Err(self.bad_record(problem)),
        };
        found.into_iter().map(run).collect()
    }

    /// The number of a run that is running.
    pub(super) fn running(&self, transaction: &Transaction<'_>, run_id: &RunId) -> Result<i64, StoreError> {
        let found = transaction
            .query_row("SELECT id, status FROM runs WHERE run_id = ?1", [run_id.as_str()], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })
            .optional()
            .map_err(self.failed("read a run"))?;
        match found {
            None => Err(StoreError::NoRun { id: run_id.0.clone() }),
            Some((id, status)) if status == RunStatus::Running.name() => Ok(id),
            Some((_, status)) => Err(StoreError::RunEnded { id: run_id.0.clone(), status }),
        }
    }
}

fn insert_run(transaction: &Transaction<'_>, run: &NewRun, run_id: &RunId, owner: &str) -> rusqlite::Result<()> {
    let now = now_ms();
    let experiment = "INSERT INTO experiments (name, created_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    transaction.execute(experiment, params![run.experiment, now])?;
    transaction.execute(
        "INSERT INTO runs (run_id, experiment, pipeline, seed, manifest, config, status, started_ms, owner)
         VALUES (?1, (SELECT id FROM experiments WHERE name = ?2), ?3, ?4, ?5, ?6, 'running', ?7, ?8)",
        params![
            run_id.as_str(),
            run.experiment,
            run.pipeline,
            run.seed.cast_signed(),
            run.manifest,
            run.config.to_string(),
            now,
            owner
        ],
    )?;
    let id = transaction.last_insert_rowid();
    let mut parameter = transaction.prepare_cached("INSERT OR REPLACE INTO parameters VALUES (?1, ?2, ?3)")?;
    for (name, value) in &run.parameters {
        parameter.execute(params![id, name, value])?;
    }
    Ok(())
}

/// The run's number, and the run without its parameters or what is wrong with it.
fn run_from_row(row: &Row<'_>) -> rusqlite::Result<(i64, Result<Run, String>)> {
    let run_id: String = row.get(1)?;
    let (config, status): (String, String) = (row.get(6)?, row.get(7)?);
    let error: Option<String> = row.get(10)?;
    let (pipeline, experiment, manifest) = (row.get(2)?, row.get(3)?, row.get(5)?);
    let (seed, started_ms, ended_ms) = (row.get::<_, i64>(4)?.cast_unsigned(), row.get(8)?, row.get(9)?);
    let run = move || {
        let json = |text: &str| serde_json::from_str(text).map_err(|error| format!("run `{run_id}`: {error}"));
        Ok(Run {
            config: json(&config)?,
            status: RunStatus::from_name(&status).ok_or_else(|| format!("run `{run_id}` is `{status}`"))?,
            error: error.as_deref().map(json).transpose()?,
            run_id: run_id.parse().map_err(|error: StoreError| error.to_string())?,
            parameters: Vec::new(),
            pipeline,
            experiment,
            seed,
            manifest,
            started_ms,
            ended_ms,
        })
    };
    Ok((row.get(0)?, run()))
}
