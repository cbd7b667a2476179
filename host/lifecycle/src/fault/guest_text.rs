//! Text of guests, made safe to show.

use stagewright_text::Untrusted;

/// The longest text of a guest that is kept, in bytes.
pub const GUEST_TEXT: usize = 4096;

/// Cuts a guest's text and escapes control characters and characters that reverse or hide text, so
/// that a terminal shows nothing else than the text. Line breaks are kept, but each further line is
/// marked: no guest can write a line that looks like the host's.
pub fn guest_text(text: &str) -> String {
    Untrusted::lines(text).cut(GUEST_TEXT).to_string()
}

/// Cuts and escapes a guest's text of one line, such as a name. A line break becomes `\n`.
pub fn guest_name(text: &str) -> String {
    Untrusted::new(text).cut(GUEST_TEXT).to_string()
}
