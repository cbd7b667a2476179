//! The faults of a request, in the form of the answers that a server gives.

use serde::Serialize;

use crate::error::{DataError, DataFault};

/// A fault of one row of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// The row, from 0. Also 0 for a fault of all rows: of a CSV header, an Arrow schema, or a
    /// column as a whole.
    pub row: usize,
    /// The name of the field, if the fault is in one. An unknown name is escaped and cut.
    pub field: Option<String>,
    /// States in one line what is needed and what came. Values are escaped and cut.
    pub message: String,
}

/// The reason for which a request is not answered with predictions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The body is not what its content type says, or has none of the forms that are read.
    #[error("{message}")]
    Unreadable {
        /// The problem, with its place.
        message: String,
    },
    /// Rows have faults.
    #[error("{}", first_of(.errors, *.is_cut))]
    Rows {
        /// The faults in the order of the rows, at least one.
        errors: Vec<RowError>,
        /// Whether there are more of them than are reported.
        is_cut: bool,
    },
    /// There are too many rows.
    #[error("the request has more than {max} rows: send them in parts")]
    TooManyRows {
        /// The most rows.
        max: usize,
    },
    /// The texts are too long together.
    #[error("the values of the request take more than {max} bytes: send the rows in parts")]
    TooLarge {
        /// The most bytes.
        max: usize,
    },
    /// The host could not build a table, which is a bug of its.
    #[error("{0}")]
    Host(String),
}

fn first_of(errors: &[RowError], is_cut: bool) -> String {
    let Some(RowError { row, field, message }) = errors.first() else { return String::new() };
    let place = field.as_ref().map_or(format!("row {row}"), |field| format!("row {row}, field `{field}`"));
    match (errors.len(), is_cut) {
        (1, false) => format!("{place}: {message}"),
        (count, false) => format!("{place}: {message} (and {} more faults)", count - 1),
        (count, true) => format!("{place}: {message} (and more than {} more faults)", count - 1),
    }
}

impl RequestFault {
    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::Unreadable { message: in_one_line(&message.into()) }
    }
}

impl From<DataFault> for RowError {
    fn from(fault: DataFault) -> Self {
        let row = fault.row.and_then(|row| usize::try_from(row).ok()).unwrap_or_default();
        Self { row, field: fault.column, message: in_one_line(&fault.message) }
    }
}

/// An error of a body as a whole.
impl From<DataError> for RequestFault {
    fn from(error: DataError) -> Self {
        match error {
            DataError::Fault(fault) => Self::unreadable(fault.to_string()),
            // The path and the hint are about files.
            DataError::Unreadable { message, .. } => Self::unreadable(format!("the body cannot be read: {message}")),
            other => Self::Host(other.to_string()),
        }
    }
}

fn in_one_line(message: &str) -> String {
    message.replace("\nhint: ", "; ")
}
