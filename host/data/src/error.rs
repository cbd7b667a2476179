//! Errors of data, in the words of its owner.
//!
//! Owns the crate's error type and the way untrusted values are shown: cut and escaped. A
//! [`DataFault`] names no path and no query, so that it may be passed to a stage. The other errors
//! may name both and stay with the host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes of a value that is shown: enough to recognise it, too little to flood a terminal.
pub const MAX_SHOWN_BYTES: usize = 256;
/// The most names or rows that are listed. The rest is counted.
const MAX_LISTED: usize = 20;

/// A fault of the data. Its owner can fix it, and retrying does not help.
///
/// The same record as `data-fault` in `wit/types.wit`, with the line of the file where it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFault {
    /// The fault, in one sentence.
    pub message: String,
    /// The name of the column, if the fault is in one.
    pub column: Option<String>,
    /// The row, from 0 in the table, if the fault is in one. Messages count from 1 ([`row_text`]).
    pub row: Option<u64>,
    /// The line of the text file, from 1, on which the row begins.
    pub line: Option<u64>,
    /// The value as text, escaped and cut at [`MAX_SHOWN_BYTES`].
    pub value: Option<String>,
    /// The part of the source that it is in, if the source has several: the name of a file or an
    /// object, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Box<str>>,
}

impl DataFault {
    /// Returns a fault of the table as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Returns a fault of one value, with the message "`value` `complaint`".
    pub fn of_value(value: &str, complaint: &str) -> Self {
        let value = shown(value);
        Self { message: format!("`{value}` {complaint}"), value: Some(value), ..Self::default() }
    }

    /// Sets the column.
    #[must_use]
    pub fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.to_owned());
        self
    }

    /// Sets the row, from 0.
    #[must_use]
    pub fn in_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// Sets the line, from 1.
    #[must_use]
    pub fn on_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.part {
            write!(f, "in `{part}`: ")?;
        }
        let column = self.column.as_deref().map(|name| format!("column `{}`", shown(name)));
        let place = match (self.row, self.line) {
            (Some(row), Some(line)) => Some(format!("{} (line {line})", row_text(row))),
            (Some(row), None) => Some(row_text(row)),
            (None, Some(line)) => Some(format!("line {line}")),
            (None, None) => None,
        };
        match (column, place) {
            (Some(column), Some(place)) => write!(f, "{column}, {place}: ")?,
            (Some(only), None) | (None, Some(only)) => write!(f, "{only}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DataFault {}

/// An error of reading, splitting or encoding data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The data is wrong; see [`DataFault`].
    #[error(transparent)]
    Fault(Box<DataFault>),
    /// The address of a source cannot be parsed, or names an unsupported kind of source.
    #[error("source `{uri}`: {message}\nhint: {hint}")]
    Uri {
        /// The address as written.
        uri: String,
        /// The problem.
        message: String,
        /// The fix.
        hint: String,
    },
    /// A source is missing, or is not what its address says.
    #[error("cannot read `{path}`: {message}{}", hint_line(.hint))]
    Unreadable {
        /// The file.
        path: String,
        /// The reason.
        message: String,
        /// A hint; may be empty.
        hint: String,
    },
    /// A query was refused or failed.
    #[error("query `{query}`: {message}{}", hint_line(.hint))]
    Query {
        /// The query, cut.
        query: String,
        /// The reason, or the message of SQLite.
        message: String,
        /// A hint; may be empty.
        hint: String,
    },
    /// The signature, the split or the task asks for something impossible.
    #[error("{message}{}", hint_line(.hint))]
    Plan {
        /// The problem.
        message: String,
        /// A hint; may be empty.
        hint: String,
    },
    /// The network or a server failed.
    #[error("cannot fetch `{url}`: {message}{}", hint_line(.hint))]
    Unreachable {
        /// The URL, without secrets.
        url: String,
        /// The failure.
        message: String,
        /// A hint; may be empty.
        hint: String,
    },
    /// The manifest does not grant access.
    #[error("{what} is not granted")]
    Denied {
        /// The host or the address.
        what: String,
        /// The entry that would grant it.
        grant: String,
    },
    /// A response is longer than allowed.
    #[error("the response is longer than the {allowed} bytes that are allowed: {used} bytes came and it goes on")]
    TooLarge {
        /// Bytes received before it was cut off.
        used: u64,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// Decoding needs more memory than allowed.
    #[error("decoding `{path}` takes more than the {allowed} bytes of memory that are allowed")]
    Memory {
        /// The file.
        path: String,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// The host cannot decode anything now. The file is not the cause.
    #[error("{0}")]
    Host(String),
    /// The reader was stopped: its deadline passed, or the run was cancelled.
    #[error("reading was interrupted")]
    Interrupted,
    /// Arrow refused an array of this crate, which is a bug.
    #[error("the host could not build a table: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl DataError {
    /// Returns the fault, if the data is wrong: the part of an error that a stage may see.
    pub fn as_fault(&self) -> Option<&DataFault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Returns the error as one of a file in this folder. The file is named in the message.
    pub(crate) fn in_file_of(self, folder: &std::path::Path, name: &str) -> Self {
        match self {
            Self::Unreadable { message, hint, .. } => {
                let (path, message) = (folder.display().to_string(), format!("`{}` in it: {message}", shown(name)));
                Self::Unreadable { path, message, hint }
            }
            error => error,
        }
    }

    pub(crate) fn plan(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Plan { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn unreadable(path: &std::path::Path, message: impl fmt::Display, hint: &str) -> Self {
        Self::Unreadable { path: path.display().to_string(), message: message.to_string(), hint: hint.to_owned() }
    }
}

impl DataError {
    /// Returns the error for a database that another process is writing to.
    pub(crate) fn busy(path: &std::path::Path) -> Self {
        Self::unreadable(path, "another process holds the database", "try again when it has finished writing")
    }
}

impl From<DataFault> for DataError {
    fn from(fault: DataFault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

fn hint_line(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") }
}

/// Returns a row for messages. `row` counts from 0; the text counts data rows from 1, without the
/// header.
pub fn row_text(row: u64) -> String {
    format!("data row {}", row.saturating_add(1))
}

/// Returns an untrusted value for messages: control characters, backslashes and backticks are
/// escaped, and the text is cut at [`MAX_SHOWN_BYTES`].
pub fn shown(value: &str) -> String {
    let mut text = String::new();
    for character in value.chars() {
        let before = text.len();
        match character {
            '`' => text.push_str("\\`"),
            '\\' => text.push_str("\\\\"),
            hidden if stagewright_text::is_hidden(hidden) => text.extend(hidden.escape_default()),
            visible => text.push(visible),
        }
        if text.len() > MAX_SHOWN_BYTES {
            text.truncate(before);
            text.push('…');
            break;
        }
    }
    text
}

/// Returns names in backticks: the first 20, and the number of the rest.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let mut text: Vec<String> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", shown(name.as_ref()))).collect();
    if names.len() > MAX_LISTED {
        text.push(format!("and {} more", names.len() - MAX_LISTED));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_column_row_line_and_value() {
        let fault = DataFault::of_value("abc", "is not an int64").in_column("tenure").in_row(17).on_line(19);
        assert_eq!(fault.to_string(), "column `tenure`, data row 18 (line 19): `abc` is not an int64");
    }

    #[test]
    fn a_shown_value_is_cut_and_cannot_move_the_cursor() {
        let text = shown(&format!("\u{1b}[2J`{}", "x".repeat(10_000)));
        assert!(text.starts_with("\\u{1b}[2J\\`xxx"), "{text}");
        assert!(text.len() <= MAX_SHOWN_BYTES + '…'.len_utf8(), "{}", text.len());
        assert!(text.ends_with('…'));
    }

    #[test]
    fn a_long_list_is_counted() {
        let names: Vec<String> = (0..25).map(|index| format!("c{index}")).collect();
        assert!(listed(&names).ends_with("`c19`, and 5 more"));
    }
}
