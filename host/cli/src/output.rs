//! Writing to standard output and standard error when that can fail.
//!
//! The standard library's macros panic if a write fails. Here, a result that cannot be written ends
//! the program with the exit code of a host fault, unless the reader closed the pipe. A note on
//! standard error that cannot be written is dropped. Results are written after the work is done, so
//! that the program can end at any write.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use stagewright_text::{CONTINUED, printable};

use crate::error_code::ErrorCode;

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
/// Characters with which text of people or stages could control the terminal (move the cursor,
/// clear it, reverse or hide text) are escaped.
pub(crate) fn line(text: Arguments<'_>) {
    end_if_failed(writeln!(io::stdout().lock(), "{}", printable(&text.to_string())));
}

/// Writes a line about a run that goes on. A failure to write does not stop the run.
pub(crate) fn event(line: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Writes bytes of the result.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    end_if_failed(output.write_all(bytes).and_then(|()| output.flush()));
}

/// The program that reads standard output has closed it: it has enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes a part of data for another program, of which more may come. Control characters are
/// escaped only if standard output is a terminal.
///
/// # Errors
/// [`ReaderGone`]; standard output cannot be written.
pub(crate) fn part(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let text = if output.is_terminal() { printable(text) } else { text.into() };
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write to standard output"),
    }
}

/// Writes a file completely or not at all. A link in its place is replaced, not followed.
pub(crate) fn file(path: &Path, text: &str) -> anyhow::Result<()> {
    stagewright_store::export_bytes(text.as_bytes(), path).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints one JSON object on standard output.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    bytes(format!("{}\n", stagewright_text::json(&serde_json::to_string_pretty(value)?)).as_bytes());
    Ok(())
}

/// Writes a text to a file, or to standard output where no file is named.
pub(crate) fn file_or_stdout(path: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match path {
        Some(path) => Ok(stagewright_store::export_bytes(text.as_bytes(), path)?),
        None => {
            bytes(text.as_bytes());
            Ok(())
        }
    }
}

/// Writes escaped text to standard error. A failure to write is ignored.
pub(crate) fn note(text: Arguments<'_>) {
    coloured(&printable(&text.to_string()));
}

/// Writes text that is already escaped to standard error, with its colours.
pub(crate) fn coloured(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Standard error for log lines. Each event is one line: further lines of its text are marked as
/// continued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLines;

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let event = text.strip_suffix('\n').unwrap_or(&text);
        note(format_args!("{}\n", event.replace('\n', CONTINUED)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn end_if_failed(written: io::Result<()>) {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            note(format_args!("error[{}]: cannot write to standard output: {error}\n", ErrorCode::HostFailed));
            std::process::exit(ErrorCode::HostFailed.exit_code() as i32);
        }
        _ => {}
    }
}
