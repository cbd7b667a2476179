//! The places of the files that a run leaves: what may not be replaced.
//!
//! The manifest sees to it that each lies below the manifest's folder, by its name. Here is looked
//! at what lies there: what a name leads to, a name does not say.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stagewright_manifest::{Manifest, OutputSection};
use stagewright_store::Home;

use crate::run_error::RunError;

/// Says whether outputs of a run can be written where they are to be written, before anything runs.
///
/// # Errors
/// [`RunError::NoOutput`] for the first that cannot.
pub(crate) fn check(manifest: &Manifest, home: &Home) -> Result<(), RunError> {
    manifest.outputs.iter().try_for_each(|output| check_one(manifest, home, output))
}

/// The same of one of them.
pub(super) fn check_one(manifest: &Manifest, home: &Home, output: &OutputSection) -> Result<(), RunError> {
    let refused = |problem: String| Err(RunError::NoOutput { path: output.path.clone(), problem });
    let mut folder = output.folder.clone();
    for part in output.below.parent().unwrap_or(Path::new("")) {
        folder.push(part);
        // One that is missing is made.
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
        Some(path) => refused(format!("it is `{}`, by which this pipeline runs", path.display())),
        None => Ok(()),
    }
}

/// The place without links, as far as it is there.
fn resolved(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|there| Some(there.canonicalize().ok()?.join(path.strip_prefix(there).ok()?)))
}

/// Says whether children can write their outputs where they are to be written: each to a file of
/// its own, and to none by which the whole run is decided. `shared` is the manifest of the run that
/// was asked for.
///
/// # Errors
/// [`RunError::NoOutput`] for the first that cannot.
pub(crate) fn check_children<'a>(
    shared: &Manifest,
    once: &'a [OutputSection],
    children: impl Iterator<Item = &'a Manifest>,
    home: &Home,
) -> Result<(), RunError> {
    let mut known = BTreeSet::new();
    for output in once.iter().chain(children.flat_map(|child| &child.outputs)) {
        // Some file systems hold names for one that differ in case alone.
        if !known.insert(output.path.to_string_lossy().to_lowercase()) {
            let problem = "two children would write it, or a child and the run itself".to_owned();
            return Err(RunError::NoOutput { path: output.path.clone(), problem });
        }
        check_one(shared, home, output)?;
    }
    Ok(())
}
