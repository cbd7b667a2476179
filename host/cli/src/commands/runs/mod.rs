//! `runs`: lists, shows, compares, exports and deletes runs.

pub(super) mod find;
pub(super) mod list;
mod send;
mod show;
mod transfer;

use crate::arguments::{ExportRunArguments, ExportRunCommand, RunsArguments, RunsCommand};
use crate::commands::{compare, search};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::usage_error::UsageError;

/// Executes a `runs` command.
pub(crate) fn runs(location: &HomeLocation, arguments: &RunsArguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        None => list::list(location, arguments.limit, arguments.json.json),
        Some(RunsCommand::List { limit, json }) => list::list(location, *limit, json.json),
        Some(RunsCommand::Show { run, json }) => show::show(location, run.as_deref(), json.json),
        Some(RunsCommand::Compare { runs, html, json }) => compare::runs(location, runs, html.as_deref(), json.json),
        Some(RunsCommand::Search { experiments, search }) => search::runs(location, experiments, search),
        Some(RunsCommand::Export(arguments)) => export(location, arguments),
        Some(RunsCommand::Import { file, json }) => transfer::import(location, file, json.json),
        Some(RunsCommand::Delete { run }) => delete(location, run, true),
        Some(RunsCommand::Restore { run }) => delete(location, run, false),
    }
}

fn export(location: &HomeLocation, arguments: &ExportRunArguments) -> anyhow::Result<ExitCode> {
    match (&arguments.command, &arguments.run, &arguments.file) {
        (Some(ExportRunCommand::Mlflow { runs, to, json }), _, _) => {
            send::send(location, runs, to.as_deref(), json.json)
        }
        (None, Some(run), Some(file)) => {
            transfer::export(location, run, file, arguments.source.as_deref(), arguments.json.json)
        }
        // The parser asks for both.
        (None, _, _) => Err(UsageError::error(
            ErrorCode::Argument,
            "a run and a file are needed",
            "write stagewright runs export RUN FILE",
        )),
    }
}

fn delete(location: &HomeLocation, run: &str, deleted: bool) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let run = home.registry.run(run)?.run_id;
    home.registry.delete_run(&run, deleted)?;
    if deleted {
        println!("run {run} is deleted; `stagewright runs restore {run}` restores it until `stagewright gc`");
    } else {
        println!("run {run} is restored");
    }
    Ok(ExitCode::Done)
}
