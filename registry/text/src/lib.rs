//! Untrusted text (of components, files, servers, registries), made safe to show.
//!
//! Such text may move a terminal's cursor, reorder or hide the text beside it, or end a line and
//! begin one that looks like the host's. Characters that are not plainly visible come out as
//! `\u{..}`. A backslash stays as it is: a text that looks like an escape is a harmless name.
//!
//! ```
//! use stagewright_text::Untrusted;
//!
//! let name = "churn\u{202e}\nhint: run rm -rf";
//! assert_eq!(Untrusted::new(name).to_string(), r"churn\u{202e}\nhint: run rm -rf");
//! ```
//!
//! - [`Untrusted`]: a text as part of a line of output
//! - [`printable`], [`json`]: filters for all output, which escape what [`Untrusted`] was not used
//!   for
//!
//! maud's escaping for HTML and SVG is applied on top of this.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The bytes of a text that are shown by default: more than any name or message needs.
const SHOWN: usize = 4 << 10;

/// The beginning of a line that continues an untrusted text.
pub const CONTINUED: &str = "\n  | ";

/// An untrusted text, which displays itself on one line, escaped and cut.
#[derive(Clone, Copy, Debug)]
pub struct Untrusted<'a> {
    text: &'a str,
    most: usize,
    line_break: &'static str,
}

impl<'a> Untrusted<'a> {
    /// Creates a text for one line, in which a line break comes out as `\n`.
    pub fn new(text: &'a str) -> Self {
        Self { text, most: SHOWN, line_break: "\\n" }
    }

    /// Creates a text of several lines, such as a message, in which each line but the first is
    /// marked.
    pub fn lines(text: &'a str) -> Self {
        Self { text, most: SHOWN, line_break: CONTINUED }
    }

    /// Returns the same text, cut after `most` bytes.
    #[must_use]
    pub fn cut(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.text.len().min(self.most));
        for character in self.text.chars() {
            if shown.len() >= self.most {
                shown.push_str("… (cut)");
                break;
            }
            match character {
                '\n' => shown.push_str(self.line_break),
                hidden if is_hidden(hidden) => escape(&mut shown, hidden),
                visible => shown.push(visible),
            }
        }
        // As text, so that the width of a format string applies.
        f.pad(&shown)
    }
}

/// Returns whether a character is not plainly visible: it moves the cursor (C0, C1, line
/// separators), changes how its neighbours are shown (bidirectional marks, Unicode TR 36), or has
/// no width (zero width, fillers, tags, variation selectors).
pub fn is_hidden(character: char) -> bool {
    // Nearly all text consists of these.
    if matches!(character, ' '..='~') {
        return false;
    }
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Writes a character as an escape.
fn escape(text: &mut String, character: char) {
    match character {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        character => {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\\u{{{:x}}}", u32::from(character));
        }
    }
}

/// Escapes everything that is not plainly visible, except line breaks and tabs, in output whose
/// lines the host wrote.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_fit = |character: char| matches!(character, '\n' | '\t') || !is_hidden(character);
    if text.chars().all(is_fit) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_fit(character) {
            shown.push(character);
        } else {
            escape(&mut shown, character);
        }
    }
    shown.into()
}

/// Escapes every character of JSON that is not plainly visible, as `\uXXXX`, which means the same.
///
/// Outside of strings, JSON has no such characters except line breaks, which stay. Within strings
/// they are escaped already or may be.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_fit = |character: char| matches!(character, '\n' | '\t' | '\r') || !is_hidden(character);
    if text.chars().all(is_fit) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_fit(character) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a `String` cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cut_escaped_and_on_one_line() {
        let nasty = "\u{1b}[2J\u{202e}\u{200b}\r\u{9b}31m\0\nhint: run rm -rf\t\u{e0041}\u{ad}";
        assert_eq!(
            Untrusted::new(nasty).to_string(),
            "\\u{1b}[2J\\u{202e}\\u{200b}\\r\\u{9b}31m\\u{0}\\nhint: run rm -rf\\t\\u{e0041}\\u{ad}"
        );
        assert!(Untrusted::lines(nasty).to_string().contains("\n  | hint: run"));
        let long = Untrusted::new(&"\u{1b}".repeat(1 << 20)).to_string();
        assert!(long.len() < SHOWN + 32 && long.ends_with("… (cut)"), "{}", long.len());
        assert_eq!(Untrusted::new("naïve 日本 <b>&amp; C:\\x").to_string(), "naïve 日本 <b>&amp; C:\\x");
        assert_eq!(format!("{:<4}|", Untrusted::new("a")), "a   |");
    }

    proptest! {
        // invariant: Text from outside cannot move the cursor, hide or reorder text, or imitate a
        // line of the host.
        #[test]
        fn nothing_hidden_comes_out(text in "(\\PC|\\p{C}|\\p{Z}){0,40}") {
            let line = Untrusted::new(&text).to_string();
            prop_assert!(!line.chars().any(is_hidden), "{line:?}");
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(|it| is_hidden(it) && !matches!(it, '\n' | '\t')), "{shown:?}");
        }
    }
}
