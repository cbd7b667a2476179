//! The files that an output may replace.
//!
//! The manifest checks by name that each output is below the manifest's folder. This module checks
//! the files themselves, because a name does not show where a link leads.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stagewright_manifest::{Manifest, OutputSection};
use stagewright_store::Home;

use crate::run_error::RunError;

/// Checks before a run begins that all its outputs can be written.
///
/// # Errors
/// [`RunError::NoOutput`] for the first one that cannot.
pub(crate) fn check(manifest: &Manifest, home: &Home) -> Result<(), RunError> {
    manifest.outputs.iter().try_for_each(|output| check_one(manifest, home, output))
}

/// Checks that an output can be written.
pub(super) fn check_one(manifest: &Manifest, home: &Home, output: &OutputSection) -> Result<(), RunError> {
    let refused = |problem: String| Err(RunError::NoOutput { path: output.path.clone(), problem });
    let mut folder = output.folder.clone();
    for part in output.below.parent().unwrap_or(Path::new("")) {
        folder.push(part);
        // A missing folder is created.
        let Ok(there) = folder.symlink_metadata() else { break };
        if !there.is_dir() {
            let what = if there.is_symlink() { "a link, which nobody follows" } else { "no folder" };
            return refused(format!("`{}` is {what}", folder.display()));
        }
    }
    let place = resolved(&output.path);
    let is_in = |folder: &Path| place.as_ref().zip(resolved(folder)).is_some_and(|(it, folder)| it.starts_with(folder));
    if is_in(home.path()) {
        return refused("it is in the home, where runs and models are kept".to_owned());
    }
    let destination = manifest.production.destination.as_deref().map(|it| it.strip_prefix("file://").unwrap_or(it));
    if destination.is_some_and(|it| !it.contains("://") && is_in(Path::new(it))) {
        return refused("it is at the production location, where promotions alone write".to_owned());
    }
    let Ok(there) = output.path.symlink_metadata() else { return Ok(()) };
    if there.is_dir() {
        return refused("it is a folder".to_owned());
    }
    let is_there = |path: &Path| path.metadata().is_ok_and(|it| (it.dev(), it.ino()) == (there.dev(), there.ino()));
    let deciding = manifest.deciding_files();
    match deciding.iter().find(|path| is_there(path)) {
        Some(path) => refused(format!("it is `{}`, which this pipeline reads", path.display())),
        None => Ok(()),
    }
}

/// Returns the path with links resolved, as far as it exists.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|there| Some(there.canonicalize().ok()?.join(path.strip_prefix(there).ok()?)))
}

/// Checks that children can write their outputs: each one to a file of its own, and none to a file
/// that decides what the run does. `shared` is the manifest of the parent.
///
/// # Errors
/// [`RunError::NoOutput`] for the first one that cannot.
pub(crate) fn check_children<'a>(
    shared: &Manifest,
    once: &'a [OutputSection],
    children: impl Iterator<Item = &'a Manifest>,
    home: &Home,
) -> Result<(), RunError> {
    let mut known = BTreeSet::new();
    for output in once.iter().chain(children.flat_map(|child| &child.outputs)) {
        // Some file systems treat names that differ only in case as one.
        if !known.insert(output.path.to_string_lossy().to_lowercase()) {
            let problem = "two children would write it, or a child and the run itself".to_owned();
            return Err(RunError::NoOutput { path: output.path.clone(), problem });
        }
        check_one(shared, home, output)?;
    }
    Ok(())
}
