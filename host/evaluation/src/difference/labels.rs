//! The labels that a metric is computed from.

/// The labels of the rows, by task.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// 0 or 1; a score is the probability of 1.
    Binary(&'a [u8]),
    /// Classes from 0; scores are a probability for each class, row after row.
    MultiClass {
        /// The class of each row.
        labels: &'a [u32],
        /// How many classes there are.
        classes: usize,
    },
    /// Numbers, as scores are.
    Regression(&'a [f64]),
}
