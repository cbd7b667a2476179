//! A position in a text, and the smallest pieces there: words, quoted texts, signs.
//!
//! There is no tokenizer: what a piece is depends on what the grammar expects (`1e5` is a key after
//! `metrics.`, and a number after `>`), so that the rules ask the cursor for what they expect.

use super::MAX_BYTES;
use super::error::{SearchError, visible};

/// The most characters of an unexpected piece that a message repeats.
const REPEATED: usize = 40;

/// A position in a text.
pub(super) struct Cursor<'a> {
    /// `filter` or `order`.
    what: &'static str,
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Returns the start of `text`. Refuses a text that is too long or contains NUL, which
    /// PostgreSQL's texts cannot.
    pub(super) fn new(what: &'static str, text: &'a str) -> Result<Self, SearchError> {
        let start = Self { what, text, at: 0 };
        if text.len() > MAX_BYTES {
            let problem = format!("{} bytes are more than the {MAX_BYTES} that a {what} may have", text.len());
            return Err(start.refuse(0, problem, "ask for less at once"));
        }
        match text.find('\0') {
            Some(at) => Err(start.refuse(at, "a NUL character", "no name and no value has one; leave it out")),
            None => Ok(start),
        }
    }

    /// Returns the position, for [`refuse`](Self::refuse) and [`back`](Self::back).
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a position.
    pub(super) fn back(&mut self, at: usize) {
        self.at = at;
    }

    /// Creates the error for a problem at a position.
    pub(super) fn refuse(&self, at: usize, problem: impl Into<String>, hint: impl Into<String>) -> SearchError {
        SearchError::new(self.what, self.text, at, problem.into(), hint.into())
    }

    /// Skips white space.
    pub(super) fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Returns whether only white space is left.
    pub(super) fn is_done(&mut self) -> bool {
        self.space();
        self.rest().is_empty()
    }

    /// Skips one character if it is next. Returns whether it was.
    pub(super) fn eat(&mut self, character: char) -> bool {
        let found = self.rest().starts_with(character);
        if found {
            self.at += character.len_utf8();
        }
        found
    }

    /// Skips all characters that satisfy `of` and returns them, possibly none.
    pub(super) fn run(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let run = &rest[..rest.find(|character| !of(character)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    /// Skips white space and a keyword, in any case, if that whole word is next. Returns whether it
    /// was.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        self.space();
        let start = self.at;
        let found = self.run(is_word).eq_ignore_ascii_case(keyword);
        if !found {
            self.at = start;
        }
        found
    }

    /// Skips a quoted text and returns its value, in which a doubled quote is one. Returns `None`
    /// if none of these quotes is next.
    pub(super) fn quoted(&mut self, quotes: &[char]) -> Result<Option<String>, SearchError> {
        let start = self.at;
        let Some(quote) = quotes.iter().copied().find(|quote| self.eat(*quote)) else { return Ok(None) };
        let mut text = String::new();
        loop {
            text.push_str(self.run(|character| character != quote));
            if !self.eat(quote) {
                let hint = format!("close it with another `{quote}`; within the quotes, double it");
                return Err(self.refuse(start, format!("the quote `{quote}` is not closed"), hint));
            }
            if !self.eat(quote) {
                return Ok(Some(text));
            }
            text.push(quote);
        }
    }

    /// Returns the next piece, for a message that expected another one.
    pub(super) fn found(&self) -> String {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return format!("the {}'s end", self.what) };
        let same: fn(char) -> bool = match first {
            '\'' | '"' | '`' => |character| !matches!(character, '\'' | '"' | '`'),
            _ if is_sign(first) => is_sign,
            _ if is_word(first) => is_word,
            _ => |_| false,
        };
        let mut end = first.len_utf8();
        end += rest[end..].find(|character| !same(character)).unwrap_or(rest.len() - end);
        // Includes the closing quote.
        if matches!(first, '\'' | '"' | '`') && rest[end..].starts_with(first) {
            end += 1;
        }
        let piece = &rest[..end];
        match piece.char_indices().nth(REPEATED) {
            Some((cut, _)) => format!("`{}...`", visible(&piece[..cut])),
            None => format!("`{}`", visible(piece)),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
}

/// Returns whether a key, a number or a keyword without quotes may contain this character: those of
/// MLflow's names except spaces, and an exponent's `+`.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | ':' | '+')
}

/// Returns whether an operator such as `<=` may contain this character, or what others write for
/// one.
pub(super) fn is_sign(character: char) -> bool {
    matches!(character, '=' | '<' | '>' | '!' | '~')
}
