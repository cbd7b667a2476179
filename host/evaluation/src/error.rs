//! The one error of this crate: inputs that no number, figure or report can be made of.

/// Why an evaluation cannot be computed. Every case but [`Error::Empty`] and [`Error::Gate`] is the fault of whoever made
/// the predictions or the figure; the host's own labels never cause one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are no rows.
    #[error("there are no rows to evaluate\nhint: give the test table a larger share of the split")]
    Empty,
    /// Labels and predictions differ in number.
    #[error("`{predictions}` predictions where `{expected}` were expected")]
    Length {
        /// How many the labels call for.
        expected: usize,
        /// How many there are.
        predictions: usize,
    },
    /// A label is not one of the classes.
    #[error("the label of row `{row}` is `{label}`, and there are `{classes}` classes")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: u64,
        /// How many classes there are; labels count from 0.
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
    /// A prediction is no probability.
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
    /// A figure breaks a cap of the contract.
    #[error("figure `{figure}`: {problem}")]
    Figure {
        /// The figure's name, made printable and cut.
        figure: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A text names no gate.
    #[error("`{text}` is no gate\nhint: write METRIC=VALUE, as in roc_auc=0.82")]
    Gate {
        /// What was given, made printable and cut.
        text: String,
    },
}
