//! Sends one run, as far as it is recorded, and what was not sent before.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use stagewright_mlflow_client::records::{Dataset, DatasetInput, Metric, Pair};
use stagewright_mlflow_client::{ClientError, Page, Server, quoted};
use stagewright_mlmodel::MODEL;
use stagewright_store::{ArtifactStore, LoggedMetric, ModelVersion, PARENT_TAG, Registry, Run, RunId, RunStatus};

use super::admitted::Changed;
use super::error::ExportError;
use super::files::{Files, document_path, documents};

/// The tag of a copy, with the identifier of its run here.
pub const RUN_TAG: &str = "stagewright.run_id";
/// The most bytes of a dataset's digest that MLflow takes.
const MOST_DIGEST: usize = 36;
/// The values of a metric that are asked for at once.
const AT_ONCE: usize = 10_000;
/// The file with what MLflow does not admit.
const WHOLE_VALUES: &str = "stagewright/values.json";

/// Writes the card of a version as HTML, if it can.
pub type Card = dyn Fn(&ModelVersion) -> Option<String> + Send;

/// Sends runs to a server.
pub struct Exporter {
    server: Server,
    registry: Registry,
    artifacts: ArtifactStore,
    card: Box<Card>,
    /// The copies that were looked up or made.
    copies: HashMap<RunId, Copy>,
}

/// A run as it is known to be on the server.
#[derive(Debug, Default)]
struct Copy {
    run_id: String,
    artifact_uri: String,
    /// It is the run itself: the server works with this registry, or one that it was copied to.
    is_itself: bool,
    has_begun: bool,
    has_inputs: bool,
    has_ended: bool,
    /// The values of metrics that were sent, by their numbers here.
    values: HashSet<i64>,
    /// The server may have values that are not among these: another exporter began the copy, or an
    /// answer was lost.
    may_have_others: bool,
    /// The files that were sent.
    files: HashSet<String>,
    /// The versions that were registered: `NAME/NUMBER`, there.
    versions: BTreeMap<(String, u32), String>,
    notes: Vec<String>,
}

/// A run that the server has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sent {
    /// The run here.
    pub run_id: RunId,
    /// Its copy there.
    pub copy: String,
    /// Whether the server already had the run itself, because it works with this registry.
    pub is_itself: bool,
    /// The number of files that were sent.
    pub files: usize,
    /// The versions that it registered there.
    pub versions: Vec<String>,
    /// Sentences about what was not sent as it is.
    pub notes: Vec<String>,
}

impl Exporter {
    /// Makes an exporter. Sends nothing yet.
    pub fn new(server: Server, registry: Registry, artifacts: ArtifactStore, card: Box<Card>) -> Self {
        Self { server, registry, artifacts, card, copies: HashMap::new() }
    }

    /// Returns the server's address, without credentials.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Sends what is recorded of a run, and was not sent by this exporter before. Its status is
    /// sent last, so that a copy that has ended is whole.
    ///
    /// # Errors
    /// [`ExportError`]. What was sent stays, and the next call goes on from there.
    pub fn send(&mut self, run_id: &RunId) -> Result<Sent, ExportError> {
        let run = self.registry.run(run_id.as_str())?;
        let mut copy = match self.copies.remove(run_id) {
            Some(copy) => copy,
            None => self.begin(&run)?,
        };
        let done = if copy.is_itself { Ok(()) } else { self.bring_up_to_date(&run, &mut copy) };
        let sent = Sent {
            run_id: run_id.clone(),
            copy: copy.run_id.clone(),
            is_itself: copy.is_itself,
            files: copy.files.len(),
            versions: copy.versions.values().cloned().collect(),
            notes: copy.notes.clone(),
        };
        self.copies.insert(run_id.clone(), copy);
        done.map(|()| sent)
    }

    /// Finds the copy of a run, or begins one.
    fn begin(&mut self, run: &Run) -> Result<Copy, ExportError> {
        let itself = || Copy { run_id: run.run_id.to_string(), is_itself: true, ..Copy::default() };
        match self.server.run(run.run_id.as_str()) {
            Ok(Some(same)) if same.info.start_time == run.started_ms => return Ok(itself()),
            // The server of this registry has accounts, and nobody named one.
            Err(ClientError::Denied { .. })
                if self.server.says_that_it_has_run(run.run_id.as_str(), run.started_ms) =>
            {
                return Ok(itself());
            }
            done => done?,
        };
        let experiment = self.experiment(&run.experiment)?;
        let filter = format!("tags.`{RUN_TAG}` = '{}'", run.run_id);
        if let Some(found) = self.server.runs(&experiment, &filter, 1, None)?.items.into_iter().next() {
            let artifact_uri = found.info.artifact_uri;
            return Ok(Copy { run_id: found.info.run_id, artifact_uri, may_have_others: true, ..Copy::default() });
        }
        let tags = vec![Pair::new(RUN_TAG, run.run_id.as_str())];
        let begun = self.server.create_run(&experiment, (&run.name, &run.actor), run.started_ms, &tags)?;
        Ok(Copy { run_id: begun.info.run_id, artifact_uri: begun.info.artifact_uri, ..Copy::default() })
    }

    /// Returns the identifier of the experiment of this name, and creates it if there is none.
    fn experiment(&self, name: &str) -> Result<String, ExportError> {
        let found = match self.server.experiment_named(name)? {
            Some(found) => found,
            None => match self.server.create_experiment(name, &[]) {
                Ok(created) => return Ok(created),
                // Somebody else created it meanwhile.
                Err(error) if error.has_code("RESOURCE_ALREADY_EXISTS") => {
                    self.server.experiment_named(name)?.ok_or(error)?
                }
                Err(error) => return Err(error.into()),
            },
        };
        if found.lifecycle_stage == "deleted" {
            return Err(ExportError::DeletedExperiment { address: self.address(), name: name.to_owned() });
        }
        Ok(found.experiment_id)
    }

    fn bring_up_to_date(&mut self, run: &Run, copy: &mut Copy) -> Result<(), ExportError> {
        if !copy.has_begun {
            self.log_beginning(run, copy)?;
            copy.has_begun = true;
        }
        self.log_metrics(run, copy)?;
        if !copy.has_inputs && !run.inputs.datasets.is_empty() {
            let datasets: Vec<DatasetInput> = run.inputs.datasets.iter().map(dataset).collect();
            self.server.log_inputs(&copy.run_id, &datasets)?;
            copy.has_inputs = true;
        }
        self.send_files(run, copy)?;
        let has_ended = run.status != RunStatus::Running;
        if has_ended && !copy.has_ended {
            self.register_versions(run, copy)?;
            self.log_end(run, copy)?;
            copy.has_ended = true;
        }
        Ok(())
    }

    /// Logs parameters and tags, which are known from the beginning.
    fn log_beginning(&mut self, run: &Run, copy: &mut Copy) -> Result<(), ExportError> {
        let mut changed = Changed::default();
        let parameters = changed.parameters(&run.parameters);
        let mut tags = run.tags.clone();
        if let Some((_, parent)) = tags.iter_mut().find(|(name, _)| name == PARENT_TAG)
            && let Ok(parent_id) = parent.parse::<RunId>()
        {
            // The parent has another identifier there, and is begun first.
            *parent = self.copy_of(&parent_id)?;
        }
        tags.push(("stagewright.pipeline".to_owned(), run.pipeline.clone()));
        tags.push(("stagewright.seed".to_owned(), run.seed.to_string()));
        let mut tags = changed.tags(&tags);
        if !changed.is_empty() {
            tags.push(Pair::new("stagewright.changed", format!("{}: {WHOLE_VALUES}", changed.sentence())));
            copy.notes.push(format!("{}; {WHOLE_VALUES} has them as they are", changed.sentence()));
        }
        match self.server.log(&copy.run_id, &[], &parameters, &tags) {
            // Somebody logged to the copy, or cut a value otherwise; the rest can be sent.
            Err(error @ ClientError::Refused { .. }) => {
                copy.notes.push(format!("parameters or tags were refused: {error}"));
            }
            done => done?,
        }
        match self.server.proxied_path(&copy.artifact_uri) {
            Some(folder) if !changed.is_empty() => {
                let files = Files { server: &self.server, artifacts: &self.artifacts, folder: &folder };
                files.bytes(WHOLE_VALUES, changed.whole().as_bytes())?;
            }
            Some(_) => {}
            None => copy.notes.push(format!(
                "files were not sent: the server does not take them itself, they are at {}",
                stagewright_text::Untrusted::new(&copy.artifact_uri).cut(200)
            )),
        }
        Ok(())
    }

    fn copy_of(&mut self, run_id: &RunId) -> Result<String, ExportError> {
        if let Some(copy) = self.copies.get(run_id) {
            return Ok(copy.run_id.clone());
        }
        let run = self.registry.run(run_id.as_str())?;
        let copy = self.begin(&run)?;
        let there = copy.run_id.clone();
        self.copies.insert(run_id.clone(), copy);
        Ok(there)
    }

    /// Logs the values that the copy lacks. A server may keep one twice that it is sent twice.
    fn log_metrics(&self, run: &Run, copy: &mut Copy) -> Result<(), ExportError> {
        let mut changed = Changed::default();
        for last in &run.metrics {
            let mut points = self.registry.numbered_history(&run.run_id, &last.name)?;
            points.retain(|(number, _)| !copy.values.contains(number));
            if points.is_empty() {
                continue;
            }
            let key = changed.name(&last.name);
            let metric = |(_, point): &(i64, LoggedMetric)| Metric {
                key: key.clone(),
                value: point.value,
                timestamp: point.at_ms,
                step: point.step,
                ..Metric::default()
            };
            let mut metrics: Vec<Metric> = points.iter().map(metric).collect();
            if copy.may_have_others {
                let there = self.values_there(&copy.run_id, &key)?;
                metrics.retain(|metric| !there.contains(&identity(metric)));
            }
            if let Err(error) = self.server.log(&copy.run_id, &metrics, &[], &[]) {
                copy.may_have_others = true;
                return Err(error.into());
            }
            copy.values.extend(points.iter().map(|(number, _)| number));
        }
        Ok(())
    }

    /// Returns the values of a metric that a copy has.
    fn values_there(&self, copy_id: &str, key: &str) -> Result<HashSet<Identity>, ExportError> {
        let mut there = HashSet::new();
        self.server.each_page(
            "metrics/get-history",
            |token| match self.server.metric_history(copy_id, key, AT_ONCE, token) {
                // It has none.
                Err(error) if error.is_missing() => Ok(Page { items: Vec::new(), next: None }),
                done => done,
            },
            |page| {
                there.extend(page.iter().map(identity));
                Ok::<_, ExportError>(())
            },
        )?;
        Ok(there)
    }

    /// Sends the documents of the stages that have finished.
    fn send_files(&self, run: &Run, copy: &mut Copy) -> Result<(), ExportError> {
        let Some(folder) = self.server.proxied_path(&copy.artifact_uri) else { return Ok(()) };
        let files = Files { server: &self.server, artifacts: &self.artifacts, folder: &folder };
        for stage in self.registry.stages(&run.run_id)? {
            for output in documents(&stage) {
                let path = document_path(&stage, output);
                if !copy.files.contains(&path) {
                    files.document(&stage, output)?;
                    copy.files.insert(path);
                }
            }
        }
        Ok(())
    }

    /// Registers the versions that the run registered here, each once.
    fn register_versions(&self, run: &Run, copy: &mut Copy) -> Result<(), ExportError> {
        for version in self.registry.versions_made_by(&run.run_id)? {
            let known = (version.model.clone(), version.version);
            if copy.versions.contains_key(&known) {
                continue;
            }
            let Some(folder) = self.server.proxied_path(&copy.artifact_uri) else { continue };
            let name = &version.model;
            self.server.ensure_registered_model(name, "", &[])?;
            let there = match self.version_of_copy(name, &copy.run_id)? {
                Some(there) => there,
                None => {
                    let files = Files { server: &self.server, artifacts: &self.artifacts, folder: &folder };
                    let sent = files.version(&version, &copy.run_id, (self.card)(&version).as_deref())?;
                    copy.files.extend(sent.iter().map(|path| format!("{MODEL}/{path}")));
                    let source = format!("{}/{MODEL}", copy.artifact_uri.trim_end_matches('/'));
                    let tags = Changed::default().tags(&tags_of(&version));
                    let from = (source.as_str(), copy.run_id.as_str());
                    self.server.create_model_version(name, from, &version.description, &tags)?.version
                }
            };
            copy.versions.insert(known, format!("{name}/{there}"));
        }
        Ok(())
    }

    /// Returns the version of a model that a copy registered.
    fn version_of_copy(&self, name: &str, run_id: &str) -> Result<Option<String>, ClientError> {
        let Some(quoted) = quoted(name) else { return Ok(None) };
        let found = self.server.model_versions(&format!("name = {quoted} and run_id = '{run_id}'"), 10, None);
        let versions = match found {
            Ok(found) => found.items,
            // A server of another grammar: all versions, then.
            Err(ClientError::Refused { .. }) => {
                self.server.model_versions(&format!("name = {quoted}"), 1_000, None)?.items
            }
            Err(error) => return Err(error),
        };
        Ok(versions.into_iter().find(|version| version.run_id == run_id).map(|version| version.version))
    }

    fn log_end(&self, run: &Run, copy: &Copy) -> Result<(), ExportError> {
        let status = match run.status {
            RunStatus::Running => "RUNNING",
            RunStatus::Finished => "FINISHED",
            RunStatus::Failed => "FAILED",
            RunStatus::Killed => "KILLED",
        };
        if let Some(error) = &run.error {
            let text = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
            let tags = Changed::default().tags(&[("stagewright.error".to_owned(), text)]);
            self.server.log(&copy.run_id, &[], &[], &tags)?;
        }
        Ok(self.server.update_run(&copy.run_id, status, run.ended_ms)?)
    }
}

/// The step, the time and the value of a metric, by which MLflow tells its values apart.
type Identity = (i64, i64, Option<u64>);

fn identity(metric: &Metric) -> Identity {
    // MLflow has no sign of zero, and the greatest numbers for the infinities.
    let value = (metric.value + 0.0).clamp(f64::MIN, f64::MAX);
    (metric.step, metric.timestamp, (!value.is_nan()).then(|| value.to_bits()))
}

/// Returns the tags of a version there.
fn tags_of(version: &ModelVersion) -> Vec<(String, String)> {
    let mut tags = version.tags.clone();
    let run = version.run_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut add = |name: &str, value: Option<String>| {
        tags.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value)));
    };
    add(RUN_TAG, Some(run));
    add("stagewright.version", Some(format!("{}/{}", version.model, version.version)));
    add("stagewright.semantic_version", version.semantic_version.clone());
    add("stagewright.digest", version.parts.map(|digest| digest.to_string()));
    add("stagewright.verdict", version.verdict.map(|verdict| verdict.to_string()));
    add("stagewright.verdict_reason", version.reason.clone());
    tags
}

/// Returns a dataset as MLflow takes it: its digest cut, and whole in its source.
fn dataset(input: &stagewright_store::DatasetInput) -> DatasetInput {
    let dataset = &input.dataset;
    let digest = dataset.digest.strip_prefix("sha256:").unwrap_or(&dataset.digest);
    let source: Value = serde_json::from_str(&dataset.source).unwrap_or_else(|_| dataset.source.clone().into());
    DatasetInput {
        tags: input.tags.iter().map(|(name, value)| Pair::new(name, value)).collect(),
        dataset: Dataset {
            name: dataset.name.clone(),
            digest: digest.chars().take(MOST_DIGEST).collect(),
            source_type: dataset.source_type.clone(),
            source: source.to_string(),
            schema: dataset.schema.clone(),
            profile: dataset.profile.clone(),
        },
    }
}
