//! Why reading an Arrow file ends before the file does.

use crate::error::DataError;

/// The reason for which not all rows were passed on.
pub(super) enum Stop {
    Data(DataError),
    /// The bytes are not what they should be, in words.
    Unread(String),
}

impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Self::Unread(problem)
    }
}

impl From<&str> for Stop {
    fn from(problem: &str) -> Self {
        Self::Unread(problem.to_owned())
    }
}
