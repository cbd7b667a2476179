//! Texts that people and programs write where a value is missing: `NA`, `?`, `-`, `#N/A`, ...
//!
//! Owns which texts these are. Whether one means "missing" depends on the column: among numbers it
//! does, among texts it may be a category like others.

/// Texts that are compared without regard to case, after spaces around them are removed.
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

/// Whether a text is one that often stands for a missing value; a text of nothing but spaces is
/// one, too.
pub(super) fn is_marker(text: &str) -> bool {
    let text = text.trim();
    match text.as_bytes() {
        [] => true,
        // Most cells: a number, or a longer text.
        [b'0'..=b'9' | b'+', ..] => false,
        bytes if bytes.len() > LONGEST => false,
        _ => MARKERS.iter().any(|marker| marker.eq_ignore_ascii_case(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_for_a_missing_value_is_a_marker_and_a_value_is_none() {
        for text in ["NA", " ?", "n/a", "#N/A", "NaN", "NULL", "\\N", "None", "-", "   ", "\u{a0}", "#DIV/0!"] {
            assert!(is_marker(text), "{text:?}");
        }
        for text in ["0", "-1", "+", "nan1", "nowhere", "Namibia", "n", "no", "none of these", "Infinity"] {
            assert!(!is_marker(text), "{text:?}");
        }
        assert!(MARKERS.iter().all(|marker| marker.len() <= LONGEST));
    }
}
