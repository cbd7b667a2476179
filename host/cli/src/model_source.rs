//! The data that a registered model learnt from. It distinguishes models that have the same name by
//! accident.

use std::fmt;
use std::path::{Path, PathBuf};

use stagewright_data::shown;
use stagewright_store::Home;

use crate::home::HomeLocation;

/// The sources of the run that made a model's latest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelSource {
    /// The URIs of the manifest's sources, as written there.
    uris: Vec<String>,
    /// Those of them that are files and still exist.
    files: Vec<PathBuf>,
}

impl ModelSource {
    /// Returns whether the model learnt from this file.
    pub(crate) fn is_file(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.files.contains(&path))
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.uris[..] {
            [] => f.write_str("a source that its run does not name"),
            uris => {
                let uris: Vec<String> = uris.iter().map(|uri| format!("`{}`", shown(uri))).collect();
                f.write_str(&uris.join(", "))
            }
        }
    }
}

/// Returns the source of a model of this name; `None` if there is no such model or no registry yet.
///
/// It creates no registry. A registry that cannot be read is for other commands to report.
pub(crate) fn of_model(location: &HomeLocation, model: &str) -> Option<ModelSource> {
    let home = location.existing().ok()?;
    latest(&home, model)
}

fn latest(home: &Home, model: &str) -> Option<ModelSource> {
    let versions = home.registry.versions(model).ok()?;
    let version = versions.iter().max_by_key(|version| version.version)?;
    let run = version.run_id.as_ref().and_then(|id| home.registry.run(id.as_str()).ok());
    let config = run.map(|run| run.config).unwrap_or_default();
    let folder = config["file"].as_str().and_then(|file| Path::new(file).parent()).unwrap_or(Path::new(""));
    let sources = config["sources"].as_object().into_iter().flatten();
    let uris: Vec<String> = sources.filter_map(|(_, source)| Some(source["uri"].as_str()?.to_owned())).collect();
    let files = uris.iter().filter_map(|uri| file_of(uri, folder)).collect();
    Some(ModelSource { uris, files })
}

/// Returns the file of a URI. A path in a manifest is relative to its folder, one on the command
/// line to the current folder.
fn file_of(uri: &str, folder: &Path) -> Option<PathBuf> {
    let uri: stagewright_data::SourceUri = uri.parse().ok()?;
    let places = [folder.join(uri.path()), uri.path().to_owned()];
    places.iter().find_map(|path| path.canonicalize().ok())
}
