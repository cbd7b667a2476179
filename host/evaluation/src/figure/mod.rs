//! Figures as data, as the contract's `tracking.figure` has them, their caps and their drawing.
//!
//! The types follow `wit/types.wit`; what the host alone may say (reference lines, fixed axes, several series of bars)
//! is optional and absent from a guest's figure. A guest's figure must pass [`Figure::check`] before it is kept.
//! Nothing here draws pixels: [`svg`] writes text, the same bytes for the same figure.

mod axis;
mod bars;
mod canvas;
mod check;
mod evaluation;
mod lines;
mod matrix;
mod svg;
mod text_table;

use serde::{Deserialize, Serialize};

pub use check::{
    MAX_BARS, MAX_MATRIX_SIDE, MAX_NAME_BYTES, MAX_POINTS, MAX_SERIES, MAX_TEXT_BYTES, MAX_TEXT_COLUMNS, MAX_TEXT_ROWS,
};
pub use evaluation::{
    Importance, Predictions, calibration_figure, confusion_figure, importance_figure, precision_recall_figure,
    prediction_figures, roc_figure, scaled_importance,
};
pub use svg::svg;
pub(crate) use svg::{STYLE, drawing};

/// Points joined by a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Shown in the legend.
    pub name: String,
    /// Finite; as many as `y`.
    pub x: Vec<f64>,
    /// Finite; as many as `x`.
    pub y: Vec<f64>,
    /// Whether this is a line to compare with (chance, perfection) rather than a finding. Only the host says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference: bool,
}

/// One or more series over common axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinePlot {
    /// Under the x axis.
    pub x_label: String,
    /// Beside the y axis.
    pub y_label: String,
    /// At most 16, of at most 10,000 points each.
    pub series: Vec<Series>,
    /// Whether both axes run from 0 to 1 whatever the points are. Only the host says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unit_axes: bool,
}

/// One bar per label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// Shown in the legend if there is more than one series.
    pub name: String,
    /// Finite; as many as there are labels.
    pub values: Vec<f64>,
}

/// Bars, by label; a guest's figure has one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarPlot {
    /// Beside the axis of values.
    pub value_label: String,
    /// At most 256.
    pub labels: Vec<String>,
    /// At least one, at most 16.
    pub series: Vec<BarSeries>,
}

/// Numbers in rows and columns, shaded by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixPlot {
    /// Names of the rows; at most 64.
    pub rows: Vec<String>,
    /// Names of the columns; at most 64.
    pub columns: Vec<String>,
    /// Row by row; finite.
    pub values: Vec<f64>,
}

/// Text in rows and columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextTable {
    /// The head; at most 64.
    pub columns: Vec<String>,
    /// Row by row, each as long as `columns`; at most 1,000 rows.
    pub rows: Vec<Vec<String>>,
}

/// What a figure shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plot {
    /// Each series is joined by a line.
    Lines(LinePlot),
    /// Each point of a series stands alone.
    Points(LinePlot),
    /// Bars.
    Bars(BarPlot),
    /// A heat map.
    Matrix(MatrixPlot),
    /// A table of text.
    Text(TextTable),
}

/// A figure as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// An identifier: lower case, digits, `_` and `-`, at most 64 bytes.
    pub name: String,
    /// Shown above it.
    pub title: String,
    /// What it shows.
    pub plot: Plot,
}

impl Series {
    /// Points to be joined by a line.
    #[must_use]
    pub fn new(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { name: name.into(), x, y, reference: false }
    }
}

impl LinePlot {
    /// Series over axes that fit their points.
    #[must_use]
    pub fn new(x_label: impl Into<String>, y_label: impl Into<String>, series: Vec<Series>) -> Self {
        Self { x_label: x_label.into(), y_label: y_label.into(), series, unit_axes: false }
    }
}

impl BarPlot {
    /// One bar per label.
    #[must_use]
    pub fn new(value_label: impl Into<String>, labels: Vec<String>, values: Vec<f64>) -> Self {
        Self { value_label: value_label.into(), labels, series: vec![BarSeries { name: String::new(), values }] }
    }
}
