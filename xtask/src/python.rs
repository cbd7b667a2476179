//! The virtual environments of Python that tests and tools use.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::{Result, run};
use crate::workspace;

/// The package for MLflow's clients.
const CLIENT: &str = "clients/python";

/// Installs the packages that a file lists into the environment that most tests and tools share.
/// Returns its folder of programs.
pub(crate) fn python(requirements: &str) -> Result<PathBuf> {
    environment("python", &[requirements])
}

/// Makes the environments of MLflow's clients: the version that the tracking server imitates, and
/// the last one before MLflow 3. They bring many packages in versions of their own, so that they
/// share none. Both have the package of `clients/python`, and the first what checks it and what
/// executes notebooks. Returns the variables that tests find them by, with their Pythons.
pub(crate) fn mlflow() -> Result<[(&'static str, PathBuf); 2]> {
    let checks = format!("{CLIENT}/requirements-dev.txt");
    let new = environment("mlflow", &["tests/mlflow/requirements.txt", &checks, "examples/requirements.txt"])?;
    let old = environment("mlflow-2", &["tests/mlflow/requirements-2.txt", &format!("{CLIENT}/requirements.txt")])?;
    for programs in [&new, &old] {
        // Anew each time, since its version stays the same. What builds it is in the environments:
        // an isolated build would fetch it each time.
        run(pip(programs)
            .args(["--no-deps", "--force-reinstall", "--no-build-isolation"])
            .arg(workspace::root().join(CLIENT)))?;
    }
    Ok([("STAGEWRIGHT_MLFLOW_PYTHON", new.join("python")), ("STAGEWRIGHT_MLFLOW_2_PYTHON", old.join("python"))])
}

/// Makes an environment that has the packages of these lists.
fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let environment = workspace::target().join(name);
    let programs = environment.join("bin");
    if !programs.join("python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let mut install = pip(&programs);
    for list in requirements {
        install.arg("-r").arg(workspace::root().join(list));
    }
    run(&mut install)?;
    Ok(programs)
}

/// Returns a command that installs packages.
fn pip(programs: &Path) -> Command {
    let mut command = Command::new(programs.join("python"));
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    command
}

/// Checks the types of the package of `clients/python` and runs its tests, with components that
/// misbehave.
pub(crate) fn client_tests(guests: &Path) -> Result<()> {
    let [(_, python), _] = mlflow()?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.current_dir(workspace::root().join(CLIENT)).arg("-m").args(arguments);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("STAGEWRIGHT_GUESTS", guests);
        command
    };
    run(command(&["mypy", "--cache-dir"]).arg(workspace::target().join("mypy")))?;
    run(&mut command(&["unittest", "discover", "tests"]))
}
