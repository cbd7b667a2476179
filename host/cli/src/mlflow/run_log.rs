//! Logs the runs of a command to the server that the environment names, while they proceed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use stagewright_exchange::export::{Card, Live, Report};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::Level;
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_manifest::StepId;
use stagewright_mlflow_client::Limits;
use stagewright_store::{Home, RunId};

use super::{VARIABLE, exporter, named, server};
use crate::usage_error::shown;

/// The time that the end of a run waits for the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// The log of the runs of a command.
pub(crate) struct RunLog {
    live: Mutex<Option<Live>>,
    runs: Mutex<Vec<RunId>>,
}

impl RunLog {
    /// Begins, if the environment names a server. One that cannot be used is warned of.
    pub(crate) fn begin(home: &Home, card: Box<Card>) -> Option<Arc<Self>> {
        let uri = named()?;
        match server(&uri, Limits::BRIEF) {
            Ok(server) => {
                let live = Live::begin(exporter(server, home, card));
                Some(Arc::new(Self { live: Mutex::new(Some(live)), runs: Mutex::default() }))
            }
            Err(error) => {
                tracing::warn!("runs are not logged to the server of {VARIABLE}: {error}");
                None
            }
        }
    }

    /// Returns an observer that also tells this log.
    pub(crate) fn observer(self: &Arc<Self>, inner: Arc<dyn Observer>) -> Arc<dyn Observer> {
        Arc::new(Watched { inner, log: self.clone(), run: OnceLock::new() })
    }

    fn changed(&self, run: &RunId) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if !runs.contains(run) {
            runs.push(run.clone());
        }
        if let Some(live) = &*self.live.lock().unwrap_or_else(PoisonError::into_inner) {
            live.changed(run);
        }
    }

    /// Sends the rest, and warns of what was not sent.
    pub(crate) fn end(&self) -> Option<LoggedRuns> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let runs = std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner));
        if runs.is_empty() {
            return None;
        }
        let report = live.end(PATIENCE, runs);
        warn(&report);
        Some(LoggedRuns(report))
    }
}

/// The fate of the runs of a command on the server.
pub(crate) struct LoggedRuns(Report);

impl LoggedRuns {
    /// Returns the member `mlflow` of a run's JSON.
    pub(crate) fn to_json(&self) -> Value {
        let Report { address, sent, unsent, reason } = &self.0;
        json!({ "address": address, "runs": sent, "unsent": unsent, "reason": reason })
    }

    /// Says where the runs are.
    pub(crate) fn show(&self) {
        let sent: Vec<_> = self.0.sent.iter().filter(|sent| !sent.is_itself).collect();
        match sent.as_slice() {
            [] => {}
            [run] => println!("logged to {} as run {}", self.0.address, shown(&run.copy)),
            runs => println!("logged to {} as {} runs", self.0.address, runs.len()),
        }
    }
}

fn warn(report: &Report) {
    for sent in &report.sent {
        for note in &sent.notes {
            tracing::warn!("run {} at {}: {}", sent.run_id, report.address, shown(note));
        }
    }
    let Some(reason) = &report.reason else { return };
    // The hint of the reason is about the server; that of the warning is what to do with the runs.
    let reason = reason.split("\nhint: ").next().unwrap_or_default();
    let runs: Vec<&str> = report.unsent.iter().map(RunId::as_str).collect();
    tracing::warn!(
        "{} was not logged to {}, or not whole: {}\nhint: stagewright runs export mlflow {} --to {}",
        if let [run] = runs.as_slice() { format!("run {run}") } else { format!("each of {} runs", runs.len()) },
        report.address,
        shown(reason),
        runs.join(" "),
        report.address
    );
}

/// An observer that tells a log which run has changed.
struct Watched {
    inner: Arc<dyn Observer>,
    log: Arc<RunLog>,
    run: OnceLock<RunId>,
}

impl Watched {
    fn changed(&self) {
        if let Some(run) = self.run.get() {
            self.log.changed(run);
        }
    }
}

impl Observer for Watched {
    fn run_started(&self, run: &RunId) {
        self.inner.run_started(run);
        let _ = self.run.set(run.clone());
        self.changed();
    }

    fn stage_started(&self, step: &StepId, component: &str) {
        self.inner.stage_started(step, component);
    }

    fn progress(&self, step: &StepId, done: u64, total: u64) {
        self.inner.progress(step, done, total);
    }

    fn log(&self, step: &StepId, level: Level, message: &str) {
        self.inner.log(step, level, message);
    }

    fn run_ended(&self, summary: &Summary, error: Option<&RunError>) {
        self.inner.run_ended(summary, error);
        if let Ok(run) = summary.run_id.parse() {
            self.log.changed(&run);
        }
    }

    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        self.log.observer(self.inner.of_child(name))
    }

    fn stage_finished(&self, step: &StepId, summary: &StageSummary) {
        self.inner.stage_finished(step, summary);
        self.changed();
    }

    fn stage_failed(&self, step: &StepId, error: &RunError) {
        self.inner.stage_failed(step, error);
        self.changed();
    }
}
