//! The folder in which benchmarks work and leave their results.

use std::fs;
use std::path::{Path, PathBuf};

use crate::steps::Result;
use crate::workspace;

/// Returns the folder of results, and makes it if it is missing.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    fs::canonicalize(&folder).map_err(|error| error.to_string())
}

/// Empties a folder, or makes it.
pub(super) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

/// Writes a file of results and says where it is.
pub(super) fn write(name: &str, json: &str) -> Result<()> {
    println!("wrote {}", save(name, json)?.display());
    Ok(())
}

/// Writes a file of results, and returns its path.
pub(super) fn save(name: &str, json: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    fs::write(&path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}
