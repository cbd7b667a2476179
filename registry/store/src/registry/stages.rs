//! What each stage of a run did, with the artifacts that it read and made.

use rusqlite::{Connection, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactKind;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::{Registry, RunId};

/// An artifact that a stage read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// What the stage calls it.
    pub name: String,
    /// Its content.
    pub digest: Digest,
}

/// An artifact that a stage made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRecord {
    /// Its name among the stage's artifacts.
    pub name: String,
    /// What it is.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
    /// What its bytes are: `application/json`.
    pub media_type: String,
    /// Rows, of a table.
    pub rows: Option<u64>,
    /// Logical bytes.
    pub bytes: u64,
}

/// A point of a curve, or a figure of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// Its value; NaN where it is undefined.
    pub value: f64,
    /// Where on the curve; 0 for a figure of its own.
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

/// What a stage did. Counts saturate at `i64::MAX`, which is what the database holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage's name: `training`.
    pub name: String,
    /// The component's name.
    pub component: String,
    /// The component's digest.
    pub digest: Digest,
    /// How it ended: `finished`, `failed`, `cached`, as the caller names it.
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
    /// What it read.
    pub inputs: Vec<InputRecord>,
    /// What it made.
    pub outputs: Vec<ArtifactRecord>,
    /// What it reported.
    pub metrics: Vec<MetricRecord>,
    /// What it said.
    pub logs: Vec<LogLine>,
}

/// A stage as recorded: what was written, read back.
pub type Stage = StageRecord;

impl Registry {
    /// Records what a stage of a running run did, all of it or nothing. Publish its artifacts first.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`StoreError::RunEnded`] or [`StoreError::Database`].
    pub fn record_stage(&self, run_id: &RunId, stage: &StageRecord) -> Result<(), StoreError> {
        self.write("record a stage", |transaction| {
            let run = self.running(transaction, run_id)?;
            insert_stage(transaction, run, stage).map_err(self.failed("record a stage"))
        })
    }

    /// The stages of a run, in the order in which they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn stages(&self, run_id: &RunId) -> Result<Vec<Stage>, StoreError> {
        let stages = self.read("read stages", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT stages.id, name, component, digest, stages.status, stages.started_ms, stages.ended_ms, wall_ms, cpu_ms,
                 peak_memory_bytes, rows_in, rows_out, bytes_in, bytes_out, copies_bytes, stages.error, logs
                 FROM stages JOIN runs ON runs.id = stages.run WHERE run_id = ?1 ORDER BY stages.id",
            )?;
            let rows = statement.query_map([run_id.as_str()], stage_from_row)?.collect::<Result<Vec<_>, _>>()?;
            let complete = |(id, stage): (i64, Result<Stage, String>)| {
                let (inputs, outputs) = (inputs(connection, id)?, outputs(connection, id)?);
                Ok((stage, inputs, outputs, metrics(connection, id)?))
            };
            rows.into_iter().map(complete).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        let stage = |(stage, inputs, outputs, metrics): (_, Result<_, String>, Result<_, String>, _)| {
            Ok(Stage { inputs: inputs?, outputs: outputs?, metrics, ..stage? })
        };
        stages.into_iter().map(|it| stage(it).map_err(|problem| self.bad_record(problem))).collect()
    }

    /// The artifacts of the latest runs, newest first, each with its run and stage.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn artifacts(&self, limit: usize) -> Result<Vec<(RunId, String, ArtifactRecord)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found: Vec<(String, String, Result<ArtifactRecord, String>)> =
            self.read("list artifacts", |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT o.name, kind, o.digest, media_type, rows, bytes, run_id, stages.name
                     FROM stage_outputs o JOIN stages ON stages.id = o.stage JOIN runs ON runs.id = stages.run
                     ORDER BY o.stage DESC, o.position LIMIT ?1",
                )?;
                let rows =
                    statement.query_map([limit], |row| Ok((row.get(6)?, row.get(7)?, artifact_from_row(row)?)))?;
                rows.collect()
            })?;
        let artifact = |(run, stage, artifact): (String, _, _)| {
            let run = run.parse().map_err(|error: StoreError| error.to_string())?;
            Ok((run, stage, artifact?))
        };
        found.into_iter().map(|it| artifact(it).map_err(|problem| self.bad_record(problem))).collect()
    }
}

fn insert_stage(transaction: &Transaction<'_>, run: i64, stage: &StageRecord) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO stages (run, name, component, digest, status, started_ms, ended_ms, wall_ms, cpu_ms, peak_memory_bytes,
             rows_in, rows_out, bytes_in, bytes_out, copies_bytes, error, logs)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?
        .execute(params![
            run,
            stage.name,
            stage.component,
            stage.digest.to_string(),
            stage.status,
            stage.started_ms,
            stage.ended_ms,
            finite(stage.wall_ms),
            finite(stage.cpu_ms),
            saturated(stage.peak_memory_bytes),
            saturated(stage.rows_in),
            saturated(stage.rows_out),
            saturated(stage.bytes_in),
            saturated(stage.bytes_out),
            saturated(stage.copies_bytes),
            stage.error.as_ref().map(ToString::to_string),
            serde_json::json!(stage.logs).to_string(),
        ])?;
    let id = transaction.last_insert_rowid();
    let mut input = transaction.prepare_cached("INSERT INTO stage_inputs VALUES (?1, ?2, ?3, ?4)")?;
    for (position, record) in (0_i64..).zip(&stage.inputs) {
        input.execute(params![id, position, record.name, record.digest.to_string()])?;
    }
    let mut output = transaction.prepare_cached("INSERT INTO stage_outputs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for (position, record) in (0_i64..).zip(&stage.outputs) {
        let (digest, rows) = (record.digest.to_string(), record.rows.map(saturated));
        let (kind, bytes) = (record.kind.name(), saturated(record.bytes));
        output.execute(params![id, position, record.name, kind, digest, record.media_type, rows, bytes])?;
    }
    let mut metric = transaction.prepare_cached("INSERT INTO metrics VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (position, record) in (0_i64..).zip(&stage.metrics) {
        let value = (!record.value.is_nan()).then_some(record.value);
        metric.execute(params![id, position, record.name, value, saturated(record.step)])?;
    }
    Ok(())
}

fn saturated(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// SQLite has no NaN, and the columns take no NULL.
fn finite(milliseconds: f64) -> f64 {
    if milliseconds.is_finite() { milliseconds } else { 0.0 }
}

/// The inverse of [`saturated`]: the database holds no negative count that this program wrote.
fn count(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.max(0).cast_unsigned())
}

fn stage_from_row(row: &Row<'_>) -> rusqlite::Result<(i64, Result<Stage, String>)> {
    let (digest, error, logs): (String, Option<String>, String) = (row.get(3)?, row.get(15)?, row.get(16)?);
    let stage = Stage {
        name: row.get(1)?,
        component: row.get(2)?,
        digest: Digest::from_bytes([0; 32]),
        status: row.get(4)?,
        started_ms: row.get(5)?,
        ended_ms: row.get(6)?,
        wall_ms: row.get(7)?,
        cpu_ms: row.get(8)?,
        peak_memory_bytes: count(row, 9)?,
        rows_in: count(row, 10)?,
        rows_out: count(row, 11)?,
        bytes_in: count(row, 12)?,
        bytes_out: count(row, 13)?,
        copies_bytes: count(row, 14)?,
        error: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        metrics: Vec::new(),
        logs: Vec::new(),
    };
    let json = |error: serde_json::Error| error.to_string();
    let complete = || {
        let error = error.as_deref().map(serde_json::from_str).transpose().map_err(json)?;
        let logs = serde_json::from_str(&logs).map_err(json)?;
        Ok(Stage { digest: parsed(&digest)?, error, logs, ..stage })
    };
    Ok((row.get(0)?, complete()))
}

fn parsed(digest: &str) -> Result<Digest, String> {
    digest.parse().map_err(|error: crate::DigestParseError| error.to_string())
}

fn inputs(connection: &Connection, stage: i64) -> rusqlite::Result<Result<Vec<InputRecord>, String>> {
    let query = "SELECT name, digest FROM stage_inputs WHERE stage = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([stage], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let record = |(name, digest): (String, String)| Ok(InputRecord { name, digest: parsed(&digest)? });
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().map(record).collect())
}

fn outputs(connection: &Connection, stage: i64) -> rusqlite::Result<Result<Vec<ArtifactRecord>, String>> {
    let query =
        "SELECT name, kind, digest, media_type, rows, bytes FROM stage_outputs WHERE stage = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([stage], artifact_from_row)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().collect())
}

fn artifact_from_row(row: &Row<'_>) -> rusqlite::Result<Result<ArtifactRecord, String>> {
    let (kind, digest): (String, String) = (row.get(1)?, row.get(2)?);
    let (name, media_type, bytes) = (row.get(0)?, row.get(3)?, count(row, 5)?);
    let rows = row.get::<_, Option<i64>>(4)?.map(|rows| rows.max(0).cast_unsigned());
    let record = || {
        let kind = kind.parse().map_err(|error: crate::UnknownKind| error.to_string())?;
        Ok(ArtifactRecord { name, kind, digest: parsed(&digest)?, media_type, rows, bytes })
    };
    Ok(record())
}

fn metrics(connection: &Connection, stage: i64) -> rusqlite::Result<Vec<MetricRecord>> {
    let query = "SELECT name, value, step FROM metrics WHERE stage = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(query)?;
    let metric = |row: &Row<'_>| {
        let value = row.get::<_, Option<f64>>(1)?.unwrap_or(f64::NAN);
        Ok(MetricRecord { name: row.get(0)?, value, step: count(row, 2)? })
    };
    statement.query_map([stage], metric)?.collect()
}
