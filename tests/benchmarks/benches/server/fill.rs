//! Databases with many runs, which are filled without a server: it would wait for the disk on each.

use std::path::Path;

use rusqlite::Connection;
use stagewright_benchmarks::Result;

/// The experiment of the runs.
pub(crate) const EXPERIMENT: &str = "0";

/// Rows of our tables. Each run has two metrics, a parameter and a tag.
const OURS: [&str; 5] = [
    "INSERT INTO runs (id, run_id, name, experiment, pipeline, actor, seed, manifest, config, status, started_ms, owner)
     SELECT i, printf('%032x', i), 'run ' || i, (SELECT id FROM experiments LIMIT 1), '', 'me', 0, '', '{}', 'finished',
         1700000000000 + i, '' FROM n",
    "INSERT INTO latest_metrics (run, name, value, step, at_ms)
     SELECT i, 'roc_auc', (i * 7919 % 100003) / 100003.0, 0, 0 FROM n",
    "INSERT INTO latest_metrics (run, name, value, step, at_ms)
     SELECT i, 'accuracy', (i * 104729 % 100003) / 100003.0, 0, 0 FROM n",
    "INSERT INTO parameters (run, name, value) SELECT i, 'depth', i % 10 FROM n",
    "INSERT INTO run_tags (run, name, value) SELECT i, 'team', 'team ' || (i % 100) FROM n",
];

/// The same rows in a stock server's tables.
const STOCK: [&str; 5] = [
    "INSERT INTO runs (run_uuid, name, source_type, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
     SELECT printf('%032x', i), 'run ' || i, 'LOCAL', 'FINISHED', 1700000000000 + i, 1700000000000 + i, 'active',
         'mlflow-artifacts:/0/' || printf('%032x', i) || '/artifacts', 0 FROM n",
    "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
     SELECT printf('%032x', i), 'roc_auc', (i * 7919 % 100003) / 100003.0, 0, 0, 0 FROM n",
    "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
     SELECT printf('%032x', i), 'accuracy', (i * 104729 % 100003) / 100003.0, 0, 0, 0 FROM n",
    "INSERT INTO params (run_uuid, key, value) SELECT printf('%032x', i), 'depth', i % 10 FROM n",
    "INSERT INTO tags (run_uuid, key, value) SELECT printf('%032x', i), 'team', 'team ' || (i % 100) FROM n",
];

/// Inserts runs into our database, which a server has created.
pub(crate) fn ours(database: &Path, runs: u64) -> Result<()> {
    fill(database, runs, &OURS)
}

/// Inserts runs into a stock server's database.
pub(crate) fn stock(database: &Path, runs: u64) -> Result<()> {
    fill(database, runs, &STOCK)
}

fn fill(database: &Path, runs: u64, statements: &[&str]) -> Result<()> {
    let mut connection = Connection::open(database)?;
    connection.busy_timeout(std::time::Duration::from_secs(60))?;
    let transaction = connection.transaction()?;
    // Beside the rows that a server made when it began.
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1001 UNION ALL SELECT i + 1 FROM n WHERE i < 1000 + {runs})");
    for statement in statements {
        let (head, select) = statement.split_at(statement.find("SELECT").unwrap_or_default());
        transaction.execute_batch(&format!("{head} {numbers} {select}"))?;
    }
    Ok(transaction.commit()?)
}
