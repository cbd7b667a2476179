//! The stages of a run, with the artifacts that they read and made.

use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactKind;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::metric_points::{self, Reported};
use crate::registry::run_id::RunId;
use crate::registry::{running_rows, runs};

/// An artifact that a stage read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The name that the stage has for it.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// An artifact that a stage made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Its name among the stage's artifacts.
    pub name: String,
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The media type, such as `application/json`.
    pub media_type: String,
    /// The number of rows, of a table.
    pub rows: Option<u64>,
    /// The number of logical bytes.
    pub bytes: u64,
}

impl ArtifactRecord {
    /// Returns its name as a file, with the ending of what it contains. A table becomes Parquet.
    pub fn file_name(&self) -> String {
        let ending = match (self.kind, self.media_type.split(';').next().unwrap_or_default()) {
            (ArtifactKind::Table, _) => ".parquet",
            (_, "application/json") => ".json",
            (_, "text/html") => ".html",
            (_, "image/svg+xml") => ".svg",
            (_, "text/csv") => ".csv",
            (_, "text/plain") => ".txt",
            _ => ".bin",
        };
        if self.name.ends_with(ending) { self.name.clone() } else { format!("{}{ending}", self.name) }
    }
}

/// A point of a curve, or a single value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// Its value; NaN if it is undefined.
    pub value: f64,
    /// Its step on the curve; 0 for a single value.
    pub step: u64,
}

/// A line of a stage's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text, escaped.
    pub message: String,
}

/// The record of a stage. Counts saturate at `i64::MAX`, the databases' largest integer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage's name: `training`.
    pub name: String,
    /// The component's name.
    pub component: String,
    /// The component's digest.
    pub digest: Digest,
    /// How it ended: [`FINISHED`], [`CACHED`] or [`FAILED`].
    pub status: String,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: i64,
    /// Milliseconds from beginning to end.
    pub wall_ms: f64,
    /// Milliseconds of processor time.
    pub cpu_ms: f64,
    /// The most guest memory at any time.
    pub peak_memory_bytes: u64,
    /// Rows that it read.
    pub rows_in: u64,
    /// Rows that it wrote.
    pub rows_out: u64,
    /// Logical bytes that it read.
    pub bytes_in: u64,
    /// Logical bytes that it wrote.
    pub bytes_out: u64,
    /// Bytes copied across the boundary.
    pub copies_bytes: u64,
    /// Why it failed, as the caller's JSON.
    pub error: Option<serde_json::Value>,
    /// The artifacts that it read.
    pub inputs: Vec<InputRecord>,
    /// The artifacts that it made.
    pub outputs: Vec<ArtifactRecord>,
    /// The metrics that it reported.
    pub metrics: Vec<MetricRecord>,
    /// Its log.
    pub logs: Vec<LogLine>,
    /// Everything that its result depends on, as the caller's JSON; `None` in older records, and if
    /// the stage failed before it was known.
    pub invocation: Option<serde_json::Value>,
    /// The sandbox layers around every call of its component; `None`: unknown.
    pub walls: Option<Vec<String>>,
    /// The digest of everything that its result depends on; `None`: unknown.
    pub key: Option<Digest>,
    /// The run that executed it, if this run reused its result. The resources in this record are
    /// then that run's.
    pub cached_from: Option<RunId>,
    /// How many of its log lines and metrics were dropped, because they exceeded a limit.
    pub dropped: u64,
}

/// The status of a stage that completed.
pub const FINISHED: &str = "finished";
/// The status of a stage that was not executed, because an earlier run had executed the same.
pub const CACHED: &str = "cached";
/// The status of a stage that failed.
pub const FAILED: &str = "failed";

impl Registry {
    /// Records a stage of a running run, in one transaction. Publish its artifacts first. The
    /// stage's own metrics become the run's as `STAGE.NAME`; `results` are the host's, under their
    /// own names.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::RunEnded`] or [`StoreError::Database`].
    pub fn record_stage(
        &self,
        run_id: &RunId,
        stage: &StageRecord,
        results: &[(String, f64)],
    ) -> Result<(), StoreError> {
        self.write("record a stage", Scope::Runs, |connection| {
            let run = runs::running(connection, run_id)?;
            let id = insert_stage(connection, run, stage)?;
            let at_ms = now_ms();
            let own = own_points(stage, id, at_ms);
            let found = results.iter().map(|(name, value)| Reported {
                name: name.into(),
                value: *value,
                step: 0,
                at_ms,
                stage: None,
            });
            metric_points::insert(connection, run, &own.chain(found).collect::<Vec<_>>())?;
            Ok(())
        })
    }

    /// Returns the stages of a run, in the order in which they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn stages(&self, run_id: &RunId) -> Result<Vec<StageRecord>, StoreError> {
        self.read("read stages", |connection| {
            let query = format!("SELECT {COLUMNS} WHERE run_id = ?1 ORDER BY stages.id");
            let rows = connection.query(&query, values![run_id.as_str()])?;
            rows.iter().map(|row| stage(connection, row)).collect()
        })
    }

    /// Returns the latest completed stage with this key, with the run that recorded it. Excludes
    /// deleted runs, and stages of which something was dropped. The record has no invocation: a
    /// caller that knows the key has it.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn stage_of_key(&self, key: &Digest) -> Result<Option<(RunId, StageRecord)>, StoreError> {
        self.read("look for a stage by its key", |connection| {
            let row = connection.first(&of_key(), values![*key])?;
            row.map(|row| Ok((row.parsed(RUN)?, stage(connection, &row)?))).transpose()
        })
    }

    /// Returns the latest completed stage of this name of a pipeline, with its run, for a plan to
    /// compare with. Excludes deleted runs.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn latest_stage(&self, pipeline: &str, name: &str) -> Result<Option<(RunId, StageRecord)>, StoreError> {
        self.read("look for the latest stage of a name", |connection| {
            let row = connection.first(&latest(), values![pipeline, name])?;
            row.map(|row| Ok((row.parsed(RUN)?, stage(connection, &row)?))).transpose()
        })
    }

    /// Returns the artifacts of the latest runs, newest first, each with its run and stage.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn artifacts(&self, limit: usize) -> Result<Vec<(RunId, String, ArtifactRecord)>, StoreError> {
        self.read("list artifacts", |connection| {
            let rows = connection.query(
                "SELECT o.name, kind, o.digest, media_type, rows, bytes, run_id, stages.name
                 FROM stage_outputs o JOIN stages ON stages.id = o.stage JOIN runs ON runs.id = stages.run
                 ORDER BY o.stage DESC, o.position LIMIT ?1",
                values![limit],
            )?;
            rows.iter().map(|row| Ok((row.parsed(6)?, row.get(7)?, artifact(row)?))).collect()
        })
    }
}

/// The columns that [`stage`] reads, followed by the run's identifier.
const COLUMNS: &str = "stages.id, stages.name, component, digest, stages.status, stages.started_ms, stages.ended_ms, \
     wall_ms, cpu_ms, peak_memory_bytes, rows_in, rows_out, bytes_in, bytes_out, copies_bytes, stages.error, logs, \
     invocation, walls, key, cached_from, dropped, run_id FROM stages JOIN runs ON runs.id = stages.run";
/// The index of the run's identifier.
const RUN: usize = 22;

/// Returns the query of [`Registry::stage_of_key`].
fn of_key() -> String {
    let columns = COLUMNS.replace(" invocation,", " CAST(NULL AS TEXT),");
    format!(
        "SELECT {columns} WHERE key = ?1 AND stages.status IN ('{FINISHED}', '{CACHED}') AND dropped = 0
         AND runs.deleted_ms IS NULL ORDER BY stages.id DESC LIMIT 1"
    )
}

/// Returns the query of [`Registry::latest_stage`]. It goes back from the latest run and ends at
/// the first stage that it finds, so that the stages of all runs of a pipeline are neither read nor
/// sorted.
fn latest() -> String {
    format!(
        "SELECT {COLUMNS} WHERE pipeline = ?1 AND stages.name = ?2 AND stages.status IN ('{FINISHED}', '{CACHED}')
         AND runs.deleted_ms IS NULL ORDER BY runs.id DESC, stages.id DESC LIMIT 1"
    )
}

/// Returns the metrics that a stage reported, under the names that they have in the run.
pub(super) fn own_points(stage: &StageRecord, id: i64, at_ms: i64) -> impl Iterator<Item = Reported<'_>> {
    stage.metrics.iter().map(move |metric| Reported {
        name: format!("{}.{}", stage.name, metric.name).into(),
        value: metric.value,
        step: i64::try_from(metric.step).unwrap_or(i64::MAX),
        at_ms,
        stage: Some(id),
    })
}

pub(super) fn insert_stage(connection: &mut Connection, run: i64, stage: &StageRecord) -> Outcome<i64> {
    let row = connection.one(
        "INSERT INTO stages (run, name, component, digest, status, started_ms, ended_ms, wall_ms, cpu_ms, peak_memory_bytes,
         rows_in, rows_out, bytes_in, bytes_out, copies_bytes, error, logs, invocation, walls, key, cached_from, dropped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
         RETURNING id",
        values![
            run,
            &stage.name,
            &stage.component,
            stage.digest,
            &stage.status,
            stage.started_ms,
            stage.ended_ms,
            finite(stage.wall_ms),
            finite(stage.cpu_ms),
            stage.peak_memory_bytes,
            stage.rows_in,
            stage.rows_out,
            stage.bytes_in,
            stage.bytes_out,
            stage.copies_bytes,
            stage.error.as_ref().map(ToString::to_string),
            serde_json::json!(stage.logs).to_string(),
            stage.invocation.as_ref().map(ToString::to_string),
            stage.walls.as_ref().map(|walls| serde_json::json!(walls).to_string()),
            stage.key,
            stage.cached_from.as_ref().map(RunId::as_str),
            stage.dropped,
        ],
    )?;
    let id: i64 = row.get(0)?;
    running_rows::forget_step(connection, run, &stage.name)?;
    let input = "INSERT INTO stage_inputs (stage, position, name, digest) VALUES (?1, ?2, ?3, ?4)";
    for (position, record) in (0_i64..).zip(&stage.inputs) {
        connection.execute(input, values![id, position, &record.name, record.digest])?;
    }
    let output = "INSERT INTO stage_outputs (stage, position, name, kind, digest, media_type, rows, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for (position, ArtifactRecord { name, kind, digest, media_type, rows, bytes }) in (0_i64..).zip(&stage.outputs) {
        connection.execute(output, values![id, position, name, *kind, *digest, media_type, *rows, *bytes])?;
    }
    Ok(id)
}

/// Returns 0 for NaN: SQLite has none, and the columns are not nullable.
fn finite(milliseconds: f64) -> f64 {
    if milliseconds.is_finite() { milliseconds } else { 0.0 }
}

fn stage(connection: &mut Connection, row: &Row) -> Outcome<StageRecord> {
    let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
    Ok(StageRecord {
        component: row.get(2)?,
        digest: row.parsed(3)?,
        status: row.get(4)?,
        started_ms: row.get(5)?,
        ended_ms: row.get(6)?,
        wall_ms: row.get(7)?,
        cpu_ms: row.get(8)?,
        peak_memory_bytes: row.get(9)?,
        rows_in: row.get(10)?,
        rows_out: row.get(11)?,
        bytes_in: row.get(12)?,
        bytes_out: row.get(13)?,
        copies_bytes: row.get(14)?,
        error: row.optional_json(15)?,
        logs: serde_json::from_value(row.json(16)?)?,
        invocation: row.optional_json(17)?,
        walls: row.optional_json(18)?.map(serde_json::from_value).transpose()?,
        key: row.optional_parsed(19)?,
        cached_from: row.optional_parsed(20)?,
        dropped: row.get(21)?,
        inputs: inputs(connection, id)?,
        outputs: outputs(connection, id)?,
        metrics: metrics(connection, id, &name)?,
        name,
    })
}

fn inputs(connection: &mut Connection, stage: i64) -> Outcome<Vec<InputRecord>> {
    let query = "SELECT name, digest FROM stage_inputs WHERE stage = ?1 ORDER BY position";
    let rows = connection.query(query, values![stage])?;
    rows.iter().map(|row| Ok(InputRecord { name: row.get(0)?, digest: row.parsed(1)? })).collect()
}

fn outputs(connection: &mut Connection, stage: i64) -> Outcome<Vec<ArtifactRecord>> {
    let query =
        "SELECT name, kind, digest, media_type, rows, bytes FROM stage_outputs WHERE stage = ?1 ORDER BY position";
    let rows = connection.query(query, values![stage])?;
    rows.iter().map(artifact).collect()
}

fn artifact(row: &Row) -> Outcome<ArtifactRecord> {
    Ok(ArtifactRecord {
        name: row.get(0)?,
        kind: row.parsed(1)?,
        digest: row.parsed(2)?,
        media_type: row.get(3)?,
        rows: row.get(4)?,
        bytes: row.get(5)?,
    })
}

/// Returns the metrics that a stage reported, under its own names.
fn metrics(connection: &mut Connection, stage: i64, name: &str) -> Outcome<Vec<MetricRecord>> {
    let query = "SELECT name, value, step FROM metric_points WHERE stage = ?1 ORDER BY id";
    let metric = |row: &Row| {
        let full: String = row.get(0)?;
        let own = full.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&full).to_owned();
        Ok(MetricRecord { name: own, value: row.get::<Option<f64>>(1)?.unwrap_or(f64::NAN), step: row.get(2)? })
    };
    connection.query(query, values![stage])?.iter().map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::handle::steps_of;

    // invariant: as `a_lineage_asks_for_digests_by_an_index_however_many_stages_there_are`
    #[test]
    fn a_stage_is_found_by_its_key_and_by_its_name_without_reading_all_stages() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(folder.path().join("stagewright.db")).expect("a registry");
        for (query, parameters, index) in [(of_key(), 1, "stages_by_key"), (latest(), 2, "runs_by_pipeline")] {
            let steps = steps_of(&registry, &query, parameters);
            assert!(steps[0].contains(index), "{query}: {steps:?}");
            let reads_all = |step: &String| step.starts_with("SCAN") || step.contains("TEMP B-TREE");
            assert!(!steps.iter().any(reads_all), "{query}: {steps:?}");
        }
    }
}
