//! Log lines, progress, curves, counts and figures for people. None of them affects the results.
//! Natively, log lines are written to standard error and everything else is dropped.

use crate::Failure;
use crate::bindings::stagewright::stage::tracking as imported;

pub use imported::{BarPlot, Figure, Level, MatrixPlot, Plot, Series, SeriesPlot, TextTable};

/// Writes a line to the run's log. Use the macros [`debug!`](crate::debug), [`info!`](crate::info),
/// [`warn!`](crate::warn) and [`error!`](crate::error), which format the message.
pub fn log(level: Level, message: &str) {
    if cfg!(target_arch = "wasm32") {
        imported::log(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}

/// Reports that `done` of `total` units of the current call are done.
pub fn progress(done: u64, total: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::progress(done, total);
    }
}

/// Records a point of a curve, such as the loss after a round. Gates never read it.
pub fn metric(name: &str, value: f64, step: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::metric(name, value, step);
    }
}

/// Adds `rows` to a count of cells that a transformation treated in a special way: [`UNSEEN`],
/// `missing`, `clipped` or a name of the stage's own, in the form of a metric's name. `column` is
/// the index of the column among the inputs. The host shows the sums over all instances.
///
/// When a transformation is loaded, add 0 for each column that it counts. This distinguishes "none"
/// from "not counted".
pub fn count(treatment: &str, column: usize, rows: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::count(treatment, u32::try_from(column).unwrap_or(u32::MAX), rows);
    }
}

/// The treatment of a category that did not occur in the training rows.
pub const UNSEEN: &str = "unseen";

/// Adds a figure to the stage's report.
///
/// # Errors
/// `internal` if the figure exceeds a limit of the contract.
pub fn add_figure(figure: &Figure) -> Result<(), Failure> {
    if cfg!(target_arch = "wasm32") {
        return imported::add_figure(figure);
    }
    Ok(())
}

impl Series {
    /// Creates a series of points.
    pub fn new(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { name: name.into(), x, y }
    }
}

impl Figure {
    /// Creates a figure of lines over common axes. `axes` are the labels of x and y.
    pub fn lines(name: &str, title: &str, axes: [&str; 2], series: Vec<Series>) -> Self {
        let [x_label, y_label] = axes.map(str::to_owned);
        Self::new(name, title, Plot::Lines(SeriesPlot { x_label, y_label, series }))
    }

    /// Creates a figure of points over common axes. `axes` are the labels of x and y.
    pub fn points(name: &str, title: &str, axes: [&str; 2], series: Vec<Series>) -> Self {
        let [x_label, y_label] = axes.map(str::to_owned);
        Self::new(name, title, Plot::Points(SeriesPlot { x_label, y_label, series }))
    }

    /// Creates a figure with a bar for each label.
    pub fn bars(name: &str, title: &str, value_label: &str, labels: Vec<String>, values: Vec<f64>) -> Self {
        let value_label = value_label.to_owned();
        Self::new(name, title, Plot::Bars(BarPlot { value_label, labels, values }))
    }

    /// Creates a heat map. `values` are row by row.
    pub fn matrix(name: &str, title: &str, rows: Vec<String>, columns: Vec<String>, values: Vec<f64>) -> Self {
        Self::new(name, title, Plot::Matrix(MatrixPlot { rows, columns, values }))
    }

    /// Creates a table of text.
    pub fn text(name: &str, title: &str, columns: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        Self::new(name, title, Plot::Text(TextTable { columns, rows }))
    }

    fn new(name: &str, title: &str, plot: Plot) -> Self {
        Self { name: name.to_owned(), title: title.to_owned(), plot }
    }
}

/// Logs a line for the stage's author.
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Debug, &::std::format!($($message)*)) };
}

/// Logs a line of general interest.
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Info, &::std::format!($($message)*)) };
}

/// Logs a warning.
#[macro_export]
macro_rules! warn {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Warn, &::std::format!($($message)*)) };
}

/// Logs an error.
#[macro_export]
macro_rules! error {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Error, &::std::format!($($message)*)) };
}
