//! What can be wrong with data from outside, in words for its owner.
//!
//! Owns the crate's one error type and the way a foreign value is shown: cut and escaped, because it comes from a file
//! that nobody vouches for. A [`DataFault`] names no path and no query, so that it may cross to a stage; the other
//! variants may name both and stay with the host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longer values are cut here when shown: enough to recognise one, too little to flood a terminal.
pub const MAX_SHOWN_BYTES: usize = 256;
/// Longer lists of names or rows are cut here when shown, and counted.
const MAX_LISTED: usize = 20;

/// Something is wrong with the data: its owner can mend it, and retrying does not help.
///
/// The same record as `data-fault` in `wit/types.wit`, and the line of the file where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFault {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The column's name, where one is to blame.
    pub column: Option<String>,
    /// The row, counted from 0 in the table, where one is to blame. Messages count from 1:
    /// [`row_text`].
    pub row: Option<u64>,
    /// The line of the text file, counted from 1, where the row begins.
    pub line: Option<u64>,
    /// The offending value as text, cut at [`MAX_SHOWN_BYTES`] and escaped.
    pub value: Option<String>,
}

impl DataFault {
    /// A fault of the table as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A fault of one value: the message becomes "`value` `complaint`".
    pub fn of_value(value: &str, complaint: &str) -> Self {
        let value = shown(value);
        Self { message: format!("`{value}` {complaint}"), value: Some(value), ..Self::default() }
    }

    /// The same fault, blamed on a column.
    #[must_use]
    pub fn in_column(mut self, column: &str) -> Self {
        self.column = Some(column.to_owned());
        self
    }

    /// The same fault, blamed on a row (from 0).
    #[must_use]
    pub fn in_row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// The same fault, blamed on a line (from 1).
    #[must_use]
    pub fn on_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}

impl fmt::Display for DataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// Why data could not be read, split or encoded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The data is wrong; see [`DataFault`].
    #[error(transparent)]
    Fault(Box<DataFault>),
    /// A source's address cannot be understood, or names a kind of source that this version does not read.
    #[error("source `{uri}`: {message}\nhint: {hint}")]
    Uri {
        /// The address as it was written.
        uri: String,
        /// What is wrong with it.
        message: String,
        /// What would be right.
        hint: String,
    },
    /// A source is missing, or is not what its address says.
    #[error("cannot read `{path}`: {message}{}", hint_line(.hint))]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        message: String,
        /// What may help; empty if nothing is known to.
        hint: String,
    },
    /// A query was refused or failed.
    #[error("query `{query}`: {message}{}", hint_line(.hint))]
    Query {
        /// The query, cut.
        query: String,
        /// Why it was refused or what SQLite says.
        message: String,
        /// What may help; empty if nothing is known to.
        hint: String,
    },
    /// The signature, the split's plan or the task asks for what cannot be.
    #[error("{message}{}", hint_line(.hint))]
    Plan {
        /// What is wrong.
        message: String,
        /// What would be right; empty if the message says so.
        hint: String,
    },
    /// The network or a server failed.
    #[error("cannot fetch `{url}`: {message}{}", hint_line(.hint))]
    Unreachable {
        /// The URL, without secrets.
        url: String,
        /// What happened.
        message: String,
        /// What may help; empty if nothing is known to.
        hint: String,
    },
    /// The manifest does not grant what a source needs.
    #[error("{what} is not granted")]
    Denied {
        /// The host or the address.
        what: String,
        /// The entry that would grant it.
        grant: String,
    },
    /// A source gives more than it may.
    #[error("the response is longer than the {allowed} bytes that are allowed: {used} bytes came and it goes on")]
    TooLarge {
        /// Bytes that came before it was cut off.
        used: u64,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// Decoding takes more memory than it may.
    #[error("decoding `{path}` takes more than the {allowed} bytes of memory that are allowed")]
    Memory {
        /// The file.
        path: String,
        /// Bytes that are allowed.
        allowed: u64,
    },
    /// The host cannot decode anything now: the file is not to blame.
    #[error("{0}")]
    Host(String),
    /// The reader was told to stop: its deadline passed, or the run was cancelled.
    #[error("reading was interrupted")]
    Interrupted,
    /// Arrow refused what this crate built: a bug.
    #[error("the host could not build a table: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
}

impl DataError {
    /// The fault, if it is one of the data: what may be shown to a stage.
    pub fn as_fault(&self) -> Option<&DataFault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
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
    /// A database that another process writes to.
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

/// A row as messages name it. `row` counts from 0; people count the rows of a file from 1, its
/// header not among them.
pub fn row_text(row: u64) -> String {
    format!("data row {}", row.saturating_add(1))
}

/// A foreign value as it is shown: control characters, backslashes and backticks escaped, cut at [`MAX_SHOWN_BYTES`].
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

/// Names in backticks, the first 20 of them and how many more there are.
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
