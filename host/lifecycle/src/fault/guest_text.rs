//! Text of guests, made safe to show.

use stagewright_text::Untrusted;

/// The longest text of a guest that is kept, in bytes.
pub const GUEST_TEXT: usize = 4096;

/// Makes text of a guest fit to be shown: cut, and with everything escaped that a terminal or a reader could take for something else: control characters, and those that
/// turn or hide text. A line break stays one, but what follows is marked, so that no guest writes a line that looks like the host's.
pub fn guest_text(text: &str) -> String {
    Untrusted::lines(text).cut(GUEST_TEXT).to_string()
}

/// The same of a name, or of whatever else is one line: a line break is shown as `\n`.
pub fn guest_name(text: &str) -> String {
    Untrusted::new(text).cut(GUEST_TEXT).to_string()
}
