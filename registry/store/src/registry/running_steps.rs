//! The steps that run now: what they have said and how far they are, for whoever follows a run.
//!
//! A step is recorded when it has ended. Until then its process notes here what it says, some times
//! a second, and its record takes the place of these rows. Nothing depends on them: a process that
//! cannot write them goes on.

use std::collections::HashSet;

use crate::database::{Failure, Outcome, Row, Scope, Value, values};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::rows::{self, Insert, Kind};
use crate::registry::run_id::RunId;
use crate::registry::runs;
use crate::registry::stages::LogLine;

/// The most bytes of a line that are noted. The record of the step has all of it.
const MOST_LINE: usize = 4 << 10;

/// A step that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningStep {
    /// Its name.
    pub name: String,
    /// Its component's name.
    pub component: String,
    /// When it began, in milliseconds since the epoch.
    pub began_ms: i64,
    /// The units of its present work that are done.
    pub done: u64,
    /// All units of its present work; 0: unknown.
    pub total: u64,
}

/// A line that a running step wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningLine {
    /// Its place: later lines have greater ones.
    pub place: i64,
    /// The step.
    pub step: String,
    /// The line, cut to 4 KiB.
    pub line: LogLine,
}

impl Registry {
    /// Notes how far steps of a running run are, and lines that they wrote since the last call.
    /// Nothing is noted of steps that are recorded, and of a run that has ended.
    ///
    /// # Errors
    /// [`StoreError::NoRun`] or [`StoreError::Database`].
    pub fn note_running_steps(
        &self,
        run_id: &RunId,
        steps: &[RunningStep],
        lines: &[(String, LogLine)],
    ) -> Result<(), StoreError> {
        self.write("note what running steps say", Scope::Runs, |connection| {
            let run = match runs::running(connection, run_id) {
                Ok(run) => run,
                Err(Failure::Refused(StoreError::RunEnded { .. })) => return Ok(()),
                Err(error) => return Err(error),
            };
            // Their process may record them while this is on its way.
            let rows = connection.query("SELECT DISTINCT name FROM stages WHERE run = ?1", values![run])?;
            let recorded: HashSet<String> = rows.iter().map(|row| Ok(row.get(0)?)).collect::<Outcome<_>>()?;
            let upsert = "INSERT INTO running_steps (run, name, component, began_ms, done, total)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (run, name) DO UPDATE
                SET component = excluded.component, began_ms = excluded.began_ms, done = excluded.done,
                    total = excluded.total";
            for step in steps.iter().filter(|step| !recorded.contains(&step.name)) {
                let RunningStep { name, component, began_ms, done, total } = step;
                connection.execute(upsert, values![run, name, component, *began_ms, *done, *total])?;
            }
            let before = "INSERT INTO running_lines (run, step, level, message)";
            let insert = Insert { before, own: &[Kind::Text; 3], after: "" };
            let lines: Vec<&(String, LogLine)> = lines.iter().filter(|(step, _)| !recorded.contains(step)).collect();
            rows::insert_all(connection, &insert, &[run.into()], &lines, |(step, line), values| {
                let mut end = line.message.len().min(MOST_LINE);
                while !line.message.is_char_boundary(end) {
                    end -= 1;
                }
                let own: [Value; 3] = [step.as_str().into(), line.level.as_str().into(), (&line.message[..end]).into()];
                values.extend(own);
            })?;
            Ok(())
        })
    }

    /// Returns the steps of a run that run now, in the order in which they began.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn running_steps(&self, run_id: &RunId) -> Result<Vec<RunningStep>, StoreError> {
        self.read("read the running steps", |connection| {
            let query = "SELECT running_steps.name, component, began_ms, done, total FROM running_steps
                JOIN runs ON runs.id = running_steps.run WHERE run_id = ?1 ORDER BY began_ms, running_steps.name";
            let step = |row: &Row| {
                Ok(RunningStep {
                    name: row.get(0)?,
                    component: row.get(1)?,
                    began_ms: row.get(2)?,
                    done: row.get(3)?,
                    total: row.get(4)?,
                })
            };
            connection.query(query, values![run_id.as_str()])?.iter().map(step).collect()
        })
    }

    /// Returns the lines of the running steps of a run after a place, at most `limit`, in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn running_lines(&self, run_id: &RunId, after: i64, limit: usize) -> Result<Vec<RunningLine>, StoreError> {
        self.read("read what running steps say", |connection| {
            let query = "SELECT running_lines.id, step, level, message FROM running_lines
                JOIN runs ON runs.id = running_lines.run WHERE run_id = ?1 AND running_lines.id > ?2
                ORDER BY running_lines.id LIMIT ?3";
            let line = |row: &Row| {
                let line = LogLine { level: row.get(2)?, message: row.get(3)? };
                Ok(RunningLine { place: row.get(0)?, step: row.get(1)?, line })
            };
            connection.query(query, values![run_id.as_str(), after, limit])?.iter().map(line).collect()
        })
    }
}
