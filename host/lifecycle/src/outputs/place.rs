//! The places of the files that a run leaves: what may not be replaced.
//!
//! The manifest sees to it that each lies below the manifest's folder, by its name. Here is looked
//! at what lies there: what a name leads to, a name does not say.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use stagewright_manifest::{Manifest, OutputSection};
use stagewright_store::Home;

use crate::run::RunError;

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
    let home = home.path().canonicalize().ok();
    // As much of the folder as there is.
    let whole = |it: &Path| if it.as_os_str().is_empty() { Path::new(".").canonicalize() } else { it.canonicalize() };
    let there = folder.ancestors().find_map(|it| whole(it).ok());
    if home.zip(there).is_some_and(|(home, there)| there.starts_with(home)) {
        return refused("it is in the home, where runs and models are kept".to_owned());
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
