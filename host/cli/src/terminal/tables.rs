//! Tables of text that may come from anybody: cells are escaped.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use stagewright_text::Untrusted;

/// A table. Each cell is one line, and its text is escaped.
pub(crate) struct Grid(Table);

/// Returns an empty table with these headings.
pub(crate) fn table(head: &[&str]) -> Grid {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(head.iter().map(|name| Cell::from(*name).0));
    Grid(table)
}

impl Grid {
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

/// Returns a cell that is aligned to the right, for numbers.
pub(crate) fn right(text: impl std::fmt::Display) -> Cell {
    Cell(Cell::new(text).0.set_alignment(CellAlignment::Right))
}
