//! A run: its steps in order, each committed before those begin that wait for it.
//!
//! [`Run::execute`] is the main flow; `flow` says which steps work at once. A stage's artifacts are
//! published (flushed, renamed) and then recorded in one transaction; a stage that fails is
//! recorded without artifacts. So a later stage, a later run and a reader see whole stages only,
//! whatever happened.

pub mod cache;
pub mod config;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_data::Decode;
use stagewright_manifest::{Manifest, Step, StepId, World};
use stagewright_promotion::Destination;
use stagewright_store::{
    Digest, FAILED, FINISHED, Home, InputRecord, NewRun, RunId, RunStatus, StageRecord, StoreError,
};
use tracing::Span;

use crate::artifact::COMPONENTS;
use crate::bench::{Bench, Session, now_ms};
use crate::candidate::{self, Candidate, HashedRows};
use crate::fault::StageFault;
use crate::foreach::{CHILD, ChildOf, PARENT_TAG};
use crate::invocation::{InputRef, Invocation, Outcome};
use crate::made::Made;
use crate::model::Code;
use crate::observer::Observer;
use crate::outputs;
use crate::production;
use crate::run::cache::{Aside, KeyLock, Reuse};
pub use crate::run_error::RunError;
use crate::sandbox::{Cancel, Component, Level, Sandbox};
use crate::spans;
use crate::stages;
use crate::summary::{StageSummary, Summary};
use crate::turn::Turn;
use crate::upon;
use crate::wire;

/// How often a candidate is judged while others become champion.
const TRIES: u32 = 3;

/// What a run is made of.
#[derive(Clone)]
pub struct Request {
    /// The pipeline.
    pub manifest: Arc<Manifest>,
    /// The manifest's text, for the record.
    pub manifest_text: String,
    /// Where everything is kept.
    pub home: Home,
    /// Runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// Decodes files.
    pub decoder: Arc<dyn Decode>,
    /// The component of each stage, by the stage's name, admitted.
    pub components: BTreeMap<StepId, Arc<Component>>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How many instances may run at once.
    pub workers: usize,
    /// Stops it.
    pub cancel: Cancel,
    /// The stages to run.
    pub stages: RangeInclusive<World>,
    /// Of these, the one stage, or the one step of a stage that is several; `None`: all.
    pub only: Option<StepId>,
    /// The run whose artifacts the first stage works on, if it is not ingestion.
    pub base_run: Option<RunId>,
    /// Its place among the children of another run, if it is one.
    pub child: Option<ChildOf>,
    /// The changes of the command line to the manifest, for the record and for stages that follow.
    pub changes: serde_json::Value,
    /// Where the manifest comes from.
    pub code: Option<Code>,
    /// The tokens that sources need, by the variables that the manifest names. They are sent, and
    /// neither recorded nor shown.
    pub tokens: BTreeMap<String, String>,
    /// Where an approved candidate is copied to; `None`: nowhere.
    pub destination: Option<Arc<Destination>>,
    /// Which steps may take over what is on record.
    pub reuse: Reuse,
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
    let parent = request.child.iter().map(|child| (PARENT_TAG.to_owned(), child.parent.to_string()));
    [source, kind].into_iter().chain(code).chain(parent).collect()
}

/// A step that has ended, before it is recorded.
pub(crate) struct Ended {
    pub(crate) step: Step,
    pub(crate) record: StageRecord,
    pub(crate) outcome: Outcome,
    pub(crate) invocation: Option<Invocation>,
    /// Why it failed, if it did.
    pub(crate) error: Option<RunError>,
    /// The tries before, which failed.
    pub(crate) tried: Vec<Self>,
    /// Held until it is recorded: who waits for it finds the record then.
    pub(crate) lock: Option<KeyLock>,
}

/// A run: what was asked for, and the record of it.
pub struct Run {
    pub(crate) request: Request,
    pub(crate) id: RunId,
    /// The span that those of its steps stand in, on whichever thread they work.
    pub(crate) span: Span,
    /// Locks of steps that wait for their record.
    pub(crate) aside: Aside,
    pub(crate) hashed: HashedRows,
    /// The components of all stages, each once.
    pub(crate) components: Vec<Arc<Component>>,
}

impl Run {
    /// A run that nobody has recorded yet.
    pub(crate) fn of(request: Request, id: RunId, span: Span) -> Self {
        let mut components: Vec<Arc<Component>> = Vec::new();
        for component in request.components.values() {
            // Many stages may share one.
            if !components.iter().any(|known| Arc::ptr_eq(known, component)) {
                components.push(component.clone());
            }
        }
        Self { request, id, span, hashed: HashedRows::default(), components, aside: Aside::default() }
    }

    /// Runs the stages that were asked for. The summary holds what happened up to an error.
    ///
    /// # Errors
    /// See [`RunError`]. A rejected candidate is no error: see the summary's decision.
    pub fn execute(request: Request) -> (Summary, Result<(), RunError>) {
        let span = spans::run(&request);
        let (summary, result) = span.in_scope(|| Self::execute_in(&span, request));
        spans::end_run(&span, &summary, &result);
        (summary, result)
    }

    fn execute_in(span: &Span, request: Request) -> (Summary, Result<(), RunError>) {
        let run = match Self::begin(request, span) {
            Ok(run) => run,
            Err(error) => return (Summary::of(String::new()), Err(error)),
        };
        run.request.observer.run_started(&run.id);
        let mut made = Made::nothing(run.request.home.artifacts.clone());
        let mut candidate = None;
        let may_be_written = outputs::check(&run.request.manifest, &run.request.home);
        let result = may_be_written.and_then(|()| upon::taken_over(&run)).and_then(|taken_over| {
            made = taken_over;
            run.lifecycle(&mut made, &mut candidate)?;
            let line = candidate.as_ref().map(|candidate| run.evaluated(candidate)).transpose()?;
            let is_judged = candidate.as_ref().is_none_or(|candidate| !candidate.is_champion_already);
            outputs::write(&run, &made.along(&line.unwrap_or_default()), is_judged)
        });
        let result = run.end(result);
        (Summary::of_run(&run, &made, candidate), result)
    }

    /// The main flow: the data, then models, of which the candidate is judged.
    fn lifecycle(&self, made: &mut Made, candidate: &mut Option<Candidate>) -> Result<(), RunError> {
        let last = *self.request.stages.end();
        if last >= World::Evaluation {
            wire::champion_is_within_reach(self)?;
        }
        self.learn(made)?;
        if last < World::Training {
            return Ok(());
        }
        let trainings: Vec<&Step> = self.request.manifest.graph.of(World::Training).collect();
        if let [training] = trainings[..] {
            let only = candidate.insert(candidate::prepare(self, made, training, true)?);
            return self.judge(made, only, false);
        }
        let wanted = self.wanted(&trainings)?;
        let prepared = wanted.iter().map(|training| candidate::prepare(self, made, training, false));
        let candidates = prepared.collect::<Result<Vec<_>, _>>()?;
        if last < World::Evaluation {
            return Ok(());
        }
        self.evaluate(made, &candidates)?;
        if wanted.len() < trainings.len() {
            // Some were judged: which one is the best is not known.
            return Ok(());
        }
        let best = candidate.insert(candidate::best(self, made, candidates)?);
        self.tell_metrics(made, best)?;
        self.judge(made, best, true)
    }

    /// The trainings of several whose models this run works on: all, if it decides.
    fn wanted<'a>(&self, trainings: &[&'a Step]) -> Result<Vec<&'a Step>, RunError> {
        let mut wanted = Vec::with_capacity(trainings.len());
        for &training in trainings {
            let is_wanted = match *self.request.stages.end() {
                World::Promotion => true,
                World::Evaluation => self.is_asked(self.evaluation_of(training)?),
                _ => self.is_asked(training),
            };
            if is_wanted {
                wanted.push(training);
            }
        }
        Ok(wanted)
    }

    /// Whether this run is to do a step.
    pub(crate) fn is_asked(&self, step: &Step) -> bool {
        let is_it = |only: &StepId| *only == step.stage || *only == step.id;
        self.request.stages.contains(&step.world) && self.request.only.as_ref().is_none_or(is_it)
    }

    /// Evaluates the candidate, unless it `is_evaluated` just now, decides, and promotes it if it
    /// is approved. A decision that was reached against another champion than the present one is
    /// reached again.
    fn judge(&self, made: &mut Made, candidate: &mut Candidate, mut is_evaluated: bool) -> Result<(), RunError> {
        let evaluates = self.request.stages.contains(&World::Evaluation);
        let promotes = self.request.stages.contains(&World::Promotion);
        // A candidate that is the champion already is not judged again.
        candidate.is_champion_already = promotes && candidate.is_champion(self)?;
        if candidate.is_champion_already {
            return if evaluates && !is_evaluated { self.evaluated_before(made, candidate) } else { Ok(()) };
        }
        let mut tries = 0;
        let evaluated = made.along(&self.evaluated(candidate)?);
        let mut is_stale = promotes && !evaluates && production::is_outdated(self, &evaluated)?;
        let mut turn = None;
        loop {
            if is_stale || evaluates && !is_evaluated {
                self.step(self.evaluation_of(&candidate.training)?, made, Some(candidate))?;
                self.tell_metrics(made, candidate)?;
            }
            is_evaluated = false;
            if !promotes {
                return Ok(());
            }
            // Until the end: a candidate that has to be judged again is judged while it is its
            // turn.
            if turn.is_none() {
                turn = Some(Turn::wait(&self.request.home, &self.request.cancel)?);
            }
            tries += 1;
            match self.promote(made, candidate) {
                Err(error) if error.champion_changed() && tries >= TRIES => {
                    let model = self.request.manifest.model.to_string();
                    return Err(RunError::Overtaken { model, tries, reason: error.to_string() });
                }
                Err(error) if error.champion_changed() => is_stale = true,
                promoted => return promoted,
            }
            if self.request.cancel.is_cancelled() {
                return Err(StageFault::Cancelled { stage: World::Promotion.into() }.into());
            }
            let message = "the champion changed while the candidate was judged: it is judged again";
            self.request.observer.log(&World::Promotion.into(), Level::Warn, message);
        }
    }

    /// Decides and promotes. A candidate that is the champion already is neither.
    fn promote(&self, made: &mut Made, candidate: &mut Candidate) -> Result<(), RunError> {
        candidate.is_champion_already = candidate.is_champion(self)?;
        if candidate.is_champion_already {
            return Ok(());
        }
        let line = self.evaluated(candidate)?;
        let decides = self.request.manifest.graph.of(World::Promotion).next();
        let decides = decides.ok_or_else(|| self.no_step("that decides"))?;
        self.step(&Step { line: line.clone(), ..decides.clone() }, made, None)?;
        let made = made.after(&Step { line, ..decides.clone() });
        production::promote(self, &made, candidate)
    }

    /// One step, done and recorded.
    fn step(&self, step: &Step, made: &mut Made, candidate: Option<&Candidate>) -> Result<(), RunError> {
        let ended = self.done(step, made, candidate, &self.request.cancel)?;
        self.commit(ended, made)
    }

    /// Does a step, again as often as the manifest allows where a server or a disk failed. It is
    /// not recorded yet.
    ///
    /// # Errors
    /// The step has no record. One that failed is a record with an error.
    pub(crate) fn done(
        &self,
        step: &Step,
        made: &Made,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<Ended, RunError> {
        let span = spans::step(self, step);
        let ended = span.in_scope(|| self.tries(step, made, candidate, cancel));
        spans::end_step(&span, &ended);
        ended
    }

    fn tries(
        &self,
        step: &Step,
        made: &Made,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<Ended, RunError> {
        let retry = self.request.manifest.stage_of(step).retry;
        let mut tried: Vec<Ended> = Vec::new();
        let mut attempt = 1;
        loop {
            let ended = self.attempt(step, made, candidate, cancel);
            let error = match &ended {
                Ok(Ended { error: Some(error), .. }) | Err(error) if error.may_pass() => error,
                _ => return ended.map(|ended| Ended { tried, ..ended }),
            };
            attempt += 1;
            let Some(pause) = retry.before(attempt) else { return ended.map(|ended| Ended { tried, ..ended }) };
            let message = format!("it is tried again in {} s: {error}", pause.as_secs_f64());
            self.request.observer.log(&step.id, Level::Warn, &message);
            // Others may have the key meanwhile; the next try asks for it again.
            let ended = ended.map(|ended| Ended { lock: None, ..ended });
            if !paused(pause, cancel) {
                let stopped = RunError::from(StageFault::Cancelled { stage: step.stage.clone() });
                return ended.map(|ended| Ended { tried, error: Some(stopped), ..ended });
            }
            // A try without a record was none.
            tried.extend(ended);
        }
    }

    /// One try of a step: its invocation is put together. If somebody has done the same before, the
    /// result is taken over; else the step is executed and published.
    fn attempt(
        &self,
        step: &Step,
        made: &Made,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<Ended, RunError> {
        let component = self.component(step).clone();
        let limits = self.request.manifest.stage_of(step).limits;
        let mut bench = Bench::begin(step.id.clone(), component, limits, self.session(cancel));
        // What is fetched and hashed for the invocation is the step's work too.
        let inputs = spans::part("inputs");
        let wired = inputs.in_scope(|| wire::invocation(self, step, made, candidate, &mut bench));
        drop(inputs);
        let (known, lock) = match &wired {
            Ok(invocation) => self.on_record(step, &invocation.key(), &bench)?,
            Err(_) => (None, None),
        };
        match (wired, known) {
            (Ok(invocation), Some(found)) => self.take_over(step, &found, invocation, bench),
            (wired, _) => Ok(Ended { lock, ..self.execute_step(step, wired, bench)? }),
        }
    }

    /// Executes a step and publishes what it made.
    fn execute_step(
        &self,
        step: &Step,
        wired: Result<Invocation, RunError>,
        mut bench: Bench,
    ) -> Result<Ended, RunError> {
        let (invocation, worked) = match wired {
            Ok(invocation) => {
                let worked = spans::part("execute").in_scope(|| stages::work(&invocation, &mut bench));
                let worked = worked.and_then(|()| self.keep_components(step, &mut bench));
                (Some(invocation), worked)
            }
            Err(error) => (None, Err(error)),
        };
        let ended = bench.settled(worked).and_then(|()| spans::part("publish").in_scope(|| bench.publish()));
        let ended = ended.map_err(|error| self.named(step, error));
        let outcome = bench.outcome(ended.as_ref().err());
        // What was taken back was read, and nobody knows what it was: such a step has no key.
        let is_declared = |input: &InputRef| bench.is_declared(&input.role);
        let known = invocation.as_ref().filter(|invocation| invocation.inputs.iter().all(is_declared));
        let key = known.map(Invocation::key);
        let invocation = invocation.map(|mut invocation| {
            invocation.inputs.retain(is_declared);
            invocation
        });
        let record = record(&bench, invocation.as_ref(), &outcome, key)?;
        let (step, tried) = (step.clone(), Vec::new());
        Ok(Ended { step, record, outcome, invocation, error: ended.err(), tried, lock: None })
    }

    /// Records a step that has ended, and the tries before. Only this adds to what is made.
    pub(crate) fn commit(&self, ended: Ended, made: &mut Made) -> Result<(), RunError> {
        let Ended { step, record, outcome, invocation, error, tried, lock } = ended;
        for tried in &tried {
            self.record(&step, &tried.record, &tried.outcome.results)?;
        }
        let recorded = self.record(&step, &record, &outcome.results);
        // A disk that is full may refuse the record too: what stopped the stage is what is told.
        if let Some(error) = error {
            self.request.observer.stage_failed(&step.id, &error);
            return Err(error);
        }
        recorded?;
        drop(lock);
        let summary = StageSummary::of(step.world, &record, &outcome, invocation);
        self.request.observer.stage_finished(&step.id, &summary);
        made.tell(summary);
        made.add(&step.id, record);
        Ok(())
    }

    fn record(&self, step: &Step, record: &StageRecord, results: &[(String, Option<f64>)]) -> Result<(), StoreError> {
        // Of several models, none is the run's until the best is known. A stage's own figures have
        // its name and a dot before theirs: with a slash, none has the name of one of the host's.
        let prefix = if step.id == step.stage { String::new() } else { format!("{}/", step.id) };
        let results = results.iter().map(|(name, value)| (format!("{prefix}{name}"), value.unwrap_or(f64::NAN)));
        let span = spans::part("record");
        span.record("stagewright.step", step.id.as_str());
        let _entered = span.enter();
        self.request.home.registry.record_stage(&self.id, record, &results.collect::<Vec<_>>())
    }

    /// A fault as the file names its stages: components know worlds alone.
    pub(crate) fn named(&self, step: &Step, error: RunError) -> RunError {
        let RunError::Stage(fault) = error else { return error };
        let stage = |id: &StepId| self.request.manifest.graph.step(id).map(|step| step.stage.clone());
        let name = |told: &StepId| {
            let world = World::from_name(told.as_str())?;
            if world == step.world { Some(step.stage.clone()) } else { stage(step.line.get(&world)?) }
        };
        fault.of_stage(name).into()
    }

    /// The admitted component of a step.
    pub(crate) fn component(&self, step: &Step) -> &Arc<Component> {
        &self.request.components[&step.stage]
    }

    /// The step of this name.
    pub(crate) fn step_named(&self, id: &StepId) -> Result<&Step, StageFault> {
        self.request.manifest.graph.step(id).ok_or_else(|| self.no_step(&format!("`{id}`")))
    }

    pub(crate) fn no_step(&self, what: &str) -> StageFault {
        StageFault::host(format!("the pipeline `{}` has no step {what}", self.request.manifest.pipeline))
    }

    /// Keeps the component that was called, by which the step can be executed again; and the
    /// components of a model with it: a version is whole from the end of training on.
    pub(crate) fn keep_components(&self, step: &Step, bench: &mut Bench) -> Result<(), RunError> {
        bench.keep_component()?;
        if step.world != World::Training {
            return Ok(());
        }
        for (world, artifact) in &COMPONENTS {
            bench.put_component(artifact, self.part(step, *world)?)?;
        }
        Ok(())
    }

    /// The component of a model's part, by the training of the model.
    pub(crate) fn part(&self, training: &Step, world: World) -> Result<&Arc<Component>, StageFault> {
        Ok(self.component(training.line.get(&world).map_or(Ok(training), |id| self.step_named(id))?))
    }

    pub(crate) fn session(&self, cancel: &Cancel) -> Session {
        let Request { home, sandbox, decoder, observer, workers, .. } = &self.request;
        Session {
            artifacts: home.artifacts.clone(),
            sandbox: sandbox.clone(),
            decoder: decoder.clone(),
            components: self.components.clone(),
            source: None,
            observer: observer.clone(),
            workers: *workers,
            cancel: cancel.clone(),
        }
    }

    pub(crate) fn begin(request: Request, span: &Span) -> Result<Self, RunError> {
        let manifest = &request.manifest;
        let mut recorded = manifest.effective();
        recorded["file"] = manifest.file().into();
        recorded[config::CHANGES] = request.changes.clone();
        recorded[config::RANGE] = serde_json::json!([request.stages.start(), request.stages.end()]);
        if let Some(only) = &request.only {
            recorded[config::ONLY] = only.as_str().into();
        }
        for (key, run) in [(config::BASE_RUN, &request.base_run), (config::RESUMES, &request.reuse.resumed)] {
            if let Some(run) = run {
                recorded[key] = run.as_str().into();
            }
        }
        if let Some(child) = &request.child {
            recorded[CHILD] = child.to_json();
        }
        let parameters = manifest.stages.iter().flat_map(|stage| {
            let parameters = manifest.parameters_of(stage);
            let schema = &request.components[&stage.name].description.parameters;
            with_defaults(schema, parameters).into_iter().map(move |(name, value)| {
                (format!("{}.{name}", stage.name), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
        });
        let id = request.home.registry.begin_run(&NewRun {
            run_id: None,
            name: request.child.as_ref().map(|child| child.name.clone()).unwrap_or_default(),
            pipeline: manifest.pipeline.to_string(),
            experiment: manifest.experiment.to_string(),
            seed: manifest.seed,
            manifest: request.manifest_text.clone(),
            config: recorded,
            parameters: parameters.collect(),
            tags: tags(&request),
        })?;
        span.record("stagewright.run.id", id.as_str());
        Ok(Self::of(request, id, span.clone()))
    }

    pub(crate) fn end(&self, result: Result<(), RunError>) -> Result<(), RunError> {
        let error = result.as_ref().err().map(|error| serde_json::json!({ "message": error.to_string() }));
        let status = match &result {
            Ok(()) => RunStatus::Finished,
            Err(RunError::Stage(StageFault::Cancelled { .. })) => RunStatus::Killed,
            Err(_) => RunStatus::Failed,
        };
        let ended = self.request.home.registry.finish_run(&self.id, status, error.as_ref());
        result.and(ended.map_err(RunError::from))
    }
}

/// Waits, unless somebody asks to stop: whether nobody did.
fn paused(pause: Duration, cancel: &Cancel) -> bool {
    let end = Instant::now() + pause;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if cancel.is_cancelled() || left.is_zero() {
            return !cancel.is_cancelled();
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// A step as the registry records it.
fn record(
    bench: &Bench,
    invocation: Option<&Invocation>,
    outcome: &Outcome,
    key: Option<Digest>,
) -> Result<StageRecord, StageFault> {
    let inputs = invocation.iter().flat_map(|invocation| &invocation.inputs);
    let usage = outcome.usage;
    Ok(StageRecord {
        name: bench.step.to_string(),
        component: bench.component.name.clone(),
        digest: bench.component.digest,
        status: if outcome.fault.is_some() { FAILED } else { FINISHED }.to_owned(),
        started_ms: bench.began_ms,
        ended_ms: now_ms(),
        wall_ms: usage.wall_ms,
        cpu_ms: usage.cpu_ms,
        peak_memory_bytes: usage.peak_memory_bytes,
        rows_in: usage.rows_in,
        rows_out: usage.rows_out,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        copies_bytes: usage.bytes_copied,
        error: outcome.fault.as_ref().map(|fault| serde_json::json!({ "message": fault.to_string() })),
        inputs: inputs.map(|input| InputRecord { name: input.role.clone(), digest: input.digest }).collect(),
        outputs: outcome.outputs.clone(),
        metrics: outcome.metrics.clone(),
        logs: outcome.logs.clone(),
        invocation: invocation.map(serde_json::to_value).transpose().map_err(StageFault::host)?,
        walls: Some(outcome.walls.clone()),
        key,
        cached_from: None,
        dropped: usage.log_lines_dropped,
    })
}
