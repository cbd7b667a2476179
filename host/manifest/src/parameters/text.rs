//! Texts for messages about parameters: quoted, cut and listed.

use std::io::{self, Write};

use serde_json::Value as Json;

/// The most characters of a value or an untrusted text that a message quotes.
const LONGEST: usize = 200;

/// The most names or values that a hint lists.
pub(super) const MOST_LISTED: usize = 20;

/// Returns a hint to use one of the options; `None` if there are none.
pub(super) fn choose(options: &[String]) -> Option<String> {
    match options {
        [] => None,
        [only] => Some(format!("use {only}")),
        several => Some(format!("use one of {}", some(several.iter().cloned()))),
    }
}

/// Returns the first of the texts, separated by commas.
pub(super) fn some(texts: impl Iterator<Item = String>) -> String {
    let mut texts = texts.peekable();
    let first: Vec<String> = texts.by_ref().take(MOST_LISTED).collect();
    let more = if texts.peek().is_some() { ", ..." } else { "" };
    first.join(", ") + more
}

/// Returns a value as JSON in backticks, cut. No more of it is serialized than is shown.
pub(super) fn shown(value: &Json) -> String {
    struct Cut(Vec<u8>);
    impl Write for Cut {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (4 * LONGEST + 4).saturating_sub(self.0.len());
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut cut = Cut(Vec::new());
    // Serialization ends with an error when the buffer is full. Its content is what is shown.
    let _ = serde_json::to_writer(&mut cut, value);
    format!("`{}`", brief(&String::from_utf8_lossy(&cut.0)))
}

/// Returns an untrusted text on one line, cut: it may be of any length.
pub(super) fn brief(text: &str) -> String {
    let line: String = text
        .chars()
        .take(LONGEST + 1)
        .map(|letter| if stagewright_text::is_hidden(letter) { ' ' } else { letter })
        .collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
