//! Runs: beginning, finishing, deleting and looking them up.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::metric::LoggedMetric;
use crate::registry::names::{CLIENT, check_key, shortened};
use crate::registry::rows::listed;
use crate::registry::run_id::{RunId, is_hex};
use crate::registry::run_inputs::{self, RunInputs};
use crate::registry::webhooks::occurrence;
use crate::registry::{experiments, rows, running_rows};

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Its process is alive and works on it.
    Running,
    /// It came to its end, whatever the verdict.
    Finished,
    /// It stopped with an error.
    Failed,
    /// It was interrupted, or its process died.
    Killed,
}

impl RunStatus {
    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

impl FromStr for RunStatus {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Running, Self::Finished, Self::Failed, Self::Killed];
        all.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a run is `{name}`"))
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The facts known when a run begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewRun {
    /// Its identifier; `None`: a new random one.
    pub run_id: Option<RunId>,
    /// Its name for people; empty: the beginning of its identifier.
    pub name: String,
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
    /// Tags by name; the last of a repeated name counts.
    pub tags: Vec<(String, String)>,
}

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its identifier.
    pub run_id: RunId,
    /// Its name for people.
    pub name: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The experiment's name.
    pub experiment: String,
    /// Who began it.
    pub actor: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// The manifest's text.
    pub manifest: String,
    /// The configuration in effect.
    pub config: serde_json::Value,
    /// Parameters, by name.
    pub parameters: Vec<(String, String)>,
    /// Tags, by name.
    pub tags: Vec<(String, String)>,
    /// The last value of every metric, by name.
    pub metrics: Vec<LoggedMetric>,
    /// Its status.
    pub status: RunStatus,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// When it, or its experiment, was deleted, if one is; both can be restored.
    pub deleted_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<serde_json::Value>,
    /// The number of its experiment.
    #[serde(skip)]
    pub experiment_id: i64,
    /// The URI of the folder with its files.
    #[serde(skip)]
    pub artifact_uri: String,
    /// Whether a client logs it. No process of Stagewright carries it out.
    #[serde(skip)]
    pub is_client: bool,
    /// The datasets and models that it used and made.
    #[serde(skip)]
    pub inputs: RunInputs,
}

/// The columns that [`run_from_row`] reads.
const COLUMNS: &str = "runs.id, run_id, runs.name, pipeline, experiments.name, actor, seed, manifest, config, status, \
     started_ms, ended_ms, coalesce(runs.deleted_ms, experiments.deleted_ms), error, runs.experiment, artifact_location, owner FROM runs JOIN experiments ON experiments.id = runs.experiment";

/// The condition that neither a run nor its experiment is deleted.
const KEPT: &str = "runs.deleted_ms IS NULL AND experiments.deleted_ms IS NULL";

/// The number of runs whose parameters, tags and metrics are read with one query each.
const PIECE: usize = 500;

impl Registry {
    /// Records that a run begins in this process. If the process dies, the next process to open the
    /// registry marks the run as killed.
    ///
    /// # Errors
    /// [`StoreError::RunExists`], [`StoreError::ExperimentDeleted`], [`StoreError::BadKey`],
    /// [`StoreError::Database`] or [`StoreError::Io`].
    pub fn begin_run(&self, run: &NewRun) -> Result<RunId, StoreError> {
        for (name, value) in run.parameters.iter().chain(&run.tags) {
            check_key("parameter or tag", name, value)?;
        }
        let owner = self.owner()?;
        let run_id = match &run.run_id {
            Some(run_id) => run_id.clone(),
            None => RunId::random()?,
        };
        self.write("record a run", Scope::Runs, |connection| {
            insert_run(connection, run, &run_id, &owner, &self.actor)?;
            Ok(run_id)
        })
    }

    /// Records how a run ended. `error` says why it failed, as the caller's JSON.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::RunEnded`] if it had ended before, or
    /// [`StoreError::Database`].
    pub fn finish_run(
        &self,
        run_id: &RunId,
        status: RunStatus,
        error: Option<&serde_json::Value>,
    ) -> Result<(), StoreError> {
        self.write("record the end of a run", Scope::Runs, |connection| {
            // If several callers end it at once, one of them does.
            let update = "UPDATE runs SET status = ?2, ended_ms = ?3, error = ?4
                WHERE run_id = ?1 AND status = 'running' RETURNING id";
            let error = error.map(ToString::to_string);
            let ended = connection.first(update, values![run_id.as_str(), status.name(), now_ms(), error])?;
            let Some(ended) = ended else { return running(connection, run_id).map(drop) };
            let id = ended.get(0)?;
            running_rows::forget_run(connection, id)?;
            occurrence::run_ended(connection, id, status.name())
        })
    }

    /// Returns the latest runs that are not deleted, newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn list_runs(&self, limit: usize) -> Result<Vec<Run>, StoreError> {
        self.read("read runs", |connection| {
            let query = format!("SELECT {COLUMNS} WHERE {KEPT} ORDER BY runs.id DESC LIMIT ?1");
            let rows = connection.query(&query, values![limit])?;
            complete(connection, &rows)
        })
    }

    /// Returns the run with this identifier, or with this unique prefix of one.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::AmbiguousRun`], [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn run(&self, id: &str) -> Result<Run, StoreError> {
        let none = || StoreError::NoRun { id: shortened(id) };
        if id.is_empty() || id.len() > 32 || !is_hex(id) {
            return Err(none());
        }
        self.read("read runs", |connection| {
            // `g` is the character after every hex digit.
            let (first, end) = (id.to_owned(), format!("{id}g"));
            let query = format!("SELECT {COLUMNS} WHERE run_id >= ?1 AND run_id < ?2 LIMIT 2");
            let rows = connection.query(&query, values![&first, &end])?;
            if rows.len() > 1 {
                let count = "SELECT count(*) FROM runs WHERE run_id >= ?1 AND run_id < ?2";
                let count: u64 = connection.one(count, values![first, end])?.get(0)?;
                return Err(StoreError::AmbiguousRun { prefix: id.to_owned(), count: count as usize }.into());
            }
            complete(connection, &rows)?.pop().ok_or_else(|| none().into())
        })
    }

    /// Returns the status of a run, deleted or not.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn run_status(&self, run_id: &RunId) -> Result<RunStatus, StoreError> {
        self.read("read the status of a run", |connection| {
            let row = connection.first("SELECT status FROM runs WHERE run_id = ?1", values![run_id.as_str()])?;
            let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
            Ok(row.parsed(0)?)
        })
    }

    /// Returns the run of this pipeline that began last.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn last_run(&self, pipeline: &str) -> Result<Option<Run>, StoreError> {
        self.read("read runs", |connection| {
            let query = format!("SELECT {COLUMNS} WHERE pipeline = ?1 AND {KEPT} ORDER BY runs.id DESC LIMIT 1");
            let rows = connection.query(&query, values![pipeline])?;
            Ok(complete(connection, &rows)?.pop())
        })
    }

    /// Deletes a run so that it can be restored, or restores it. Artifacts that only deleted runs
    /// refer to are garbage. A run of a client can be deleted while it runs.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::RunRunning`] or [`StoreError::Database`].
    pub fn delete_run(&self, run_id: &RunId, deleted: bool) -> Result<(), StoreError> {
        self.write("delete a run", Scope::Runs, |connection| {
            let row = connection.first("SELECT status, owner FROM runs WHERE run_id = ?1", values![run_id.as_str()])?;
            let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
            if row.parsed::<RunStatus>(0)? == RunStatus::Running && row.get::<String>(1)? != CLIENT {
                return Err(StoreError::RunRunning { id: run_id.to_string() }.into());
            }
            let update = "UPDATE runs SET deleted_ms = ?2 WHERE run_id = ?1";
            connection.execute(update, values![run_id.as_str(), deleted.then(now_ms)])?;
            Ok(())
        })
    }

    /// Returns the run with this row id.
    pub(super) fn run_numbered(connection: &mut Connection, number: i64) -> Outcome<Run> {
        let row = connection.one(&format!("SELECT {COLUMNS} WHERE runs.id = ?1"), values![number])?;
        let found = complete(connection, std::slice::from_ref(&row))?.pop();
        found.ok_or_else(|| crate::database::Failure::Record(format!("run {number} is not in its own table")))
    }

    /// Returns the runs with these row ids, in this order.
    pub(super) fn runs_numbered(connection: &mut Connection, numbers: &[i64]) -> Outcome<Vec<Run>> {
        let mut runs = Vec::with_capacity(numbers.len());
        for piece in numbers.chunks(PIECE) {
            let rows = connection.query_once(&format!("SELECT {COLUMNS} WHERE runs.id IN ({})", listed(piece)), &[])?;
            let place = |row: &Row| piece.iter().position(|number| row.get::<i64>(0).is_ok_and(|id| id == *number));
            let mut rows = rows;
            rows.sort_by_key(place);
            runs.extend(complete(connection, &rows)?);
        }
        Ok(runs)
    }
}

/// Returns the row id of a run, whatever its state.
pub(super) fn number_of(connection: &mut Connection, run_id: &RunId) -> Outcome<i64> {
    let row = connection.first("SELECT id FROM runs WHERE run_id = ?1", values![run_id.as_str()])?;
    let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
    Ok(row.get(0)?)
}

/// Returns the row id of a running run, which cannot end before the transaction does.
pub(super) fn running(connection: &mut Connection, run_id: &RunId) -> Outcome<i64> {
    // SQLite has one writer at a time and needs no row lock.
    let query = if connection.is_sqlite() {
        "SELECT id, status FROM runs WHERE run_id = ?1"
    } else {
        "SELECT id, status FROM runs WHERE run_id = ?1 FOR SHARE"
    };
    let row = connection.first(query, values![run_id.as_str()])?;
    let row = row.ok_or_else(|| StoreError::NoRun { id: run_id.to_string() })?;
    let status: String = row.get(1)?;
    if status == RunStatus::Running.name() {
        Ok(row.get(0)?)
    } else {
        Err(StoreError::RunEnded { id: run_id.to_string(), status }.into())
    }
}

/// Marks the running runs of a dead process as killed.
pub(super) fn kill_abandoned(connection: &mut Connection, owner: &str) -> Outcome<()> {
    let update =
        "UPDATE runs SET status = 'killed', ended_ms = ?2 WHERE status = 'running' AND owner = ?1 RETURNING id";
    for row in connection.query(update, values![owner, now_ms()])? {
        occurrence::run_ended(connection, row.get(0)?, RunStatus::Killed.name())?;
        running_rows::forget_run(connection, row.get(0)?)?;
    }
    Ok(())
}

pub(super) fn insert_run(
    connection: &mut Connection,
    run: &NewRun,
    run_id: &RunId,
    owner: &str,
    actor: &str,
) -> Outcome<()> {
    let experiment = experiments::named(connection, &run.experiment)?;
    let name = if run.name.is_empty() { &run_id.as_str()[..8] } else { &run.name };
    let inserted = connection.first(
        "INSERT INTO runs (run_id, name, experiment, pipeline, actor, seed, manifest, config, status, started_ms, owner)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'running', ?9, ?10) ON CONFLICT DO NOTHING RETURNING id",
        values![
            run_id.as_str(),
            name,
            experiment,
            &run.pipeline,
            actor,
            run.seed.cast_signed(),
            &run.manifest,
            run.config.to_string(),
            now_ms(),
            owner
        ],
    )?;
    let Some(inserted) = inserted else { return Err(StoreError::RunExists { id: run_id.to_string() }.into()) };
    let id: i64 = inserted.get(0)?;
    rows::set_pairs(connection, ("parameters", "run"), id, &run.parameters)?;
    rows::set_pairs(connection, ("run_tags", "run"), id, &run.tags)
}

/// Reads the runs of these rows, with all that belongs to them.
fn complete(connection: &mut Connection, rows: &[Row]) -> Outcome<Vec<Run>> {
    let mut runs = Vec::with_capacity(rows.len());
    for piece in rows.chunks(PIECE) {
        let numbers = piece.iter().map(|row| Ok(row.get(0)?)).collect::<Outcome<Vec<i64>>>()?;
        let among = listed(&numbers);
        let mut parameters = pairs(connection, "parameters", &among)?;
        let mut tags = pairs(connection, "run_tags", &among)?;
        let mut metrics: HashMap<i64, Vec<LoggedMetric>> = HashMap::new();
        let query = format!(
            "SELECT run, name, value, step, at_ms FROM latest_metrics WHERE run IN ({among}) ORDER BY run, name"
        );
        for row in connection.query_once(&query, &[])? {
            metrics.entry(row.get(0)?).or_default().push(LoggedMetric::from_row(&row, 1)?);
        }
        let mut inputs = run_inputs::of_runs(connection, &among, piece.iter().map(is_client))?;
        for (id, row) in numbers.iter().zip(piece) {
            runs.push(Run {
                parameters: parameters.remove(id).unwrap_or_default(),
                tags: tags.remove(id).unwrap_or_default(),
                metrics: metrics.remove(id).unwrap_or_default(),
                inputs: inputs.remove(id).unwrap_or_default(),
                ..run_from_row(row)?
            });
        }
    }
    Ok(runs)
}

fn pairs(connection: &mut Connection, table: &str, among: &str) -> Outcome<HashMap<i64, Vec<(String, String)>>> {
    let mut found: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    let query = format!("SELECT run, name, value FROM {table} WHERE run IN ({among}) ORDER BY run, name");
    for row in connection.query_once(&query, &[])? {
        found.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(found)
}

/// Returns whether the run of a row is a client's.
fn is_client(row: &Row) -> Outcome<bool> {
    Ok(row.get::<String>(16)? == CLIENT)
}

fn artifact_uri(row: &Row) -> Outcome<String> {
    let location: Option<String> = row.get(15)?;
    let root = experiments::artifact_root(row.get(14)?, location.as_deref());
    Ok(format!("{}/{}/artifacts", root.trim_end_matches('/'), row.get::<String>(1)?))
}

/// Reads a run without its rows in other tables.
fn run_from_row(row: &Row) -> Outcome<Run> {
    Ok(Run {
        run_id: row.parsed(1)?,
        name: row.get(2)?,
        pipeline: row.get(3)?,
        experiment: row.get(4)?,
        actor: row.get(5)?,
        seed: row.get::<i64>(6)?.cast_unsigned(),
        manifest: row.get(7)?,
        config: row.json(8)?,
        parameters: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
        status: row.parsed(9)?,
        started_ms: row.get(10)?,
        ended_ms: row.get(11)?,
        deleted_ms: row.get(12)?,
        error: row.optional_json(13)?,
        experiment_id: row.get(14)?,
        artifact_uri: artifact_uri(row)?,
        is_client: is_client(row)?,
        inputs: RunInputs::default(),
    })
}
