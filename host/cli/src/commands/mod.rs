//! The commands, one file each. [`execute`] chooses the one that was typed.

mod artifacts;
mod audit;
mod compare;
mod deploy;
mod doctor;
mod explain;
mod foreach;
mod gate;
mod gc;
mod hooks;
mod init;
mod inspect;
mod lineage;
mod lock;
mod metrics_file;
mod models;
mod plan;
mod precompile;
mod predict;
mod probe;
mod reproduce;
mod resume;
mod run;
mod runs;
mod search;
mod serve;
mod shell_files;
mod sign;
mod stage;

use crate::arguments::{Arguments, Command};
use crate::environment;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::hooks::HooksOfCommand;

/// The home if none is named.
const HOME: &str = ".stagewright";

/// Executes the command that was typed.
pub(crate) fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let home = arguments.home.or_else(|| environment::variable("STAGEWRIGHT_HOME").map(Into::into));
    let home = home.unwrap_or_else(|| HOME.into());
    let named = |text: &String| !text.is_empty();
    let (registry, artifacts) = (arguments.registry.filter(named), arguments.artifacts.filter(named));
    let location = &HomeLocation { home, registry, artifacts };
    let hooks = HooksOfCommand::before(location, &arguments.command);
    let done = match arguments.command {
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
        Command::Hooks(command) => hooks::hooks_command(location, &command),
        Command::Gc(arguments) => gc::gc(location, &arguments),
        Command::Predict(arguments) => predict::predict(location, &arguments),
        Command::Serve(arguments) => serve::serve(location, &arguments),
        Command::Deploy(command) => deploy::deploy(location, &command),
        Command::Artifacts(command) => artifacts::artifacts(location, &command),
        Command::Init(arguments) => init::init(location, &arguments),
        Command::Doctor(arguments) => doctor::doctor(location, &arguments),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Completions { shell } => Ok(shell_files::completions(shell)),
        Command::ShareFiles { folder } => shell_files::share_files(&folder),
    };
    if let Some(hooks) = hooks {
        hooks.after();
    }
    done
}
