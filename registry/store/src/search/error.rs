//! The error of parsing a filter or an order.
//!
//! It is one struct and not an enum: people read the text, and no caller reacts differently to a
//! missing quote and to an unknown key.

/// The most characters shown on each side of the position.
const SHOWN: usize = 40;

/// A text that is not a filter or an order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{excerpt}`, column {column}: {problem}\nhint: {hint}")]
pub struct SearchError {
    /// `filter` or `order`.
    pub what: &'static str,
    /// The text around the position, without line breaks.
    pub excerpt: String,
    /// The position, counted in characters from 1.
    pub column: usize,
    /// The problem there.
    pub problem: String,
    /// How to solve it.
    pub hint: String,
}

impl SearchError {
    /// Creates the error at the byte `at` of `text`, which begins a character or is the end.
    pub(super) fn new(what: &'static str, text: &str, at: usize, problem: String, hint: String) -> Self {
        let (before, after) = text.split_at(at);
        let start = before.char_indices().rev().nth(SHOWN - 1).map_or(0, |(start, _)| start);
        let end = after.char_indices().nth(SHOWN).map_or(text.len(), |(end, _)| at + end);
        let cut = |cut: bool| if cut { "..." } else { "" };
        let excerpt = format!("{}{}{}", cut(start > 0), visible(&text[start..end]), cut(end < text.len()));
        Self { what, excerpt, column: before.chars().count() + 1, problem, hint }
    }
}

/// Returns the text with a mark in place of each invisible character.
pub(super) fn visible(text: &str) -> String {
    text.chars().map(|character| if stagewright_text::is_hidden(character) { '\u{fffd}' } else { character }).collect()
}
