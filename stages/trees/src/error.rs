//! What can go wrong. Nothing here is about a bug: every case is something that a caller tells its user.

/// Why training, predicting, reading or writing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreesError {
    /// A hyperparameter is outside its range.
    #[error("parameter `{parameter}` is `{value}`: {expected}")]
    Parameter {
        /// The parameter's name.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// There is nothing to learn from.
    #[error("the training table has no rows")]
    NoRows,
    /// There is nothing to split on.
    #[error("the training table has no features")]
    NoFeatures,
    /// More rows than a row number of 32 bits and the histograms' sums can hold.
    #[error("{rows} rows are more than the {limit} that one model can be trained on")]
    TooManyRows {
        /// How many there are.
        rows: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Two things that must be equally long are not.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// The right number.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// A target that the objective cannot use.
    #[error("row {row}: target `{value}` is not {expected}")]
    Target {
        /// The row, from 0.
        row: usize,
        /// Its target.
        value: f64,
        /// What the objective needs.
        expected: &'static str,
    },
    /// A weight that is negative or not finite.
    #[error("row {row}: weight `{value}` is not a finite number of at least 0")]
    Weight {
        /// The row, from 0.
        row: usize,
        /// Its weight.
        value: f64,
    },
    /// A classifier needs both classes among the rows with a positive weight.
    #[error("every training row is of class {class}: a classifier needs rows of both classes")]
    SingleClass {
        /// The class that all rows have.
        class: u8,
    },
    /// The parts of a forest do not fit together.
    #[error("forest parts cannot be merged: {reason}")]
    Merge {
        /// What does not fit.
        reason: String,
    },
    /// The bytes are not a model of the format in docs/formats/tree-model.md.
    #[error("not a valid tree model: {reason}")]
    Format {
        /// What is wrong, and where.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("tree model: {0}")]
    Io(#[from] std::io::Error),
    /// linfa refused the dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}
