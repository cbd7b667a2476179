//! One file a command.

mod artifacts;
mod audit;
mod doctor;
mod foreach;
mod gate;
mod gc;
mod init;
mod inspect;
mod lineage;
mod lock;
mod models;
mod plan;
mod portable;
mod precompile;
mod predict;
mod reproduce;
mod resume;
mod run;
mod runs;
mod searched;
mod side_by_side;
mod sign;
mod stage;

use serde::Serialize;

use crate::arguments::{Arguments, Changes, Command};
use crate::ending::Ending;
use crate::environment;
use crate::location::Location;

/// The home, where nobody names one.
const HOME: &str = ".stagewright";

/// Does what was asked.
pub(crate) fn execute(arguments: Arguments) -> anyhow::Result<Ending> {
    let home = arguments.home.or_else(|| environment::variable("STAGEWRIGHT_HOME").map(Into::into));
    let home = home.unwrap_or_else(|| HOME.into());
    let named = |text: &String| !text.is_empty();
    let (registry, artifacts) = (arguments.registry.filter(named), arguments.artifacts.filter(named));
    let location = &Location { home, registry, artifacts };
    match arguments.command {
        Command::Run(arguments) => run::run(location, arguments),
        Command::Resume(arguments) => resume::resume(location, &arguments),
        Command::Plan(arguments) => plan::plan(location, &arguments),
        Command::Stage(command) => stage::stage(location, command),
        Command::Lock(arguments) => lock::lock(&arguments),
        Command::Runs(arguments) => runs::runs(location, &arguments),
        Command::Lineage(arguments) => lineage::lineage(location, &arguments),
        Command::Reproduce(arguments) => reproduce::reproduce(location, &arguments),
        Command::Models(arguments) => models::models(location, &arguments),
        Command::Gate(arguments) => gate::gate(location, &arguments),
        Command::Audit(command) => audit::audit(location, &command),
        Command::Gc(arguments) => gc::gc(location, &arguments),
        Command::Predict(arguments) => predict::predict(location, &arguments),
        Command::Artifacts(command) => artifacts::artifacts(location, &command),
        Command::Init(arguments) => init::init(location, &arguments),
        Command::Doctor(arguments) => doctor::doctor(location, &arguments),
    }
}

/// Prints one JSON object on standard output.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    crate::output::bytes(format!("{}\n", stagewright_text::json(&serde_json::to_string_pretty(value)?)).as_bytes());
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
