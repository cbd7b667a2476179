//! The virtual environment of Python that tests and tools share.

use std::path::PathBuf;
use std::process::Command;

use crate::steps::{Result, run};
use crate::workspace;

/// Makes a virtual environment with the packages that a file lists. Returns its folder of programs.
pub(crate) fn python(requirements: &str) -> Result<PathBuf> {
    let environment = workspace::target().join("python");
    let programs = environment.join("bin");
    if !programs.join("python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    run(Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(workspace::root().join(requirements)))?;
    Ok(programs)
}
