//! Files of runs and models, copied to the paths that this registry has for them.

use stagewright_mlflow_client::ClientError;
use stagewright_mlflow_client::artifacts::{Folder, RemoteFile};
use stagewright_store::{StoreError, TrackingError};

use super::importer::{ImportError, Importer};

/// How often a file is tried to get.
const ATTEMPTS: u32 = 3;

/// Where files are to come, and for what.
pub(super) struct Into<'a> {
    /// The record that messages name.
    pub(super) about: &'a str,
    /// The path of the folder here.
    pub(super) path: &'a str,
    /// Whether a file that is here may be replaced, because nobody but this import put it there.
    pub(super) may_replace: bool,
}

impl Importer<'_> {
    /// Copies the files of a folder. A file that is here with as many bytes is not read again.
    /// Returns whether something came.
    pub(super) fn copy_files(&mut self, folder: &Folder, into: &Into<'_>) -> Result<bool, ImportError> {
        let files = match self.server.files(folder) {
            Ok(files) => files,
            Err(error) => return self.not_copied(into.about, &error).map(|()| false),
        };
        let mut came = false;
        for file in files {
            self.go_on()?;
            let path = format!("{}/{}", into.path, file.path);
            match self.registry.client_file(&path) {
                // As MLflow, an empty file has no size.
                Ok(here) if here.bytes == file.bytes.unwrap_or(here.bytes) => continue,
                Ok(here) if !into.may_replace => {
                    let what = format!(
                        "`{}` has {} bytes here and {} there; it stays as it is here",
                        file.path,
                        here.bytes,
                        file.bytes.unwrap_or_default()
                    );
                    self.outcome.note(into.about, &what, "delete the file here and import again with --recheck");
                    continue;
                }
                Ok(_) | Err(StoreError::Tracking(TrackingError::NoFile { .. })) => {}
                Err(error) => {
                    self.refused(into.about, error)?;
                    continue;
                }
            }
            came |= self.copy_file(folder, &file, &path, into.about)?;
        }
        Ok(came)
    }

    /// Copies one file. Returns whether it came.
    fn copy_file(&mut self, folder: &Folder, file: &RemoteFile, path: &str, about: &str) -> Result<bool, ImportError> {
        for left in (0..ATTEMPTS).rev() {
            let mut upload = self.artifacts.upload()?;
            let read = self.server.download(folder, file, |piece| {
                self.go_on()?;
                Ok::<_, ImportError>(upload.write(piece)?)
            });
            match read {
                Ok(()) => {}
                Err(ImportError::Server(error)) if error.is_passing() && left > 0 => continue,
                Err(ImportError::Server(error)) => return self.not_copied(about, &error).map(|()| false),
                Err(error) => return Err(error),
            }
            match upload.finish(self.registry, path) {
                Ok(file) => {
                    self.outcome.files += 1;
                    self.outcome.bytes += file.bytes;
                    return Ok(true);
                }
                Err(error) => return self.refused(about, error).map(|()| false),
            }
        }
        Ok(false)
    }

    /// Records that a file cannot be had.
    ///
    /// # Errors
    /// The server does not answer at all.
    fn not_copied(&mut self, about: &str, error: &ClientError) -> Result<(), ImportError> {
        if error.is_passing() || matches!(error, ClientError::Denied { .. }) {
            return Err(error.clone().into());
        }
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        self.outcome.conflict(about, what, "see that the server still has the file, and import again with --recheck");
        Ok(())
    }
}
