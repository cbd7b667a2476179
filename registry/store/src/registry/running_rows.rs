//! The rows of steps that run, which go when the steps or their runs are recorded.

use crate::database::{Connection, Outcome, values};

/// Forgets a step of a run, which its record takes the place of.
pub(super) fn forget_step(connection: &mut Connection, run: i64, step: &str) -> Outcome<()> {
    connection.execute("DELETE FROM running_steps WHERE run = ?1 AND name = ?2", values![run, step])?;
    connection.execute("DELETE FROM running_lines WHERE run = ?1 AND step = ?2", values![run, step])?;
    Ok(())
}

/// Forgets what is noted of a run that has ended.
pub(super) fn forget_run(connection: &mut Connection, run: i64) -> Outcome<()> {
    connection.execute("DELETE FROM running_steps WHERE run = ?1", values![run])?;
    connection.execute("DELETE FROM running_lines WHERE run = ?1", values![run])?;
    Ok(())
}
