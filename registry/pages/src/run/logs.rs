//! The log of a run by step, and its events while it runs.

use std::collections::HashMap;

use maud::{Markup, html};
use serde::Serialize;
use serde_json::json;
use stagewright_store::{LogLine, Registry, RunId, RunStatus, RunningStep, StageRecord};
use stagewright_text::Untrusted;

use crate::answer::{Answer, Content, Events, PAGE_POLICY, Request};
use crate::fault::Fault;
use crate::markup::cell;
use crate::site::Site;

/// The most lines of a step on a page. JSON has all.
const MOST_LINES: usize = 1_000;
/// The most lines of running steps that are told at once. The next time goes on.
const MOST_AT_ONCE: usize = 1_000;

/// The log of a step.
#[derive(Serialize)]
pub(super) struct StepLog {
    step: String,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    level: String,
    message: String,
}

impl StepLog {
    pub(super) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }
}

pub(super) fn logs(records: &[StageRecord]) -> Vec<StepLog> {
    let line = |line: &LogLine| Line { level: line.level.clone(), message: line.message.clone() };
    let log =
        |record: &StageRecord| StepLog { step: record.name.clone(), lines: record.logs.iter().map(line).collect() };
    records.iter().map(log).collect()
}

/// Returns the logs. `follow` is the path of the events of a run that runs.
pub(super) fn shown(logs: &[StepLog], follow: Option<&str>) -> Markup {
    html! {
        div.logs data-follow=[follow] {
            @if follow.is_some() { p.note role="status" data-following { "The log follows the run while this page is open." } }
            @for log in logs.iter().filter(|log| !log.lines.is_empty() || follow.is_some()) {
                details.log open[log.lines.len() <= 200] data-step=(log.step) {
                    summary { (cell(&log.step)) " " span.soft { "(" (log.lines.len()) ")" } }
                    ol tabindex="0" {
                        @for line in log.lines.iter().take(MOST_LINES) {
                            li class={ "line " (level(&line.level)) } {
                                span.level { (Untrusted::new(&line.level).cut(10)) } " "
                                span.message { (Untrusted::lines(&line.message)) }
                            }
                        }
                    }
                    @if log.lines.len() > MOST_LINES { p.note { "The first " (MOST_LINES) " lines. JSON has all." } }
                }
            }
        }
    }
}

/// Returns the class of a level.
fn level(level: &str) -> &'static str {
    match level {
        "debug" => "debug",
        "warn" => "warn",
        "error" => "error",
        _ => "info",
    }
}

/// Answers the events of a run: what its steps say, and the steps and the run as they end.
pub(super) fn events(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let run = site.registry.run(request.part("run_id")?)?;
    let follower = Follower {
        registry: site.registry.clone(),
        run_id: run.run_id,
        steps: 0,
        told: HashMap::new(),
        progress: HashMap::new(),
        place: 0,
        is_ended: false,
    };
    Ok(Answer { status: 200, content: Content::Events(Box::new(follower)), policy: PAGE_POLICY, is_lasting: false })
}

/// Follows a run.
struct Follower {
    registry: Registry,
    run_id: RunId,
    /// The recorded steps that are told.
    steps: usize,
    /// The lines of a step that are told.
    told: HashMap<String, usize>,
    /// How far a step was when that was told.
    progress: HashMap<String, (u64, u64)>,
    /// The place of the last line that is told of a step that runs.
    place: i64,
    is_ended: bool,
}

impl Events for Follower {
    fn next(&mut self) -> Result<Option<String>, Fault> {
        if self.is_ended {
            return Ok(None);
        }
        // First the state, then the steps: of a run that has ended, no step is missed.
        let status = self.registry.run_status(&self.run_id)?;
        let mut text = String::new();
        self.tell_running(&mut text)?;
        self.tell_recorded(&mut text)?;
        if status != RunStatus::Running {
            tell(&mut text, "end", &json!({ "status": status.name() }));
            self.is_ended = true;
        }
        Ok(Some(text))
    }
}

impl Follower {
    /// Tells what running steps have said since the last time, and how far they are.
    fn tell_running(&mut self, text: &mut String) -> Result<(), Fault> {
        for step in self.registry.running_steps(&self.run_id)? {
            let RunningStep { name, done, total, .. } = step;
            if self.progress.insert(name.clone(), (done, total)) == Some((done, total)) {
                continue;
            }
            tell(text, "step", &json!({ "step": name, "status": "running", "done": done, "total": total }));
        }
        for line in self.registry.running_lines(&self.run_id, self.place, MOST_AT_ONCE)? {
            self.place = line.place;
            *self.told.entry(line.step.clone()).or_default() += 1;
            tell_line(text, &line.step, &line.line);
        }
        Ok(())
    }

    /// Tells the steps that are recorded since the last time, with those of their lines that were
    /// not told while they ran.
    fn tell_recorded(&mut self, text: &mut String) -> Result<(), Fault> {
        if self.registry.stage_numbers(&self.run_id)?.len() <= self.steps {
            return Ok(());
        }
        let records = self.registry.stages(&self.run_id)?;
        for record in records.get(self.steps..).unwrap_or_default() {
            // A step that was tried again has several records. Their lines were told in order.
            let told = self.told.entry(record.name.clone()).or_default();
            let known = record.logs.len().min(*told);
            *told -= known;
            for line in record.logs.get(known..).unwrap_or_default() {
                tell_line(text, &record.name, line);
            }
            tell(text, "step", &json!({ "step": record.name, "status": record.status, "wall_ms": record.wall_ms }));
        }
        self.steps = records.len();
        Ok(())
    }
}

fn tell_line(text: &mut String, step: &str, line: &LogLine) {
    let message = Untrusted::lines(&line.message).to_string();
    tell(text, "line", &json!({ "step": step, "level": level(&line.level), "message": message }));
}

/// Writes an event. JSON has no line breaks, which would end it.
fn tell(text: &mut String, name: &str, data: &serde_json::Value) {
    text.push_str(&format!("event: {name}\ndata: {data}\n\n"));
}
