//! Errors of a decoding process, in the form in which it sends them.

use serde::{Deserialize, Serialize};
use stagewright_text::Untrusted;

use crate::error::{DataError, DataFault, MAX_SHOWN_BYTES, shown};
use crate::source::Source;

/// The most bytes of a message from a decoding process, and of a hint.
const MESSAGE: usize = 16 << 10;
const HINT: usize = 2 << 10;

/// The most bytes of a name.
const NAME: usize = 4 << 10;

/// Separates message and hint where one text has both.
const HINTED: &str = "\nhint: ";

/// An error of a decoding process. It is untrusted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DecodeFailure {
    /// The data is wrong.
    Fault(DataFault),
    /// The file is not what its address says.
    Unreadable(FailureText),
    /// The query was refused.
    Query(FailureText),
    /// The source or the signature asks for something impossible.
    Plan(FailureText),
}

/// A message and a hint, which may be empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailureText {
    message: String,
    hint: String,
}

impl From<DataError> for DecodeFailure {
    fn from(error: DataError) -> Self {
        let said = |message, hint| FailureText { message, hint };
        match error {
            DataError::Fault(fault) => Self::Fault(*fault),
            DataError::Unreadable { message, hint, .. } => Self::Unreadable(said(message, hint)),
            DataError::Query { message, hint, .. } => Self::Query(said(message, hint)),
            DataError::Plan { message, hint } => Self::Plan(said(message, hint)),
            error => Self::Unreadable(said(error.to_string(), String::new())),
        }
    }
}

impl DecodeFailure {
    /// Returns the error, with path and query of this source. Untrusted texts are cut and escaped.
    pub fn into_source_error(self, source: &Source) -> DataError {
        self.into_error(&source.uri.path().display().to_string(), source.query.as_deref())
    }

    /// Returns the error for an input of this name. Untrusted texts are cut and escaped.
    pub fn into_error(self, name: &str, query: Option<&str>) -> DataError {
        let line = |text: &str, most| Untrusted::new(text).cut(most).to_string();
        let both = |said: FailureText| (line(&said.message, MESSAGE), line(&said.hint, HINT));
        match self {
            Self::Fault(fault) => {
                let message = match fault.message.split_once(HINTED) {
                    Some((message, hint)) => format!("{}{HINTED}{}", line(message, MESSAGE), line(hint, HINT)),
                    None => line(&fault.message, MESSAGE),
                };
                let column = fault.column.map(|mut name| {
                    name.truncate(name.floor_char_boundary(NAME));
                    name
                });
                let value = fault.value.map(|value| line(&value, MAX_SHOWN_BYTES + '…'.len_utf8()));
                let part = fault.part.map(|part| line(&part, NAME).into_boxed_str());
                DataFault { message, column, row: fault.row, line: fault.line, value, part }.into()
            }
            Self::Unreadable(said) => {
                let (message, hint) = both(said);
                DataError::Unreadable { path: name.to_owned(), message, hint }
            }
            Self::Query(said) => {
                let (message, hint) = both(said);
                DataError::Query { query: shown(query.unwrap_or_default()), message, hint }
            }
            Self::Plan(said) => {
                let (message, hint) = both(said);
                DataError::plan(message, hint)
            }
        }
    }
}
