//! A table of text as a drawing, cut to what fits. Reports show the whole table as HTML.

use maud::{Markup, html};

use super::TextTable;
use super::canvas::{CHARACTER, WIDTH, unit};
use crate::text::printable;

/// The most rows and columns that are drawn.
const ROWS: usize = 40;
const COLUMNS: usize = 8;
const LINE: f64 = 22.0;

/// Draws the table and returns its height too.
pub(super) fn draw(table: &TextTable) -> (f64, Markup) {
    let columns = table.columns.len().clamp(1, COLUMNS);
    let width = (WIDTH - 32.0) / columns as f64;
    let room = ((width - 8.0) / CHARACTER) as usize;
    let cell = |text: &str, column: usize, line: usize, class: &str| {
        html! {
            text class=(class) x=(unit(20.0 + column as f64 * width)) y=(unit(line as f64 * LINE + 15.0)) {
                (printable(text, room.saturating_sub(1)))
            }
        }
    };
    let shown = table.rows.len().min(ROWS);
    let hidden_rows = table.rows.len() - shown;
    let hidden_columns = table.columns.len().saturating_sub(COLUMNS);
    let lines = shown + 1 + usize::from(hidden_rows + hidden_columns > 0);
    let body = html! {
        @for (column, name) in table.columns.iter().take(COLUMNS).enumerate() {
            (cell(name, column, 0, "sw-text sw-head"))
        }
        path class="sw-axis" d={ "M16 " (unit(LINE)) "h" (unit(WIDTH - 32.0)) } {}
        @for (row, texts) in table.rows.iter().take(ROWS).enumerate() {
            @if row % 2 == 1 {
                rect class="sw-stripe" x="16" y=(unit((row + 1) as f64 * LINE)) width=(unit(WIDTH - 32.0)) height=(unit(LINE)) {}
            }
            @for (column, text) in texts.iter().take(COLUMNS).enumerate() { (cell(text, column, row + 1, "sw-text")) }
        }
        @if hidden_rows + hidden_columns > 0 {
            text class="sw-muted" x="20" y=(unit((shown + 1) as f64 * LINE + 15.0)) {
                (hidden_rows) " more rows, " (hidden_columns) " more columns"
            }
        }
    };
    (lines as f64 * LINE + 12.0, body)
}
