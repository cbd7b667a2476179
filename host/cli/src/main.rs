//! The command line of Stagewright: parses the arguments, runs the command, exits.
//!
//! A run is the concern of `stagewright-lifecycle`, the sandbox that of `stagewright-runtime`.
//! Modules from top to bottom: `commands` (one file a command), `classify` (exit codes and hints of
//! errors), `project` (the home and the runtime that a command works with), `trust`,
//! `installation`, `home`, `terminal`, `environment`, `output`.

#![cfg_attr(
    not(feature = "pipelines"),
    expect(dead_code, unused_imports, reason = "commands of other builds use it; the linker leaves it out")
)]

#[macro_use]
mod output;
#[cfg(feature = "pipelines")]
mod password;

#[cfg(test)]
mod advice_tests;
mod arguments;
mod classify;
mod commands;
#[cfg(feature = "pipelines")]
mod data_sources;
mod environment;
mod error_code;
mod events;
mod exit_code;
mod greeting;
mod home;
mod hooks;
mod installation;
mod logging;
#[cfg(feature = "pipelines")]
mod mlflow;
mod model_source;
mod production;
mod project;
mod provenance;
mod run_diary;
mod signals;
mod task_support;
mod terminal;
mod traces;
mod trust;
mod usage_error;

use clap::Parser as _;

use exit_code::ExitCode;

/// Fresh pages cost 3 s per GB on small machines; mimalloc reuses the pages that earlier batches
/// freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // This program starts itself to compile a component, and then reads nothing else of the
    // environment.
    if let Some(code) = stagewright_runtime::compile_if_asked() {
        return code;
    }
    if std::env::args_os().len() <= 1 {
        greeting::show();
        return ExitCode::Usage.into();
    }
    let arguments = arguments::Arguments::parse();
    let traced = traces::start();
    let rest_of_log = logging::start(arguments.verbose, arguments.command.is_server());
    if let Err(warning) = traced {
        tracing::warn!("{warning}");
    }
    let within = traces::parent();
    let done = environment::read_file().and_then(|warnings| {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        commands::execute(arguments)
    });
    let code = match done {
        Ok(code) => code.into(),
        Err(error) => classify::report(error).into(),
    };
    drop(within);
    traces::end();
    drop(rest_of_log);
    code
}
