//! `reproduce`: executes the steps of a run again and shows the first difference from the record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use stagewright_lifecycle::foreach::ChildOf;
use stagewright_lifecycle::invocation::{Invocation, Work};
use stagewright_lifecycle::reproduce::{
    FirstDifference, Part, Place, ReproduceEnvironment, ReproduceError, Reproduction, reproduce as execute_again,
};
use stagewright_lifecycle::run::config::CHANGES;
use stagewright_manifest::{Manifest, SourceLocation};
use stagewright_runtime::{SecretKey, sign_statement, signed_statement};
use stagewright_store::{Home, Run, RunStatus, StageRecord};
use stagewright_text::Untrusted;

use crate::arguments::{Changes, ReproduceArguments};
use crate::commands::foreach;
use crate::commands::runs::find::find_run;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::{file_or_stdout, print_json};
use crate::project::Project;
use crate::signals;
use crate::terminal::{Cell, ProgressDisplay, milliseconds, right, table};
use crate::usage_error::UsageError;
use crate::{provenance, trust};

/// The longest bundle that is read, in bytes.
const MAX_BUNDLE: u64 = 64 << 20;

/// Reproduces a run and its children.
pub(crate) fn reproduce(location: &HomeLocation, arguments: &ReproduceArguments) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let run = find_ended_run(&home, arguments.run.as_deref())?;
    let stages = home.registry.stages(&run.run_id)?;
    let operator = installation::operator()?;
    let project = Project::open_to_repeat(location, &operator, arguments.workers, canonicalizes_nans(&stages))?;
    let again = ReproduceEnvironment {
        artifacts: home.artifacts.clone(),
        workers: project.workers,
        decoder: project.runtime.decoder(),
        sandbox: Arc::new(project.runtime),
        observer: Arc::new(ProgressDisplay::new(arguments.json.json)),
        cancel: signals::cancel_on_signals(),
        ceilings: operator.ceilings.clone(),
        sources: sources(&run, &stages, arguments.source.as_deref()),
    };
    // A countersignature that would be refused at the end is refused before the steps are executed.
    let countersigned =
        arguments.countersign.as_deref().map(|bundle| statement_to_countersign(bundle, arguments, &run, &stages));
    let countersigned = countersigned.transpose()?;
    let children = foreach::children(&home, &run)?;
    // A parent with children may have no steps of its own.
    let result = match execute_again(&stages, &again) {
        Err(ReproduceError::Nothing) if !children.is_empty() => Reproduction::default(),
        result => result?,
    };
    let mut all = vec![(None, &run, result.clone())];
    for (of, child) in &children {
        if !all.iter().all(|(_, _, result)| result.identical) {
            break;
        }
        if child.status == RunStatus::Finished {
            let stages = home.registry.stages(&child.run_id)?;
            let again =
                ReproduceEnvironment { sources: sources(child, &stages, arguments.source.as_deref()), ..again.clone() };
            all.push((Some(of), child, execute_again(&stages, &again)?));
        }
    }
    let identical = all.iter().all(|(_, _, result)| result.identical);
    if let (Some((statement, key)), true) = (&countersigned, result.identical) {
        file_or_stdout(arguments.output.as_deref(), &sign_statement(statement, key)?)?;
    }
    if arguments.json.json {
        let first = all.iter().find_map(|(_, _, result)| result.first_difference.as_ref());
        let mut object = serde_json::to_value(&result)?;
        object["run_id"] = json!(run.run_id);
        object["identical"] = json!(identical);
        object["first_difference"] = json!(first);
        if !children.is_empty() {
            let child = |(of, run, result): &(Option<&ChildOf>, &Run, Reproduction)| -> anyhow::Result<Value> {
                let mut object = serde_json::to_value(result)?;
                object["run_id"] = json!(run.run_id);
                object["name"] = json!(of.map(|of| &of.name));
                Ok(object)
            };
            object["children"] = all[1..].iter().map(child).collect::<anyhow::Result<_>>()?;
        }
        print_json(&object)?;
    } else {
        for (of, run, result) in &all {
            if let Some(of) = of {
                println!("child `{}`:", Untrusted::new(&of.name));
            }
            show(run, result);
        }
    }
    Ok(if identical { ExitCode::Done } else { ExitCode::Rejected })
}

/// Returns the signed statement to countersign, and the key for it.
///
/// # Errors
/// No trusted key signed the statement, or it does not describe this run.
fn statement_to_countersign(
    bundle: &Path,
    arguments: &ReproduceArguments,
    run: &Run,
    stages: &[StageRecord],
) -> anyhow::Result<(Vec<u8>, SecretKey)> {
    let cannot = |reason: String| {
        UsageError::error(
            ErrorCode::Key,
            format!("cannot countersign {}: {reason}", bundle.display()),
            "name a bundle that `stagewright models attest --key KEY` wrote of a version that this run made",
        )
    };
    let keys: Vec<_> = arguments.signed_by.iter().map(|key| trust::public_key(key)).collect::<Result<_, _>>()?;
    let text = stagewright_store::read_regular_text(bundle, MAX_BUNDLE).map_err(|error| cannot(error.to_string()))?;
    let statement = signed_statement(&text, &keys).map_err(|error| cannot(error.to_string()))?;
    let claim: Value = serde_json::from_slice(&statement).map_err(|error| cannot(error.to_string()))?;
    let own = provenance::of_reproduction(&claim, run, stages);
    if !own.is_some_and(|own| provenance::matches(&own, &statement)) {
        return Err(cannot(format!("it does not say what run {} did", run.run_id)));
    }
    let key = arguments.key.as_deref().ok_or_else(|| cannot("there is no key".to_owned()))?;
    Ok((statement, trust::secret_key(key)?))
}

/// Returns whether the steps ran with canonical NaNs. All steps of a run did, or none.
fn canonicalizes_nans(stages: &[StageRecord]) -> bool {
    let invocations = stages.iter().filter_map(|stage| stage.invocation.clone());
    let mut read = invocations.filter_map(|it| serde_json::from_value::<Invocation>(it).ok());
    read.next_back().is_some_and(|invocation| invocation.guest.canonicalize_nans)
}

/// Returns the files that a run read, by the names of its sources, as its manifest names them;
/// `moved` is the current file, if the file was moved. A run from another machine names no files.
pub(super) fn sources(run: &Run, stages: &[StageRecord], moved: Option<&Path>) -> BTreeMap<String, PathBuf> {
    let Some(moved) = moved else { return sources_of_manifest(run).unwrap_or_default() };
    let invocations = stages.iter().filter_map(|stage| stage.invocation.clone());
    let read = invocations.filter_map(|it| serde_json::from_value::<Invocation>(it).ok());
    let names = read.filter_map(|invocation| match invocation.work {
        Work::Ingestion(work) => Some(work.source?.name),
        _ => None,
    });
    names.map(|name| (name, moved.to_owned())).collect()
}

fn sources_of_manifest(run: &Run) -> Option<BTreeMap<String, PathBuf>> {
    let file = run.config.get("file")?.as_str()?;
    let changes: Changes = serde_json::from_value(run.config.get(CHANGES)?.clone()).ok()?;
    let folder = Path::new(file).parent().map(Path::to_owned).unwrap_or_default();
    let manifest = Manifest::parse(file, run.manifest.clone(), folder, &changes.overrides()).ok()?;
    let manifest = foreach::recorded(manifest, &run.config);
    let local = manifest.sources.iter().filter_map(|(name, source)| match &source.location {
        SourceLocation::Csv { path, .. }
        | SourceLocation::Jsonl { path, .. }
        | SourceLocation::Parquet { path }
        | SourceLocation::Arrow { path }
        | SourceLocation::Sqlite { path, .. } => Some((name.to_string(), path.clone())),
        SourceLocation::Http { .. }
        | SourceLocation::Objects(_)
        | SourceLocation::Postgres(_)
        | SourceLocation::Data { .. } => None,
    });
    Some(local.collect())
}

/// Returns the run of this identifier.
///
/// # Errors
/// It has not ended.
pub(super) fn find_ended_run(home: &Home, run: Option<&str>) -> anyhow::Result<Run> {
    let run = find_run(home, run)?;
    if run.status == RunStatus::Running {
        let hint = format!("wait for its end: stagewright runs show {}", run.run_id);
        return Err(UsageError::error(ErrorCode::RunRunning, format!("run {} is running", run.run_id), hint));
    }
    Ok(run)
}

fn show(run: &Run, result: &Reproduction) {
    let mut shown = table(&["stage", "artifacts", "took", "cpu", "again"]);
    for step in &result.steps {
        shown.add_row(vec![
            Cell::new(&step.step),
            right(step.artifacts),
            right(milliseconds(step.wall_ms)),
            right(milliseconds(step.cpu_ms)),
            Cell::new("the same"),
        ]);
    }
    let others = result.first_difference.iter().map(|difference| (difference.step.to_string(), "differs"));
    for (step, how) in others.chain(result.skipped.iter().map(|step| (step.clone(), "failed in the run"))) {
        shown.add_row(vec![Cell::new(step), right(""), right(""), right(""), Cell::new(how)]);
    }
    println!("{shown}");
    match &result.first_difference {
        None => println!("run {} is reproduced: every artifact has the digest that is on record", run.run_id),
        Some(difference) => println!("run {} is not reproduced: {}", run.run_id, describe(difference)),
    }
}

/// Describes a difference in a sentence.
fn describe(difference: &FirstDifference) -> String {
    let FirstDifference { step, part, artifact, kind, recorded, found, is_damaged, place } = difference;
    let artifact = Untrusted::new(artifact);
    let digest = |digest: &Option<stagewright_store::Digest>| {
        digest.map_or_else(|| "nothing that can be read".to_owned(), |digest| digest.to_string())
    };
    let (recorded, found) = (digest(recorded), digest(found));
    let what = match part {
        Part::Component => {
            format!("the kept component `{artifact}` of stage `{step}` is damaged: it was {recorded}, and is {found}")
        }
        Part::Input => format!("the input `{artifact}` of stage `{step}` was {recorded}, and is {found}"),
        Part::Output if *is_damaged => {
            format!("stage `{step}` made `{artifact}` again as it is on record, and the stored {kind} is damaged")
        }
        Part::Output => format!("the {kind} `{artifact}` was {recorded}, and is {found} now"),
    };
    match place {
        Some(place) => format!("{what}; first {}", describe_place(place)),
        None => what,
    }
}

fn describe_place(place: &Place) -> String {
    let value = |value: &Value| Untrusted::new(&value.to_string()).to_string();
    match place {
        Place::Cell { column, row, recorded_value, found_value } => format!(
            "in column `{}`, row {row}: {} on record, {} now",
            Untrusted::new(column),
            value(recorded_value),
            value(found_value)
        ),
        Place::Column { column, problem } => {
            format!("in column `{}`: {}", Untrusted::new(column), Untrusted::new(problem))
        }
        Place::Rows { row, recorded_rows, found_rows } => {
            format!("at row {row}: {recorded_rows} rows on record, {found_rows} now")
        }
        Place::Json { path, recorded_value, found_value } => {
            format!("at `{}`: {} on record, {} now", Untrusted::new(path), value(recorded_value), value(found_value))
        }
        Place::Byte { offset } => format!("at byte {offset}"),
    }
}
