//! MLflow's own client, as a program: `contents.py` fills a server, and says what is on one.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stagewright_end_to_end::Ended;

/// The Python that has the client of today's MLflow.
pub(super) fn python() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_MLFLOW_PYTHON").expect("STAGEWRIGHT_MLFLOW_PYTHON is set").into()
}

/// The Python that has a client of MLflow 2.
pub(super) fn old_python() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_MLFLOW_2_PYTHON").expect("STAGEWRIGHT_MLFLOW_2_PYTHON is set").into()
}

/// Logs one of everything to a server.
pub(super) fn fill(python: &Path, address: &str) -> Value {
    script(python, "fill", address)
}

/// Reads everything from a server.
pub(super) fn contents(python: &Path, address: &str) -> Value {
    script(python, "read", address)
}

fn script(python: &Path, what: &str, address: &str) -> Value {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchange/contents.py")).args([what, address]);
    Ended::of(command).expect(0).json()
}
