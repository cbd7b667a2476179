//! Demonstrates the product on a fresh machine: builds, runs the lifecycle twice, predicts.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::build::{self, Built};
use crate::steps::{Result, Steps, output};
use crate::workspace;

/// Builds and demonstrates.
pub(crate) fn demo() -> Result<()> {
    let mut steps = Steps::default();
    let built = steps.step("build host and stages", || build::everything(build::Guests::Without))?;
    let home = workspace::target().join("demo");
    // A demonstration starts without a champion.
    if home.exists() {
        fs::remove_dir_all(&home).map_err(|error| format!("cannot clear {}: {error}", home.display()))?;
    }
    let synthetic = ["--set", "ingestion.component=ingest-synthetic"];
    println!("\nFirst run: gradient boosting on 7,043 generated customers. There is no champion yet.");
    pipeline(&built, &home, &synthetic, &[])?;
    println!("\nSecond run: a random forest, judged against the champion of the first run.");
    pipeline(&built, &home, &synthetic, &["--set", "training.component=train-forest"])?;
    println!("\nOne prediction by the champion:");
    let table = home.join("customers.csv");
    output(stagewright(&built, &home).args(["artifacts", "export", "ingestion.table", "--output"]).arg(&table))?;
    let text = fs::read_to_string(&table).map_err(|error| format!("cannot read {}: {error}", table.display()))?;
    let rows = home.join("rows.csv");
    let two_lines: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
    fs::write(&rows, two_lines).map_err(|error| format!("cannot write {}: {error}", rows.display()))?;
    print!(
        "{}",
        output(stagewright(&built, &home).args(["predict", "churn-classifier@champion", "--input"]).arg(&rows))?
    );
    steps.report();
    let shown = built.binary.strip_prefix(workspace::root()).unwrap_or(&built.binary).display();
    println!("\nwhat to type next:");
    println!("  {shown} run config/churn.toml --source customers=csv:YOUR_CHURN.csv");
    println!("  {shown} init --source csv:ANY_TABLE.csv --target COLUMN");
    println!("  {shown} --home {} models show churn-classifier", home.display());
    println!("  {shown} --home {} artifacts export evaluation.report --output evaluation.html", home.display());
    Ok(())
}

fn stagewright(built: &Built, home: &Path) -> Command {
    let mut command = Command::new(&built.binary);
    command.current_dir(workspace::root()).arg("--home").arg(home);
    command
}

/// Runs the pipeline. Exit code 4, a rejected candidate, is no failure of the demonstration.
fn pipeline(built: &Built, home: &Path, changes: &[&str], more: &[&str]) -> Result<()> {
    let mut command = stagewright(built, home);
    command.args(["run", "config/churn.toml"]).args(changes).args(more);
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", built.binary.display()))?;
    if status.success() || status.code() == Some(4) { Ok(()) } else { Err(format!("the run ended with {status}")) }
}
