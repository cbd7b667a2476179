//! Texts that often stand for a missing value: `NA`, `?`, `-`, `#N/A`, ...
//!
//! Whether such a text means "missing" depends on the column: among numbers it does, among texts it
//! may be a category.

/// Compared without regard to case and surrounding spaces.
const MARKERS: [&str; 28] = [
    "?",
    "-",
    "--",
    "---",
    ".",
    "..",
    "*",
    "na",
    "n/a",
    "n.a.",
    "<na>",
    "#n/a",
    "#na",
    "nan",
    "-nan",
    "null",
    "<null>",
    "(null)",
    "[null]",
    "#null!",
    "nil",
    "none",
    "missing",
    "unknown",
    "undefined",
    "\\n",
    "#value!",
    "#div/0!",
];
const LONGEST: usize = 9;

/// Returns whether a text often stands for a missing value. A text of spaces does.
pub(super) fn is_marker(text: &str) -> bool {
    let text = text.trim();
    match text.as_bytes() {
        [] => true,
        // The fast path for most cells: a number or a longer text.
        [b'0'..=b'9' | b'+', ..] => false,
        bytes if bytes.len() > LONGEST => false,
        _ => MARKERS.iter().any(|marker| marker.eq_ignore_ascii_case(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_recognised_and_values_are_not() {
        for text in ["NA", " ?", "n/a", "#N/A", "NaN", "NULL", "\\N", "None", "-", "   ", "\u{a0}", "#DIV/0!"] {
            assert!(is_marker(text), "{text:?}");
        }
        for text in ["0", "-1", "+", "nan1", "nowhere", "Namibia", "n", "no", "none of these", "Infinity"] {
            assert!(!is_marker(text), "{text:?}");
        }
        assert!(MARKERS.iter().all(|marker| marker.len() <= LONGEST));
    }
}
