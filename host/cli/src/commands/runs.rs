//! `runs`: what happened.

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_store::{Home, Run};
use stagewright_text::{CONTINUED, Untrusted};

use crate::arguments::{RunsArguments, RunsCommand};
use crate::commands::{foreach, moment, portable, print_json, searched, side_by_side};
use crate::ending::{Ending, UsageError};
use crate::location::Location;
use crate::terminal::{bytes, milliseconds, right, table};

/// Does what was asked about runs.
pub(crate) fn runs(location: &Location, arguments: &RunsArguments) -> anyhow::Result<Ending> {
    match &arguments.command {
        None => list(location, arguments.limit, arguments.json.json),
        Some(RunsCommand::List { limit, json }) => list(location, *limit, json.json),
        Some(RunsCommand::Show { run, json }) => show(location, run.as_deref(), json.json),
        Some(RunsCommand::Compare { runs, html, json }) => {
            side_by_side::runs(location, runs, html.as_deref(), json.json)
        }
        Some(RunsCommand::Search { experiments, search }) => searched::runs(location, experiments, search),
        Some(RunsCommand::Export { run, file, source, json }) => {
            portable::export(location, run, file, source.as_deref(), json.json)
        }
        Some(RunsCommand::Import { file, json }) => portable::import(location, file, json.json),
        Some(RunsCommand::Delete { run }) => delete(location, run, true),
        Some(RunsCommand::Restore { run }) => delete(location, run, false),
    }
}

/// The run of this identifier, or the last one.
pub(crate) fn find(home: &Home, run: Option<&str>) -> anyhow::Result<Run> {
    match run {
        Some(run) => Ok(home.registry.run(run)?),
        None => {
            let last = home.registry.list_runs(1)?.pop();
            let last = last.ok_or_else(|| {
                UsageError::error("there are no runs yet", "run a pipeline: stagewright run pipeline.toml")
            })?;
            // Of a run with children, its last child began last.
            let parent = ChildOf::of(&last.config).and_then(|of| home.registry.run(of.parent.as_str()).ok());
            let began = last.started_ms;
            let parent = parent.filter(|it| it.deleted_ms.is_none() && it.ended_ms.is_none_or(|ended| ended >= began));
            Ok(parent.unwrap_or(last))
        }
    }
}

fn delete(location: &Location, run: &str, deleted: bool) -> anyhow::Result<Ending> {
    let home = location.existing()?;
    let run = home.registry.run(run)?.run_id;
    home.registry.delete_run(&run, deleted)?;
    if deleted {
        println!("run {run} is deleted; `stagewright runs restore {run}` restores it until `stagewright gc`");
    } else {
        println!("run {run} is restored");
    }
    Ok(Ending::Done)
}

/// A table of runs.
pub(crate) fn table_of(runs: &[Run]) -> crate::terminal::Grid {
    let mut shown = table(&["run", "pipeline", "experiment", "began (UTC)", "took", "status", "roc_auc"]);
    for run in runs {
        let took = run
            .ended_ms
            .map_or_else(|| "-".to_owned(), |ended| milliseconds(ended.saturating_sub(run.started_ms) as f64));
        let auc = run.metrics.iter().find(|metric| metric.name == "roc_auc");
        shown.add_row(vec![
            run.run_id.to_string(),
            match ChildOf::of(&run.config) {
                Some(child) => format!("{}/{}", run.pipeline, child.name),
                None => run.pipeline.clone(),
            },
            run.experiment.clone(),
            moment(run.started_ms),
            took,
            run.status.to_string(),
            auc.map_or_else(|| "-".to_owned(), |metric| format!("{:.4}", metric.value)),
        ]);
    }
    shown
}

fn list(location: &Location, limit: usize, json: bool) -> anyhow::Result<Ending> {
    let runs = location.existing()?.registry.list_runs(limit)?;
    if json {
        print_json(&runs)?;
    } else {
        println!("{}", table_of(&runs));
    }
    Ok(Ending::Done)
}

/// A recorded message on lines that cannot be taken for other ones. Those of stages are marked
/// already.
fn said(message: &str) -> String {
    Untrusted::lines(&message.replace(CONTINUED, "\n")).to_string()
}

fn show(location: &Location, run: Option<&str>, json: bool) -> anyhow::Result<Ending> {
    let home = location.existing()?;
    let run = find(&home, run)?;
    let stages = home.registry.stages(&run.run_id)?;
    let children = foreach::children(&home, &run)?;
    if json {
        let mut object = serde_json::json!({ "run": run, "stages": stages });
        if run.config.get("foreach").is_some() {
            let child = |(child, run): &(ChildOf, Run)| {
                let ChildOf { name, value, .. } = child;
                serde_json::json!({ "name": name, "value": value, "run_id": run.run_id, "model": run.config["model"], "status": run.status })
            };
            object["children"] = children.iter().map(child).collect();
        }
        print_json(&object)?;
        return Ok(Ending::Done);
    }
    println!(
        "run {} of pipeline `{}` in experiment `{}`: {}",
        run.run_id,
        Untrusted::new(&run.pipeline),
        Untrusted::new(&run.experiment),
        run.status
    );
    if let Some(child) = ChildOf::of(&run.config) {
        println!("child `{}` of run {}", Untrusted::new(&child.name), child.parent);
    }
    for (name, value) in run.tags.iter().filter(|(name, _)| name.starts_with("mlflow.source.git.")) {
        println!("{} {}", Untrusted::new(name), Untrusted::new(value));
    }
    if let Some(error) = &run.error {
        println!("error: {}", Untrusted::lines(error["message"].as_str().unwrap_or_default()));
    }
    if !children.is_empty() {
        println!("{}", foreach::table_of_children(&children));
    }
    for stage in &stages {
        println!(
            "\n{} ({}): {}, {} wall, {} cpu, {} peak memory",
            Untrusted::new(&stage.name),
            Untrusted::new(&stage.component),
            stage.status,
            milliseconds(stage.wall_ms),
            milliseconds(stage.cpu_ms),
            bytes(stage.peak_memory_bytes)
        );
        if let Some(run) = &stage.cached_from {
            println!("executed by run {run}, whose times these are");
        }
        let mut shown = table(&["artifact", "kind", "rows", "bytes", "digest"]);
        for output in &stage.outputs {
            shown.add_row(vec![
                crate::terminal::Cell::new(&output.name),
                crate::terminal::Cell::new(output.kind),
                right(output.rows.map_or_else(String::new, |rows| rows.to_string())),
                right(bytes(output.bytes)),
                crate::terminal::Cell::new(output.digest),
            ]);
        }
        println!("{shown}");
        for line in &stage.logs {
            println!("  {}: {}", line.level, said(&line.message));
        }
    }
    if !run.metrics.is_empty() {
        let mut shown = table(&["metric", "value", "step"]);
        for metric in &run.metrics {
            shown.add_row(vec![metric.name.clone(), format!("{:.6}", metric.value), metric.step.to_string()]);
        }
        println!("\n{shown}");
    }
    Ok(Ending::Done)
}
