//! Predicted rows on their way to an output, and what every format shows of them.

use arrow_array::RecordBatch;
use stagewright_data::{KeptColumn, Task};

/// Rows with a category that training did not see, by column.
pub(in crate::commands::predict) type Unseen<'a> = &'a [(String, u64)];

/// A piece of predicted rows.
pub(in crate::commands::predict) struct Piece<'a> {
    pub(in crate::commands::predict) rows: usize,
    /// One number for each row, or one for each class.
    pub(in crate::commands::predict) numbers: &'a [f64],
    /// The kept columns that came beside the features.
    pub(in crate::commands::predict) kept: Vec<KeptColumn>,
    /// The kept columns that are features.
    pub(in crate::commands::predict) features: RecordBatch,
}

/// Writes predictions in one format.
pub(super) trait PredictionWriter {
    /// Writes the next rows.
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()>;

    /// Writes what comes after the last row, and gives a file its name. `unseen` is of all rows.
    fn finish(self: Box<Self>, unseen: Option<Unseen<'_>>) -> anyhow::Result<()>;
}

/// Returns the names of the columns of predictions.
pub(in crate::commands::predict) fn header(task: &Task) -> &'static str {
    match task {
        Task::Binary { .. } | Task::MultiClass { .. } => "label,probability",
        Task::Regression => "value",
    }
}

/// Returns the counts of unseen categories as JSON.
pub(in crate::commands::predict) fn unseen_json(unseen: Option<Unseen<'_>>) -> serde_json::Value {
    let counts = |(column, rows): &(String, u64)| (column.clone(), (*rows).into());
    unseen.map_or(serde_json::Value::Null, |unseen| unseen.iter().map(counts).collect::<serde_json::Map<_, _>>().into())
}

/// Returns the classes of a task in the order of its labels' numbers; none for a regression.
pub(super) fn classes(task: &Task) -> Vec<&str> {
    match task {
        Task::Binary { negative, positive } => vec![negative, positive],
        Task::MultiClass { classes } => classes.iter().map(String::as_str).collect(),
        Task::Regression => Vec::new(),
    }
}

/// Returns the number of the most probable class, and the probability that is shown: in a binary
/// task that of the positive class, else of the named one.
pub(super) fn best(task: &Task, row: &[f64]) -> (usize, f64) {
    match task {
        Task::Binary { .. } => (usize::from(row[0] >= 0.5), row[0]),
        _ => {
            let numbers = row.iter().copied().enumerate();
            numbers.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::NAN))
        }
    }
}

/// Returns the number of values for each row.
pub(super) fn width(task: &Task) -> usize {
    match task {
        Task::Binary { .. } | Task::Regression => 1,
        Task::MultiClass { classes } => classes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_class_is_named() {
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        assert_eq!([best(&binary, &[0.5]), best(&binary, &[0.25])], [(1, 0.5), (0, 0.25)]);
        let several = Task::MultiClass { classes: ["a", "b", "c"].map(str::to_owned).to_vec() };
        assert_eq!(best(&several, &[0.2, 0.4, 0.4]), (2, 0.4), "of equal ones the last");
        assert_eq!((width(&several), classes(&several).len()), (3, 3));
    }
}
