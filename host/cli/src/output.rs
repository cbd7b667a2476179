//! Standard output and standard error when they cannot be written to.
//!
//! The standard library's macros panic then. Here a result that cannot be written ends the program with the host's code;
//! if nobody reads it any more, that is no failure. What is shown on standard error beside the work is no reason to stop it.
//! Results are written when the work is done, so that ending here leaves nothing half done.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::ending::Ending;

/// As the standard library's, but for failures.
macro_rules! println {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// As the standard library's, but for failures.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::note(format_args!("{}\n", format_args!($($text)*))) };
}

/// As the standard library's, but for failures.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::note(format_args!($($text)*)) };
}

/// Writes a line of the result.
///
/// What people or stages wrote must not move the cursor of a terminal, or clear it: control characters are shown as such.
pub(crate) fn line(text: Arguments<'_>) {
    let text = text.to_string();
    let control = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    let text = if text.contains(control) {
        text.chars().map(|letter| if control(letter) { '\u{fffd}' } else { letter }).collect()
    } else {
        text
    };
    end_if_failed(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes bytes of the result.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    end_if_failed(output.write_all(bytes).and_then(|()| output.flush()));
}

/// Writes a file that was asked for, whole or not at all; a link in its place is replaced, not followed.
pub(crate) fn file(path: &Path, text: &str) -> anyhow::Result<()> {
    stagewright_store::export_bytes(text.as_bytes(), path).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to standard error, if it can be written to.
pub(crate) fn note(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

fn end_if_failed(written: io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            note(format_args!("error: cannot write to standard output: {error}\n"));
            std::process::exit(Ending::Host as i32);
        }
        _ => {}
    }
}
