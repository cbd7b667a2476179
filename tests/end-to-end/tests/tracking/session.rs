//! MLflow's own client.

use std::path::Path;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place};

use super::server::Server;

// invariant: A stock client of MLflow works with the tracking server unchanged.
#[test]
fn every_call_of_the_client_of_mlflow_works() {
    let place = Place::new();
    run(&Server::start(&place));
}

/// Runs the session of a user against a server.
pub(super) fn run(server: &Server) {
    let Some(python) = std::env::var_os("STAGEWRIGHT_MLFLOW_PYTHON") else {
        eprintln!("skipped: STAGEWRIGHT_MLFLOW_PYTHON names no Python with mlflow");
        return;
    };
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlflow/session.py")).arg(&server.address);
    let ended = Ended::of(command);
    assert!(ended.stdout.contains("ok      rename and delete of models and versions"), "{}", ended.stdout);
    ended.expect(0);
}
