//! Failures: whose fault it is, in one line of code.

use crate::{DataFault, Failure, ParameterFault};

impl Failure {
    /// The data is wrong, as a whole.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data(DataFault { message: message.into(), column: None, row: None, value: None })
    }

    /// A parameter is wrong in a way that its JSON Schema could not say. `parameter` is dotted where nested.
    pub fn parameter(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Parameter(ParameterFault { parameter: parameter.into(), message: message.into() })
    }

    /// The stage itself failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    /// Names the column that is to blame; does nothing to failures that are not the data's.
    #[must_use]
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.column = Some(column.into());
        }
        self
    }

    /// Names the row that is to blame, counted from 0 in the table that was passed.
    #[must_use]
    pub fn at_row(mut self, row: u64) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.row = Some(row);
        }
        self
    }

    /// Moves the row that is to blame from a part of the rows, which begins at row `start`, to all.
    #[must_use]
    pub fn after_rows(mut self, start: u64) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.row = fault.row.map(|row| row + start);
        }
        self
    }

    /// Quotes the value that is to blame.
    #[must_use]
    pub fn with_value(mut self, value: impl ToString) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.value = Some(value.to_string());
        }
        self
    }
}

impl From<std::io::Error> for Failure {
    /// Unwraps a failure that a [`BlobReader`](crate::BlobReader) or [`BlobWriter`](crate::BlobWriter) carried
    /// through `std::io`; anything else is the stage's own fault.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(failure) => failure,
            Err(error) => Self::internal(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() {
            return std::io::Error::from(error).into();
        }
        Self::internal(format!("JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_way_through_std_io() {
        let failure = Failure::data("too long").in_column("name").at_row(3);
        let error = std::io::Error::other(failure.clone());
        assert_eq!(Failure::from(error), failure);
    }

    #[test]
    fn row_and_column_are_kept_off_other_failures() {
        let failure = Failure::internal("broken");
        assert_eq!(failure.clone().in_column("a").at_row(1), failure);
    }
}
