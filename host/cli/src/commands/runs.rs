//! `runs`: what happened.

use std::path::Path;

use anyhow::Context as _;
use stagewright_store::{Home, Run};

use crate::arguments::{RunsArguments, RunsCommand};
use crate::commands::{moment, print_json};
use crate::ending::{Ending, UsageError};
use crate::terminal::{bytes, milliseconds, right, table};

/// Lists runs or shows one.
pub(crate) fn runs(home: &Path, arguments: &RunsArguments) -> anyhow::Result<Ending> {
    match &arguments.command {
        Some(RunsCommand::Show { run, json }) => show(home, run.as_deref(), json.json),
        None => list(home, arguments.limit, arguments.json.json),
    }
}

/// The home, if there is one: looking for runs makes none.
pub(crate) fn existing(home: &Path) -> anyhow::Result<Home> {
    if !home.is_dir() {
        return Err(UsageError::error(
            format!("there is no home at {}", home.display()),
            "run a pipeline first, or name the home with --home or STAGEWRIGHT_HOME",
        ));
    }
    Home::open(home).with_context(|| format!("cannot open the home {}", home.display()))
}

/// The run of this identifier, or the last one.
pub(crate) fn find(home: &Path, run: Option<&str>) -> anyhow::Result<Run> {
    let home = existing(home)?;
    match run {
        Some(run) => Ok(home.registry.run(run)?),
        None => {
            let last = home.registry.list_runs(1)?.pop();
            last.ok_or_else(|| {
                UsageError::error("there are no runs yet", "run a pipeline: stagewright run pipeline.toml")
            })
        }
    }
}

fn list(home: &Path, limit: usize, json: bool) -> anyhow::Result<Ending> {
    let runs = existing(home)?.registry.list_runs(limit)?;
    if json {
        print_json(&runs)?;
        return Ok(Ending::Done);
    }
    let mut shown = table(&["run", "pipeline", "experiment", "began (UTC)", "took", "status"]);
    for run in &runs {
        let took = run.ended_ms.map_or_else(|| "-".to_owned(), |ended| milliseconds((ended - run.started_ms) as f64));
        shown.add_row(vec![
            run.run_id.to_string(),
            run.pipeline.clone(),
            run.experiment.clone(),
            moment(run.started_ms),
            took,
            run.status.to_string(),
        ]);
    }
    println!("{shown}");
    Ok(Ending::Done)
}

fn show(home: &Path, run: Option<&str>, json: bool) -> anyhow::Result<Ending> {
    let run = find(home, run)?;
    let stages = existing(home)?.registry.stages(&run.run_id)?;
    if json {
        print_json(&serde_json::json!({ "run": run, "stages": stages }))?;
        return Ok(Ending::Done);
    }
    println!("run {} of pipeline `{}` in experiment `{}`: {}", run.run_id, run.pipeline, run.experiment, run.status);
    if let Some(error) = &run.error {
        println!("error: {}", error["message"].as_str().unwrap_or_default());
    }
    for stage in &stages {
        println!(
            "\n{} ({}): {}, {} wall, {} cpu, {} peak memory",
            stage.name,
            stage.component,
            stage.status,
            milliseconds(stage.wall_ms),
            milliseconds(stage.cpu_ms),
            bytes(stage.peak_memory_bytes)
        );
        let mut shown = table(&["artifact", "kind", "rows", "bytes", "digest"]);
        for output in &stage.outputs {
            shown.add_row(vec![
                comfy_table::Cell::new(&output.name),
                comfy_table::Cell::new(output.kind),
                right(output.rows.map_or_else(String::new, |rows| rows.to_string())),
                right(bytes(output.bytes)),
                comfy_table::Cell::new(output.digest),
            ]);
        }
        println!("{shown}");
        for line in &stage.logs {
            println!("  {}: {}", line.level, line.message);
        }
    }
    Ok(Ending::Done)
}
