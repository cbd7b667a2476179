//! Runs, with everything that was logged to them.

use stagewright_mlflow_client::artifacts::Folder;
use stagewright_mlflow_client::records::{Experiment, Metric, Pair, Run};
use stagewright_mlflow_client::{ClientError, Page};
use stagewright_store::{
    Dataset, DatasetInput, DatasetName, Digest, ImportedClientRun, ImportedKind, MetricPoint, ModelOutput, PARENT_TAG,
    Run as RunHere, RunId, RunStatus, RunUpdate, StoreError, proxied_path,
};

use super::files::Into;
use super::importer::{ImportError, Importer, PAGE, differing, digest_of, missing, pairs};
use crate::export::RUN_TAG;

/// The values of a page of a metric's history.
const VALUES: usize = 10_000;
/// The values that are recorded at a time.
const AT_ONCE: usize = 1_000;

impl Importer<'_> {
    /// Imports the runs of an experiment, which has the number `here`.
    pub(super) fn runs(&mut self, experiment: &Experiment, here: i64) -> Result<(), ImportError> {
        let server = self.server;
        // Runs with many metrics may be too many for an answer. Places count runs, not pages.
        let mut most = PAGE;
        server.each_page(
            "runs/search",
            |token| loop {
                match server.runs(&experiment.experiment_id, "", most, token) {
                    Err(ClientError::TooLarge { .. }) if most > 1 => most = (most / 8).max(1),
                    done => return done,
                }
            },
            |page| {
                for run in page {
                    self.go_on()?;
                    self.run_of(&run, here)?;
                }
                Ok::<_, ImportError>(())
            },
        )
    }

    fn run_of(&mut self, there: &Run, experiment: i64) -> Result<(), ImportError> {
        let (id, about) = (&there.info.run_id, format!("run {}", there.info.run_id));
        if self.is_copy(&there.data.tags)? {
            self.outcome.own_runs += 1;
            return Ok(());
        }
        let digest = digest_of(there, !self.options.without_artifacts);
        let known = self.known(ImportedKind::Run, id)?;
        if known.as_ref().is_some_and(|known| known.digest == Some(digest)) && !self.options.recheck {
            self.outcome.runs.unchanged += 1;
            return Ok(());
        }
        let was_whole = known.is_some_and(|known| known.digest.is_some());
        let Some(here) = self.reserve_run(there)? else {
            self.outcome.own_runs += 1;
            return Ok(());
        };
        let new = ImportedClientRun {
            run_id: here.clone(),
            experiment_id: experiment,
            name: name_of(there),
            user: user_of(there),
            started_ms: there.info.start_time,
        };
        let is_new = match self.registry.import_client_run(&new) {
            Ok(is_new) => is_new,
            Err(error) => return self.refused(&about, error),
        };
        let run = self.registry.run(here.as_str())?;
        if run.deleted_ms.is_some() {
            // Who deleted it here does not want it back.
            self.outcome.runs.unchanged += 1;
            return self.whole(id, digest);
        }
        let before = (self.outcome.conflict_count, self.outcome.files);
        let logged = self.log_run(there, &run, was_whole, &about);
        self.stopped(&about, logged)?;
        let changed =
            is_new || !was_whole || run != self.registry.run(here.as_str())? || before.1 != self.outcome.files;
        self.outcome.runs.count(is_new, changed);
        // What could not be imported is tried again by the next import.
        if before.0 == self.outcome.conflict_count { self.whole(id, digest) } else { Ok(()) }
    }

    fn whole(&self, id: &str, digest: Digest) -> Result<(), ImportError> {
        Ok(self.registry.finish_import(self.remote(ImportedKind::Run, id), digest)?)
    }

    /// Turns an error about a record into a conflict.
    pub(super) fn stopped(&mut self, about: &str, done: Result<(), ImportError>) -> Result<(), ImportError> {
        match done {
            Err(ImportError::Store(error)) => self.refused(about, error),
            Err(ImportError::Server(error @ (ClientError::Refused { .. } | ClientError::TooLarge { .. }))) => {
                let hint = "see that the server still has it, and import again";
                self.outcome.conflict(about, &error.to_string(), hint);
                Ok(())
            }
            done => done,
        }
    }

    /// Returns whether a run or a version has the tag of a copy of a run that is here, which
    /// [`crate::export`] sent there.
    pub(super) fn is_copy(&self, tags: &[Pair]) -> Result<bool, ImportError> {
        let Some(original) = tags.iter().find(|tag| tag.key == RUN_TAG) else { return Ok(false) };
        let original = original.value.as_str();
        match self.registry.run(original) {
            Ok(run) => Ok(run.run_id.as_str() == original && !run.is_client),
            Err(StoreError::NoRun { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the identifier of a run here: its own if it is free, or a new one. `None` if the run
    /// itself is here: a pipeline's, which the other server has from this registry.
    fn reserve_run(&mut self, there: &Run) -> Result<Option<RunId>, ImportError> {
        let id = &there.info.run_id;
        if let Some(known) = self.known(ImportedKind::Run, id)? {
            return Ok(known.local.parse().ok());
        }
        let own: Option<RunId> = id.parse().ok();
        let taken = match &own {
            None => None,
            Some(own) => match self.registry.run(own.as_str()) {
                Ok(run) => Some(run),
                Err(StoreError::NoRun { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let is_same = |run: &RunHere| run.started_ms == there.info.start_time && run.name == name_of(there);
        let local = match (own, taken) {
            (Some(own), None) => own,
            (Some(own), Some(run)) if is_same(&run) => {
                if !run.is_client {
                    return Ok(None);
                }
                own
            }
            (own, _) => {
                let new = self.registry.new_run_id()?;
                let what = match own {
                    Some(_) => format!("another run has this identifier here; it is {new} here"),
                    None => format!("its identifier has not the form of one; it is {new} here"),
                };
                self.outcome.note(&format!("run {id}"), &what, &format!("look at both: stagewright runs show {new}"));
                new
            }
        };
        let reserved = self.registry.reserve_import(self.remote(ImportedKind::Run, id), local.as_str())?;
        Ok(reserved.local.parse().ok())
    }

    /// Logs everything of a run that is not here yet, and its end last.
    fn log_run(&mut self, there: &Run, run: &RunHere, was_whole: bool, about: &str) -> Result<(), ImportError> {
        let tags = self.tags_of(there)?;
        // What was imported once belongs to those who work here.
        let tags = if was_whole { missing(&tags, &run.tags) } else { pairs(&tags) };
        if was_whole {
            self.note_differences(there, run, about);
        }
        let parameters = missing(&there.data.params, &run.parameters);
        self.log_pairs(&run.run_id, &parameters, &tags, about)?;
        for last in &there.data.metrics {
            let done = self.metric_of(&there.info.run_id, last, &run.run_id);
            self.stopped(about, done)?;
        }
        self.log_inputs(there, &run.run_id, about)?;
        if !self.options.without_artifacts {
            self.files_of_run(there, run, was_whole, about)?;
        }
        let ended_ms = Some(there.info.end_time).filter(|time| *time > 0);
        let status = match there.info.status.as_str() {
            "FINISHED" => RunStatus::Finished,
            "FAILED" => RunStatus::Failed,
            "KILLED" => RunStatus::Killed,
            _ => RunStatus::Running,
        };
        let update = RunUpdate { status: Some(status), ended_ms, name: None };
        self.registry.update_run(&run.run_id, &update)?;
        Ok(())
    }

    /// Logs parameters and tags: all at once, or one by one if one of them cannot be held.
    fn log_pairs(
        &mut self,
        run: &RunId,
        parameters: &[(String, String)],
        tags: &[(String, String)],
        about: &str,
    ) -> Result<(), ImportError> {
        if self.registry.log_client_batch(run, &[], parameters, tags).is_ok() {
            return Ok(());
        }
        for parameter in parameters {
            if let Err(error) = self.registry.log_client_batch(run, &[], std::slice::from_ref(parameter), &[]) {
                self.refused(about, error)?;
            }
        }
        for tag in tags {
            if let Err(error) = self.registry.log_client_batch(run, &[], &[], std::slice::from_ref(tag)) {
                self.refused(about, error)?;
            }
        }
        Ok(())
    }

    /// Returns the tags of a run, with the identifiers that their runs have here.
    fn tags_of(&mut self, there: &Run) -> Result<Vec<Pair>, ImportError> {
        let mut tags = there.data.tags.clone();
        for tag in tags.iter_mut().filter(|tag| tag.key == PARENT_TAG) {
            if self.known(ImportedKind::Run, &tag.value)?.is_none()
                && let Some(parent) = self.server.run(&tag.value)?
            {
                self.reserve_run(&parent)?;
            }
            if let Some(here) = self.known(ImportedKind::Run, &tag.value)? {
                tag.value = here.local;
            }
        }
        Ok(tags)
    }

    fn note_differences(&mut self, there: &Run, run: &RunHere, about: &str) {
        let tags = differing(&there.data.tags, &run.tags);
        let tags = tags.into_iter().filter(|name| *name != PARENT_TAG).map(|name| ("tag", name));
        let parameters = differing(&there.data.params, &run.parameters);
        for (kind, name) in tags.chain(parameters.into_iter().map(|name| ("parameter", name))) {
            let what = format!("the {kind} `{name}` is another one there; it stays as it is here");
            self.outcome.note(about, &what, "set it here as it is there, if that is meant");
        }
    }

    /// Imports all values of a metric.
    fn metric_of(&mut self, there: &str, last: &Metric, here: &RunId) -> Result<(), ImportError> {
        let server = self.server;
        server.each_page(
            "metrics/get-history",
            |token| match server.metric_history(there, &last.key, VALUES, token) {
                // Older servers have the values of a deleted metric no more.
                Err(error) if error.is_missing() => Ok(Page { items: vec![last.clone()], next: None }),
                done => done,
            },
            |page| {
                self.go_on()?;
                self.outcome.values += page.len() as u64;
                for piece in page.chunks(AT_ONCE) {
                    let points: Vec<MetricPoint> = piece.iter().map(|metric| point(metric, None)).collect();
                    self.registry.log_client_batch(here, &points, &[], &[])?;
                }
                Ok::<_, ImportError>(())
            },
        )
    }

    /// Records the datasets and the logged models that a run used and made.
    fn log_inputs(&mut self, there: &Run, here: &RunId, about: &str) -> Result<(), ImportError> {
        let dataset = |input: &stagewright_mlflow_client::records::DatasetInput| DatasetInput {
            dataset: Dataset {
                name: input.dataset.name.clone(),
                digest: input.dataset.digest.clone(),
                source_type: input.dataset.source_type.clone(),
                source: input.dataset.source.clone(),
                schema: input.dataset.schema.clone(),
                profile: input.dataset.profile.clone(),
            },
            tags: pairs(&input.tags),
        };
        let datasets: Vec<DatasetInput> = there.inputs.dataset_inputs.iter().map(dataset).collect();
        let (mut models, mut outputs) = (Vec::new(), Vec::new());
        for input in &there.inputs.model_inputs {
            models.extend(self.logged_model_here(&input.model_id, about)?);
        }
        for output in &there.outputs.model_outputs {
            let found = self.logged_model_here(&output.model_id, about)?;
            outputs.extend(found.map(|model_id| ModelOutput { model_id, step: output.step }));
        }
        if !(datasets.is_empty() && models.is_empty()) {
            self.registry.log_inputs(here, &datasets, &models)?;
        }
        if !outputs.is_empty() {
            self.registry.log_outputs(here, &outputs)?;
        }
        Ok(())
    }

    fn files_of_run(&mut self, there: &Run, run: &RunHere, was_whole: bool, about: &str) -> Result<(), ImportError> {
        let Some(path) = proxied_path(&run.artifact_uri) else {
            let what = "its files were not imported: its experiment has another artifact location here";
            self.outcome.note(about, what, "rename the experiment here, and import again with --recheck");
            return Ok(());
        };
        let folder = match self.server.proxied_path(&there.info.artifact_uri) {
            Some(path) => Folder::Proxied(path),
            None => Folder::OfRun(there.info.run_id.clone()),
        };
        self.copy_files(&folder, &Into { about, path: &path, may_replace: !was_whole }).map(drop)
    }
}

/// Returns a value as it is logged here.
pub(super) fn point(metric: &Metric, model_id: Option<String>) -> MetricPoint {
    let dataset = (!metric.dataset_name.is_empty())
        .then(|| DatasetName { name: metric.dataset_name.clone(), digest: metric.dataset_digest.clone() });
    MetricPoint {
        name: metric.key.clone(),
        value: metric.value,
        step: metric.step,
        at_ms: Some(metric.timestamp),
        dataset: dataset.filter(|_| model_id.is_some()),
        model_id,
    }
}

fn tag<'a>(run: &'a Run, name: &str) -> Option<&'a str> {
    run.data.tags.iter().find(|tag| tag.key == name).map(|tag| tag.value.as_str())
}

fn name_of(run: &Run) -> String {
    let name = Some(run.info.run_name.as_str()).filter(|name| !name.is_empty());
    name.or_else(|| tag(run, "mlflow.runName")).unwrap_or_default().to_owned()
}

fn user_of(run: &Run) -> String {
    let user = Some(run.info.user_id.as_str()).filter(|user| !user.is_empty());
    user.or_else(|| tag(run, "mlflow.user")).unwrap_or_default().to_owned()
}
