//! The progress of a run: a bar for each stage on a terminal, a line elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::Level;
use stagewright_lifecycle::summary::StageSummary;
use stagewright_manifest::StepId;
use stagewright_text::{Untrusted, printable};

use super::units::{bytes, milliseconds};

/// Shows the progress of a run: bars on a terminal, lines elsewhere, nothing if the output is for a
/// program.
pub(crate) struct ProgressDisplay {
    bars: Option<MultiProgress>,
    active: Mutex<HashMap<StepId, ProgressBar>>,
    quiet: bool,
    /// The text before names of steps: the child's name and a slash.
    prefix: String,
}

impl ProgressDisplay {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, active: Mutex::default(), quiet, prefix: String::new() }
    }

    /// Returns the name of a step as it is shown.
    fn named(&self, step: &StepId) -> String {
        format!("{}{step}", self.prefix)
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // A line that cannot be shown is no reason to stop.
            Some(bars) => drop(bars.println(printable(text))),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    fn bar(&self, step: &StepId) -> Option<ProgressBar> {
        self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(step).cloned()
    }
}

impl Observer for ProgressDisplay {
    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        let prefix = format!("{}/", Untrusted::new(name));
        Arc::new(Self { bars: self.bars.clone(), active: Mutex::default(), quiet: self.quiet, prefix })
    }

    fn stage_started(&self, step: &StepId, component: &str) {
        match &self.bars {
            Some(bars) => {
                let style = ProgressStyle::with_template("{spinner} {prefix:<15} {msg} {elapsed}")
                    .expect("the template is valid");
                let bar = bars.add(
                    ProgressBar::new_spinner()
                        .with_style(style)
                        .with_prefix(self.named(step))
                        .with_message(Untrusted::new(component).to_string()),
                );
                bar.enable_steady_tick(Duration::from_millis(100));
                self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(step.clone(), bar);
            }
            None => tracing::info!("{}: {component}", self.named(step)),
        }
    }

    fn progress(&self, step: &StepId, done: u64, total: u64) {
        if let Some(bar) = self.bar(step) {
            if bar.length() != Some(total) {
                let style = ProgressStyle::with_template("{spinner} {prefix:<15} {msg} {bar:24} {pos}/{len} {eta}")
                    .expect("the template is valid");
                bar.set_style(style);
                bar.set_length(total);
            }
            bar.set_position(done);
        }
    }

    fn log(&self, step: &StepId, level: Level, message: &str) {
        let step = self.named(step);
        match level {
            Level::Debug => tracing::debug!("{step}: {message}"),
            Level::Info => tracing::info!("{step}: {message}"),
            Level::Warn | Level::Error => self.line(&format!("{step}: {message}")),
        }
    }

    fn stage_finished(&self, step: &StepId, summary: &StageSummary) {
        if let Some(bar) = self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(step) {
            bar.finish_and_clear();
        }
        let step = self.named(step);
        if summary.cached {
            self.line(&format!("{:<15} {:<20}   cached", step, summary.component));
            return;
        }
        self.line(&format!(
            "{:<15} {:<20} {:>8} {:>10} in, {} out",
            step,
            summary.component,
            milliseconds(summary.usage.wall_ms),
            bytes(summary.usage.bytes_in),
            bytes(summary.usage.bytes_out)
        ));
    }
}
