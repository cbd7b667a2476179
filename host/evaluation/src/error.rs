//! The error of this crate: inputs from which no metric, figure or report can be made.

/// The reason for which an evaluation cannot be computed. All variants but [`Error::Empty`] and
/// [`Error::Gate`] are the fault of the predictions or the figure, not of the host's labels.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no rows.
    #[error("there are no rows to evaluate\nhint: give the test table a larger share of the split")]
    Empty,
    /// Labels and predictions differ in number.
    #[error("`{predictions}` predictions where `{expected}` were expected")]
    Length {
        /// The number of predictions that the labels require.
        expected: usize,
        /// The number of predictions.
        predictions: usize,
    },
    /// A label is not one of the classes.
    #[error("the label of row `{row}` is `{label}`, and there are `{classes}` classes")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: u64,
        /// The number of classes; labels count from 0.
        classes: usize,
    },
    /// A prediction is NaN or infinite.
    #[error("the prediction for row `{row}` is `{value}`, which is not a finite number")]
    NotFinite {
        /// The row, from 0.
        row: usize,
        /// The prediction.
        value: f64,
    },
    /// A prediction is not a probability.
    #[error("the prediction for row `{row}` is `{value}`, which is not a probability from 0 to 1")]
    Probability {
        /// The row, from 0.
        row: usize,
        /// The prediction.
        value: f64,
    },
    /// The probabilities of a row's classes do not sum to 1.
    #[error("the class probabilities of row `{row}` sum to `{sum}`, not to 1")]
    ProbabilitySum {
        /// The row, from 0.
        row: usize,
        /// Their sum.
        sum: f64,
    },
    /// A figure exceeds a limit of the contract.
    #[error("figure `{figure}`: {problem}")]
    Figure {
        /// The name of the figure, made printable and cut.
        figure: String,
        /// The problem.
        problem: String,
    },
    /// A text is not a gate.
    #[error("`{text}` is no gate\nhint: write METRIC=VALUE, as in roc_auc=0.82")]
    Gate {
        /// The text, made printable and cut.
        text: String,
    },
}
