//! The labels of the rows that a metric is computed on.

/// The labels of the rows, by task.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// 0 or 1. A score is the probability of 1.
    Binary(&'a [u8]),
    /// Classes from 0. Scores are a probability for each class, row by row.
    MultiClass {
        /// The class of each row.
        labels: &'a [u32],
        /// The number of classes.
        classes: usize,
    },
    /// Numbers, as the scores.
    Regression(&'a [f64]),
}

impl Labels<'_> {
    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Binary(labels) => labels.len(),
            Self::MultiClass { labels, .. } => labels.len(),
            Self::Regression(actual) => actual.len(),
        }
    }
}
