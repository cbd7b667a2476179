//! Measures how long the rows of a PostgreSQL server take into the table of a pipeline: the whole
//! command, against `psql`, which copies the same rows to nowhere. Run by `cargo xtask bench data
//! --only postgres [--rows N] [--repeat N]`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_benchmarks::{Result, interleaved, median, setting, write_json};
use stagewright_services::postgres::{Cluster, Durability};

/// The 21 columns of the customers.
const CUSTOMERS: &str = r#"
CREATE TABLE customers AS SELECT
    lpad(i::text, 10, '0') AS "customerID", (ARRAY['Female', 'Male'])[1 + i % 2] AS gender,
    (i % 6 = 0)::int4 AS "SeniorCitizen", (ARRAY['Yes', 'No'])[1 + i / 3 % 2] AS "Partner",
    (ARRAY['Yes', 'No'])[1 + i / 5 % 2] AS "Dependents", i % 73 AS tenure,
    (ARRAY['Yes', 'No'])[1 + i / 7 % 2] AS "PhoneService", (ARRAY['Yes', 'No'])[1 + i / 11 % 2] AS "MultipleLines",
    (ARRAY['DSL', 'Fiber optic', 'No'])[1 + i % 3] AS "InternetService",
    (ARRAY['Yes', 'No'])[1 + i / 13 % 2] AS "OnlineSecurity", (ARRAY['Yes', 'No'])[1 + i / 17 % 2] AS "OnlineBackup",
    (ARRAY['Yes', 'No'])[1 + i / 19 % 2] AS "DeviceProtection", (ARRAY['Yes', 'No'])[1 + i / 23 % 2] AS "TechSupport",
    (ARRAY['Yes', 'No'])[1 + i / 29 % 2] AS "StreamingTV", (ARRAY['Yes', 'No'])[1 + i / 31 % 2] AS "StreamingMovies",
    (ARRAY['Month-to-month', 'One year', 'Two year'])[1 + i / 2 % 3] AS "Contract",
    (ARRAY['Yes', 'No'])[1 + i / 37 % 2] AS "PaperlessBilling",
    (ARRAY['Electronic check', 'Mailed check', 'Bank transfer (automatic)'])[1 + i / 4 % 3] AS "PaymentMethod",
    18 + i % 10000 / 100.0::float8 AS "MonthlyCharges",
    NULLIF(i % 100, 0) * 18.25::float8 AS "TotalCharges", (ARRAY['Yes', 'No', 'No', 'No'])[1 + i / 6 % 4] AS "Churn"
FROM generate_series(1, ROWS) i"#;

fn main() -> Result<()> {
    let rows = setting("STAGEWRIGHT_BENCH_ROWS", 1_000_000)?;
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 3)? as usize;
    let binary =
        std::env::var_os("STAGEWRIGHT_BIN").ok_or("STAGEWRIGHT_BIN is not set: run `cargo xtask bench data`")?;
    let (cluster, home) = (Cluster::start_with(Durability::Unsynced), tempfile::tempdir()?);
    let url = cluster.create_database();
    cluster.psql(&url, &CUSTOMERS.replace("ROWS", &rows.to_string()))?;
    cluster.psql(&url, "VACUUM ANALYZE customers")?;
    let server = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).ok_or("an address")?;
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/churn.toml");
    let into_table = || {
        let mut command = Command::new(&binary);
        command.arg("--home").arg(home.path()).args(["run", manifest, "--json", "--no-cache", "--until", "ingestion"]);
        command.args(["--source", &format!("customers={url}#customers")]);
        command.args(["--set", &format!("ingestion.postgres=[\"{server}\"]")]);
        command.args(["--set", "sources.customers.max-bytes=8 GiB", "--set", "ingestion.limits.wall=10 min"]);
        timed(&mut command)
    };
    let copied = || {
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "--quiet", "--output=/dev/null", "--command=COPY customers TO STDOUT", &url]);
        timed(&mut command)
    };
    // Compiles the components. This one is not counted.
    into_table()?;
    let seconds = interleaved(&mut [&mut || into_table(), &mut || copied()], rounds)?;
    let [ours, copy] = [&seconds[0], &seconds[1]].map(|seconds| median(seconds.clone()));
    println!("{rows} rows of 21 columns, median of {rounds}:");
    println!("  stagewright run --until ingestion {ours:>7.2} s, {:>9.0} rows per second", rows as f64 / ours);
    println!("  psql, COPY to /dev/null           {copy:>7.2} s, {:>9.0} rows per second", rows as f64 / copy);
    println!("  {:.1} times", ours / copy);
    write_json(&json!({ "rows": rows, "rounds": rounds, "into_table_s": ours, "copy_s": copy }))
}

/// Runs a command to its end.
fn timed(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let ended = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    if !ended.status.success() {
        let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        return Err(format!("{:?} failed: {}", command.get_program(), said.join("\n")).into());
    }
    Ok(begun.elapsed())
}
