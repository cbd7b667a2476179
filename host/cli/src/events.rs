//! The events of a run as JSON lines on standard output (`--log-format json`).
//!
//! Each line is an object with `time`, `run`, `step` (null for the run as a whole), `level`,
//! `event` and `message`. Text that a stage logs is in an event `log` of its step, and cannot begin
//! a line of its own.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::Level;
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_manifest::StepId;
use stagewright_store::RunId;

use crate::classify::run_error_code;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::traces;

/// Writes the events of a run. A failure to write does not stop the run.
#[derive(Default)]
pub(crate) struct Events {
    run: OnceLock<RunId>,
    /// The child's name and the run that it belongs to, if the run is a child.
    child: Option<(String, Option<RunId>)>,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    /// The current time in UTC (RFC 3339).
    time: String,
    run: Option<&'a str>,
    step: Option<&'a str>,
    level: Level,
    event: &'static str,
    message: &'a str,
    #[serde(flatten)]
    more: serde_json::Value,
}

impl Events {
    fn say(&self, step: Option<&StepId>, level: Level, event: &'static str, message: &str, more: serde_json::Value) {
        let run = self.run.get().map(RunId::as_str);
        write(&Line { time: now(), run, step: step.map(StepId::as_str), level, event, message, more });
    }
}

/// Writes the event of a run's end.
pub(crate) fn ended(run: &str, failed: Option<(ErrorCode, String)>, otherwise: ExitCode) {
    let run = Some(run).filter(|run| !run.is_empty());
    let (level, exit_code) = match &failed {
        Some((code, _)) => (Level::Error, code.exit_code()),
        None => (Level::Info, otherwise),
    };
    let mut more = serde_json::json!({ "exit_code": exit_code as u8 });
    if let Some((code, _)) = &failed {
        more["error_code"] = code.as_str().into();
    }
    let message = failed.as_ref().map_or("the run came to its end", |(_, message)| message);
    write(&Line { time: now(), run, step: None, level, event: "run-ended", message, more });
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn write(line: &Line<'_>) {
    // This cannot fail: all fields are text or numbers.
    let text = serde_json::to_string(line).unwrap_or_default();
    crate::output::event(&stagewright_text::json(&text));
}

impl Observer for Events {
    fn run_started(&self, run: &RunId) {
        let _ = self.run.set(run.clone());
        let mut more = traces::id().map_or_else(|| serde_json::json!({}), |id| serde_json::json!({ "trace_id": id }));
        if let Some((name, parent)) = &self.child {
            more["child"] = name.as_str().into();
            more["of"] = serde_json::json!(parent);
        }
        self.say(None, Level::Info, "run-started", "the run begins", more);
    }

    fn run_ended(&self, summary: &Summary, error: Option<&RunError>) {
        let verdict = summary.decision.as_ref().map(|decision| decision.verdict);
        let is_rejected = matches!(verdict, Some(Verdict::Rejected | Verdict::Undecided));
        let ending = if is_rejected { ExitCode::Rejected } else { ExitCode::Done };
        ended(&summary.run_id, error.map(|error| (run_error_code(error), error.to_string())), ending);
    }

    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        Arc::new(Self { run: OnceLock::new(), child: Some((name.to_owned(), self.run.get().cloned())) })
    }

    fn stage_started(&self, step: &StepId, component: &str) {
        let more = serde_json::json!({ "component": component });
        self.say(Some(step), Level::Info, "step-started", "the step begins", more);
    }

    fn progress(&self, _: &StepId, _: u64, _: u64) {}

    fn log(&self, step: &StepId, level: Level, message: &str) {
        self.say(Some(step), level, "log", message, serde_json::json!({}));
    }

    fn stage_finished(&self, step: &StepId, summary: &StageSummary) {
        let more = serde_json::json!({
            "component": summary.component,
            "cached": summary.cached,
            "wall_ms": summary.usage.wall_ms,
            "cpu_ms": summary.usage.cpu_ms,
        });
        let message = if summary.cached { "an earlier run had done the same" } else { "the step is done" };
        self.say(Some(step), Level::Info, "step-finished", message, more);
    }

    fn stage_failed(&self, step: &StepId, error: &RunError) {
        let more = serde_json::json!({ "error_code": run_error_code(error).as_str() });
        self.say(Some(step), Level::Error, "step-failed", &error.to_string(), more);
    }
}
