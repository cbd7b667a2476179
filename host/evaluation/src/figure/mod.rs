//! Figures as data, their limits, and their drawing as SVG.
//!
//! The types follow `tracking.figure` of the contract (`wit/types.wit`). Parts that only the host
//! uses (reference lines, fixed axes, several series of bars) are optional and absent from a
//! guest's figure. A guest's figure must pass [`Figure::check`] before it is stored. [`svg`] writes
//! text, and the same figure gives the same bytes.

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

/// A series of points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// Finite values; as many as `y`.
    pub x: Vec<f64>,
    /// Finite values; as many as `x`.
    pub y: Vec<f64>,
    /// Whether this is a reference (chance, perfection) rather than a result. Only the host sets
    /// it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reference: bool,
}

/// One or more series over common axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinePlot {
    /// The label below the x axis.
    pub x_label: String,
    /// The label beside the y axis.
    pub y_label: String,
    /// At most 16, of at most 10,000 points each.
    pub series: Vec<Series>,
    /// Whether both axes run from 0 to 1, whatever the points are. Only the host sets it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unit_axes: bool,
}

/// One bar per label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// The name in the legend, shown if there is more than one series.
    pub name: String,
    /// Finite values; one for each label.
    pub values: Vec<f64>,
}

/// Bars by label. A guest's figure has one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarPlot {
    /// The label of the value axis.
    pub value_label: String,
    /// At most 256.
    pub labels: Vec<String>,
    /// At least one, at most 16.
    pub series: Vec<BarSeries>,
}

/// Numbers in rows and columns, shaded by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatrixPlot {
    /// The names of the rows; at most 64.
    pub rows: Vec<String>,
    /// The names of the columns; at most 64.
    pub columns: Vec<String>,
    /// Finite values, row by row.
    pub values: Vec<f64>,
}

/// Text in rows and columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextTable {
    /// The header; at most 64.
    pub columns: Vec<String>,
    /// Row by row, each as long as `columns`; at most 1,000 rows.
    pub rows: Vec<Vec<String>>,
}

/// The contents of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plot {
    /// Series as lines.
    Lines(LinePlot),
    /// Series as separate points.
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
    /// An identifier: lower-case letters, digits, `_` and `-`, at most 64 bytes.
    pub name: String,
    /// The title.
    pub title: String,
    /// The contents.
    pub plot: Plot,
}

impl Series {
    /// Returns a series that is not a reference.
    #[must_use]
    pub fn new(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { name: name.into(), x, y, reference: false }
    }
}

impl LinePlot {
    /// Returns a plot whose axes fit the points.
    #[must_use]
    pub fn new(x_label: impl Into<String>, y_label: impl Into<String>, series: Vec<Series>) -> Self {
        Self { x_label: x_label.into(), y_label: y_label.into(), series, unit_axes: false }
    }
}

impl BarPlot {
    /// Returns a plot of one series.
    #[must_use]
    pub fn new(value_label: impl Into<String>, labels: Vec<String>, values: Vec<f64>) -> Self {
        Self { value_label: value_label.into(), labels, series: vec![BarSeries { name: String::new(), values }] }
    }
}
