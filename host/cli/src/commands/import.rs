//! `import mlflow`: takes over what an MLflow server has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use stagewright_exchange::import::{Count, Importer, Options, Outcome, Remark};
use stagewright_mlflow_client::Limits;

use crate::arguments::{ImportCommand, ImportMlflowArguments};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::mlflow;
use crate::output::print_json;
use crate::signals;
use crate::terminal::bytes;
use crate::usage_error::UsageError;

/// The time between two lines about the progress, where no bar can be shown.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Executes an `import` command.
pub(crate) fn import(location: &HomeLocation, command: &ImportCommand) -> anyhow::Result<ExitCode> {
    match command {
        ImportCommand::Mlflow(arguments) => import_mlflow(location, arguments),
    }
}

fn import_mlflow(location: &HomeLocation, arguments: &ImportMlflowArguments) -> anyhow::Result<ExitCode> {
    let options = Options {
        experiments: arguments.experiments.iter().cloned().collect(),
        models: arguments.models.iter().cloned().collect(),
        renamed: renamed(&arguments.renamed)?,
        without_artifacts: arguments.without_artifacts,
        recheck: arguments.recheck,
    };
    let server = mlflow::server(&mlflow::address_or_named(arguments.uri.as_deref(), "--uri")?, Limits::PATIENT)?;
    let home = location.open()?;
    let cancel = signals::cancel_on_signals();
    let shown = Progress::new(arguments.json.json);
    let progress = |outcome: &Outcome| {
        shown.update(outcome);
        !cancel.is_cancelled()
    };
    let imported = Importer::new(&server, (&home.registry, &home.artifacts), &options, &progress).run();
    shown.end();
    let outcome = imported?;
    if arguments.json.json {
        print_json(&outcome)?;
    } else {
        show(&outcome);
    }
    if outcome.conflict_count == 0 {
        return Ok(ExitCode::Done);
    }
    Err(UsageError::error(
        ErrorCode::ImportIncomplete,
        format!(
            "{} not imported from {}",
            if outcome.conflict_count == 1 {
                "1 record was".to_owned()
            } else {
                format!("{} records were", outcome.conflict_count)
            },
            outcome.source
        ),
        "follow the hint of each, and run the command again; what was imported stays",
    ))
}

/// Reads arguments such as `churn=churn-of-mlflow`.
fn renamed(arguments: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |argument: &String| match argument.rsplit_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.to_owned(), new.to_owned())),
        _ => Err(UsageError::error(
            ErrorCode::Argument,
            format!("`{argument}` does not say which model gets which name"),
            "write --rename OLD=NEW",
        )),
    };
    arguments.iter().map(pair).collect()
}

/// Shows what was done so far: a line that changes on a terminal, some lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    last: Cell<Instant>,
}

impl Progress {
    fn new(is_quiet: bool) -> Self {
        let bar = (!is_quiet && std::io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, is_quiet, last: Cell::new(Instant::now()) }
    }

    fn update(&self, outcome: &Outcome) {
        let sum = |count: &Count| count.added + count.updated + count.unchanged;
        let so_far = || {
            format!(
                "{} runs, {} values, {} models, {} versions, {} files, {}",
                sum(&outcome.runs) + outcome.own_runs,
                outcome.values,
                sum(&outcome.models) + sum(&outcome.logged_models),
                sum(&outcome.versions),
                outcome.files,
                bytes(outcome.bytes)
            )
        };
        match &self.bar {
            Some(bar) => bar.set_message(so_far()),
            None if !self.is_quiet && self.last.get().elapsed() >= BETWEEN_LINES => {
                eprintln!("{}", so_far());
                self.last.set(Instant::now());
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn show(outcome: &Outcome) {
    println!("imported from {}", outcome.source);
    for (what, count) in [
        ("experiments", &outcome.experiments),
        ("runs", &outcome.runs),
        ("logged models", &outcome.logged_models),
        ("registered models", &outcome.models),
        ("versions", &outcome.versions),
    ] {
        println!("  {what:<18} {} new, {} updated, {} unchanged", count.added, count.updated, count.unchanged);
    }
    println!("  {:<18} {} read", "values", outcome.values);
    println!("  {:<18} {} new, {}", "files", outcome.files, bytes(outcome.bytes));
    if outcome.own_runs > 0 {
        println!("  {} runs are copies of runs that are here", outcome.own_runs);
    }
    if outcome.unverified > 0 {
        println!("  {} versions are unverified: their files are not here", outcome.unverified);
    }
    remarks("note", &outcome.notes, outcome.note_count);
    remarks("not imported", &outcome.conflicts, outcome.conflict_count);
}

fn remarks(kind: &str, remarks: &[Remark], all: u64) {
    for Remark { about, what, hint } in remarks {
        println!("{kind}: {about}: {what}\n  hint: {hint}");
    }
    let rest = all - remarks.len() as u64;
    if rest > 0 {
        println!("{kind}: {rest} more");
    }
}
