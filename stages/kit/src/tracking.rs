//! What a stage tells the people who watch it: log lines, progress, curves, figures. Natively, log lines go to standard
//! error and the rest is dropped.

use crate::Failure;
use crate::bindings::stagewright::stage::tracking as imported;

pub use imported::{BarPlot, Figure, Level, MatrixPlot, Plot, Series, SeriesPlot, TextTable};

/// Writes a line to the run's log. The macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn)
/// and [`error!`](crate::error) format and call it.
pub fn log(level: Level, message: &str) {
    if cfg!(target_arch = "wasm32") {
        imported::log(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}

/// Says that `done` of `total` units of the current call are done.
pub fn progress(done: u64, total: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::progress(done, total);
    }
}

/// Records a point of a curve (the loss after a round). Gates never read it.
pub fn metric(name: &str, value: f64, step: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::metric(name, value, step);
    }
}

/// Adds `rows` to a count of cells that a transformation treated in some way: [`UNSEEN`],
/// `missing`, `clipped` or a word of the stage's own, written as a metric's name. `column` is the
/// column's place among the inputs. The host adds up the counts of all instances and shows them.
///
/// Add 0 when the transformation is loaded, for each column that is watched: then "none" and
/// "nobody looked" differ.
pub fn count(treatment: &str, column: usize, rows: u64) {
    if cfg!(target_arch = "wasm32") {
        imported::count(treatment, u32::try_from(column).unwrap_or(u32::MAX), rows);
    }
}

/// The treatment of a category that the training rows did not have.
pub const UNSEEN: &str = "unseen";

/// Adds a figure to the stage's report.
///
/// # Errors
/// `internal` if the figure breaks a cap of the WIT.
pub fn add_figure(figure: &Figure) -> Result<(), Failure> {
    if cfg!(target_arch = "wasm32") {
        return imported::add_figure(figure);
    }
    Ok(())
}

impl Series {
    /// Points of one kind.
    pub fn new(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { name: name.into(), x, y }
    }
}

impl Figure {
    /// Lines over common axes; `axes` are the labels of x and y.
    pub fn lines(name: &str, title: &str, axes: [&str; 2], series: Vec<Series>) -> Self {
        let [x_label, y_label] = axes.map(str::to_owned);
        Self::new(name, title, Plot::Lines(SeriesPlot { x_label, y_label, series }))
    }

    /// Points over common axes; `axes` are the labels of x and y.
    pub fn points(name: &str, title: &str, axes: [&str; 2], series: Vec<Series>) -> Self {
        let [x_label, y_label] = axes.map(str::to_owned);
        Self::new(name, title, Plot::Points(SeriesPlot { x_label, y_label, series }))
    }

    /// One bar per label.
    pub fn bars(name: &str, title: &str, value_label: &str, labels: Vec<String>, values: Vec<f64>) -> Self {
        let value_label = value_label.to_owned();
        Self::new(name, title, Plot::Bars(BarPlot { value_label, labels, values }))
    }

    /// Numbers in rows and columns, row by row.
    pub fn matrix(name: &str, title: &str, rows: Vec<String>, columns: Vec<String>, values: Vec<f64>) -> Self {
        Self::new(name, title, Plot::Matrix(MatrixPlot { rows, columns, values }))
    }

    /// Text in rows and columns.
    pub fn text(name: &str, title: &str, columns: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        Self::new(name, title, Plot::Text(TextTable { columns, rows }))
    }

    fn new(name: &str, title: &str, plot: Plot) -> Self {
        Self { name: name.to_owned(), title: title.to_owned(), plot }
    }
}

/// Logs for the stage's author.
#[macro_export]
macro_rules! debug {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Debug, &::std::format!($($message)*)) };
}

/// Logs a line worth reading.
#[macro_export]
macro_rules! info {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Info, &::std::format!($($message)*)) };
}

/// Logs something to look at.
#[macro_export]
macro_rules! warn {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Warn, &::std::format!($($message)*)) };
}

/// Logs something that went wrong.
#[macro_export]
macro_rules! error {
    ($($message:tt)*) => { $crate::tracking::log($crate::tracking::Level::Error, &::std::format!($($message)*)) };
}
