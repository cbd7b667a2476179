//! Predictions as JSON: a label and its probability, all probabilities, or a value.

use serde::Serialize;
use serde::ser::{SerializeMap as _, SerializeSeq as _, Serializer};
use stagewright_data::Task;
use stagewright_lifecycle::predict::label;

/// The predictions of a request, as the member `predictions` of its answer.
pub(crate) struct Predictions<'a> {
    /// The task of the model.
    pub(crate) task: &'a Task,
    /// The values of all rows.
    pub(crate) values: &'a [f64],
    /// The number of values of each row.
    pub(crate) width: usize,
}

impl Serialize for Predictions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.values.chunks_exact(self.width);
        let mut list = serializer.serialize_seq(Some(rows.len()))?;
        for values in rows {
            list.serialize_element(&Prediction { task: self.task, values })?;
        }
        list.end()
    }
}

/// One prediction.
pub(crate) struct Prediction<'a> {
    pub(crate) task: &'a Task,
    pub(crate) values: &'a [f64],
}

impl Serialize for Prediction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.task {
            Task::Regression => map.serialize_entry("value", &self.values[0])?,
            Task::Binary { .. } => {
                map.serialize_entry("label", &label(self.task, self.values))?;
                map.serialize_entry("probability", &self.values[0])?;
            }
            Task::MultiClass { classes } => {
                map.serialize_entry("label", &label(self.task, self.values))?;
                map.serialize_entry("probabilities", &Probabilities { classes, values: self.values })?;
            }
        }
        map.end()
    }
}

/// The probabilities of all classes, by class.
struct Probabilities<'a> {
    classes: &'a [String],
    values: &'a [f64],
}

impl Serialize for Probabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.classes.iter().zip(self.values))
    }
}
