//! The plan of a run: which steps it would execute, and why.
//!
//! The planner builds invocations as a run does, as far as their inputs are known: the artifacts of
//! a step that has to be executed are not known beforehand. No component is called, no server is
//! asked, and nothing is recorded.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use stagewright_manifest::{RegisterPolicy, SourceLocation, Step, StepId, World};
use stagewright_store::{ArtifactKind, Digest, RunId};

use crate::execution::Execution;
use crate::invocation::Invocation;
use crate::key;
use crate::run::Request;
use crate::run::artifacts::RunArtifacts;
use crate::run::base_run;
use crate::run::cache::{self, Found};
use crate::run::candidate::{self, Candidate};
use crate::run::context::Run;
use crate::run::invocation_builder;
use crate::run_error::RunError;

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedStep {
    /// The step.
    pub name: String,
    /// Its component.
    pub component: String,
    /// The component's digest.
    pub digest: Digest,
    /// The step's key; `null` while it is not known.
    pub key: Option<Digest>,
    /// Whether it need not be executed.
    pub cached: bool,
    /// The run that executed it, if it need not be executed.
    pub from: Option<RunId>,
    /// The reason why it is executed, or why it is not.
    pub why: String,
    /// The run that `differs` compares with: the latest run of the pipeline with this step.
    pub compared_with: Option<RunId>,
    /// The parts of the key that differ from that run's.
    pub differs: Vec<KeyDifference>,
}

/// A part of a key that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyDifference {
    /// The path: `guest.parameters.depth`, `inputs.transformation.state.digest`.
    pub part: String,
    /// The value before; `null` if there was none.
    pub before: Value,
    /// The value now; `null` if there is none.
    pub now: Value,
}

/// Returns the steps that a run of this request would have, each with whether it would be executed.
///
/// # Errors
/// The errors that a run has before it calls a component: artifacts of a base run that do not fit,
/// or a registry that cannot be read.
pub fn plan(request: Request) -> Result<Vec<PlannedStep>, RunError> {
    // Nothing is recorded under this id.
    let id = "0".repeat(32).parse()?;
    let run = Run::of(request, id, tracing::Span::none());
    let artifacts = base_run::artifacts(&run)?;
    let asked: Vec<Step> =
        run.request.manifest.graph.steps().iter().filter(|step| run.is_requested(step)).cloned().collect();
    Ok(self::steps(&run, artifacts, &asked)?.0)
}

/// Plans these steps. Returns the artifacts for the steps that follow them, too.
pub(crate) fn steps(
    run: &Run,
    artifacts: RunArtifacts,
    asked: &[Step],
) -> Result<(Vec<PlannedStep>, RunArtifacts), RunError> {
    let mut planner = Planner {
        run,
        artifacts,
        candidates: BTreeMap::new(),
        executed: Vec::new(),
        is_champion: false,
        is_unnumbered: false,
    };
    let planned = asked.iter().map(|step| planner.step(step)).collect::<Result<_, _>>()?;
    Ok((planned, planner.artifacts))
}

struct Planner<'a> {
    run: &'a Run,
    artifacts: RunArtifacts,
    /// The candidates by their trainings, as far as they are known.
    candidates: BTreeMap<StepId, Candidate>,
    /// The steps that are executed.
    executed: Vec<StepId>,
    /// Whether the candidate is the champion already.
    is_champion: bool,
    /// Whether the candidate is registered during this run.
    is_unnumbered: bool,
}

/// The status of a step before the run.
enum StepStatus {
    /// It need not be executed. Holds its key and the recorded result.
    OnRecord(Digest, Box<Found>),
    /// It is executed. Holds its invocation, if that is known, and the reason.
    Executed(Option<Box<Invocation>>, String),
    /// There is nothing to do. Holds the reason.
    Nothing(String),
}

impl Planner<'_> {
    fn step(&mut self, step: &Step) -> Result<PlannedStep, RunError> {
        let status = self.status(step)?;
        let component = self.run.component(step);
        let plain = PlannedStep {
            name: step.id.to_string(),
            component: component.name.clone(),
            digest: component.digest,
            key: None,
            cached: false,
            from: None,
            why: String::new(),
            compared_with: None,
            differs: Vec::new(),
        };
        Ok(match status {
            StepStatus::Nothing(why) => PlannedStep { cached: true, why, ..plain },
            StepStatus::OnRecord(key, found) => {
                let Found { run, stage } = *found;
                self.artifacts.add(&step.id, stage);
                self.add_candidate(step)?;
                let why = format!("run {} did the same", short(&run));
                PlannedStep { key: Some(key), cached: true, from: Some(run), why, ..plain }
            }
            StepStatus::Executed(invocation, why) => {
                self.executed.push(step.id.clone());
                let latest = self
                    .run
                    .request
                    .home
                    .registry
                    .latest_stage(self.run.request.manifest.pipeline.as_str(), step.id.as_str())?;
                let key = invocation.as_deref().map(Invocation::key);
                let Some((invocation, (run, stage))) = invocation.zip(latest) else {
                    return Ok(PlannedStep { key, why, ..plain });
                };
                let differs = differs(&invocation, stage.invocation.as_ref());
                let why = match &differs[..] {
                    [] => why,
                    [first, more @ ..] => {
                        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
                        format!("{why}: `{}`{more} differs from run {}", first.part, short(&run))
                    }
                };
                PlannedStep { key, why, compared_with: Some(run), differs, ..plain }
            }
        })
    }

    fn status(&mut self, step: &Step) -> Result<StepStatus, RunError> {
        let world = step.world;
        let request = &self.run.request;
        if self.is_champion && world > World::Training {
            return Ok(StepStatus::Nothing("the candidate is the champion: nothing is judged".to_owned()));
        }
        if let Some(before) = self.executed.iter().find(|before| reads(step, before)) {
            let why = format!("it reads the artifacts of `{before}`, which is executed first");
            return Ok(StepStatus::Executed(None, why));
        }
        if self.is_unnumbered && world == World::Evaluation {
            let why = "the candidate has no number yet, which the report names";
            return Ok(StepStatus::Executed(None, why.to_owned()));
        }
        if world == World::Promotion && step.inputs.len() > 1 {
            let why = "which of the models is the candidate is not known before all are judged";
            return Ok(StepStatus::Executed(None, why.to_owned()));
        }
        if world == World::Ingestion && reads_from_server(request, step) {
            let why = "its source is on a server: what that answers is not known before it is asked";
            return Ok(StepStatus::Executed(None, why.to_owned()));
        }
        let (component, stage) = (self.run.component(step).clone(), request.manifest.stage_of(step));
        let mut execution =
            Execution::begin(step.id.clone(), component, stage.limits, self.run.session(&request.cancel));
        let candidate = step.line.get(&World::Training).and_then(|training| self.candidates.get(training));
        let invocation =
            Box::new(invocation_builder::invocation(self.run, step, &self.artifacts, candidate, &mut execution)?);
        if request.reuse.refresh.contains(&step.stage) {
            return Ok(StepStatus::Executed(Some(invocation), format!("`--refresh {}`", step.stage)));
        }
        if request.reuse.nothing {
            return Ok(StepStatus::Executed(Some(invocation), "`--no-cache`".to_owned()));
        }
        if !stage.cache {
            return Ok(StepStatus::Executed(Some(invocation), "`cache = false`".to_owned()));
        }
        let key = invocation.key();
        if let Some(found) = cache::find(&request.home, &key, &request.reuse.walls)? {
            return Ok(StepStatus::OnRecord(key, Box::new(found)));
        }
        let why = match request.home.registry.stage_of_key(&key)? {
            None => "no run did the same",
            Some((_, stage)) if cache::have_stood(&request.reuse.walls, &stage) => {
                "an artifact that it made is not there any more"
            }
            Some(_) => "the run that did the same had fewer walls than must stand today",
        };
        Ok(StepStatus::Executed(Some(invocation), why.to_owned()))
    }

    /// Creates the candidate of a training whose model is known.
    fn add_candidate(&mut self, training: &Step) -> Result<(), RunError> {
        if training.world != World::Training || *self.run.request.stages.end() < World::Evaluation {
            return Ok(());
        }
        let candidate = candidate::unregistered(self.run, &self.artifacts, training)?;
        // With several models, the candidate is not known yet.
        if self.run.request.manifest.graph.of(World::Training).nth(1).is_none() {
            self.is_champion =
                self.run.request.stages.contains(&World::Promotion) && candidate.is_champion(self.run)?;
            // The evaluation report names the version, which is only known after the registration.
            self.is_unnumbered =
                candidate.version.is_none() && self.run.request.manifest.gates.register == RegisterPolicy::Always;
        }
        self.candidates.insert(training.id.clone(), candidate);
        Ok(())
    }
}

/// Whether a step reads artifacts of another one. No step reads those of a validation, which only
/// lets a run continue. An evaluation also reads the table and calls both parts of a model.
fn reads(step: &Step, before: &StepId) -> bool {
    let is_requested = step.world == World::Evaluation && step.line.values().any(|id| id == before);
    is_requested || step.inputs.iter().any(|input| input.step == *before)
}

/// Whether the source of an ingestion is on a server and not stored by its digest.
fn reads_from_server(request: &Request, step: &Step) -> bool {
    let source = request.manifest.source_of(request.manifest.stage_of(step));
    let Some((_, section)) = source else { return false };
    let sha256 = match &section.location {
        SourceLocation::Http { sha256, .. } => sha256,
        SourceLocation::Postgres(source) => &source.sha256,
        SourceLocation::Objects(_) => return true,
        _ => return false,
    };
    let digest = sha256.as_ref().and_then(|digits| Digest::from_hex(digits).ok());
    !digest.is_some_and(|digest| request.home.artifacts.contains(ArtifactKind::Blob, &digest))
}

/// Returns the parts of the key that differ from the recorded invocation's.
fn differs(invocation: &Invocation, recorded: Option<&Value>) -> Vec<KeyDifference> {
    // A record in another format is not compared.
    let recorded = recorded.and_then(|recorded| serde_json::from_value::<Invocation>(recorded.clone()).ok());
    let Some(recorded) = recorded else { return Vec::new() };
    let (before, now) = (recorded.keyed(), invocation.keyed());
    key::differing(&before, &now)
        .into_iter()
        .map(|path| KeyDifference { part: path.name(), before: path.of(&before), now: path.of(&now) })
        .collect()
}

fn short(run: &RunId) -> &str {
    &run.as_str()[..8]
}
