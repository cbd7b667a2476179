//! Passwords that somebody types: never on the command line, which every user of the machine and
//! the history of the shell would see.

use std::fmt;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use stagewright_text::Untrusted;

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The most bytes that are read for a password.
const MOST: u64 = 4096;

/// A password. Nothing shows it by accident.
pub(crate) struct Password(String);

impl Password {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

/// Reads a new password of a user: asks for it twice at a terminal, or else takes the first line of
/// standard input.
pub(crate) fn read(user: &str) -> anyhow::Result<Password> {
    if !io::stdin().is_terminal() {
        return Ok(Password(line()?));
    }
    let user = Untrusted::new(user).cut(100).to_string();
    let first = asked(&format!("Password of user `{user}`: "))?;
    if first != asked("The same again: ")? {
        return Err(UsageError::error(ErrorCode::Argument, "the two passwords differ", "type the same one twice"));
    }
    Ok(Password(first))
}

fn asked(question: &str) -> anyhow::Result<String> {
    eprint!("{question}");
    io::stderr().flush()?;
    let silent = Silent::begin().context("cannot keep the terminal from showing a password")?;
    let answer = line();
    drop(silent);
    eprint!("\n");
    answer
}

fn line() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(MOST).read_line(&mut text).context("cannot read a password from standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // The terminal has gone if this fails.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
