//! A prediction as a JSON object.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use stagewright_data::Task;

use super::piece::{Piece, best, classes};

/// A row of a piece, whose members are the kept columns and then the prediction.
pub(super) struct JsonRow<'a> {
    pub(super) piece: &'a Piece<'a>,
    pub(super) row: usize,
    pub(super) task: &'a Task,
    /// One number, or one for each class.
    pub(super) numbers: &'a [f64],
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        for column in &self.piece.kept {
            members.serialize_entry(&column.name, &column.values.json(self.row))?;
        }
        let (class, number) = best(self.task, self.numbers);
        match self.task {
            Task::Regression => members.serialize_entry("value", &number)?,
            task => {
                let classes = classes(task);
                members.serialize_entry("label", &classes.get(class))?;
                match task {
                    Task::MultiClass { .. } => {
                        members.serialize_entry("probabilities", &self.probabilities(&classes))?
                    }
                    _ => members.serialize_entry("probability", &number)?,
                }
            }
        }
        members.end()
    }
}

impl JsonRow<'_> {
    fn probabilities(&self, classes: &[&str]) -> serde_json::Map<String, Value> {
        classes.iter().zip(self.numbers).map(|(class, &number)| ((*class).to_owned(), number.into())).collect()
    }
}
