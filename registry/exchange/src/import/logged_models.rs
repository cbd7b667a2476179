//! Logged models: models that clients saved, before or without registering them.

use std::collections::BTreeMap;

use stagewright_mlflow_client::artifacts::Folder;
use stagewright_mlflow_client::records::{Experiment, LoggedModel};
use stagewright_store::{
    ImportedKind, ImportedLoggedModel, LoggedModel as LoggedModelHere, LoggedModelStatus, MetricPoint, RunId,
    StoreError, TrackingError, proxied_path,
};

use super::files::Into;
use super::importer::{ImportError, Importer, digest_of, missing, pairs};
use super::runs::point;

/// The logged models of a page.
const PAGE: usize = 50;

impl Importer<'_> {
    /// Imports the logged models of an experiment, which has the number `here`.
    pub(super) fn logged_models(&mut self, experiment: &Experiment, here: i64) -> Result<(), ImportError> {
        self.each_logged_model(experiment, &mut |importer, model| importer.logged_model_of(model, here))
    }

    /// Records what runs measured of the logged models of an experiment, and that these are whole.
    pub(super) fn metrics_of_logged_models(&mut self, experiment: &Experiment) -> Result<(), ImportError> {
        self.each_logged_model(experiment, &mut Self::metrics_of)
    }

    fn each_logged_model(
        &mut self,
        experiment: &Experiment,
        each: &mut dyn FnMut(&mut Self, &LoggedModel) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let server = self.server;
        server.each_page(
            "logged-models/search",
            |token| server.logged_models(&experiment.experiment_id, PAGE, token),
            |page| {
                for model in &page {
                    self.go_on()?;
                    each(self, model)?;
                }
                Ok::<_, ImportError>(())
            },
        )
    }

    fn is_unchanged(&self, there: &LoggedModel) -> Result<bool, ImportError> {
        let digest = digest_of(there, !self.options.without_artifacts);
        let known = self.known(ImportedKind::LoggedModel, &there.info.model_id)?;
        Ok(known.is_some_and(|known| known.digest == Some(digest)) && !self.options.recheck)
    }

    fn logged_model_of(&mut self, there: &LoggedModel, experiment: i64) -> Result<(), ImportError> {
        let (info, about) = (&there.info, format!("logged model {}", there.info.model_id));
        if self.is_unchanged(there)? {
            self.outcome.logged_models.unchanged += 1;
            return Ok(());
        }
        let was_whole =
            self.known(ImportedKind::LoggedModel, &info.model_id)?.is_some_and(|known| known.digest.is_some());
        let model_id = self.reserve_logged_model(there)?;
        let new = ImportedLoggedModel {
            model_id: model_id.clone(),
            experiment_id: experiment,
            name: info.name.clone(),
            model_type: Some(info.model_type.clone()).filter(|kind| !kind.is_empty()),
            source_run: self.run_here(&info.source_run_id)?,
            parameters: pairs(&there.data.params),
            tags: pairs(&info.tags),
            created_ms: info.creation_timestamp_ms,
        };
        let is_new = match self.registry.import_logged_model(&new) {
            Ok(is_new) => is_new,
            Err(error) => return self.refused(&about, error),
        };
        // Who deleted it here does not want it back.
        let Some(here) = self.logged_model_if_there(&model_id)? else {
            self.outcome.logged_models.unchanged += 1;
            return Ok(());
        };
        let files_before = self.outcome.files;
        let tags = missing(&info.tags, &here.tags);
        if !tags.is_empty() {
            self.registry.tag_logged_model(&model_id, &tags)?;
        }
        let parameters = missing(&there.data.params, &here.parameters);
        if !parameters.is_empty() {
            self.registry.log_logged_model_parameters(&model_id, &parameters)?;
        }
        self.files_of_logged_model(there, &here, was_whole, &about)?;
        let status = match info.status.as_str() {
            "LOGGED_MODEL_READY" => LoggedModelStatus::Ready,
            "LOGGED_MODEL_UPLOAD_FAILED" => LoggedModelStatus::Failed,
            _ => LoggedModelStatus::Pending,
        };
        let message = Some(info.status_message.as_str()).filter(|message| !message.is_empty());
        self.registry.end_imported_model(&model_id, status, message, info.last_updated_timestamp_ms)?;
        let changed = self.outcome.files > files_before || self.logged_model_if_there(&model_id)? != Some(here);
        self.outcome.logged_models.count(is_new, changed);
        Ok(())
    }

    /// Returns the identifier of a logged model here: its own if it is free, or a new one.
    fn reserve_logged_model(&mut self, there: &LoggedModel) -> Result<String, ImportError> {
        let info = &there.info;
        if let Some(known) = self.known(ImportedKind::LoggedModel, &info.model_id)? {
            return Ok(known.local);
        }
        let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let has_form = info.model_id.strip_prefix("m-").is_some_and(is_hex);
        let taken = if has_form { self.logged_model_if_there(&info.model_id)? } else { None };
        let is_same = |here: &LoggedModelHere| here.created_ms == info.creation_timestamp_ms && here.name == info.name;
        let local = if has_form && taken.is_none_or(|here| is_same(&here)) {
            info.model_id.clone()
        } else {
            let new = self.registry.new_logged_model_id()?;
            let what = format!("its identifier is taken or has not the form of one; it is {new} here");
            self.outcome.note(&format!("logged model {}", info.model_id), &what, "use the new one here");
            new
        };
        let remote = self.remote(ImportedKind::LoggedModel, &info.model_id);
        Ok(self.registry.reserve_import(remote, &local)?.local)
    }

    fn files_of_logged_model(
        &mut self,
        there: &LoggedModel,
        here: &LoggedModelHere,
        was_whole: bool,
        about: &str,
    ) -> Result<(), ImportError> {
        if self.options.without_artifacts {
            return Ok(());
        }
        let (from, to) = (self.server.proxied_path(&there.info.artifact_uri), proxied_path(&here.artifact_uri));
        let (Some(from), Some(path)) = (from, to) else {
            let what = format!("its files were not imported: they are at {}", there.info.artifact_uri);
            self.outcome.note(
                about,
                &what,
                "have the server pass artifacts on (`mlflow server --artifacts-destination`)",
            );
            return Ok(());
        };
        self.copy_files(&Folder::Proxied(from), &Into { about, path: &path, may_replace: !was_whole }).map(drop)
    }

    /// Returns a logged model, unless there is none, or it was deleted.
    fn logged_model_if_there(&self, model_id: &str) -> Result<Option<LoggedModelHere>, ImportError> {
        match self.registry.logged_model(model_id) {
            Ok(model) => Ok(Some(model)),
            Err(StoreError::Tracking(TrackingError::NoLoggedModel { .. })) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the identifier here of a logged model that a run names; `None`, with a note, if it
    /// is not here.
    pub(super) fn logged_model_here(&mut self, there: &str, about: &str) -> Result<Option<String>, ImportError> {
        let known = self.known(ImportedKind::LoggedModel, there)?.map_or_else(|| there.to_owned(), |known| known.local);
        if self.logged_model_if_there(&known)?.is_some() {
            return Ok(Some(known));
        }
        let what = format!("it names the logged model `{there}`, which is not here");
        self.outcome.note(about, &what, "import the experiment of that model too");
        Ok(None)
    }

    fn metrics_of(&mut self, there: &LoggedModel) -> Result<(), ImportError> {
        if self.is_unchanged(there)? {
            return Ok(());
        }
        let id = &there.info.model_id;
        let Some(model_id) = self.known(ImportedKind::LoggedModel, id)?.map(|known| known.local) else {
            return Ok(());
        };
        if self.logged_model_if_there(&model_id)?.is_some() {
            let mut of_runs: BTreeMap<RunId, Vec<MetricPoint>> = BTreeMap::new();
            for metric in &there.data.metrics {
                let Some(run) = self.run_here(&metric.run_id)? else { continue };
                of_runs.entry(run).or_default().push(point(metric, Some(model_id.clone())));
            }
            for (run, points) in of_runs {
                match self.registry.log_client_batch(&run, &points, &[], &[]) {
                    Ok(()) => {}
                    // The run is of an experiment that is not imported, or was deleted.
                    Err(StoreError::NoRun { .. }) => {}
                    Err(error) => self.refused(&format!("logged model {id}"), error)?,
                }
            }
        }
        let digest = digest_of(there, !self.options.without_artifacts);
        Ok(self.registry.finish_import(self.remote(ImportedKind::LoggedModel, id), digest)?)
    }
}
