//! One step of a run: retried, taken from the cache or executed, and recorded.

use std::time::{Duration, Instant};

use stagewright_evaluation::report::EvaluationReport;
use stagewright_manifest::{Step, World};
use stagewright_store::{ArtifactRecord, Digest, FAILED, FINISHED, InputRecord, StageRecord, StoreError};

use crate::artifact::{COMPONENTS, EVALUATION, Json, Readable as _};
use crate::artifact_names::ArtifactName;
use crate::execution::{Execution, now_ms};
use crate::fault::StageFault;
use crate::invocation::{InputRef, Invocation, Outcome, Usage};
use crate::limits::Cancel;
use crate::run::artifacts::RunArtifacts;
use crate::run::cache::Found;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run::ended_step::EndedStep;
use crate::run::{invocation_builder, spans as run_spans};
use crate::run_error::RunError;
use crate::sandbox::Level;
use crate::spans;
use crate::stages;
use crate::stages::evaluation::results_of;
use crate::summary::StageSummary;

impl Run {
    /// Does a step, and retries it as the manifest allows if a server or a disk failed. The step is
    /// not recorded yet.
    ///
    /// # Errors
    /// The step has no record. A step that failed with a record is a result with an error.
    pub(crate) fn do_step(
        &self,
        step: &Step,
        artifacts: &RunArtifacts,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<EndedStep, RunError> {
        let span = run_spans::step(self, step);
        let ended = span.in_scope(|| self.with_retries(step, artifacts, candidate, cancel));
        run_spans::end_step(&span, &ended);
        ended
    }

    fn with_retries(
        &self,
        step: &Step,
        artifacts: &RunArtifacts,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<EndedStep, RunError> {
        let retry = self.request.manifest.stage_of(step).retry;
        let mut tried: Vec<EndedStep> = Vec::new();
        let mut attempt = 1;
        loop {
            let ended = self.attempt(step, artifacts, candidate, cancel);
            let error = match &ended {
                Ok(EndedStep { error: Some(error), .. }) | Err(error) if error.may_pass() => error,
                _ => return ended.map(|ended| EndedStep { tried, ..ended }),
            };
            attempt += 1;
            let Some(pause) = retry.before(attempt) else { return ended.map(|ended| EndedStep { tried, ..ended }) };
            let message = format!("trying again in {} s: {error}", pause.as_secs_f64());
            self.request.observer.log(&step.id, Level::Warn, &message);
            // The lock is released between tries. The next try takes it again.
            let ended = ended.map(|ended| EndedStep { lock: None, ..ended });
            if !paused(pause, cancel) {
                let stopped = RunError::from(StageFault::Cancelled { stage: step.stage.clone() });
                return ended.map(|ended| EndedStep { tried, error: Some(stopped), ..ended });
            }
            // A try without a record does not count.
            tried.extend(ended);
        }
    }

    /// Tries a step once: builds its invocation, and reuses a recorded result or executes the step.
    fn attempt(
        &self,
        step: &Step,
        artifacts: &RunArtifacts,
        candidate: Option<&Candidate>,
        cancel: &Cancel,
    ) -> Result<EndedStep, RunError> {
        let component = self.component(step).clone();
        let limits = self.request.manifest.stage_of(step).limits;
        let mut execution = Execution::begin(step.id.clone(), component, limits, self.session(cancel));
        // Fetching and hashing the inputs is part of the step's work.
        let inputs = spans::part("inputs");
        let built =
            inputs.in_scope(|| invocation_builder::invocation(self, step, artifacts, candidate, &mut execution));
        drop(inputs);
        let (known, lock) = match &built {
            Ok(invocation) => self.find_recorded(step, &invocation.key(), &execution)?,
            Err(_) => (None, None),
        };
        match (built, known) {
            (Ok(invocation), Some(found)) => self.reuse(step, &found, invocation, execution),
            (built, _) => Ok(EndedStep { lock, ..self.execute_step(step, built, execution)? }),
        }
    }

    /// Executes a step and publishes its outputs.
    fn execute_step(
        &self,
        step: &Step,
        built: Result<Invocation, RunError>,
        mut execution: Execution,
    ) -> Result<EndedStep, RunError> {
        let (invocation, result) = match built {
            Ok(invocation) => {
                let result = spans::part("execute").in_scope(|| stages::work(&invocation, &mut execution));
                let result = result.and_then(|()| self.keep_components(step, &mut execution));
                (Some(invocation), result)
            }
            Err(error) => (None, Err(error)),
        };
        let ended =
            execution.final_result(result).and_then(|()| spans::part("publish").in_scope(|| execution.publish()));
        let ended = ended.map_err(|error| self.with_stage_names(step, error));
        let outcome = execution.outcome(ended.as_ref().err());
        // A withdrawn input was read, but its content is not known. Such a step has no key.
        let is_declared = |input: &InputRef| execution.is_declared(&input.role);
        let known = invocation.as_ref().filter(|invocation| invocation.inputs.iter().all(is_declared));
        let key = known.map(Invocation::key);
        let invocation = invocation.map(|mut invocation| {
            invocation.inputs.retain(is_declared);
            invocation
        });
        let record = record(&execution, invocation.as_ref(), &outcome, key)?;
        let (step, tried) = (step.clone(), Vec::new());
        Ok(EndedStep { step, record, outcome, invocation, error: ended.err(), tried, lock: None })
    }

    /// Records a step that has ended, and its earlier tries. Nothing else adds to a run's
    /// artifacts.
    pub(crate) fn commit(&self, ended: EndedStep, artifacts: &mut RunArtifacts) -> Result<(), RunError> {
        let EndedStep { step, record, outcome, invocation, error, tried, lock } = ended;
        for tried in &tried {
            self.record(&step, &tried.record, &tried.outcome.results)?;
        }
        let recorded = self.record(&step, &record, &outcome.results);
        // A full disk may also refuse the record. The error of the step is reported, since it is
        // the cause.
        if let Some(error) = error {
            self.request.observer.stage_failed(&step.id, &error);
            return Err(error);
        }
        recorded?;
        drop(lock);
        let summary = StageSummary::of(step.world, &record, &outcome, invocation);
        self.request.observer.stage_finished(&step.id, &summary);
        artifacts.add_summary(summary);
        artifacts.add(&step.id, record);
        Ok(())
    }

    fn record(&self, step: &Step, record: &StageRecord, results: &[(String, Option<f64>)]) -> Result<(), StoreError> {
        // With several models, none is the run's until the best one is known. A component's metrics
        // have its stage's name and a dot in front. The slash keeps the host's metrics apart from
        // them.
        let prefix = if step.id == step.stage { String::new() } else { format!("{}/", step.id) };
        let results = results.iter().map(|(name, value)| (format!("{prefix}{name}"), value.unwrap_or(f64::NAN)));
        let span = spans::part("record");
        span.record("stagewright.step", step.id.as_str());
        let _entered = span.enter();
        self.request.home.registry.record_stage(&self.id, record, &results.collect::<Vec<_>>())
    }

    /// Records a result of an earlier run as this run's, with its logs and metrics.
    pub(crate) fn reuse(
        &self,
        step: &Step,
        found: &Found,
        invocation: Invocation,
        mut execution: Execution,
    ) -> Result<EndedStep, RunError> {
        execution.final_result(Ok(())).map_err(|error| self.with_stage_names(step, error))?;
        let value = serde_json::to_value(&invocation).map_err(StageFault::host)?;
        let mut record = found.reused(execution.began_ms, now_ms(), value);
        // The step may have another name.
        record.name = step.id.to_string();
        self.replace_components(step, &mut record, &mut execution)?;
        // Publishes a server's response or an imported split, which was fetched for the invocation.
        execution.publish()?;
        let results = self.results(step, &record)?;
        let outcome = Outcome {
            outputs: record.outputs.clone(),
            usage: used(&record),
            results,
            metrics: record.metrics.clone(),
            logs: record.logs.clone(),
            walls: record.walls.clone().unwrap_or_default(),
            fault: None,
        };
        let (step, invocation, tried) = (step.clone(), Some(invocation), Vec::new());
        Ok(EndedStep { step, record, outcome, invocation, error: None, tried, lock: None })
    }

    /// Returns the metrics that the host computed, from the step's documents.
    fn results(&self, step: &Step, record: &StageRecord) -> Result<Vec<(String, Option<f64>)>, RunError> {
        let ArtifactName { world, name } = EVALUATION.name;
        let evaluated = record.outputs.iter().find(|output| step.world == world && output.name == name);
        let Some(ArtifactRecord { digest, .. }) = evaluated else { return Ok(Vec::new()) };
        let evaluated = Json::<EvaluationReport>::open(&self.request.home.artifacts, digest, EVALUATION.name)?;
        Ok(results_of(&evaluated))
    }

    /// Replaces the components that are kept with a model by this run's. They are not made by the
    /// training, and those of the earlier run may differ.
    fn replace_components(
        &self,
        step: &Step,
        record: &mut StageRecord,
        execution: &mut Execution,
    ) -> Result<(), RunError> {
        if step.world != World::Training {
            return Ok(());
        }
        let is_kept = |name: &str| COMPONENTS.iter().any(|(_, artifact)| artifact.name.name == name);
        let mut wanted = Vec::with_capacity(COMPONENTS.len());
        for (world, _) in &COMPONENTS {
            wanted.push(self.part(step, *world)?.digest);
        }
        if record.outputs.iter().filter(|output| is_kept(&output.name)).map(|output| output.digest).eq(wanted) {
            return Ok(());
        }
        self.keep_components(step, execution)?;
        record.outputs.retain(|output| !is_kept(&output.name));
        record.outputs.extend(execution.outputs().iter().cloned());
        Ok(())
    }

    /// Keeps the step's component, so that the step can be executed again. With a model, keeps the
    /// model's components, so that a version is complete when training ends.
    pub(crate) fn keep_components(&self, step: &Step, execution: &mut Execution) -> Result<(), RunError> {
        execution.keep_component()?;
        if step.world != World::Training {
            return Ok(());
        }
        for (world, artifact) in &COMPONENTS {
            execution.put_component(artifact, self.part(step, *world)?)?;
        }
        Ok(())
    }
}

/// Waits for `pause`. Returns whether it was not cancelled meanwhile.
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

/// Returns the record of a step for the registry.
fn record(
    execution: &Execution,
    invocation: Option<&Invocation>,
    outcome: &Outcome,
    key: Option<Digest>,
) -> Result<StageRecord, StageFault> {
    let inputs = invocation.iter().flat_map(|invocation| &invocation.inputs);
    let usage = outcome.usage;
    Ok(StageRecord {
        name: execution.step.to_string(),
        component: execution.component.name.clone(),
        digest: execution.component.digest,
        status: if outcome.fault.is_some() { FAILED } else { FINISHED }.to_owned(),
        started_ms: execution.began_ms,
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

/// Returns the usage of the recorded execution.
fn used(record: &StageRecord) -> Usage {
    Usage {
        wall_ms: record.wall_ms,
        cpu_ms: record.cpu_ms,
        peak_memory_bytes: record.peak_memory_bytes,
        rows_in: record.rows_in,
        rows_out: record.rows_out,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        bytes_copied: record.copies_bytes,
        output_bytes: 0,
        log_bytes: 0,
        log_lines_dropped: record.dropped,
    }
}
