//! The virtual environments of Python that tests and tools use.

use std::path::PathBuf;
use std::process::Command;

use crate::steps::{Result, run};
use crate::workspace;

/// Installs the packages that a file lists into the environment that most tests and tools share.
/// Returns its folder of programs.
pub(crate) fn python(requirements: &str) -> Result<PathBuf> {
    environment("python", requirements)
}

/// Makes the environment of MLflow's client. It brings many packages in versions of its own, so
/// that it shares none. Returns its folder of programs.
pub(crate) fn mlflow() -> Result<PathBuf> {
    environment("mlflow", "tests/mlflow/requirements.txt")
}

fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let environment = workspace::target().join(name);
    let programs = environment.join("bin");
    if !programs.join("python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(workspace::root().join(requirements)))?;
    Ok(programs)
}
