//! The commands, one file each. [`execute`] chooses the one that was typed.

#[cfg(feature = "pipelines")]
mod artifacts;
mod audit;
#[cfg(feature = "pipelines")]
mod compare;
#[cfg(feature = "pipelines")]
mod data;
#[cfg(feature = "pipelines")]
mod deploy;
mod doctor;
mod explain;
#[cfg(feature = "pipelines")]
mod foreach;
#[cfg(feature = "pipelines")]
mod gate;
#[cfg(feature = "pipelines")]
mod gc;
mod hooks;
#[cfg(feature = "pipelines")]
mod import;
#[cfg(feature = "pipelines")]
mod init;
#[cfg(feature = "pipelines")]
mod inspect;
#[cfg(feature = "pipelines")]
mod lineage;
#[cfg(feature = "pipelines")]
mod lock;
#[cfg(feature = "pipelines")]
mod metrics_file;
mod models;
#[cfg(feature = "pipelines")]
mod plan;
#[cfg(feature = "pipelines")]
mod precompile;
mod predict;
mod probe;
#[cfg(feature = "pipelines")]
mod reproduce;
#[cfg(feature = "pipelines")]
mod resume;
#[cfg(feature = "pipelines")]
mod run;
#[cfg(feature = "pipelines")]
mod runs;
#[cfg(feature = "pipelines")]
mod search;
mod serve;
#[cfg(feature = "pipelines")]
mod server;
mod shell_files;
#[cfg(feature = "pipelines")]
mod sign;
#[cfg(feature = "pipelines")]
mod stage;
#[cfg(feature = "pipelines")]
mod tokens;
#[cfg(feature = "pipelines")]
mod users;
#[cfg(feature = "pipelines")]
mod webhooks;

use crate::arguments::{Arguments, Command};
use crate::environment;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
#[cfg(feature = "pipelines")]
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
    #[cfg(feature = "pipelines")]
    let hooks = HooksOfCommand::before(location, &arguments.command);
    let done = match arguments.command {
        #[cfg(feature = "pipelines")]
        Command::Run(arguments) => run::run(location, arguments),
        #[cfg(feature = "pipelines")]
        Command::Resume(arguments) => resume::resume(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Plan(arguments) => plan::plan(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Stage(command) => stage::stage(location, command),
        #[cfg(feature = "pipelines")]
        Command::Lock(arguments) => lock::lock(&arguments),
        #[cfg(feature = "pipelines")]
        Command::Runs(arguments) => runs::runs(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Lineage(arguments) => lineage::lineage(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Reproduce(arguments) => reproduce::reproduce(location, &arguments),
        Command::Models(arguments) => models::models(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Gate(arguments) => gate::gate(location, &arguments),
        Command::Audit(command) => audit::audit(location, &command),
        Command::Hooks(command) => hooks::hooks_command(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Gc(arguments) => gc::gc(location, &arguments),
        Command::Predict(arguments) => predict::predict(location, &arguments),
        Command::Serve(arguments) => serve::serve(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Server(arguments) => server::server(location, &arguments),
        #[cfg(feature = "pipelines")]
        Command::Users(command) => users::users(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Tokens(command) => tokens::tokens(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Webhooks(command) => webhooks::webhooks(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Deploy(command) => deploy::deploy(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Data(command) => data::data(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Artifacts(command) => artifacts::artifacts(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Import(command) => import::import(location, &command),
        #[cfg(feature = "pipelines")]
        Command::Init(arguments) => init::init(location, &arguments),
        Command::Doctor(arguments) => doctor::doctor(location, &arguments),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Completions { shell } => Ok(shell_files::completions(shell)),
        Command::ShareFiles { folder } => shell_files::share_files(&folder),
    };
    #[cfg(feature = "pipelines")]
    if let Some(hooks) = hooks {
        hooks.after();
    }
    done
}
