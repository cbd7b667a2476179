//! The steps of a pipeline's run: state, time, cached or not, and the limits used against those
//! allowed.

use std::collections::BTreeSet;

use maud::{Markup, html};
use serde::Serialize;
use stagewright_store::{CACHED, FAILED, FINISHED, RunningStep, StageRecord};
use stagewright_text::Untrusted;

use crate::markup::{badge, cell};
use crate::text;

/// The state of a step that has no record yet.
const RUNNING: &str = "running";

/// A step of a run.
#[derive(Serialize)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) component: String,
    digest: String,
    /// `finished`, `cached`, `failed`, or `running` while the step has no record yet.
    pub(super) status: String,
    started_ms: i64,
    ended_ms: Option<i64>,
    /// The run that executed it, if this one reused its result.
    cached_from: Option<String>,
    wall_ms: Used,
    cpu_ms: Used,
    memory_bytes: Used,
    output_bytes: Used,
    rows_in: u64,
    rows_out: u64,
    bytes_in: u64,
    copies_bytes: u64,
    log_lines: usize,
    dropped: u64,
    /// The sandbox layers around its calls.
    walls: Option<Vec<String>>,
    /// The artifacts that it read, by the names that they have for it.
    inputs: Vec<(String, String)>,
    /// The steps whose artifacts it read. Of a step that runs, the last one that ended.
    pub(super) after: Vec<String>,
    /// Of a step that runs: how much of its present work is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    error: Option<serde_json::Value>,
}

/// How far a step is.
#[derive(Serialize)]
struct Progress {
    done: u64,
    /// 0: unknown.
    total: u64,
}

/// A use of a limit.
#[derive(Serialize, Clone, Copy)]
struct Used {
    used: f64,
    /// `None` where the record does not say.
    allowed: Option<f64>,
}

impl Used {
    fn meter(self, show: impl Fn(f64) -> String) -> Markup {
        html! {
            (show(self.used))
            @if let Some(allowed) = self.allowed.filter(|allowed| *allowed > 0.0) {
                br;
                span.soft.small { "of " (show(allowed)) }
                " "
                meter min="0" max=(allowed) value=(self.used.min(allowed)) high=(allowed * 0.8)
                    title={ (format!("{:.0}", self.used / allowed * 100.0)) " % of the limit" } {}
            }
        }
    }
}

impl Step {
    /// Returns how long it took, or how far it is, for people.
    pub(super) fn time(&self) -> String {
        match self.progress {
            Some(Progress { done, total }) if total > 0 => format!("{} %", done.min(total) * 100 / total),
            Some(_) => "…".to_owned(),
            None => text::duration(self.wall_ms.used),
        }
    }
}

/// Returns the steps of the records, and those that run now.
pub(super) fn steps(records: &[StageRecord], running: Vec<RunningStep>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(records.len() + running.len());
    for (place, record) in records.iter().enumerate() {
        let mut step = step(record);
        step.after = after(record, records.get(..place).unwrap_or_default());
        steps.push(step);
    }
    let last: Vec<String> = records.last().map(|record| record.name.clone()).into_iter().collect();
    let is_known = |step: &RunningStep| records.iter().any(|record| record.name == step.name);
    steps.extend(running.into_iter().filter(|step| !is_known(step)).map(|step| running_step(step, last.clone())));
    steps
}

fn running_step(step: RunningStep, after: Vec<String>) -> Step {
    let none = Used { used: 0.0, allowed: None };
    Step {
        name: step.name,
        component: step.component,
        digest: String::new(),
        status: RUNNING.to_owned(),
        started_ms: step.began_ms,
        ended_ms: None,
        cached_from: None,
        wall_ms: none,
        cpu_ms: none,
        memory_bytes: none,
        output_bytes: none,
        rows_in: 0,
        rows_out: 0,
        bytes_in: 0,
        copies_bytes: 0,
        log_lines: 0,
        dropped: 0,
        walls: None,
        inputs: Vec::new(),
        after,
        progress: Some(Progress { done: step.done, total: step.total }),
        error: None,
    }
}

fn step(record: &StageRecord) -> Step {
    let limits = record.invocation.as_ref().and_then(|it| it.pointer("/guest/limits"));
    let allowed = |name: &str| limits.and_then(|limits| limits.get(name)).and_then(serde_json::Value::as_f64);
    let nanoseconds = |name: &str| allowed(name).map(|limit| limit / 1e6);
    Step {
        name: record.name.clone(),
        component: record.component.clone(),
        digest: record.digest.to_string(),
        status: record.status.clone(),
        started_ms: record.started_ms,
        ended_ms: Some(record.ended_ms),
        cached_from: record.cached_from.as_ref().map(ToString::to_string),
        wall_ms: Used { used: record.wall_ms, allowed: nanoseconds("wall_ns") },
        cpu_ms: Used { used: record.cpu_ms, allowed: nanoseconds("cpu_ns") },
        memory_bytes: Used { used: record.peak_memory_bytes as f64, allowed: allowed("memory") },
        output_bytes: Used { used: record.bytes_out as f64, allowed: allowed("output") },
        rows_in: record.rows_in,
        rows_out: record.rows_out,
        bytes_in: record.bytes_in,
        copies_bytes: record.copies_bytes,
        log_lines: record.logs.len(),
        dropped: record.dropped,
        walls: record.walls.clone(),
        inputs: record.inputs.iter().map(|input| (input.name.clone(), input.digest.to_string())).collect(),
        after: Vec::new(),
        progress: None,
        error: record.error.clone(),
    }
}

/// Returns the earlier steps whose artifacts a step read: by the name of the input, which is
/// `STEP.NAME`, or else by its digest.
fn after(record: &StageRecord, earlier: &[StageRecord]) -> Vec<String> {
    let mut after = BTreeSet::new();
    for input in &record.inputs {
        let by_name = earlier.iter().rev().find(|step| {
            let rest = input.name.strip_prefix(&step.name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        });
        let by_digest = || earlier.iter().rev().find(|step| step.outputs.iter().any(|it| it.digest == input.digest));
        after.extend(by_name.or_else(by_digest).map(|step| step.name.clone()));
    }
    after.remove(&record.name);
    after.into_iter().collect()
}

/// Returns the class and the word of a step's state.
pub(super) fn state(status: &str) -> (&'static str, &str) {
    match status {
        FINISHED => ("good", "finished"),
        CACHED => ("plain", "cached"),
        FAILED => ("bad", "failed"),
        RUNNING => ("busy", RUNNING),
        other => ("warn", other),
    }
}

/// Returns the table of the steps.
pub(super) fn table(steps: &[Step]) -> Markup {
    let bytes = |size: f64| text::bytes(size as u64);
    html! {
        div.wide tabindex="0" role="region" aria-label="Steps" {
            table.steps {
                thead { tr {
                    th { "Step" } th { "State" } th.number { "Time" } th.number { "Processor" } th.number { "Memory" }
                    th.number { "Output" } th.number { "Rows in" } th.number { "Rows out" } th { "Component" }
                } }
                tbody { @for (place, step) in steps.iter().enumerate() {
                    @let (class, word) = state(&step.status);
                    tr id={ "step-" (place) } {
                        th scope="row" { (cell(&step.name)) }
                        td.nowrap {
                            (badge(class, word))
                            @if let Some(run) = &step.cached_from {
                                " " a.small href={ "/runs/" (run) } title="The run that executed it" { "from " (run.get(..8).unwrap_or(run)) }
                            }
                        }
                        td.number { (step.wall_ms.meter(text::duration)) }
                        td.number { (step.cpu_ms.meter(text::duration)) }
                        td.number { (step.memory_bytes.meter(bytes)) }
                        td.number { (step.output_bytes.meter(bytes)) }
                        td.number { (text::count(step.rows_in)) }
                        td.number { (text::count(step.rows_out)) }
                        td.nowrap {
                            span title=(step.digest) { (cell(&step.component)) }
                            @if let Some(walls) = &step.walls {
                                br;
                                span.soft.small title=(Untrusted::new(&walls.join(", ")).cut(400)) {
                                    "behind " (text::counted(walls.len() as u64, "wall"))
                                }
                            }
                        }
                    }
                } }
            }
        }
        @if steps.iter().any(|step| step.status == CACHED) {
            p.note { "A cached step was not executed: its time and memory are those of the run that executed it." }
        }
    }
}
