//! What is wrong with a filter or an order, and where.
//!
//! One struct and no enum: whoever searches reads the text, and no caller does one thing about a missing quote and another about an
//! unknown key.

/// How many characters on each side of the place are shown.
const SHOWN: usize = 40;

/// A text is no filter, or no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{excerpt}`, column {column}: {problem}\nhint: {hint}")]
pub struct SearchError {
    /// `filter` or `order`.
    pub what: &'static str,
    /// The text around the place, without line breaks.
    pub excerpt: String,
    /// The place, counted in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
    /// What may stand there.
    pub hint: String,
}

impl SearchError {
    /// Points at the byte `at` of `text`, which begins a character or is the end.
    pub(super) fn new(what: &'static str, text: &str, at: usize, problem: String, hint: String) -> Self {
        let (before, after) = text.split_at(at);
        let start = before.char_indices().rev().nth(SHOWN - 1).map_or(0, |(start, _)| start);
        let end = after.char_indices().nth(SHOWN).map_or(text.len(), |(end, _)| at + end);
        let cut = |cut: bool| if cut { "..." } else { "" };
        let excerpt = format!("{}{}{}", cut(start > 0), visible(&text[start..end]), cut(end < text.len()));
        Self { what, excerpt, column: before.chars().count() + 1, problem, hint }
    }
}

/// Returns the text with a mark in place of each character that would move the cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|character| if stagewright_text::is_hidden(character) { '\u{fffd}' } else { character }).collect()
}
