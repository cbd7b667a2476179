//! A table as one line of a card.

use crate::report::Dataset;
use crate::report::document::{Line, Piece, dash};
use crate::text::count;

/// Returns a table as one line. The caller labels it with its purpose.
pub(super) fn dataset(table: Option<&Dataset>) -> Line {
    let Some(table) = table else { return dash() };
    let mut line: Line = Vec::new();
    let is_purpose = [Dataset::TRAINED_ON, Dataset::MEASURED_ON, Dataset::FEATURES].contains(&table.name.as_str());
    if !table.name.is_empty() && !is_purpose {
        line.push(Piece::text(format!("{}, ", table.name)));
    }
    if let Some(rows) = table.rows {
        line.push(Piece::text(format!("{} rows, ", count(rows))));
    }
    line.push(Piece::Digest(table.digest.clone()));
    line
}
