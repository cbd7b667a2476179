//! Benchmarks of `tests/benchmarks`, which run the sandbox or the clients of a server in their own
//! process.

use crate::bench::options::Options;
use crate::bench::results::folder;
use crate::build;
use crate::steps::{Result, run};
use crate::workspace::cargo;

/// Builds and runs one of them. It writes its results to `target/bench/NAME.json`.
pub(super) fn in_process(name: &str, options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::With)?;
    let mut command = cargo();
    command.args(["bench", "--quiet", "--workspace", "--bench", name]);
    command
        .env("STAGEWRIGHT_STAGES", &built.stages)
        .env("STAGEWRIGHT_GUESTS", &built.guests)
        .env("STAGEWRIGHT_BIN", &built.binary)
        .env("STAGEWRIGHT_BENCH_OUTPUT", folder()?.join(format!("{name}.json")));
    if let Some(rows) = options.rows {
        command.env("STAGEWRIGHT_BENCH_ROWS", rows.to_string());
    }
    if let Some(repeat) = options.repeat {
        command.env("STAGEWRIGHT_BENCH_REPEAT", repeat.to_string());
    }
    if let Some(only) = &options.only {
        command.env("STAGEWRIGHT_BENCH_ONLY", only);
    }
    if let Some(seconds) = options.seconds {
        command.env("STAGEWRIGHT_BENCH_SECONDS", seconds.to_string());
    }
    if let Some(peer) = &options.peer {
        command.env("STAGEWRIGHT_BENCH_PEER", peer);
    }
    run(&mut command)
}
