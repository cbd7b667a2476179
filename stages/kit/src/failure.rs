//! Constructors of failures, by who can fix them.

use crate::{DataFault, Failure, ParameterFault};

impl Failure {
    /// Creates a failure of the data as a whole.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data(DataFault { message: message.into(), column: None, row: None, value: None })
    }

    /// Creates a failure of a parameter whose value its JSON Schema could not refuse. `parameter`
    /// is the dotted name of a nested parameter.
    pub fn parameter(parameter: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Parameter(ParameterFault { parameter: parameter.into(), message: message.into() })
    }

    /// Creates a failure of the stage itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into())
    }

    /// Adds the column to a failure of the data. Does nothing to other failures.
    #[must_use]
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.column = Some(column.into());
        }
        self
    }

    /// Adds the row, counted from 0 in the table or batch that was passed, to a failure of the
    /// data.
    #[must_use]
    pub fn at_row(mut self, row: u64) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.row = Some(row);
        }
        self
    }

    /// Adds `start` to the row of a failure in a part of the rows that starts at row `start`.
    #[must_use]
    pub fn after_rows(mut self, start: u64) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.row = fault.row.map(|row| row + start);
        }
        self
    }

    /// Adds the offending value to a failure of the data.
    #[must_use]
    pub fn with_value(mut self, value: impl ToString) -> Self {
        if let Self::Data(fault) = &mut self {
            fault.value = Some(value.to_string());
        }
        self
    }
}

impl From<std::io::Error> for Failure {
    /// Unwraps a failure that a [`BlobReader`](crate::BlobReader) or
    /// [`BlobWriter`](crate::BlobWriter) returned through `std::io`. Other errors become failures
    /// of the stage.
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
