//! The decisions about a table that a person made, or the proposal of a target.

/// The roles of columns that are not guessed.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    /// The column to predict.
    pub(super) target: String,
    /// The value of the target that counts as positive, of two.
    pub(super) positive: Option<String>,
    /// The column that names a row.
    pub(super) identifier: Option<String>,
}
