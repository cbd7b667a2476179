//! A run in progress: its request, its record, and what its steps ask about it.

use std::sync::Arc;

use stagewright_evaluation::report::EvaluationReport;
use stagewright_manifest::{Step, StepId, World};
use stagewright_store::{MetricPoint, NewRun, RunId, RunStatus};
use tracing::Span;

use crate::execution::Session;
use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run::artifacts::Line;
use crate::run::config::{self, CHILD, PARENT_TAG};
use crate::run::key_lock::HeldLocks;
use crate::run::request::Request;
use crate::run_error::RunError;
use crate::sandbox::Component;
use crate::stages::evaluation::results_of;
use crate::test_rows::HashedRows;

/// A run in progress.
pub struct Run {
    pub(crate) request: Request,
    pub(crate) id: RunId,
    /// The parent of its steps' spans, on whichever thread they work.
    pub(crate) span: Span,
    /// The locks of steps that wait for their record.
    pub(crate) held_locks: HeldLocks,
    /// The hashes of the rows that were split last.
    pub(crate) hashed: HashedRows,
    /// The components of all stages, without duplicates.
    pub(crate) components: Vec<Arc<Component>>,
}

impl Run {
    /// Creates a run that is not recorded.
    pub(crate) fn of(request: Request, id: RunId, span: Span) -> Self {
        let mut components: Vec<Arc<Component>> = Vec::new();
        for component in request.components.values() {
            // Several stages may share a component.
            if !components.iter().any(|known| Arc::ptr_eq(known, component)) {
                components.push(component.clone());
            }
        }
        Self { request, id, span, hashed: HashedRows::default(), components, held_locks: HeldLocks::default() }
    }

    /// Whether this run is to do a step.
    pub(crate) fn is_requested(&self, step: &Step) -> bool {
        let is_it = |only: &StepId| *only == step.stage || *only == step.id;
        self.request.stages.contains(&step.world) && self.request.only.as_ref().is_none_or(is_it)
    }

    /// Returns the steps of a world that this run is to do.
    pub(crate) fn requested_steps(&self, world: World) -> impl Iterator<Item = &Step> {
        self.request.manifest.graph.of(world).filter(|step| self.is_requested(step))
    }

    /// Returns the line of a training's evaluation, which includes the evaluation.
    pub(crate) fn evaluation_line(&self, training: &Step) -> Result<Line, RunError> {
        let step = self.evaluation_of(training)?;
        let mut line = step.line.clone();
        line.insert(step.world, step.id.clone());
        Ok(line)
    }

    /// Returns the step that evaluates the model of a training.
    pub(crate) fn evaluation_of(&self, training: &Step) -> Result<&Step, RunError> {
        let mut evaluations = self.request.manifest.graph.of(World::Evaluation);
        let found = evaluations.find(|step| step.line.get(&World::Training) == Some(&training.id));
        found.ok_or_else(|| self.no_step(&format!("that evaluates `{}`", training.id)).into())
    }

    /// Replaces the worlds in a fault by the names of stages in the manifest. Components know
    /// worlds only.
    pub(crate) fn with_stage_names(&self, step: &Step, error: RunError) -> RunError {
        let RunError::Stage(fault) = error else { return error };
        let stage = |id: &StepId| self.request.manifest.graph.step(id).map(|step| step.stage.clone());
        let name = |told: &StepId| {
            let world = World::from_name(told.as_str())?;
            if world == step.world { Some(step.stage.clone()) } else { stage(step.line.get(&world)?) }
        };
        fault.of_stage(name).into()
    }

    /// Returns the admitted component of a step.
    pub(crate) fn component(&self, step: &Step) -> &Arc<Component> {
        &self.request.components[&step.stage]
    }

    /// Returns the step with this name.
    pub(crate) fn step_named(&self, id: &StepId) -> Result<&Step, StageFault> {
        self.request.manifest.graph.step(id).ok_or_else(|| self.no_step(&format!("`{id}`")))
    }

    /// Returns the error for a missing step.
    pub(crate) fn no_step(&self, what: &str) -> StageFault {
        StageFault::host(format!("the pipeline `{}` has no step {what}", self.request.manifest.pipeline))
    }

    /// Returns the component for a part of the model that `training` trains.
    pub(crate) fn part(&self, training: &Step, world: World) -> Result<&Arc<Component>, StageFault> {
        Ok(self.component(training.line.get(&world).map_or(Ok(training), |id| self.step_named(id))?))
    }

    /// Returns the live objects for the execution of a step.
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

    /// Records the beginning of a run.
    pub(crate) fn begin(request: Request, span: &Span) -> Result<Self, RunError> {
        let manifest = &request.manifest;
        // Its candidate would be refused only after the training.
        request.home.registry.check_own_model(manifest.model.as_str())?;
        let parameters = manifest.stages.iter().flat_map(|stage| {
            let parameters = manifest.parameters_of(stage);
            let description = &request.components[&stage.name].description;
            description.with_defaults(parameters).into_iter().map(move |(name, value)| {
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
            config: recorded_config(&request),
            parameters: parameters.collect(),
            tags: tags(&request),
        })?;
        span.record("stagewright.run.id", id.as_str());
        Ok(Self::of(request, id, span.clone()))
    }

    /// Records the end of a run, and returns its result.
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

    /// Logs the metrics of an evaluation as metrics of the run.
    pub(crate) fn log_results(&self, evaluated: &EvaluationReport) -> Result<(), RunError> {
        let at_ms = crate::execution::now_ms();
        let point = |(name, value): (String, Option<f64>)| MetricPoint {
            name,
            value: value.unwrap_or(f64::NAN),
            at_ms: Some(at_ms),
            ..MetricPoint::default()
        };
        let points: Vec<MetricPoint> = results_of(evaluated).into_iter().map(point).collect();
        Ok(self.request.home.registry.log_batch(&self.id, &points, &[], &[])?)
    }
}

/// Returns the tags that MLflow's clients read.
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

/// Returns the configuration of a run for its record: the manifest's, and what the request adds.
fn recorded_config(request: &Request) -> serde_json::Value {
    let mut recorded = request.manifest.effective();
    recorded["file"] = request.manifest.file().into();
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
    recorded
}
