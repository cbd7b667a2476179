//! The limits of the contract for figures that a guest sends.

use super::{BarPlot, Figure, LinePlot, MatrixPlot, Plot, TextTable};
use crate::Error;
use crate::text::printable;

/// The most bytes of a figure's name.
pub const MAX_NAME_BYTES: usize = 64;
/// The most series of a plot.
pub const MAX_SERIES: usize = 16;
/// The most points of a series.
pub const MAX_POINTS: usize = 10_000;
/// The most labels of a bar plot.
pub const MAX_BARS: usize = 256;
/// The most rows, and the most columns, of a matrix.
pub const MAX_MATRIX_SIDE: usize = 64;
/// The most columns of a table of text.
pub const MAX_TEXT_COLUMNS: usize = 64;
/// The most rows of a table of text.
pub const MAX_TEXT_ROWS: usize = 1_000;
/// The most bytes of all text in a figure. A report contains it twice, as data and drawn.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

impl Figure {
    /// Checks the figure against the limits of the contract.
    ///
    /// # Errors
    ///
    /// [`Error::Figure`] with the first limit that is exceeded.
    pub fn check(&self) -> Result<(), Error> {
        self.problem()
            .map_or(Ok(()), |problem| Err(Error::Figure { figure: printable(&self.name, MAX_NAME_BYTES), problem }))
    }

    fn problem(&self) -> Option<String> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if self.name.is_empty() || !self.name.bytes().all(allowed) {
            return Some("its name may hold only lower case, digits, `_` and `-`, and must not be empty".to_owned());
        }
        over("byte", "its name", self.name.len(), MAX_NAME_BYTES)
            .or_else(|| match &self.plot {
                Plot::Lines(plot) | Plot::Points(plot) => lines(plot),
                Plot::Bars(plot) => bars(plot),
                Plot::Matrix(plot) => matrix(plot),
                Plot::Text(table) => text(table),
            })
            .or_else(|| over("byte", "all of its text", self.text_bytes(), MAX_TEXT_BYTES))
    }

    fn text_bytes(&self) -> usize {
        let length = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        self.title.len()
            + match &self.plot {
                Plot::Lines(plot) | Plot::Points(plot) => {
                    let names: usize = plot.series.iter().map(|series| series.name.len()).sum();
                    plot.x_label.len() + plot.y_label.len() + names
                }
                Plot::Bars(plot) => {
                    let names: usize = plot.series.iter().map(|series| series.name.len()).sum();
                    plot.value_label.len() + length(&plot.labels) + names
                }
                Plot::Matrix(plot) => length(&plot.rows) + length(&plot.columns),
                Plot::Text(table) => length(&table.columns) + table.rows.iter().map(|row| length(row)).sum::<usize>(),
            }
    }
}

fn lines(plot: &LinePlot) -> Option<String> {
    over("series", "it", plot.series.len(), MAX_SERIES).or_else(|| {
        plot.series.iter().enumerate().find_map(|(number, series)| {
            let what = format!("series {number}");
            over("point", &what, series.x.len().max(series.y.len()), MAX_POINTS)
                .or_else(|| unequal(&what, "x values", series.x.len(), "y values", series.y.len()))
                .or_else(|| not_finite(&what, &series.x))
                .or_else(|| not_finite(&what, &series.y))
        })
    })
}

fn bars(plot: &BarPlot) -> Option<String> {
    if plot.series.is_empty() {
        return Some("it has no values".to_owned());
    }
    over("label", "it", plot.labels.len(), MAX_BARS)
        .or_else(|| over("series", "it", plot.series.len(), MAX_SERIES))
        .or_else(|| {
            plot.series.iter().find_map(|series| {
                unequal("it", "labels", plot.labels.len(), "values", series.values.len())
                    .or_else(|| not_finite("it", &series.values))
            })
        })
}

fn matrix(plot: &MatrixPlot) -> Option<String> {
    over("row", "it", plot.rows.len(), MAX_MATRIX_SIDE)
        .or_else(|| over("column", "it", plot.columns.len(), MAX_MATRIX_SIDE))
        .or_else(|| unequal("it", "cells", plot.rows.len() * plot.columns.len(), "values", plot.values.len()))
        .or_else(|| not_finite("it", &plot.values))
}

fn text(table: &TextTable) -> Option<String> {
    over("column", "it", table.columns.len(), MAX_TEXT_COLUMNS)
        .or_else(|| over("row", "it", table.rows.len(), MAX_TEXT_ROWS))
        .or_else(|| {
            table.rows.iter().enumerate().find_map(|(number, row)| {
                unequal(&format!("row {number}"), "columns", table.columns.len(), "cells", row.len())
            })
        })
}

fn over(unit: &str, what: &str, count: usize, limit: usize) -> Option<String> {
    let plural = if unit.ends_with('s') { "" } else { "s" };
    (count > limit).then(|| format!("{what} has `{count}` {unit}{plural}, and at most `{limit}` are allowed"))
}

fn unequal(what: &str, one: &str, ones: usize, other: &str, others: usize) -> Option<String> {
    (ones != others).then(|| format!("{what} has `{ones}` {one} and `{others}` {other}"))
}

fn not_finite(what: &str, values: &[f64]) -> Option<String> {
    values
        .iter()
        .position(|value| !value.is_finite())
        .map(|at| format!("{what} has the value `{}` at position `{at}`, which is not finite", values[at]))
}

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    fn problem(name: &str, plot: Plot) -> String {
        let figure = Figure { name: name.to_owned(), title: "A title".to_owned(), plot };
        figure.check().map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    fn of_points(points: usize) -> Plot {
        Plot::Lines(LinePlot::new("x", "y", vec![Series::new("s", vec![0.0; points], vec![1.0; points])]))
    }

    #[test]
    fn a_figure_at_every_cap_is_fine() {
        assert_eq!(problem(&"n".repeat(MAX_NAME_BYTES), of_points(MAX_POINTS)), "fine");
        let series = vec![Series::new("s", vec![], vec![]); MAX_SERIES];
        assert_eq!(problem("n", Plot::Lines(LinePlot::new("x", "y", series))), "fine");
        assert_eq!(
            problem("n", Plot::Bars(BarPlot::new("v", vec![String::new(); MAX_BARS], vec![0.0; MAX_BARS]))),
            "fine"
        );
        let side = vec![String::new(); MAX_MATRIX_SIDE];
        let values = vec![0.0; MAX_MATRIX_SIDE * MAX_MATRIX_SIDE];
        assert_eq!(problem("n", Plot::Matrix(MatrixPlot { rows: side.clone(), columns: side, values })), "fine");
        let row = vec![String::new(); MAX_TEXT_COLUMNS];
        assert_eq!(
            problem("n", Plot::Text(TextTable { columns: row.clone(), rows: vec![row; MAX_TEXT_ROWS] })),
            "fine"
        );
    }

    #[test]
    fn a_figure_past_a_cap_is_refused_with_the_cap() {
        let series = vec![Series::new("s", vec![], vec![]); MAX_SERIES + 1];
        let side = vec![String::new(); MAX_MATRIX_SIDE + 1];
        let cell = vec![String::new()];
        let cases = [
            problem("", of_points(1)),
            problem("Upper\u{7}", of_points(1)),
            problem(&"n".repeat(MAX_NAME_BYTES + 1), of_points(1)),
            problem("n", of_points(MAX_POINTS + 1)),
            problem("n", Plot::Lines(LinePlot::new("x", "y", series))),
            problem("n", Plot::Lines(LinePlot::new("x", "y", vec![Series::new("s", vec![0.0], vec![])]))),
            problem("n", Plot::Lines(LinePlot::new("x", "y", vec![Series::new("s", vec![0.0], vec![f64::NAN])]))),
            problem("n", Plot::Bars(BarPlot::new("v", vec![String::new(); MAX_BARS + 1], vec![0.0; MAX_BARS + 1]))),
            problem("n", Plot::Bars(BarPlot::new("v", cell.clone(), vec![]))),
            problem("n", Plot::Bars(BarPlot::new("v", cell.clone(), vec![f64::INFINITY]))),
            problem("n", Plot::Matrix(MatrixPlot { rows: side, columns: cell.clone(), values: vec![] })),
            problem("n", Plot::Matrix(MatrixPlot { rows: cell.clone(), columns: cell.clone(), values: vec![] })),
            problem("n", Plot::Text(TextTable { columns: cell.clone(), rows: vec![cell.clone(); MAX_TEXT_ROWS + 1] })),
            problem("n", Plot::Text(TextTable { columns: cell.clone(), rows: vec![vec![]] })),
            problem("n", Plot::Text(TextTable { columns: vec!["x".repeat(MAX_TEXT_BYTES)], rows: vec![] })),
        ];
        insta::assert_snapshot!(cases.join("\n"));
    }
}
