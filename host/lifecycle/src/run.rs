//! A run: the six stages in order, each committed before the next begins.
//!
//! [`Run::execute`] is the main flow. A stage's artifacts are published (flushed, renamed) and then recorded in one transaction; what failed is
//! recorded without artifacts. So what a later stage, a later run or a reader sees is whole, whatever happened.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use stagewright_data::{
    Inference, InferenceOptions, Interrupt, Signature, Source, Split, SplitPlan, Task, TaskKind, row_text,
};
use stagewright_evaluation::report::{Champion, Check, ValidationReport};
use stagewright_manifest::{Manifest, World};
use stagewright_promotion::Destination;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{ArtifactRecord, Home, NewRun, Role, RunId, RunStatus, Schema, StoreError, Table};

use crate::fault::StageFault;
use crate::model::{Code, RegisteredModel};
use crate::observer::Observer;
use crate::sandbox::{Cancel, Component, Sandbox};
use crate::settings;
use crate::stage::Stage;
use crate::stages;
use crate::summary::Summary;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A stage failed.
    #[error(transparent)]
    Stage(#[from] StageFault),
    /// The data is not fit: checks of the validation stage failed.
    #[error("the data failed validation: {}", failed_checks(.checks))]
    Unfit {
        /// Those that failed.
        checks: Vec<Check>,
    },
    /// A stage needs an artifact that the run it builds on does not have.
    #[error("there is no artifact `{name}` of stage `{stage}` to work on")]
    MissingArtifact {
        /// The stage that makes it.
        stage: World,
        /// Its name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The candidate was approved, and did not get to production.
    #[error("{}", promotion_text(.0))]
    Promotion(#[from] PromoteError),
}

fn promotion_text(error: &PromoteError) -> String {
    match error {
        PromoteError::Pointer { .. } | PromoteError::Unnoted { .. } | PromoteError::InDoubt { .. } => error.to_string(),
        _ => format!("the candidate was registered and approved, and not promoted: {error}"),
    }
}

/// Letters of each part of a finding that an error shows; all of it stands in the report.
const SHOWN: usize = 200;

fn brief(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn failed_checks(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let column = check.column.as_ref().map(|column| format!(" of `{}`", brief(column))).unwrap_or_default();
        let first = check.examples.first().map(|cell| match &cell.value {
            Some(value) => format!("; first in {}: `{}`", row_text(cell.row), brief(value)),
            None => format!("; first in {}", row_text(cell.row)),
        });
        format!(
            "{}{column} is {}, expected {}{}",
            brief(&check.name),
            brief(&check.observed),
            brief(&check.expected),
            first.unwrap_or_default()
        )
    };
    let shown: Vec<String> = checks.iter().take(5).map(line).collect();
    let more = checks.len().saturating_sub(shown.len());
    if more > 0 { format!("{} (and {more} more)", shown.join("; ")) } else { shown.join("; ") }
}

/// What a run is made of.
pub struct Request {
    /// The pipeline.
    pub manifest: Arc<Manifest>,
    /// The manifest's text, for the record.
    pub manifest_text: String,
    /// Where everything is kept.
    pub home: Home,
    /// Runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// The component of each stage, admitted.
    pub components: BTreeMap<World, Arc<Component>>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How many instances may run at once.
    pub workers: usize,
    /// Stops it.
    pub cancel: Cancel,
    /// The stages to run.
    pub stages: RangeInclusive<World>,
    /// The run whose artifacts the first stage works on, if it is not ingestion.
    pub upon: Option<RunId>,
    /// Where the manifest comes from.
    pub code: Option<Code>,
    /// The tokens that sources need, by the variables that the manifest names. They are sent, and neither recorded nor shown.
    pub tokens: BTreeMap<String, String>,
    /// Where an approved candidate is copied to; `None`: nowhere.
    pub destination: Option<Arc<Destination>>,
}

/// What MLflow's clients look for in a run.
fn tags(request: &Request) -> Vec<(String, String)> {
    let source = ("mlflow.source.name".to_owned(), request.manifest.file().to_owned());
    let kind = ("mlflow.source.type".to_owned(), "PROJECT".to_owned());
    let code = request.code.iter().flat_map(|code| {
        let commit = ("mlflow.source.git.commit".to_owned(), code.commit.clone());
        let branch = code.branch.iter().map(|branch| ("mlflow.source.git.branch".to_owned(), branch.clone()));
        let dirty = code.dirty.map_or_else(|| "unknown".to_owned(), |dirty| dirty.to_string());
        [commit, ("mlflow.source.git.dirty".to_owned(), dirty)].into_iter().chain(branch)
    });
    [source, kind].into_iter().chain(code).collect()
}

/// A run at work.
pub struct Run {
    pub(crate) request: Request,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) id: RunId,
    /// What the stages so far have made, by stage and name.
    pub(crate) artifacts: BTreeMap<(World, String), ArtifactRecord>,
    /// The candidate, decided upon, and the champion that it was compared with.
    pub(crate) registered: Option<(RegisteredModel, Champion)>,
    pub(crate) summary: Summary,
}

impl Run {
    /// Runs the stages that were asked for. The summary holds what happened up to an error.
    ///
    /// # Errors
    /// See [`RunError`]. A rejected candidate is no error: see the summary's decision.
    pub fn execute(request: Request) -> (Summary, Result<(), RunError>) {
        let mut run = match Self::begin(request) {
            Ok(run) => run,
            Err(error) => {
                return (
                    Summary {
                        run_id: String::new(),
                        stages: Vec::new(),
                        fsyncs: 0,
                        metrics: None,
                        decision: None,
                        model: None,
                    },
                    Err(error),
                );
            }
        };
        let result = run.stages();
        let result = run.end(result);
        run.summary.fsyncs = stagewright_store::fsyncs();
        (run.summary, result)
    }

    /// The main flow.
    fn stages(&mut self) -> Result<(), RunError> {
        self.stage(World::Ingestion, stages::ingestion::run)?;
        self.stage(World::Validation, stages::validation::run)?;
        self.refuse_unfit_data()?;
        self.stage(World::Transformation, stages::transformation::run)?;
        self.stage(World::Training, stages::training::run)?;
        self.stage(World::Evaluation, stages::evaluation::run)?;
        self.stage(World::Promotion, stages::promotion::run)?;
        stages::promotion::promote(self)
    }

    fn begin(request: Request) -> Result<Self, RunError> {
        let manifest = request.manifest.clone();
        let mut config = manifest.effective();
        config["file"] = manifest.file().into();
        let parameters = World::ALL.into_iter().flat_map(|world| {
            let parameters = manifest.component(world).parameters.clone();
            parameters.into_iter().map(move |(name, value)| {
                (format!("{world}.{name}"), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
        });
        let id = request.home.registry.begin_run(&NewRun {
            run_id: None,
            name: String::new(),
            pipeline: manifest.pipeline.to_string(),
            experiment: manifest.experiment.to_string(),
            seed: manifest.seed,
            manifest: request.manifest_text.clone(),
            config,
            parameters: parameters.collect(),
            tags: tags(&request),
        })?;
        let summary = Summary {
            run_id: id.to_string(),
            stages: Vec::new(),
            fsyncs: 0,
            metrics: None,
            decision: None,
            model: None,
        };
        let sandbox = request.sandbox.clone();
        let mut run = Self { request, manifest, sandbox, id, artifacts: BTreeMap::new(), registered: None, summary };
        if let Some(upon) = run.request.upon.clone() {
            run.take_over(&upon)?;
        }
        Ok(run)
    }

    /// Makes another run's artifacts this run's inputs.
    fn take_over(&mut self, upon: &RunId) -> Result<(), RunError> {
        let first = *self.request.stages.start();
        for stage in self.request.home.registry.stages(upon)? {
            let Some(world) = World::from_name(&stage.name).filter(|world| *world < first) else { continue };
            for artifact in stage.outputs {
                self.artifacts.insert((world, artifact.name.clone()), artifact);
            }
        }
        Ok(())
    }

    fn stage(&mut self, world: World, work: fn(&mut Stage<'_>) -> Result<(), RunError>) -> Result<(), RunError> {
        if !self.request.stages.contains(&world) {
            return Ok(());
        }
        Stage::begin(self, world).execute(work)
    }

    /// Nothing is learnt from data that failed a check, or that nobody checked.
    fn refuse_unfit_data(&self) -> Result<(), RunError> {
        if *self.request.stages.end() <= World::Validation {
            return Ok(());
        }
        let missing = || RunError::MissingArtifact { stage: World::Validation, name: "findings".to_owned() };
        let record = self.artifacts.get(&(World::Validation, "findings".to_owned())).ok_or_else(missing)?;
        let document = self.request.home.artifacts.open_document(&record.digest, &record.media_type)?;
        let findings: ValidationReport = serde_json::from_slice(document.bytes()).map_err(StageFault::host)?;
        let failed: Vec<Check> = findings.checks.into_iter().filter(|check| !check.passed).collect();
        if failed.is_empty() { Ok(()) } else { Err(RunError::Unfit { checks: failed }) }
    }

    fn end(&self, result: Result<(), RunError>) -> Result<(), RunError> {
        let error = result.as_ref().err().map(|error| serde_json::json!({ "message": error.to_string() }));
        let status = match &result {
            Ok(()) => RunStatus::Finished,
            Err(RunError::Stage(StageFault::Cancelled { .. })) => RunStatus::Killed,
            Err(_) => RunStatus::Failed,
        };
        let ended = self.request.home.registry.finish_run(&self.id, status, error.as_ref());
        result.and(ended.map_err(RunError::from))
    }

    /// The signature: the manifest's, or one inferred from the source; `None` if there is neither.
    pub(crate) fn signature(
        &self,
        source: Option<&Source>,
        interrupt: &Interrupt,
    ) -> Result<Option<Signature>, RunError> {
        if let Some(declared) = settings::signature(&self.manifest).map_err(|error| stages::ingestion::fault(&error))? {
            return Ok(Some(declared));
        }
        let Some(source) = source else { return Ok(None) };
        let options = InferenceOptions {
            null_values: self.manifest.signature.null_values.clone(),
            sample_rows: None,
            target: Some(self.manifest.task.target.clone()),
        };
        let inferred: Inference =
            stagewright_data::infer(source, &options, interrupt).map_err(|error| stages::ingestion::fault(&error))?;
        Ok(Some(inferred.signature))
    }

    /// The signature of a table that a stage made up, where the manifest declares none.
    pub(crate) fn signature_of(&self, schema: &Schema) -> Result<Signature, RunError> {
        let target = &self.manifest.task.target;
        let fields = schema
            .fields()
            .iter()
            .cloned()
            .map(|field| if &field.name == target { field.with_role(Role::Target) } else { field });
        Ok(Signature::new(fields.collect()).map_err(|error| stages::ingestion::fault(&error))?)
    }

    /// The task with the classes that the table shows.
    pub(crate) fn task(&self, table: &Table) -> Result<Task, RunError> {
        let kind = settings::task(&self.manifest);
        let name = &self.manifest.task.target;
        let target = table.schema().index_of(name).ok_or_else(|| StageFault::Data {
            stage: World::Transformation.as_str(),
            message: format!("the table has no column `{name}`, which is the target"),
            column: Some(name.clone()),
            row: None,
            value: None,
        })?;
        let column =
            stages::transformation::columns(table, vec![target]).map(|rows| rows.map(|rows| rows.column(0).clone()));
        let task =
            TaskKind::with_classes(&kind, name, column).map_err(|stages::transformation::ReadError(fault)| fault)?;
        Ok(task)
    }

    /// Which rows are for what.
    pub(crate) fn split(&self, table: &Table) -> Result<Split, RunError> {
        use stages::transformation::{ReadError, columns};
        let section = &self.manifest.split;
        let all = || columns(table, (0..table.schema().len()).collect());
        let split = match &section.file {
            Some(path) => {
                let file = stagewright_store::open_regular(path).map_err(|reason| {
                    StageFault::host(format!("cannot read the split {}: {reason}", path.display()))
                })?;
                Split::import(std::io::BufReader::new(file), table.schema(), all())
            }
            None => {
                let plan = SplitPlan {
                    method: settings::split_method(section),
                    test: section.test,
                    validation: section.validation,
                    seed: section.seed,
                };
                plan.split(table.schema(), all())
            }
        };
        Ok(split.map_err(|ReadError(fault)| fault)?)
    }

    /// Roles by name, for the tables that stages make.
    pub(crate) fn roles(schema: Option<&Schema>) -> HashMap<String, Role> {
        let fields = schema.map(|schema| schema.fields().to_vec()).unwrap_or_default();
        fields.into_iter().filter(|field| field.role != Role::Feature).map(|field| (field.name, field.role)).collect()
    }
}
