//! What people see: progress while it runs, tables at the end. Everything goes to standard error but results.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::Level;
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_manifest::{ManifestError, StepId};
use stagewright_store::CHAMPION;
use stagewright_text::{Untrusted, printable};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::output::LogLines;
use crate::traces;

/// Log lines of the host on standard error, by `-v` or `RUST_LOG`; spans go to a collector, if one
/// is named.
pub(crate) fn start_logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "stagewright=debug,info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogLines)
        .with_ansi(false) // whoever reads escapes cannot tell the host's from a stage's
        .with_target(false)
        .without_time()
        .log_internal_errors(false) // it would panic where standard error cannot be written to
        .with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    tracing_subscriber::registry().with(lines).with(traces::layer()).init();
}

/// A manifest's problems: with the source around them on a terminal, plain lines elsewhere.
pub(crate) fn show_manifest_error(error: &ManifestError) {
    if std::io::stderr().is_terminal() {
        let mut text = String::new();
        if miette::GraphicalReportHandler::new().render_report(&mut text, error).is_ok() {
            crate::output::coloured(&format!("{text}\n"));
            return;
        }
    }
    eprint!("{}", error.render());
}

/// Shows stages as they run: bars on a terminal, lines elsewhere, nothing when a program reads.
pub(crate) struct Watch {
    bars: Option<MultiProgress>,
    active: Mutex<HashMap<StepId, ProgressBar>>,
    quiet: bool,
    /// Stands before the names of steps: the name of a child and a slash.
    prefix: String,
}

impl Watch {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, active: Mutex::default(), quiet, prefix: String::new() }
    }

    /// A step as it is shown.
    fn named(&self, step: &StepId) -> String {
        format!("{}{step}", self.prefix)
    }

    fn line(&self, text: &str) {
        match &self.bars {
            // What cannot be shown is no reason to stop.
            Some(bars) => drop(bars.println(printable(text))),
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    fn bar(&self, step: &StepId) -> Option<ProgressBar> {
        self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(step).cloned()
    }
}

impl Observer for Watch {
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

/// A table in the house style. Its cells hold text from outside: each is shown on one line,
/// escaped.
pub(crate) struct Grid(Table);

/// A table in the house style.
pub(crate) fn table(head: &[&str]) -> Grid {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|name| Cell::from(*name).0));
    Grid(table)
}

impl Grid {
    /// Adds a row.
    pub(crate) fn add_row<C: Into<Cell>>(&mut self, cells: Vec<C>) {
        self.0.add_row(cells.into_iter().map(|cell| cell.into().0));
    }
}

impl std::fmt::Display for Grid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A cell of a table.
pub(crate) struct Cell(comfy_table::Cell);

impl Cell {
    pub(crate) fn new(text: impl std::fmt::Display) -> Self {
        Self(comfy_table::Cell::new(Untrusted::new(&text.to_string())))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// A number's cell.
pub(crate) fn right(text: impl std::fmt::Display) -> Cell {
    Cell(Cell::new(text).0.set_alignment(CellAlignment::Right))
}

/// Milliseconds for people.
pub(crate) fn milliseconds(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.1} s", value / 1e3) } else { format!("{value:.0} ms") }
}

/// Bytes for people.
pub(crate) fn bytes(value: u64) -> String {
    let value = value as f64;
    match value {
        _ if value >= (1_u64 << 30) as f64 => format!("{:.2} GiB", value / (1_u64 << 30) as f64),
        _ if value >= (1 << 20) as f64 => format!("{:.1} MiB", value / f64::from(1 << 20)),
        _ if value >= 1024.0 => format!("{:.1} KiB", value / 1024.0),
        _ => format!("{value} B"),
    }
}

/// The table at the end of a run.
pub(crate) fn show_summary(summary: &Summary) {
    println!("\nrun {}", summary.run_id);
    let mut stages = table(&[
        "stage",
        "component",
        "wall",
        "cpu",
        "peak memory",
        "rows in",
        "rows out",
        "bytes in",
        "bytes out",
        "copied",
    ]);
    for stage in &summary.stages {
        // What it used is of the run that executed it.
        let time = |used| right(if stage.cached { "cached".to_owned() } else { milliseconds(used) });
        stages.add_row(vec![
            Cell::new(&stage.name),
            Cell::new(&stage.component),
            time(stage.usage.wall_ms),
            time(stage.usage.cpu_ms),
            right(bytes(stage.usage.peak_memory_bytes)),
            right(stage.usage.rows_in),
            right(stage.usage.rows_out),
            right(bytes(stage.usage.bytes_in)),
            right(bytes(stage.usage.bytes_out)),
            right(bytes(stage.usage.bytes_copied)),
        ]);
    }
    println!("{stages}");
    if summary.cached > 0 {
        println!(
            "{} of {} stages were not executed, because an earlier run did the same (`stagewright plan --explain`)",
            summary.cached,
            summary.stages.len()
        );
    }
    if let Some(walls) = missing_walls(summary) {
        println!("walls: not around every stage stood {walls} (`stagewright doctor` says why)");
    }
    show_metrics(summary);
    show_rows(summary);
    show_decision(summary);
}

/// The walls that did not stand around every stage, if there are any.
fn missing_walls(summary: &Summary) -> Option<String> {
    let missing = |wall: &&str| summary.stages.iter().any(|stage| !stage.walls.iter().any(|stood| stood == wall));
    let missing: Vec<&str> = ["wasm", "seccomp", "landlock", "rlimits"].into_iter().filter(missing).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn show_metrics(summary: &Summary) {
    let Some(metrics) = &summary.metrics else { return };
    let mut shown = table(&["metric", "candidate", "champion"]);
    for (name, value) in metrics.candidate.iter() {
        let champion =
            metrics.champion.as_ref().map_or_else(|| "none".to_owned(), |champion| figure(champion.get(name)));
        shown.add_row(vec![Cell::new(name), right(figure(value)), right(champion)]);
    }
    println!("{shown}");
}

/// The rows that were measured on, where not all of them count.
fn show_rows(summary: &Summary) {
    let Some(rows) = &summary.evaluation else { return };
    let known = |rows: Option<u64>| rows.map_or_else(|| "unknown".to_owned(), |rows| rows.to_string());
    if summary.metrics.as_ref().is_some_and(|metrics| metrics.champion.is_some()) {
        let compared = known(rows.compared_rows);
        match rows.champion_overlap_rows {
            Some(0) => println!("compared on {compared} test rows; the champion learnt from none of them"),
            Some(learnt) => println!(
                "compared on {compared} of {} test rows: the champion learnt from {learnt} of the others",
                rows.test_rows
            ),
            None => println!(
                "compared on {compared} test rows; which of them the champion learnt from is not known, so it may look better than it is"
            ),
        }
    }
}

fn show_decision(summary: &Summary) {
    if summary.is_champion_already
        && let Some(model) = &summary.model
    {
        println!(
            "nothing to judge: the candidate is `{}` version {}, which is the champion already",
            model.name, model.version
        );
    }
    let Some(decision) = &summary.decision else { return };
    let mut shown = table(&["gate", "", "reason"]);
    for reason in &decision.reasons {
        let word = if reason.passed { "passed" } else { "FAILED" };
        shown.add_row(vec![reason.gate.as_str(), word, reason.message.as_str()]);
    }
    println!("{shown}");
    let stays = match decision.judged_against {
        Some(champion) => format!("version {champion} stays the champion"),
        None => "there is no champion".to_owned(),
    };
    let word = match decision.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::Undecided => "undecided",
    };
    match (&summary.model, decision.verdict) {
        (Some(model), Verdict::Approved) if model.aliases.iter().any(|alias| alias == CHAMPION) => {
            println!("{word}: `{}` version {} is the champion", model.name, model.version);
        }
        (Some(model), _) => println!("{word}: `{}` version {} is registered; {stays}", model.name, model.version),
        (None, _) => println!("{word}: nothing is registered; {stays}"),
    }
}
