//! MLflow's own client.

use std::path::Path;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place};

use super::server::Server;

// invariant: A stock client of MLflow works with the tracking server unchanged.
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn every_call_of_the_client_of_mlflow_works() {
    let place = Place::new();
    run(&Server::start(&place));
}

/// Runs the session of a user against a server.
pub(super) fn run(server: &Server) {
    let python = std::env::var_os("STAGEWRIGHT_MLFLOW_PYTHON").expect("STAGEWRIGHT_MLFLOW_PYTHON is set");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlflow/session.py")).arg(&server.address);
    let ended = Ended::of(command);
    assert!(ended.stdout.contains("ok      rename and delete of models and versions"), "{}", ended.stdout);
    ended.expect(0);
}
