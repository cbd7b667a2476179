//! A place in a text, and the smallest pieces that stand there: words, quoted texts, signs.
//!
//! There are no tokens: what a piece is depends on what is expected (`1e5` is a key after `metrics.`, and a number after `>`), so
//! the rules ask the cursor for what they expect.

use super::MAX_BYTES;
use super::error::{SearchError, visible};

/// How many characters of what was found instead are repeated.
const REPEATED: usize = 40;

/// A place in a text.
pub(super) struct Cursor<'a> {
    /// `filter` or `order`.
    what: &'static str,
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Returns the start of `text`, if it is short enough and has no NUL, which PostgreSQL keeps in
    /// no text.
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

    /// Returns where it stands, for [`refuse`](Self::refuse) and [`back`](Self::back).
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to where it stood.
    pub(super) fn back(&mut self, at: usize) {
        self.at = at;
    }

    /// Returns the text's name and a problem at one of its places.
    pub(super) fn refuse(&self, at: usize, problem: impl Into<String>, hint: impl Into<String>) -> SearchError {
        SearchError::new(self.what, self.text, at, problem.into(), hint.into())
    }

    /// Goes past white space.
    pub(super) fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Returns whether nothing but white space is left.
    pub(super) fn is_done(&mut self) -> bool {
        self.space();
        self.rest().is_empty()
    }

    /// Goes past one character if it stands here.
    pub(super) fn eat(&mut self, character: char) -> bool {
        let found = self.rest().starts_with(character);
        if found {
            self.at += character.len_utf8();
        }
        found
    }

    /// Goes past all characters of a sort, of which there may be none.
    pub(super) fn run(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let run = &rest[..rest.find(|character| !of(character)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    /// Goes past white space and a word of the grammar, in any case, if the whole word stands here.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        self.space();
        let start = self.at;
        let found = self.run(is_word).eq_ignore_ascii_case(keyword);
        if !found {
            self.at = start;
        }
        found
    }

    /// Goes past a text in one of these quotes and gives what it means: a doubled quote is one. `None` if no quote stands here.
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

    /// What stands here, for a message that expected something else.
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
        // The closing quote too.
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

/// What a key, a number or a word of the grammar consists of where it stands without quotes: what MLflow has in names but spaces, and
/// an exponent's `+`.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '/' | ':' | '+')
}

/// What `<=` and its like consist of, and what others write for them.
pub(super) fn is_sign(character: char) -> bool {
    matches!(character, '=' | '<' | '>' | '!' | '~')
}
