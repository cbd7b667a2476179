//! One file a command.

mod artifacts;
mod doctor;
mod init;
mod inspect;
mod lock;
mod models;
mod plan;
mod precompile;
mod predict;
mod run;
mod runs;
mod sign;
mod stage;

use serde::Serialize;

use crate::arguments::{Arguments, Changes, Command};
use crate::ending::Ending;

/// Does what was asked.
pub(crate) fn execute(arguments: Arguments) -> anyhow::Result<Ending> {
    let home = &arguments.home;
    match arguments.command {
        Command::Run(arguments) => run::run(home, arguments),
        Command::Plan(arguments) => plan::plan(home, &arguments),
        Command::Stage(command) => stage::stage(home, command),
        Command::Lock(arguments) => lock::lock(&arguments),
        Command::Runs(arguments) => runs::runs(home, &arguments),
        Command::Models(arguments) => models::models(home, &arguments),
        Command::Predict(arguments) => predict::predict(home, &arguments),
        Command::Artifacts(command) => artifacts::artifacts(home, &command),
        Command::Init(arguments) => init::init(&arguments),
        Command::Doctor(arguments) => doctor::doctor(home, &arguments),
    }
}

/// Prints one JSON object on standard output.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// The changes as the manifest's crate knows them.
fn overrides(changes: &Changes) -> stagewright_manifest::Overrides {
    stagewright_manifest::Overrides {
        set: changes.set.clone(),
        sources: changes.sources.clone(),
        seed: changes.seed,
        workers: changes.workers,
        experiment: changes.experiment_name.clone(),
        register_name: changes.register_name.clone(),
    }
}

/// A moment for people, UTC.
fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
