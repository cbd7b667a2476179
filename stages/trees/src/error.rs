//! Errors. All of them are meant for users; none reports a bug.

/// Why training, predicting, reading or writing failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreesError {
    /// A hyperparameter is outside its range.
    #[error("parameter `{parameter}` is `{value}`: {expected}")]
    Parameter {
        /// The parameter's name.
        parameter: &'static str,
        /// The value.
        value: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// The table has no rows.
    #[error("the training table has no rows")]
    NoRows,
    /// The table has no features.
    #[error("the training table has no features")]
    NoFeatures,
    /// The table has more rows than 32-bit row numbers and the sums of histograms allow.
    #[error("{rows} rows are more than the {limit} that one model can be trained on")]
    TooManyRows {
        /// The number of rows.
        rows: usize,
        /// The most rows.
        limit: usize,
    },
    /// Two lengths differ that must be equal.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The kind of length.
        what: &'static str,
        /// The expected number.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// The objective cannot use a target.
    #[error("row {row}: target `{value}` is not {expected}")]
    Target {
        /// The row, counted from 0.
        row: usize,
        /// Its target.
        value: f64,
        /// The targets that the objective can use.
        expected: &'static str,
    },
    /// A weight is negative or not finite.
    #[error("row {row}: weight `{value}` is not a finite number of at least 0")]
    Weight {
        /// The row, counted from 0.
        row: usize,
        /// Its weight.
        value: f64,
    },
    /// All rows with a positive weight have the same class.
    #[error("every training row is of class {class}: a classifier needs rows of both classes")]
    SingleClass {
        /// The class of all rows.
        class: u8,
    },
    /// Parts of a forest do not fit together.
    #[error("forest parts cannot be merged: {reason}")]
    Merge {
        /// Why they do not fit.
        reason: String,
    },
    /// The bytes are not a model of the format in docs/formats/tree-model.md.
    #[error("not a valid tree model: {reason}")]
    Format {
        /// The defect and its place.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("tree model: {0}")]
    Io(#[from] std::io::Error),
    /// linfa rejected the dataset.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}
