//! A heat map: numbers in rows and columns, on cells shaded by value.

use maud::{Markup, html};

use super::MatrixPlot;
use super::canvas::{CHARACTER, WIDTH, unit};
use crate::text::{count, number, printable, trim_zeros};

/// The colours of the least and the greatest value, readable on light and dark backgrounds.
const PALE: [f64; 3] = [233.0, 241.0, 250.0];
const DEEP: [f64; 3] = [8.0, 69.0, 124.0];
/// From this share of the range on, text is light.
const LIGHT_TEXT: f64 = 0.62;

/// Draws the plot and returns its height too.
pub(super) fn draw(plot: &MatrixPlot) -> (f64, Markup) {
    let columns = plot.columns.len().max(1);
    let rows: Vec<String> = plot.rows.iter().map(|row| printable(row, 30)).collect();
    let widest = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
    let left = 28.0 + widest as f64 * CHARACTER;
    let width = (WIDTH - left - 24.0) / columns as f64;
    // Few rows are tall enough to read at a glance; many are low enough to fit a page.
    let height = (320.0 / rows.len().max(1) as f64).clamp(14.0, 72.0);
    let in_cell = (width / CHARACTER) as usize;
    let slanted = plot.columns.iter().any(|column| column.chars().count() > in_cell);
    let longest = plot.columns.iter().map(|column| column.chars().count().min(18)).max().unwrap_or(0);
    let top = if slanted { 20.0 + longest as f64 * CHARACTER * 0.75 } else { 26.0 };
    let finite = || plot.values.iter().copied().filter(|value| value.is_finite());
    let (low, high) =
        finite().fold((0.0_f64, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let cells = plot.values.iter().copied().take(columns * rows.len()).enumerate();
    let texts = cell_texts(&plot.values, in_cell);
    let body = html! {
        @for (column, name) in plot.columns.iter().enumerate() {
            (column_name(name, left + (column as f64 + 0.5) * width, top - 10.0, slanted))
        }
        @for (row, name) in rows.iter().enumerate() {
            text class="sw-text" text-anchor="end" x=(unit(left - 10.0)) y=(unit(top + (row as f64 + 0.5) * height + 4.0)) {
                (name)
            }
        }
        @for (cell, value) in cells {
            @let (x, y) = (left + (cell % columns) as f64 * width, top + (cell / columns) as f64 * height);
            @let share = share(value, low, high);
            rect x=(unit(x)) y=(unit(y)) width=(unit(width - 1.5)) height=(unit(height - 1.5)) rx="2" fill=(shade(share)) {}
            @if let Some(text) = texts.get(cell) {
                text text-anchor="middle" x=(unit(x + width / 2.0)) y=(unit(y + height / 2.0 + 4.0))
                    font-size=(if height > 40.0 { "15" } else { "11" })
                    fill=(if share >= LIGHT_TEXT { "#ffffff" } else { "#1f2328" }) { (text) }
            }
        }
    };
    (top + height * rows.len().max(1) as f64 + 16.0, body)
}

fn column_name(name: &str, x: f64, y: f64, slanted: bool) -> Markup {
    let (x, y) = (unit(x), unit(y));
    html! {
        @if slanted {
            text class="sw-text" x=(x) y=(y) transform={ "rotate(-45 " (x) " " (y) ")" } { (printable(name, 18)) }
        } @else {
            text class="sw-text" text-anchor="middle" x=(x) y=(y) { (printable(name, 80)) }
        }
    }
}

/// Returns the position of a value between the least (or 0) and the greatest.
fn share(value: f64, low: f64, high: f64) -> f64 {
    // Halved, so that the span of the greatest numbers cannot overflow.
    let span = high / 2.0 - low / 2.0;
    if span > 0.0 && value.is_finite() { ((value / 2.0 - low / 2.0) / span).clamp(0.0, 1.0) } else { 0.0 }
}

fn shade(share: f64) -> String {
    let channel = |index: usize| (PALE[index] + (DEEP[index] - PALE[index]) * share).round() as u8;
    format!("#{:02x}{:02x}{:02x}", channel(0), channel(1), channel(2))
}

/// Returns the texts of the cells, as exact as the width allows for all of them, or empty texts.
fn cell_texts(values: &[f64], in_cell: usize) -> Vec<String> {
    let whole = |value: f64| (0.0..1e9).contains(&value) && value.fract() == 0.0;
    let exact = |value: f64| if whole(value) { count(value as u64) } else { number(value) };
    let write = |decimals: Option<usize>| -> Vec<String> {
        let one =
            |value: &f64| decimals.map_or_else(|| exact(*value), |decimals| trim_zeros(&format!("{value:.decimals$}")));
        values.iter().map(one).collect()
    };
    // Fewer than one decimal would show shares as 0 and 1 only.
    [None, Some(2), Some(1)]
        .into_iter()
        .map(write)
        .find(|texts| texts.iter().all(|text| text.chars().count() <= in_cell))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_show_as_much_as_all_of_them_have_room_for() {
        let values = [0.123_456, -0.5, 3.0];
        assert_eq!(cell_texts(&values, 8), ["0.1235", "-0.5", "3"]);
        assert_eq!(cell_texts(&values, 5), ["0.12", "-0.5", "3"]);
        assert_eq!(cell_texts(&values, 4), ["0.12", "-0.5", "3"]);
        assert_eq!(cell_texts(&values, 2), [""; 0]);
        assert_eq!(cell_texts(&[7_043.0], 8), ["7,043"]);
    }
}
