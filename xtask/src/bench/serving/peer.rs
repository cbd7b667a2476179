//! The peer: a service in Python with the same kind of model.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::models::Models;
use super::server::Server;
use crate::bench::options::Options;
use crate::steps::{Result, run};
use crate::workspace;

/// Trains the peer's model on the same customers, and starts its server.
pub(super) fn start(python: &Path, models: &Models, options: &Options, work: &Path) -> Result<Server> {
    let table = work.join("customers.parquet");
    run(models.stagewright().args(["artifacts", "export", "ingestion.table", "--output"]).arg(&table))?;
    let file = |name: &str| -> PathBuf { workspace::root().join("tests/benchmarks").join(name) };
    let program = |name: &str| {
        let mut command = Command::new(python);
        command.arg(file(name)).arg("--pickle").arg(work.join("peer.pickle"));
        // One thread, as each of our calls: a row is too little for more.
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads, "1");
        }
        command
    };
    let hint = |message| {
        format!("{message}\nhint: `{} -m pip install -r tests/benchmarks/peer/requirements.txt`", python.display())
    };
    let mut training = program("predict_peer.py");
    training.args(["--model", &options.model, "--threads", "1", "--train"]).arg(&table);
    if options.model == "boosted" {
        // As deep as ours.
        training.args(["--max-depth", "4"]);
    }
    run(&mut training).map_err(hint)?;
    Server::start(&mut program("peer/serve.py")).map_err(hint)
}
