//! The workspace: its folders, its files, and calls of cargo in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::steps::Result;

/// The program in which stages run.
pub(crate) const STAGE: &str = "stagewright-stage";

/// Returns the root folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// Returns the target folder that cargo uses.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns a call of cargo in the workspace, as if a person typed it.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    as_typed(&mut command).current_dir(root());
    command
}

/// Removes the variables that the outer cargo sets for xtask.
///
/// Build scripts (that of ring) look at them. If they differ from one call to the next, the scripts
/// build again.
pub(crate) fn as_typed(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Returns the files of the repository, relative to its root and sorted.
///
/// Hidden folders, cargo's output and the inputs of fuzzing are left out.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let failed = |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
        for entry in fs::read_dir(root().join(&folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let kind = entry.file_type().map_err(failed)?;
            let shown = name.to_string_lossy();
            if kind.is_file() {
                files.push(folder.join(name));
            } else if kind.is_dir() && !shown.starts_with('.') && shown != "target" && shown != "corpus" {
                folders.push(folder.join(name));
            }
        }
    }
    files.sort();
    Ok(files)
}
