//! Batches of requests.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{ArrowError, SchemaRef};
use serde::Serialize;
use stagewright_data::Task;
use stagewright_lifecycle::predict::label;

use super::entry::Entry;

/// Makes a batch of requests whose columns have this schema.
pub(super) fn encode(schema: &SchemaRef, entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let mut arrays = fixed(entries);
    let fixed = arrays.len();
    for (place, field) in schema.fields().iter().enumerate().skip(fixed) {
        let place = place - fixed;
        let parts = entries.iter().map(|entry| match &entry.request.rows {
            None => Ok(new_null_array(field.data_type(), entry.rows())),
            Some(rows) => {
                let features = entry.columns.features();
                match place.checked_sub(features) {
                    None => entry.columns.feature(place, rows),
                    Some(place) => Ok(Arc::new(entry.columns.identifier(place, rows)) as ArrayRef),
                }
            }
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let parts: Vec<_> = parts.iter().map(ArrayRef::as_ref).collect();
        arrays.push(arrow_select::concat::concat(&parts)?);
    }
    RecordBatch::try_new(schema.clone(), arrays)
}

/// Makes the columns that every file begins with.
fn fixed(entries: &[Entry]) -> Vec<ArrayRef> {
    let rows: usize = entries.iter().map(Entry::rows).sum();
    let of_request = |value: &dyn Fn(&Entry) -> i64| -> Int64Array {
        entries.iter().flat_map(|entry| std::iter::repeat_n(value(entry), entry.rows())).collect()
    };
    let text_of_request = |value: &dyn for<'e> Fn(&'e Entry) -> Option<&'e str>| -> ArrayRef {
        Arc::new(
            entries.iter().flat_map(|entry| std::iter::repeat_n(value(entry), entry.rows())).collect::<StringArray>(),
        )
    };
    let micros = |entry: &Entry| {
        let since = entry.request.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    };
    let time = entries.iter().flat_map(|entry| std::iter::repeat_n(micros(entry), entry.rows()));
    let time = TimestampMicrosecondArray::from_iter_values(time);
    let mut predicted = Predicted::with_capacity(rows);
    entries.iter().for_each(|entry| predicted.push(entry));
    let latency = |entry: &Entry| i64::try_from(entry.request.latency.as_micros()).unwrap_or(i64::MAX);
    vec![
        text_of_request(&|entry| Some(&entry.request.request_id)),
        text_of_request(&|entry| entry.request.client_request_id.as_deref()),
        Arc::new(time.with_timezone("UTC")),
        text_of_request(&|entry| Some(&entry.columns.model)),
        Arc::new(of_request(&|entry| entry.columns.version.into())),
        text_of_request(&|entry| entry.request.arm),
        Arc::new(of_request(&|entry| entry.request.status.into())),
        Arc::new(of_request(&latency)),
        Arc::new(Int64Array::from(predicted.row)),
        Arc::new(predicted.label.finish()),
        Arc::new(Float64Array::from(predicted.probability)),
        Arc::new(predicted.probabilities.finish()),
        Arc::new(Float64Array::from(predicted.value)),
        text_of_request(&|entry| entry.request.error),
    ]
}

/// The columns of predictions.
struct Predicted {
    row: Vec<Option<i64>>,
    label: StringBuilder,
    probability: Vec<Option<f64>>,
    probabilities: StringBuilder,
    value: Vec<Option<f64>>,
}

impl Predicted {
    fn with_capacity(rows: usize) -> Self {
        Self {
            row: Vec::with_capacity(rows),
            label: StringBuilder::new(),
            probability: Vec::with_capacity(rows),
            probabilities: StringBuilder::new(),
            value: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, entry: &Entry) {
        let Some(rows) = &entry.request.rows else { return self.push_row(None, &entry.columns.task, None) };
        let count = rows.batch.num_rows();
        let width = rows.values.len() / count;
        for row in 0..count {
            let values = (width > 0).then(|| &rows.values[row * width..(row + 1) * width]);
            self.push_row(i64::try_from(row).ok(), &entry.columns.task, values);
        }
    }

    fn push_row(&mut self, row: Option<i64>, task: &Task, values: Option<&[f64]>) {
        self.row.push(row);
        self.label.append_option(values.and_then(|values| label(task, values)));
        let (mut probability, mut probabilities, mut value) = (None, None, None);
        match (task, values) {
            (_, None) => {}
            (Task::Binary { .. }, Some(values)) => probability = values.first().copied(),
            (Task::Regression, Some(values)) => value = values.first().copied(),
            (Task::MultiClass { classes }, Some(values)) => {
                probabilities = serde_json::to_string(&Probabilities { classes, values }).ok();
            }
        }
        self.probability.push(probability);
        self.probabilities.append_option(probabilities);
        self.value.push(value);
    }
}

/// The probabilities of all classes, by class.
struct Probabilities<'a> {
    classes: &'a [String],
    values: &'a [f64],
}

impl Serialize for Probabilities<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.classes.iter().zip(self.values))
    }
}
