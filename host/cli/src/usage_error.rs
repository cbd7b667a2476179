//! Errors that the command line itself finds: most are about what the user typed.

use stagewright_text::Untrusted;

use crate::error_code::ErrorCode;

/// The longest message that is shown, in bytes. A hint may list every name that exists.
const MOST_SHOWN: usize = 64 << 10;

/// An error of a command, with its code and a hint.
#[derive(Debug)]
pub(crate) struct UsageError {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl UsageError {
    pub(crate) fn error(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { code, message: shown(&message.into()), hint: Some(hint.into()) }.into()
    }

    pub(crate) fn without_hint(code: ErrorCode, message: impl Into<String>) -> anyhow::Error {
        Self { code, message: shown(&message.into()), hint: None }.into()
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// Escapes a message or a hint, which may cite names from outside. A line break in such a name
/// cannot begin a line that looks like the program's own.
pub(crate) fn shown(text: &str) -> String {
    Untrusted::lines(text).cut(MOST_SHOWN).to_string()
}
