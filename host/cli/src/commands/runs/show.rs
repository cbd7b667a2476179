//! `runs show`: shows one run with its stages, artifacts, metrics and log lines.

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_store::Run;
use stagewright_text::{CONTINUED, Untrusted};

use super::find::find_run;
use crate::commands::foreach;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{Cell, bytes, milliseconds, right, table};

pub(super) fn show(location: &HomeLocation, run: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let run = find_run(&home, run)?;
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
        return Ok(ExitCode::Done);
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
                Cell::new(&output.name),
                Cell::new(output.kind),
                right(output.rows.map_or_else(String::new, |rows| rows.to_string())),
                right(bytes(output.bytes)),
                Cell::new(output.digest),
            ]);
        }
        println!("{shown}");
        for line in &stage.logs {
            println!("  {}: {}", line.level, message_lines(&line.message));
        }
    }
    if !run.metrics.is_empty() {
        let mut shown = table(&["metric", "value", "step"]);
        for metric in &run.metrics {
            shown.add_row(vec![metric.name.clone(), format!("{:.6}", metric.value), metric.step.to_string()]);
        }
        println!("\n{shown}");
    }
    Ok(ExitCode::Done)
}

/// Formats a recorded message so that none of its lines can be taken for another message. Lines of
/// stages are marked in the record already.
fn message_lines(message: &str) -> String {
    Untrusted::lines(&message.replace(CONTINUED, "\n")).to_string()
}
