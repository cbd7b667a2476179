//! The files of versions that pipelines made: what a client downloads to load one.
//!
//! They are at the version's source, `stagewright/models/NAME/VERSION`, and in the folder `model`
//! among the files of the version's run. They are not stored a second time.

use std::fs::File;
use std::io::{Cursor, Read as _};

use stagewright_mlmodel::{Contents, MODEL};
use stagewright_store::{FileEntry, ModelVersion, RunId, StoreError};

use super::opened::{Opened, unreadable};
use crate::app::App;
use crate::mlflow_error::MlflowError;

/// The folder of all versions.
const VERSIONS: &str = "stagewright/models/";

/// Returns the entries of a folder of a version; none of any other path.
pub(super) fn entries(app: &App, folder: &str) -> Result<Vec<FileEntry>, MlflowError> {
    let Some((version, rest)) = of_path(app, folder)? else { return Ok(Vec::new()) };
    let mut entries: Vec<FileEntry> = Vec::new();
    for (path, contents) in files(app, &version)? {
        let below = if rest.is_empty() {
            Some(path.as_str())
        } else {
            path.strip_prefix(rest).and_then(|it| it.strip_prefix('/'))
        };
        let Some(below) = below else { continue };
        let (name, is_folder) = below.split_once('/').map_or((below, false), |(name, _)| (name, true));
        if entries.iter().all(|entry| entry.name != name) {
            let bytes = (!is_folder).then(|| contents.size());
            entries.push(FileEntry { name: name.to_owned(), is_folder, bytes });
        }
    }
    Ok(entries)
}

/// Returns whether a path is a version's folder, or below it.
pub(super) fn has(app: &App, path: &str) -> Result<bool, MlflowError> {
    Ok(of_path(app, path)?.is_some())
}

/// Opens a file of a version; `None` if there is none at this path.
pub(super) fn open(app: &App, path: &str) -> Result<Option<Opened>, MlflowError> {
    let Some((version, rest)) = of_path(app, path)? else { return Ok(None) };
    let found = files(app, &version)?.into_iter().find(|(path, _)| path == rest);
    found.map(|(_, contents)| opened(app, contents)).transpose()
}

/// Splits the path of a version's file into the version and the rest.
fn of_path<'a>(app: &App, path: &'a str) -> Result<Option<(ModelVersion, &'a str)>, MlflowError> {
    if let Some(of_models) = path.strip_prefix(VERSIONS) {
        let mut parts = of_models.splitn(3, '/');
        let (Some(model), Some(number)) = (parts.next(), parts.next()) else { return Ok(None) };
        let Some(number) = number.parse::<u32>().ok().filter(|parsed| parsed.to_string() == number) else {
            return Ok(None);
        };
        let version = match app.registry.version(model, number) {
            Ok(version) => version,
            Err(StoreError::NoVersion { .. } | StoreError::NoModel { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The files of a client's version are where its source says.
        return Ok(version.foreign.is_none().then_some((version, parts.next().unwrap_or_default())));
    }
    let mut parts = path.splitn(5, '/');
    let (Some(experiment), Some(run_id), Some("artifacts"), Some(MODEL)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let Ok(run_id) = run_id.parse::<RunId>() else { return Ok(None) };
    let run = match app.registry.run(run_id.as_str()) {
        Ok(run) => run,
        Err(StoreError::NoRun { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if run.experiment_id.to_string() != experiment {
        return Ok(None);
    }
    Ok(of_run(app, &run_id)?.map(|version| (version, parts.next().unwrap_or_default())))
}

/// Returns the version that a run made. A stage of the name `model` has the folder of that name for
/// itself.
fn of_run(app: &App, run_id: &RunId) -> Result<Option<ModelVersion>, MlflowError> {
    if app.registry.stages(run_id)?.iter().any(|stage| stage.name == MODEL && !stage.outputs.is_empty()) {
        return Ok(None);
    }
    Ok(app.registry.versions_made_by(run_id)?.into_iter().next())
}

/// Returns the files of a version by their paths, sorted.
fn files(app: &App, version: &ModelVersion) -> Result<Vec<(String, Contents)>, MlflowError> {
    let run_id = version.run_id.as_ref().map(RunId::as_str);
    Ok(stagewright_mlmodel::files(&app.artifacts, version, run_id)?)
}

fn opened(app: &App, contents: Contents) -> Result<Opened, MlflowError> {
    match contents {
        Contents::Text(text) => Ok(Opened { bytes: text.len() as u64, reader: Box::new(Cursor::new(text)) }),
        Contents::Object { kind, digest, path, .. } => {
            let size = app.artifacts.verify(kind, &digest)?;
            let file = File::open(path).map_err(unreadable)?;
            Ok(Opened { bytes: size, reader: Box::new(file.take(size)) })
        }
    }
}
