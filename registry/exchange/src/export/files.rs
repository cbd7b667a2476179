//! The files of a run and of the version that it registered.
//!
//! A run's documents are sent: reports, figures, whatever stages and host wrote for people. Its
//! tables stay here, since they are data of others, and can be large. A version's files are those
//! that predictions need, with its card.

use std::fs::File;

use stagewright_mlflow_client::artifacts::Content;
use stagewright_mlflow_client::{ClientError, Server};
use stagewright_mlmodel::{Contents, MODEL};
use stagewright_store::{ArtifactKind, ArtifactRecord, ArtifactStore, ModelVersion, StageRecord};

use super::error::ExportError;

/// Sends files to the folder of a run.
pub(super) struct Files<'a> {
    pub(super) server: &'a Server,
    pub(super) artifacts: &'a ArtifactStore,
    /// The path of the run's folder at the server's proxy.
    pub(super) folder: &'a str,
}

impl Files<'_> {
    /// Sends one document of a stage.
    pub(super) fn document(&self, stage: &StageRecord, output: &ArtifactRecord) -> Result<(), ExportError> {
        let document = self.artifacts.open_document(&output.digest, &output.media_type)?;
        Ok(self.bytes(&document_path(stage, output), document.bytes())?)
    }

    /// Sends bytes to a path of the run.
    pub(super) fn bytes(&self, path: &str, bytes: &[u8]) -> Result<(), ClientError> {
        self.server.upload(&format!("{}/{path}", self.folder), &Content::Bytes(bytes))
    }

    /// Sends the files of a version, by which MLflow's clients load it there. Returns their paths
    /// in its folder. `run_id` is the copy of its run.
    pub(super) fn version(
        &self,
        version: &ModelVersion,
        run_id: &str,
        card: Option<&str>,
    ) -> Result<Vec<String>, ExportError> {
        let mut sent = Vec::new();
        for (path, contents) in stagewright_mlmodel::files(self.artifacts, version, Some(run_id))? {
            let to = format!("{MODEL}/{path}");
            match contents {
                Contents::Text(text) => self.bytes(&to, &text)?,
                Contents::Object { kind, digest, path, .. } => {
                    self.artifacts.verify(kind, &digest)?;
                    let failed = |error| {
                        ClientError::File(format!("an artifact of `{}` cannot be read: {error}", version.model))
                    };
                    let file = File::open(path).map_err(failed)?;
                    self.server.upload(&format!("{}/{to}", self.folder), &Content::File(&file))?;
                }
            }
            sent.push(path);
        }
        let contents = serde_json::to_vec_pretty(&version.contents).unwrap_or_default();
        self.bytes(&format!("{MODEL}/version.json"), &contents)?;
        sent.push("version.json".to_owned());
        if let Some(card) = card {
            self.bytes(&format!("{MODEL}/card.html"), card.as_bytes())?;
            sent.push("card.html".to_owned());
        }
        Ok(sent)
    }
}

/// Returns the documents of a stage.
pub(super) fn documents(stage: &StageRecord) -> impl Iterator<Item = &ArtifactRecord> {
    stage.outputs.iter().filter(|output| output.kind == ArtifactKind::Document)
}

/// Returns the path of a document among the files of its run, as the tracking server has it.
pub(super) fn document_path(stage: &StageRecord, output: &ArtifactRecord) -> String {
    let ending = match output.media_type.split(';').next().unwrap_or_default() {
        "application/json" => ".json",
        "text/html" => ".html",
        "image/svg+xml" => ".svg",
        "text/csv" => ".csv",
        "text/plain" => ".txt",
        _ => ".bin",
    };
    let name = if output.name.ends_with(ending) { output.name.clone() } else { format!("{}{ending}", output.name) };
    format!("{}/{name}", stage.name)
}
