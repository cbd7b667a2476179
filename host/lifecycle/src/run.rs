//! A run: the six stages in order, each committed before the next begins.
//!
//! [`Run::execute`] is the main flow. A stage's artifacts are published (flushed, renamed) and then
//! recorded in one transaction; a stage that fails is recorded without artifacts. So a later stage,
//! a later run and a reader see whole stages only, whatever happened.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use stagewright_data::{
    Inference, InferenceOptions, Interrupt, Signature, Source, Split, SplitPlan, Task, TaskKind, row_text,
};
use stagewright_evaluation::report::Check;
use stagewright_manifest::{Manifest, World};
use stagewright_promotion::Destination;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{ArtifactRecord, Home, NewRun, Role, RunId, RunStatus, Schema, StageRecord, StoreError, Table};

use crate::artifact::{Artifact, FINDINGS, Readable};
use crate::candidate::{self, Candidate};
use crate::fault::StageFault;
use crate::model::Code;
use crate::observer::Observer;
use crate::sandbox::{Cancel, Component, Level, Sandbox};
use crate::settings;
use crate::stage::Stage;
use crate::stages;
use crate::stages::promotion::Decision;
use crate::summary::Summary;
use crate::turn::Turn;
use crate::upon;
use crate::watch::Watch;

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
    /// The run works on what another component or other parameters made.
    #[error(
        "stage `{stage}` of run {run} ran {recorded}, and the manifest names {named} now: a model of the two would be neither"
    )]
    OtherComponent {
        /// The stage.
        stage: World,
        /// The run whose artifacts were to be used.
        run: RunId,
        /// The component that ran, or its parameters.
        recorded: String,
        /// The component of today's manifest, or its parameters.
        named: String,
    },
    /// Another version became champion each time that the candidate had been judged.
    #[error("the champion of `{model}` changed {tries} times while the candidate was judged: {reason}")]
    Overtaken {
        /// The model's name.
        model: String,
        /// How often it was judged.
        tries: u32,
        /// How the last try ended.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The candidate was approved, and did not get to production.
    #[error("{}", promotion_text(.0))]
    Promotion(#[from] PromoteError),
}

impl RunError {
    /// Whether another version became champion while the candidate was judged or promoted.
    pub(crate) fn champion_changed(&self) -> bool {
        let (Self::Store(error) | Self::Promotion(PromoteError::Store(error))) = self else { return false };
        matches!(
            error,
            StoreError::ChampionChanged { .. }
                | StoreError::StaleVerdict { .. }
                | StoreError::AliasMoved { .. }
                | StoreError::IsChampion { .. }
        )
    }
}

fn promotion_text(error: &PromoteError) -> String {
    if error.is_champion() || matches!(error, PromoteError::InDoubt { .. }) {
        error.to_string()
    } else {
        format!("the candidate was registered and approved, and not promoted: {error}")
    }
}

/// Bytes of memory for each byte of an imported split: a row of some twenty bytes becomes an entry
/// of a map.
const IMPORTED_BYTE_MEMORY: u64 = 8;

/// Bytes of memory for each row of the table that an imported split is of, besides identifiers.
const IMPORTED_ROW_MEMORY: usize = 96;

/// How often a candidate is judged while others become champion.
const TRIES: u32 = 3;

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
    /// The changes of the command line to the manifest, for the record and for stages that follow.
    pub changes: serde_json::Value,
    /// Where the manifest comes from.
    pub code: Option<Code>,
    /// The tokens that sources need, by the variables that the manifest names. They are sent, and
    /// neither recorded nor shown.
    pub tokens: BTreeMap<String, String>,
    /// Where an approved candidate is copied to; `None`: nowhere.
    pub destination: Option<Arc<Destination>>,
}

/// A component's parameters with the defaults that its schema states: a record names all of them,
/// so that a search finds a run by a value that nobody wrote.
pub(crate) fn with_defaults(
    schema: &serde_json::Value,
    mut parameters: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
            parameters.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    parameters
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
    /// The model that training made.
    pub(crate) candidate: Option<Candidate>,
    /// The stages of other runs whose artifacts were taken over, as they were recorded.
    pub(crate) taken_over: BTreeMap<World, StageRecord>,
    /// The configuration of the run whose evaluation was taken over.
    pub(crate) evaluated_under: Option<serde_json::Value>,
    /// The promotion stage's decision on it.
    pub(crate) decision: Option<Decision>,
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
                return (Summary::of(String::new()), Err(error));
            }
        };
        let result = upon::take_over(&mut run).and_then(|()| run.stages());
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
        if *self.request.stages.end() >= World::Training {
            candidate::prepare(self)?;
        }
        self.judge()
    }

    /// Evaluates the candidate, decides, and promotes it if it is approved. A decision that was
    /// reached against another champion than the present one is reached again.
    fn judge(&mut self) -> Result<(), RunError> {
        let evaluates = self.request.stages.contains(&World::Evaluation);
        let promotes = self.request.stages.contains(&World::Promotion);
        let mut tries = 0;
        let mut is_stale = promotes && !evaluates && stages::promotion::is_outdated(self)?;
        let mut turn = None;
        loop {
            if is_stale || evaluates {
                Stage::begin(self, World::Evaluation).execute(stages::evaluation::run)?;
            }
            if !promotes {
                return Ok(());
            }
            // Until the end: a candidate that has to be judged again is judged while it is its
            // turn.
            if turn.is_none() {
                turn = Some(Turn::wait(&self.request.home, &self.request.cancel)?);
            }
            tries += 1;
            let promoted = self.promote();
            match promoted {
                Err(error) if error.champion_changed() && tries >= TRIES => {
                    let model = self.manifest.model.to_string();
                    return Err(RunError::Overtaken { model, tries, reason: error.to_string() });
                }
                Err(error) if error.champion_changed() => is_stale = true,
                promoted => return promoted,
            }
            if self.request.cancel.is_cancelled() {
                return Err(StageFault::Cancelled { stage: World::Promotion.into() }.into());
            }
            let message = "the champion changed while the candidate was judged: it is judged again";
            self.request.observer.log(World::Promotion, Level::Warn, message);
        }
    }

    /// Decides and promotes. A candidate that is the champion already is neither.
    fn promote(&mut self) -> Result<(), RunError> {
        if candidate::is_champion(self)? {
            self.summary.is_champion_already = true;
            return Ok(());
        }
        Stage::begin(self, World::Promotion).execute(stages::promotion::run)?;
        stages::promotion::promote(self)
    }

    fn begin(request: Request) -> Result<Self, RunError> {
        let manifest = request.manifest.clone();
        let mut config = manifest.effective();
        config["file"] = manifest.file().into();
        config[upon::CHANGES] = request.changes.clone();
        if let Some(upon) = &request.upon {
            config[upon::UPON] = upon.as_str().into();
        }
        let parameters = World::all().flat_map(|world| {
            let parameters = manifest.component(world).parameters.clone();
            let schema = &request.components[&world].description.parameters;
            with_defaults(schema, parameters).into_iter().map(move |(name, value)| {
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
        let summary = Summary::of(id.to_string());
        let sandbox = request.sandbox.clone();
        Ok(Self {
            request,
            manifest,
            sandbox,
            id,
            artifacts: BTreeMap::new(),
            candidate: None,
            taken_over: BTreeMap::new(),
            evaluated_under: None,
            decision: None,
            summary,
        })
    }

    fn stage(&mut self, world: World, work: fn(&mut Stage<'_>) -> Result<(), RunError>) -> Result<(), RunError> {
        if !self.request.stages.contains(&world) {
            return Ok(());
        }
        Stage::begin(self, world).execute(work)
    }

    /// Nothing is learnt from data that failed a check, or that nobody checked.
    fn refuse_unfit_data(&self) -> Result<(), RunError> {
        if *self.request.stages.end() < World::Validation {
            return Ok(());
        }
        let findings = self.open(&FINDINGS)?;
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
    pub(crate) fn task(&self, table: &Table, watch: &Watch) -> Result<Task, RunError> {
        let kind = settings::task(&self.manifest);
        let name = &self.manifest.task.target;
        let target = table.schema().index_of(name).ok_or_else(|| StageFault::Data {
            stage: World::Transformation.into(),
            message: format!("the table has no column `{name}`, which is the target"),
            column: Some(name.clone()),
            row: None,
            value: None,
        })?;
        let column = stages::transformation::columns(table, vec![target], watch)
            .map(|rows| rows.map(|rows| rows.column(0).clone()));
        let task =
            TaskKind::with_classes(&kind, name, column).map_err(|stages::transformation::ReadError(fault)| fault)?;
        Ok(task)
    }

    /// Which rows are for what.
    pub(crate) fn split(&self, table: &Table, watch: &Watch) -> Result<Split, RunError> {
        use stages::transformation::{ReadError, columns};
        let section = &self.manifest.split;
        let all = || columns(table, (0..table.schema().len()).collect(), watch);
        let split = match &section.file {
            Some(path) => {
                let file = stagewright_store::open_regular(path).map_err(|reason| {
                    StageFault::host(format!("cannot read the split {}: {reason}", path.display()))
                })?;
                let size = file.metadata().map_err(StageFault::host)?.len();
                let held = Cell::new(size.saturating_mul(IMPORTED_BYTE_MEMORY));
                watch.hold(held.get())?;
                let rows = stages::transformation::with_kept_identifiers(table, watch, &held, IMPORTED_ROW_MEMORY);
                Split::import(std::io::BufReader::new(file), table.schema(), rows, &watch.interrupt())
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

    /// An artifact that a stage made.
    pub(crate) fn artifact<T>(&self, artifact: &Artifact<T>) -> Result<&ArtifactRecord, RunError> {
        let place = artifact.place;
        self.artifacts.get(&(place.world, place.name.to_owned())).ok_or_else(|| place.missing())
    }

    /// The same, opened.
    pub(crate) fn open<T: Readable>(&self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        T::open(&self.request.home.artifacts, &self.artifact(artifact)?.digest, artifact.place)
    }

    /// Roles by name, for the tables that stages make.
    pub(crate) fn roles(schema: Option<&Schema>) -> HashMap<String, Role> {
        let fields = schema.map(|schema| schema.fields().to_vec()).unwrap_or_default();
        fields.into_iter().filter(|field| field.role != Role::Feature).map(|field| (field.name, field.role)).collect()
    }
}
