//! WIT `tracking`: log lines, progress, metrics, counts and figures of a stage.

use super::{HostResult, StageHost};
use crate::account::InstanceAccount;
use crate::bindings::stagewright::stage::tracking::{Figure, Level, Plot};
use crate::bindings::stagewright::stage::types::Failure;
use stagewright_evaluation::figure;
use stagewright_lifecycle::fault::{StageFault, guest_text};
use stagewright_lifecycle::sandbox::{self, Claim, Meter};

/// The most steps of a metric's curve, as the contract says.
const MAX_STEPS: u64 = 100_000;

/// Bytes that a point counts against the log limit, as the contract says.
const POINT_BYTES: usize = 16;

/// Bytes that a log line counts against the log limit in addition to its text: about what the host
/// stores for an empty line.
const LINE_BYTES: usize = 256;

/// Bytes that a figure counts in addition to its data, for the same reason.
const FIGURE_BYTES: usize = 256;

/// Bytes that a list within a figure counts in addition to its entries.
const LIST_BYTES: usize = 64;

/// The longest name of a metric, in bytes.
const MAX_METRIC_NAME: usize = 64;

impl InstanceAccount {
    /// Charges a log line and returns `false` if the line must be dropped. An empty line has a cost
    /// too, and so has the text that escaping adds.
    pub(crate) fn charge_line(&self, message: &str, shown: &str) -> bool {
        let meter = &self.context.meter;
        if Meter::get(&meter.lines) >= self.bounds.lines {
            Meter::add(&meter.log_dropped, 1);
            return false;
        }
        let fits = self.charge_log(LINE_BYTES + message.len().max(shown.len()));
        if fits {
            Meter::add(&meter.lines, 1);
        }
        fits
    }

    /// Charges the log limit and returns `false` if the entry must be dropped.
    fn charge_log(&self, bytes: usize) -> bool {
        let meter = &self.context.meter;
        let fits = Meter::add(&meter.log, bytes as u64) <= self.context.limits.log;
        if !fits {
            Meter::add(&meter.log_dropped, 1);
        }
        fits
    }
}

/// Returns whether a metric's name is safe in files and tables.
fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_METRIC_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

impl StageHost {
    pub(crate) fn log(&self, level: Level, message: String) -> Result<(), StageFault> {
        let shown = guest_text(&message);
        if self.account.charge_line(&message, &shown) {
            let level = match level {
                Level::Debug => sandbox::Level::Debug,
                Level::Info => sandbox::Level::Info,
                Level::Warn => sandbox::Level::Warn,
                Level::Error => sandbox::Level::Error,
            };
            self.account.context.tracker.log(level, &shown);
        }
        Ok(())
    }

    pub(crate) fn progress(&self, done: u64, total: u64) -> Result<(), StageFault> {
        self.account.context.tracker.progress(done.min(total), total);
        Ok(())
    }

    pub(crate) fn metric(&self, name: String, value: f64, step: u64) -> Result<(), StageFault> {
        let InstanceAccount { context, bounds, .. } = &self.account;
        let meter = &context.meter;
        if !is_metric_name(&name) || step >= MAX_STEPS || Meter::get(&meter.points) >= bounds.points {
            Meter::add(&meter.log_dropped, 1);
        } else if self.account.charge_log(POINT_BYTES) {
            Meter::add(&meter.points, 1);
            context.tracker.metric(&name, value, step);
        }
        Ok(())
    }

    pub(crate) fn count(&self, treatment: String, column: u32, rows: u64) -> Result<(), StageFault> {
        let InstanceAccount { context, bounds, .. } = &self.account;
        let counted = is_metric_name(&treatment)
            && (column as usize) < bounds.columns
            && context.meter.count_cells(&treatment, column as usize, rows);
        if !counted {
            Meter::add(&context.meter.log_dropped, 1);
        }
        Ok(())
    }

    pub(crate) fn add_figure(&mut self, figure: Figure) -> HostResult<()> {
        self.account.check_time()?;
        let figure = figure_in(figure);
        if let Err(reason) = figure.check() {
            return Ok(Err(Failure::Internal(reason.to_string())));
        }
        let InstanceAccount { context, bounds, .. } = &self.account;
        match context.meter.claim_figure(&figure.name, bounds.figures) {
            Claim::Taken => {
                let message =
                    format!("figure `{}` is there already: names are unique within a stage's run", figure.name);
                return Ok(Err(Failure::Internal(message)));
            }
            Claim::Full => {
                Meter::add(&context.meter.log_dropped, 1);
            }
            Claim::Granted => {
                if self.account.charge_log(size(&figure)) {
                    context.tracker.figure(figure);
                }
            }
        }
        Ok(Ok(()))
    }
}

fn figure_in(figure: Figure) -> figure::Figure {
    let plot = match figure.plot {
        Plot::Lines(plot) => {
            let series =
                plot.series.into_iter().map(|series| figure::Series::new(series.name, series.x, series.y)).collect();
            figure::Plot::Lines(figure::LinePlot::new(plot.x_label, plot.y_label, series))
        }
        Plot::Points(plot) => {
            let series =
                plot.series.into_iter().map(|series| figure::Series::new(series.name, series.x, series.y)).collect();
            figure::Plot::Points(figure::LinePlot::new(plot.x_label, plot.y_label, series))
        }
        Plot::Bars(plot) => figure::Plot::Bars(figure::BarPlot::new(plot.value_label, plot.labels, plot.values)),
        Plot::Matrix(plot) => {
            figure::Plot::Matrix(figure::MatrixPlot { rows: plot.rows, columns: plot.columns, values: plot.values })
        }
        Plot::Text(table) => figure::Plot::Text(figure::TextTable { columns: table.columns, rows: table.rows }),
    };
    figure::Figure { name: figure.name, title: figure.title, plot }
}

/// Returns the bytes that a figure counts against the log limit: about its size in a report, or in
/// memory if that is more.
fn size(figure: &figure::Figure) -> usize {
    let in_report = serde_json::to_vec(figure).map_or(usize::MAX >> 1, |json| json.len());
    FIGURE_BYTES + in_report.max(in_memory(figure))
}

/// Returns the bytes of a figure's lists in memory: short numbers and empty texts take more there
/// than as JSON.
fn in_memory(figure: &figure::Figure) -> usize {
    let texts = |texts: &[String]| texts.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>();
    match &figure.plot {
        figure::Plot::Lines(plot) | figure::Plot::Points(plot) => {
            plot.series.iter().map(|series| LIST_BYTES + 8 * (series.x.len() + series.y.len())).sum()
        }
        figure::Plot::Bars(plot) => {
            texts(&plot.labels) + plot.series.iter().map(|series| LIST_BYTES + 8 * series.values.len()).sum::<usize>()
        }
        figure::Plot::Matrix(plot) => texts(&plot.rows) + texts(&plot.columns) + 8 * plot.values.len(),
        figure::Plot::Text(table) => {
            texts(&table.columns) + table.rows.iter().map(|row| LIST_BYTES + texts(row)).sum::<usize>()
        }
    }
}
