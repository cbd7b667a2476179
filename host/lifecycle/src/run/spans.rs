//! The spans of a run and of its steps.

use stagewright_evaluation::report::Verdict;
use stagewright_manifest::Step;
use tracing::Span;
use tracing::field::Empty;

use crate::fault::StageFault;
use crate::run::context::Run;
use crate::run::ended_step::EndedStep;
use crate::run::request::Request;
use crate::run_error::RunError;
use crate::spans::{TARGET, brief};
use crate::summary::Summary;

/// Returns the span of a run.
pub(crate) fn run(request: &Request) -> Span {
    let manifest = &request.manifest;
    // The name of a segment's model contains a value of the table.
    let names_a_value = request.child.as_ref().is_some_and(|child| child.is_segment);
    tracing::info_span!(
        target: TARGET,
        "run",
        stagewright.run.id = Empty,
        stagewright.pipeline = brief(manifest.pipeline.as_str()),
        stagewright.experiment = brief(manifest.experiment.as_str()),
        stagewright.model = (!names_a_value).then(|| brief(manifest.model.as_str())),
        stagewright.seed = manifest.seed.to_string(), // a collector may count to 2^53 only
        stagewright.workers = count(request.workers),
        stagewright.outcome = Empty,
        stagewright.steps.executed = Empty,
        stagewright.steps.cached = Empty,
        stagewright.verdict = Empty,
        stagewright.model.version = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Records how a run ended.
pub(crate) fn end_run(span: &Span, summary: &Summary, result: &Result<(), RunError>) {
    if span.is_disabled() {
        return;
    }
    span.record("stagewright.steps.executed", count(summary.executed));
    span.record("stagewright.steps.cached", count(summary.cached));
    if let Some(decision) = &summary.decision {
        span.record("stagewright.verdict", verdict(decision.verdict));
    }
    if let Some(model) = &summary.model {
        span.record("stagewright.model.version", count(model.version));
    }
    ended(span, result.as_ref().err());
}

/// Returns the span of a step, which covers all its tries.
pub(crate) fn step(run: &Run, step: &Step) -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: &run.span,
        "step",
        otel.name = format!("step {}", step.id),
        stagewright.run.id = run.id.as_str(),
        stagewright.step = step.id.as_str(),
        stagewright.stage = step.stage.as_str(),
        stagewright.world = step.world.as_str(),
        stagewright.component = brief(&run.component(step).name),
        stagewright.component.digest = run.component(step).digest.to_string(),
        stagewright.key = Empty,
        stagewright.cached = Empty,
        stagewright.cached_from = Empty,
        stagewright.attempts = Empty,
        stagewright.outcome = Empty,
        stagewright.walls = Empty,
        stagewright.cpu_ms = Empty,
        stagewright.wall_ms = Empty,
        stagewright.peak_memory_bytes = Empty,
        stagewright.rows_in = Empty,
        stagewright.rows_out = Empty,
        stagewright.bytes_in = Empty,
        stagewright.bytes_out = Empty,
        stagewright.log_lines_dropped = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Records how a step ended. For a step from the cache, the usage of the original execution is left
/// out.
pub(crate) fn end_step(span: &Span, result: &Result<EndedStep, RunError>) {
    if span.is_disabled() {
        return;
    }
    let done = match result {
        Ok(done) => done,
        Err(error) => return ended(span, Some(error)),
    };
    let record = &done.record;
    span.record("stagewright.attempts", count(done.tried.len() + 1));
    if let Some(key) = record.key {
        span.record("stagewright.key", key.to_string());
    }
    span.record("stagewright.cached", record.cached_from.is_some());
    span.record("stagewright.walls", done.outcome.walls.join(","));
    match &record.cached_from {
        Some(run) => drop(span.record("stagewright.cached_from", run.as_str())),
        None => {
            span.record("stagewright.cpu_ms", record.cpu_ms);
            span.record("stagewright.wall_ms", record.wall_ms);
            span.record("stagewright.peak_memory_bytes", count(record.peak_memory_bytes));
        }
    }
    span.record("stagewright.rows_in", count(record.rows_in));
    span.record("stagewright.rows_out", count(record.rows_out));
    span.record("stagewright.bytes_in", count(record.bytes_in));
    span.record("stagewright.bytes_out", count(record.bytes_out));
    span.record("stagewright.log_lines_dropped", count(record.dropped));
    ended(span, done.error.as_ref());
}

fn ended(span: &Span, error: Option<&RunError>) {
    let Some(error) = error else {
        span.record("stagewright.outcome", "finished");
        return;
    };
    let kind = kind(error);
    span.record("stagewright.outcome", if kind == "cancelled" { "killed" } else { "failed" });
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", kind);
}

/// Converts a number to the signed type that collectors use.
fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::Undecided => "undecided",
    }
}

/// Returns the kind of an error, which holds nothing of the data.
fn kind(error: &RunError) -> &'static str {
    match error {
        RunError::Stage(fault) => kind_of_fault(fault),
        RunError::Children { why, .. } => kind(why),
        RunError::Server(_) => "server",
        RunError::Unfit { .. } => "unfit-data",
        RunError::MissingArtifact { .. } => "missing-artifact",
        RunError::NotMade { .. } => "not-made",
        RunError::NoOutput { .. } => "no-output",
        RunError::OtherComponent { .. } => "other-component",
        RunError::ChampionMissing { .. } => "champion-missing",
        RunError::Overtaken { .. } => "overtaken",
        RunError::Store(_) => "store",
        RunError::Promotion(_) => "promotion",
    }
}

fn kind_of_fault(fault: &StageFault) -> &'static str {
    match fault {
        StageFault::Data { .. } => "data",
        StageFault::Parameter { .. } => "parameter",
        StageFault::Internal { .. } => "internal",
        StageFault::Trap { .. } => "trap",
        StageFault::Killed { .. } => "killed",
        StageFault::Contract { .. } => "contract",
        StageFault::Limit { .. } => "limit",
        StageFault::Denied { .. } => "denied",
        StageFault::Untrusted { .. } => "untrusted",
        StageFault::Outdated { .. } => "outdated",
        StageFault::Cancelled { .. } => "cancelled",
        StageFault::Host { .. } => "host",
    }
}
