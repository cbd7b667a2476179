//! The files of pipelines' runs: what their stages made, by stage and name.
//!
//! Clients find them where they expect a run's artifacts. They are not stored a second time:
//! documents and states are sent as they are, tables are written as Parquet when a client asks.

use std::fs::File;
use std::io::{Cursor, Read as _};

use stagewright_mlmodel::MODEL;
use stagewright_store::{ArtifactKind, ArtifactRecord, FileEntry, RunId, StageRecord, StoreError, export_parquet};
use stagewright_text::Untrusted;

use super::opened::{Opened, unreadable};
use super::version_files;
use crate::app::App;
use crate::mlflow_error::MlflowError;

/// Returns the entries of a folder of a pipeline's run; none of any other path.
pub(super) fn entries(app: &App, folder: &str) -> Result<Vec<FileEntry>, MlflowError> {
    let Some((stages, rest)) = of_run(app, folder)? else { return Ok(Vec::new()) };
    let made = stages.iter().filter(|stage| !stage.outputs.is_empty());
    Ok(match rest {
        "" => {
            let folder_of = |name: &str| FileEntry { name: name.to_owned(), is_folder: true, bytes: None };
            let of_version = version_files::has(app, &format!("{folder}/{MODEL}"))?.then(|| folder_of(MODEL));
            made.map(|stage| folder_of(&stage.name)).chain(of_version).collect()
        }
        rest => made.filter(|stage| stage.name == rest).flat_map(|stage| &stage.outputs).map(entry).collect(),
    })
}

/// Opens a file of a pipeline's run; `None` if there is none at this path.
pub(super) fn open(app: &App, path: &str) -> Result<Option<Opened>, MlflowError> {
    let Some((stages, rest)) = of_run(app, path)? else { return Ok(None) };
    let Some((stage, name)) = rest.split_once('/') else { return Ok(None) };
    let outputs = stages.iter().filter(|it| it.name == stage).flat_map(|it| &it.outputs);
    outputs.into_iter().find(|output| output.file_name() == name).map(|output| opened(app, output)).transpose()
}

/// Checks that a client may put a file at this path: that it is not in the folder of a stage or of
/// the run's model.
///
/// # Errors
/// The file would pass for one that the stage made.
pub(super) fn check_free(app: &App, path: &str) -> Result<(), MlflowError> {
    let Some((stages, rest)) = of_run(app, path)? else { return Ok(()) };
    let folder = rest.split('/').next().unwrap_or_default();
    if stages.iter().any(|stage| stage.name == folder && !stage.outputs.is_empty()) {
        let shown = Untrusted::new(folder).cut(200);
        return Err(MlflowError::invalid(format!(
            "The folder `{shown}` of this run has what its stage `{shown}` made. Put the file into another folder."
        )));
    }
    if version_files::has(app, path)? {
        return Err(MlflowError::invalid(format!(
            "The folder `{MODEL}` of this run has the model that it made. Put the file into another folder."
        )));
    }
    Ok(())
}

/// Splits the path of what a pipeline's run made into the stages of the run and the rest.
fn of_run<'a>(app: &App, path: &'a str) -> Result<Option<(Vec<StageRecord>, &'a str)>, MlflowError> {
    let mut parts = path.splitn(4, '/');
    let (Some(experiment), Some(run_id), Some("artifacts")) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let Ok(run_id) = run_id.parse::<RunId>() else { return Ok(None) };
    match app.registry.run(run_id.as_str()) {
        Ok(run) if !run.is_client && run.experiment_id.to_string() == experiment => {
            Ok(Some((app.registry.stages(&run_id)?, parts.next().unwrap_or_default())))
        }
        Ok(_) | Err(StoreError::NoRun { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn entry(output: &ArtifactRecord) -> FileEntry {
    // A table's file has its size when it is written.
    let bytes = (output.kind != ArtifactKind::Table).then_some(output.bytes);
    FileEntry { name: output.file_name(), is_folder: false, bytes }
}

fn opened(app: &App, output: &ArtifactRecord) -> Result<Opened, MlflowError> {
    match output.kind {
        ArtifactKind::Document => {
            let document = app.artifacts.open_document(&output.digest, &output.media_type)?;
            let bytes = document.bytes().to_vec();
            Ok(Opened { bytes: bytes.len() as u64, reader: Box::new(Cursor::new(bytes)) })
        }
        ArtifactKind::Blob => {
            let blob = app.artifacts.open_blob(&output.digest)?;
            let file = File::open(blob.path()).map_err(unreadable)?;
            Ok(Opened { bytes: blob.size(), reader: Box::new(file.take(blob.size())) })
        }
        ArtifactKind::Table => {
            let table = app.artifacts.open_table(&output.digest)?;
            let folder = tempfile::tempdir().map_err(unreadable)?;
            let path = folder.path().join("table.parquet");
            app.pool.at_length(|| Ok(export_parquet(&table, &path)?))?;
            // Its name goes with the folder; its bytes stay until they are sent.
            let file = File::open(&path).map_err(unreadable)?;
            let bytes = file.metadata().map_err(unreadable)?.len();
            Ok(Opened { bytes, reader: Box::new(file.take(bytes)) })
        }
    }
}
