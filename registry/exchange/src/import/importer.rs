//! An import from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stagewright_mlflow_client::records::{Experiment, Pair};
use stagewright_mlflow_client::{ClientError, Server};
use stagewright_store::{
    ArtifactStore, Digest, Imported, ImportedKind, Registry, Remote, RunId, StoreError, TrackingError,
};

use super::outcome::Outcome;

/// The records of a page.
pub(super) const PAGE: usize = 200;

/// Why an import ended before its end. What it did stays, and the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The server did not answer as it has to.
    #[error(transparent)]
    Server(#[from] ClientError),
    /// The registry or the artifact store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such experiment or model there.
    #[error("the MLflow server at {address} has no {what} `{name}`")]
    Nothing {
        /// The server.
        address: String,
        /// `experiment` or `model`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Somebody wants it to end.
    #[error("the import was interrupted; the same command goes on from here")]
    Interrupted,
}

/// The choice of what is imported, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The names of the only experiments; empty: all, unless models are named.
    pub experiments: BTreeSet<String>,
    /// The names of the only registered models; empty: all, unless experiments are named.
    pub models: BTreeSet<String>,
    /// The names here of registered models there.
    pub renamed: BTreeMap<String, String>,
    /// Leaves files where they are.
    pub without_artifacts: bool,
    /// Looks again at what was whole and has not changed.
    pub recheck: bool,
}

/// An import.
pub struct Importer<'a> {
    pub(super) server: &'a Server,
    pub(super) registry: &'a Registry,
    pub(super) artifacts: &'a ArtifactStore,
    pub(super) options: &'a Options,
    /// The server's address.
    pub(super) source: String,
    pub(super) outcome: Outcome,
    /// Is told of what was done so far, often. Returns whether to go on.
    progress: &'a dyn Fn(&Outcome) -> bool,
}

impl<'a> Importer<'a> {
    /// Prepares an import. `progress` is told of what was done so far, often, and returns whether
    /// to go on.
    pub fn new(
        server: &'a Server,
        (registry, artifacts): (&'a Registry, &'a ArtifactStore),
        options: &'a Options,
        progress: &'a dyn Fn(&Outcome) -> bool,
    ) -> Self {
        let source = server.address().to_string();
        let outcome = Outcome { source: source.clone(), ..Outcome::default() };
        Self { server, registry, artifacts, options, source, outcome, progress }
    }

    /// Imports.
    ///
    /// # Errors
    /// [`ImportError`]. What was imported stays.
    pub fn run(mut self) -> Result<Outcome, ImportError> {
        let of_experiments = self.options.models.is_empty() || !self.options.experiments.is_empty();
        let of_models = self.options.experiments.is_empty() || !self.options.models.is_empty();
        if of_experiments {
            self.registry.ensure_default_experiment()?;
            let experiments = self.experiments()?;
            for (there, here) in &experiments {
                self.logged_models(there, *here)?;
            }
            for (there, here) in &experiments {
                self.runs(there, *here)?;
            }
            for (there, _) in &experiments {
                self.metrics_of_logged_models(there)?;
            }
        }
        if of_models {
            self.models()?;
        }
        Ok(self.outcome)
    }

    /// Imports the experiments. Returns each as it is there, with its number here.
    fn experiments(&mut self) -> Result<Vec<(Experiment, i64)>, ImportError> {
        let mut all = Vec::new();
        let server = self.server;
        server.each_page(
            "experiments/search",
            |token| server.experiments(PAGE, token),
            |page| {
                all.extend(page);
                Ok::<_, ClientError>(())
            },
        )?;
        if !self.options.experiments.is_empty() {
            all.retain(|experiment| self.options.experiments.contains(&experiment.name));
            if let Some(name) = self.options.experiments.iter().find(|name| all.iter().all(|it| it.name != **name)) {
                return Err(self.nothing("experiment", name));
            }
        }
        let mut imported = Vec::new();
        for there in all {
            self.go_on()?;
            if let Some(here) = self.experiment(&there)? {
                imported.push((there, here));
            }
        }
        Ok(imported)
    }

    /// Finds or creates the experiment of the same name. Returns its number; `None` after a
    /// conflict.
    fn experiment(&mut self, there: &Experiment) -> Result<Option<i64>, ImportError> {
        let about = format!("experiment {}", there.name);
        let Some(here) = self.registry.experiment(&there.name)? else {
            let is_elsewhere = self.server.proxied_path(&there.artifact_location).is_none();
            // Files that are left where they are are found by clients if their place is known.
            let location = Some(there.artifact_location.as_str())
                .filter(|place| is_elsewhere && self.options.without_artifacts && is_of_network(place));
            return match self.registry.create_experiment_at(&there.name, location, &pairs(&there.tags)) {
                Ok(number) => {
                    self.outcome.experiments.added += 1;
                    Ok(Some(number))
                }
                Err(error) => self.refused(&about, error).map(|()| None),
            };
        };
        if here.deleted_ms.is_some() {
            let hint = "restore it here (`mlflow.tracking.MlflowClient().restore_experiment` on `stagewright server`), or rename it there";
            self.outcome.conflict(&about, "an experiment of this name is deleted here", hint);
            return Ok(None);
        }
        let missing = missing(&there.tags, &here.tags);
        for (name, value) in &missing {
            self.registry.tag_experiment_numbered(here.id, name, Some(value))?;
        }
        let counted = &mut self.outcome.experiments;
        *(if missing.is_empty() { &mut counted.unchanged } else { &mut counted.updated }) += 1;
        Ok(Some(here.id))
    }

    /// Tells of what was done so far.
    ///
    /// # Errors
    /// [`ImportError::Interrupted`].
    pub(super) fn go_on(&self) -> Result<(), ImportError> {
        if (self.progress)(&self.outcome) { Ok(()) } else { Err(ImportError::Interrupted) }
    }

    pub(super) fn nothing(&self, what: &'static str, name: &str) -> ImportError {
        let name = stagewright_text::Untrusted::new(name).cut(200).to_string();
        ImportError::Nothing { address: self.source.clone(), what, name }
    }

    pub(super) fn remote<'b>(&'b self, kind: ImportedKind, id: &'b str) -> Remote<'b> {
        Remote { source: &self.source, kind, id }
    }

    /// Returns what a record is here; `None` if it was never reserved.
    pub(super) fn known(&self, kind: ImportedKind, id: &str) -> Result<Option<Imported>, ImportError> {
        Ok(self.registry.imported(self.remote(kind, id))?)
    }

    /// Returns the identifier here of a run there that may or may not be imported.
    pub(super) fn run_here(&self, there: &str) -> Result<Option<RunId>, ImportError> {
        let known = self.known(ImportedKind::Run, there)?;
        Ok(known.map_or_else(|| there.to_owned(), |known| known.local).parse().ok())
    }

    /// Records that the registry does not take a record.
    ///
    /// # Errors
    /// The error says nothing about the record: the registry itself failed.
    pub(super) fn refused(&mut self, about: &str, error: StoreError) -> Result<(), ImportError> {
        if !is_of_record(&error) {
            return Err(error.into());
        }
        let text = error.to_string();
        let (what, hint) = text.split_once("\nhint: ").unwrap_or((&text, "change it there and import again"));
        self.outcome.conflict(about, what, hint);
        Ok(())
    }
}

/// Returns the digest of a record of the server as it was read, by which a change is seen.
pub(super) fn digest_of(record: &impl Serialize, with_files: bool) -> Digest {
    let mut text = serde_json::to_vec(record).unwrap_or_default();
    text.push(u8::from(with_files));
    Digest::of(&text)
}

/// Returns whether an error is about what was to be recorded, and not about the registry.
fn is_of_record(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::BadKey { .. }
            | StoreError::BadKeyValue { .. }
            | StoreError::BadName { .. }
            | StoreError::BadExperimentName { .. }
            | StoreError::ExperimentExists { .. }
            | StoreError::ExperimentDeleted { .. }
            | StoreError::ParameterChanged { .. }
            | StoreError::ReservedAlias { .. }
            | StoreError::BadStage { .. }
            | StoreError::ModelExists { .. }
            | StoreError::NoRun { .. }
            | StoreError::NoModel { .. }
            | StoreError::NoVersion { .. }
            | StoreError::Tracking(
                TrackingError::BadFilePath { .. }
                    | TrackingError::PathTaken { .. }
                    | TrackingError::ReservedPath { .. }
                    | TrackingError::BadLoggedModelName { .. }
                    | TrackingError::BadModelName { .. }
                    | TrackingError::NoLoggedModel { .. }
                    | TrackingError::PipelineModel { .. }
                    | TrackingError::RunOfPipeline { .. }
            )
    )
}

/// Returns whether a URI names a place that other machines reach.
fn is_of_network(uri: &str) -> bool {
    uri.split_once("://").is_some_and(|(scheme, _)| !scheme.eq_ignore_ascii_case("file") && scheme.len() > 1)
}

pub(super) fn pairs(pairs: &[Pair]) -> Vec<(String, String)> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// Returns the pairs whose names are not among those that are here.
pub(super) fn missing(there: &[Pair], here: &[(String, String)]) -> Vec<(String, String)> {
    let is_here = |pair: &&Pair| here.iter().any(|(name, _)| *name == pair.key);
    there.iter().filter(|pair| !is_here(pair)).map(|pair| (pair.key.clone(), pair.value.clone())).collect()
}

/// Returns the names of pairs that are here with another value.
pub(super) fn differing<'b>(there: &'b [Pair], here: &[(String, String)]) -> Vec<&'b str> {
    let differs = |pair: &&Pair| here.iter().any(|(name, value)| *name == pair.key && *value != pair.value);
    there.iter().filter(differs).map(|pair| pair.key.as_str()).collect()
}
