//! The tables of versions' metrics.

use crate::database::{Connection, Outcome, Row, values};

/// Inserts metrics of a version into a table.
pub(super) fn insert(connection: &mut Connection, table: &str, version: i64, metrics: &[(String, f64)]) -> Outcome<()> {
    let metric = format!("INSERT INTO {table} (version, name, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING");
    for (name, value) in metrics {
        connection.execute(&metric, values![version, name, *value])?;
    }
    Ok(())
}

/// Sets the metrics of a version's manifest in production, unless they are set already.
pub(super) fn publish(connection: &mut Connection, version: i64, metrics: &[(String, f64)]) -> Outcome<()> {
    let publish = "UPDATE versions SET published = 1 WHERE id = ?1 AND published = 0";
    if connection.execute(publish, values![version])? == 1 {
        insert(connection, "published_metrics", version, metrics)?;
    }
    Ok(())
}

/// Returns the metrics of a query for names and values.
pub(super) fn query(connection: &mut Connection, query: &str, owner: i64) -> Outcome<Vec<(String, f64)>> {
    let metric = |row: &Row| Ok((row.get(0)?, row.get::<Option<f64>>(1)?.unwrap_or(f64::NAN)));
    connection.query(query, values![owner])?.iter().map(metric).collect()
}
