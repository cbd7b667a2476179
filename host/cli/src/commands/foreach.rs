//! Runs with children, one for each value or segment: the pipeline of a child, and the output about
//! all of them.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::foreach::{ChildEnd, ChildOf, ChildRun, Family, PlannedChild, PlannedFamily, children_of};
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_manifest::{Manifest, Over, World};
use stagewright_store::{Home, Run, StoreError};
use stagewright_text::Untrusted;

use crate::classify::{self, FailedRun, classify};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::terminal::{Cell, Grid, right, show_summary, table};
use crate::usage_error::UsageError;

/// Returns the pipeline to run: that of the file, or of one of its children.
pub(super) fn pipeline(
    manifest: Manifest,
    child: Option<&ChildOf>,
    stages: &RangeInclusive<World>,
) -> anyhow::Result<Manifest> {
    let file = manifest.file().to_owned();
    match (&manifest.foreach, child) {
        (None, None) => Ok(manifest),
        (Some(_), None) if *stages.start() == World::Ingestion => Ok(manifest),
        (Some(_), None) => Err(UsageError::error(
            ErrorCode::Children,
            "the run has children, each with stages of its own",
            format!(
                "name the run of a child (`stagewright runs show RUN` lists them), or run all: stagewright run {file}"
            ),
        )),
        (None, Some(child)) => Err(UsageError::error(
            ErrorCode::Children,
            format!("the run is the child `{}` of another one, and {file} has no [foreach]", child.name),
            "name the manifest that it was run with: --file pipeline.toml",
        )),
        (Some(foreach), Some(child)) if child.is_segment => {
            if *stages.start() < World::Validation {
                return Err(UsageError::error(
                    ErrorCode::Children,
                    format!("the table of the child `{}` is a segment of another run's", child.name),
                    format!("run all of it: stagewright run {file}"),
                ));
            }
            manifest.of_child(foreach, &child.name).map_err(|(model, rule)| {
                UsageError::error(
                    ErrorCode::WrongValue,
                    format!("`{model}` cannot name a model: {rule}"),
                    "change `model` under [foreach]",
                )
            })
        }
        (Some(_), Some(child)) => {
            let found = manifest.children.iter().find(|it| it.name == child.name);
            let names: Vec<&str> = manifest.children.iter().map(|it| it.name.as_str()).collect();
            found.map(|it| Manifest::clone(&it.manifest)).ok_or_else(|| {
                UsageError::error(
                    ErrorCode::Children,
                    format!("{file} has no child `{}` any more", child.name),
                    format!("its children are {}", names.join(", ")),
                )
            })
        }
    }
}

/// Returns the pipeline of a recorded run, which may be that of a child.
pub(super) fn recorded(manifest: Manifest, config: &Value) -> Manifest {
    let name = ChildOf::of(config).map(|child| child.name);
    let found = manifest.children.iter().find(|child| Some(&child.name) == name.as_ref());
    found.map(|child| Manifest::clone(&child.manifest)).unwrap_or(manifest)
}

fn verdict(summary: &Summary) -> Option<Verdict> {
    summary.decision.as_ref().map(|decision| decision.verdict)
}

fn is_rejected(child: &ChildRun) -> bool {
    matches!(child.summary().and_then(verdict), Some(Verdict::Rejected | Verdict::Undecided))
}

/// Returns the exit code of a run whose children did not fail: that of a rejection if one was
/// rejected.
pub(super) fn ending(family: &Family) -> ExitCode {
    if family.children.iter().any(is_rejected) { ExitCode::Rejected } else { ExitCode::Done }
}

/// Returns the state of a child in one word.
fn state(child: &ChildRun) -> &'static str {
    match &child.end {
        ChildEnd::Ran(_, None) => "finished",
        ChildEnd::Ran(_, Some(_)) => "failed",
        ChildEnd::TooFewRows(_) => "skipped",
        ChildEnd::NotRun => "not-run",
    }
}

/// Returns the reason why a child was not run.
fn reason(child: &ChildRun) -> Option<String> {
    match &child.end {
        ChildEnd::TooFewRows(asked) => {
            let rows = child.rows.unwrap_or_default();
            Some(format!("its segment has {rows} rows, and `min-rows` asks for {asked}"))
        }
        ChildEnd::NotRun => Some("another child failed, or the run was stopped, before it began".to_owned()),
        ChildEnd::Ran(..) => None,
    }
}

/// Returns the code, the message and the hint of a failed child.
fn failed(child: &ChildRun, manifest: &str) -> Option<(ErrorCode, String, Option<String>)> {
    let error = child.error()?.clone();
    let message = error.to_string();
    let error = anyhow::Error::from(FailedRun {
        error: RunError::of_child(child.name.clone(), error),
        manifest: manifest.to_owned(),
    });
    let (code, hint) = classify(&error);
    Some((code, message, hint))
}

/// Returns the JSON of a run with children: that of the parent, with the counts of all, and each
/// child.
pub(super) fn as_json(family: &Family, manifest: &str) -> anyhow::Result<Value> {
    let mut object = serde_json::to_value(&family.summary)?;
    let (executed, cached) = family.counts();
    object["executed"] = executed.into();
    object["cached"] = cached.into();
    let child = |child: &ChildRun| -> anyhow::Result<Value> {
        let summary = child.summary();
        let error =
            failed(child, manifest).map(|(code, message, hint)| classify::described(code, &message, hint.as_deref()));
        Ok(json!({
            "name": child.name,
            "value": child.value,
            "rows": child.rows,
            "state": state(child),
            "why": reason(child),
            "run_id": summary.map(|it| &it.run_id).filter(|id| !id.is_empty()),
            "model": child.model,
            "version": summary.and_then(|it| it.model.as_ref()).map(|model| model.version),
            "verdict": summary.and_then(verdict),
            "is_champion_already": summary.map(|it| it.is_champion_already),
            "executed": summary.map_or(0, |it| it.executed),
            "cached": summary.map_or(0, |it| it.cached),
            "error": error,
            "run": summary.map(serde_json::to_value).transpose()?,
        }))
    };
    object["children"] = family.children.iter().map(child).collect::<anyhow::Result<_>>()?;
    Ok(object)
}

/// Shows the parent's summary, and a line for each child.
pub(super) fn show(family: &Family, manifest: &str) {
    if family.summary.stages.is_empty() {
        println!("\nrun {}", family.summary.run_id);
    } else {
        show_summary(&family.summary);
    }
    let mut shown = table(&["child", "rows", "run", "model", "version", "verdict", "executed", "cached"]);
    for child in &family.children {
        let summary = child.summary();
        let told = match summary {
            Some(it) if it.is_champion_already => "champion already".to_owned(),
            Some(it) => verdict(it).map_or_else(|| state(child).to_owned(), |verdict| verdict.name().to_owned()),
            None => state(child).to_owned(),
        };
        let version = summary.and_then(|it| it.model.as_ref()).map(|model| model.version.to_string());
        let count = |of: fn(&Summary) -> usize| right(summary.map_or_else(String::new, |it| of(it).to_string()));
        shown.add_row(vec![
            Cell::new(&child.name),
            right(child.rows.map_or_else(String::new, |rows| rows.to_string())),
            Cell::new(summary.map_or("", |it| it.run_id.as_str())),
            Cell::new(&child.model),
            right(version.unwrap_or_default()),
            Cell::new(told),
            count(|it| it.executed),
            count(|it| it.cached),
        ]);
    }
    println!("{shown}");
    for child in &family.children {
        if let Some(why) = reason(child) {
            println!("`{}` was not run: {why}", Untrusted::new(&child.name));
        }
        if let Some((code, message, hint)) = failed(child, manifest) {
            println!("`{}` failed: error[{code}]: {}", Untrusted::new(&child.name), Untrusted::lines(&message));
            if let Some(hint) = hint {
                println!("hint: {}", Untrusted::lines(&hint));
            }
        }
    }
}

/// Returns the stages of parent and children, each once, with the highest use of each resource.
pub(super) fn most_used(family: &Family) -> Summary {
    let mut most = family.summary.clone();
    for stage in family.children.iter().filter_map(ChildRun::summary).flat_map(|summary| &summary.stages) {
        match most.stages.iter_mut().find(|it| it.name == stage.name) {
            Some(known) if known.cached && !stage.cached => *known = stage.clone(),
            Some(known) if stage.cached == known.cached => raise(known, stage),
            Some(_) => {}
            None => most.stages.push(stage.clone()),
        }
    }
    most
}

fn raise(most: &mut StageSummary, other: &StageSummary) {
    let (most, other) = (&mut most.usage, &other.usage);
    most.peak_memory_bytes = most.peak_memory_bytes.max(other.peak_memory_bytes);
    most.cpu_ms = most.cpu_ms.max(other.cpu_ms);
    most.wall_ms = most.wall_ms.max(other.wall_ms);
    most.output_bytes = most.output_bytes.max(other.output_bytes);
    most.log_bytes = most.log_bytes.max(other.log_bytes);
}

/// Returns the planned children as JSON; null if they depend on a table that does not exist yet.
pub(super) fn planned_json(planned: &PlannedFamily) -> Value {
    let child = |child: &PlannedChild| {
        let PlannedChild { name, value, model, rows, steps } = child;
        json!({ "name": name, "value": value, "model": model, "rows": rows, "steps": steps })
    };
    planned.children.as_ref().map_or(Value::Null, |children| children.iter().map(child).collect())
}

/// Shows a plan's children.
pub(super) fn show_children(manifest: &Manifest, planned: Option<&PlannedFamily>) {
    let Some(foreach) = &manifest.foreach else { return };
    match &foreach.over {
        Over::Column { column, .. } => {
            println!("for each value of the column `{}`: a run and a model", Untrusted::new(column))
        }
        Over::Values { set } => {
            println!("for each of {} values of `{}`: a run and a model", manifest.children.len(), Untrusted::new(set))
        }
    }
    let Some(planned) = planned else {
        let mut shown = table(&["child", "model"]);
        for child in &manifest.children {
            shown.add_row(vec![child.name.clone(), child.manifest.model.to_string()]);
        }
        if !manifest.children.is_empty() {
            println!("{shown}");
        }
        return;
    };
    match &planned.children {
        None => println!("which values there are is known when the table is"),
        Some(children) => println!("{}", table_of(children)),
    }
}

fn table_of(children: &[PlannedChild]) -> Grid {
    let mut shown = table(&["child", "rows", "model", "executed", "cached", "why"]);
    for child in children {
        let cached = child.steps.iter().filter(|step| step.cached).count();
        let first = child.steps.iter().find(|step| !step.cached);
        let why = match first {
            Some(step) => format!("{}: {}", step.name, step.why),
            None if child.steps.is_empty() => "too few rows".to_owned(),
            None => String::new(),
        };
        shown.add_row(vec![
            Cell::new(&child.name),
            right(child.rows.map_or_else(String::new, |rows| rows.to_string())),
            Cell::new(&child.model),
            right(child.steps.len() - cached),
            right(cached),
            Cell::new(why),
        ]);
    }
    shown
}

/// Returns the children of a recorded run with their places among its children.
pub(super) fn children(home: &Home, run: &Run) -> Result<Vec<(ChildOf, Run)>, StoreError> {
    if run.config.get("foreach").is_none() {
        return Ok(Vec::new());
    }
    let children = children_of(&home.registry, &run.run_id)?.into_iter();
    Ok(children.filter_map(|child| Some((ChildOf::of(&child.config)?, child))).collect())
}

/// Returns the children as the table of `runs show`.
pub(super) fn table_of_children(children: &[(ChildOf, Run)]) -> Grid {
    let mut shown = table(&["child", "run", "model", "status"]);
    for (child, run) in children {
        let model = run.config["model"].as_str().unwrap_or_default();
        shown.add_row(vec![child.name.as_str(), run.run_id.as_str(), model, run.status.name()]);
    }
    shown
}
