//! MLflow's own clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stagewright_end_to_end::Ended;

use super::server::Server;

/// A version of MLflow's client.
pub(super) struct Client {
    /// The variable that names a Python that has it.
    variable: &'static str,
    /// The list of packages that pins the version.
    pinned: &'static str,
}

/// The last version before MLflow 3.
pub(super) const OLD: Client =
    Client { variable: "STAGEWRIGHT_MLFLOW_2_PYTHON", pinned: include_str!("../../../mlflow/requirements-2.txt") };

/// The version whose interface the server has.
pub(super) const NEW: Client =
    Client { variable: "STAGEWRIGHT_MLFLOW_PYTHON", pinned: include_str!("../../../mlflow/requirements.txt") };

impl Client {
    /// Returns the version.
    pub(super) fn version(&self) -> &'static str {
        let mut lines = self.pinned.lines();
        lines.find_map(|line| line.strip_prefix("mlflow==")).expect("a version of mlflow").trim()
    }

    /// Runs the session of a user against a server. Returns the steps with their results: `works`
    /// or `absent`.
    pub(super) fn run(&self, server: &Server) -> Vec<(String, String)> {
        let ended = Ended::of(self.python("session.py", &server.address)).expect(0);
        let result = last_line(&ended);
        assert_eq!(result["mlflow"], self.version(), "another version is installed than is pinned");
        let steps: Vec<(String, String)> = serde_json::from_value(result["steps"].clone()).expect("steps");
        assert!(steps.len() > 40, "{steps:?}");
        steps
    }

    /// Returns the command of a script of `tests/mlflow`.
    pub(super) fn python(&self, script: &str, argument: &str) -> Command {
        let python = std::env::var_os(self.variable).unwrap_or_else(|| panic!("{} is not set", self.variable));
        let mut command = Command::new(python);
        command.arg(scripts().join(script)).arg(argument).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlflow")
}

/// Returns the last line of standard output, which is JSON.
pub(super) fn last_line(ended: &Ended) -> Value {
    let line = ended.stdout.trim_end().rsplit('\n').next().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}):\n{}\n{}", ended.stdout, ended.stderr))
}
