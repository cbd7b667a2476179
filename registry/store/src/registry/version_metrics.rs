//! The metrics of versions and verdicts.

use crate::database::{Connection, Outcome, Row, values};

/// Adds metrics of a version to a table of such.
pub(super) fn insert(connection: &mut Connection, table: &str, version: i64, metrics: &[(String, f64)]) -> Outcome<()> {
    let metric = format!("INSERT INTO {table} (version, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING");
    for (name, value) in metrics {
        connection.execute(&metric, values![version, name, *value])?;
    }
    Ok(())
}

/// Fixes the metrics of a version's manifest in production, unless they are already.
pub(super) fn publish(connection: &mut Connection, version: i64, metrics: &[(String, f64)]) -> Outcome<()> {
    let publish = "UPDATE versions SET published = 1 WHERE id = ?1 AND published = 0";
    if connection.execute(publish, values![version])? == 1 {
        insert(connection, "published_metrics", version, metrics)?;
    }
    Ok(())
}

/// Returns the metrics that a query over names and values finds.
pub(super) fn query(connection: &mut Connection, query: &str, owner: i64) -> Outcome<Vec<(String, f64)>> {
    let metric = |row: &Row| Ok((row.get(0)?, row.get::<Option<f64>>(1)?.unwrap_or(f64::NAN)));
    connection.query(query, values![owner])?.iter().map(metric).collect()
}
