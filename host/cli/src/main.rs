//! The command line: parses, wires, exits. What a run is stands in `stagewright-lifecycle`; how stages are run in `stagewright-runtime`.

#[macro_use]
mod output;

mod arguments;
mod commands;
mod ending;
mod terminal;
mod trust;
mod workplace;

use std::process::ExitCode;

use clap::Parser as _;

/// Fresh pages cost 3 s per GB on small machines; mimalloc keeps and reuses what batches leave behind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Started by itself to compile a component: nothing else of the environment is read.
    if let Some(code) = stagewright_runtime::compile_if_asked() {
        return code;
    }
    // The process's own environment wins over the file; a file that is not there is no error.
    let dotenv = dotenvy::dotenv();
    let arguments = arguments::Arguments::parse();
    terminal::start_logging(arguments.verbose);
    if let Err(error) = dotenv
        && !error.not_found()
    {
        tracing::warn!("cannot read .env: {error}");
    }
    match commands::execute(arguments) {
        Ok(code) => code.into(),
        Err(error) => ending::report(&error).into(),
    }
}
