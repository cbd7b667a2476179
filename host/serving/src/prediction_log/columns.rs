//! The columns of a version's log: the same ones for every model, then the features.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::{
    Array as _, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Serialize;
use stagewright_data::{Signature, Task};
use stagewright_lifecycle::predict::label;

use super::entry::{Entry, LoggedRows};
use super::folder::ModelFiles;
use super::mask::MaskKey;
use super::policy::{LogPolicy, is_feature};

/// The key of the format in a schema's metadata.
pub(super) const FORMAT_KEY: &str = "stagewright.format";

/// The format.
pub(super) const FORMAT: &str = "prediction-log 1";

/// The metadata of a column of hashes.
const MASKED: (&str, &str) = ("stagewright.masked", "true");

/// Returns the columns that every file begins with.
pub fn fixed_columns() -> Vec<Field> {
    let column = |name: &str, data_type: DataType, nullable| Field::new(name, data_type, nullable);
    vec![
        column("request_id", DataType::Utf8, false),
        column("client_request_id", DataType::Utf8, true),
        column("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        column("model", DataType::Utf8, false),
        column("version", DataType::Int64, false),
        column("arm", DataType::Utf8, true),
        column("status", DataType::Int64, false),
        column("latency_us", DataType::Int64, false),
        column("row", DataType::Int64, true),
        column("label", DataType::Utf8, true),
        column("probability", DataType::Float64, true),
        column("probabilities", DataType::Utf8, true),
        column("value", DataType::Float64, true),
        column("error", DataType::Utf8, true),
    ]
}

/// A column of the signature that is logged.
#[derive(Debug)]
struct Logged {
    /// Its place in the batch, or among the values that are kept.
    place: usize,
    name: String,
    is_masked: bool,
}

/// The columns of a version's log.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) files: Arc<ModelFiles>,
    pub(super) schema: SchemaRef,
    model: String,
    version: u32,
    task: Task,
    features: Vec<Logged>,
    identifiers: Vec<Logged>,
    mask: Option<Arc<MaskKey>>,
}

impl Columns {
    /// Returns the columns that a policy lets be logged. Without a key, columns that it masks are
    /// left out.
    pub(super) fn new(
        files: Arc<ModelFiles>,
        (model, version): (&str, u32),
        task: Task,
        signature: &Signature,
        policy: &LogPolicy,
        mask: Option<Arc<MaskKey>>,
    ) -> Self {
        let is_told = |name: &str| !policy.masks(name) || mask.is_some();
        let logged = |place, name: &str| Logged { place, name: name.to_owned(), is_masked: policy.masks(name) };
        let mut fields = fixed_columns();
        let (mut features, mut identifiers) = (Vec::new(), Vec::new());
        let all = signature.fields.fields().iter().filter(|field| is_feature(field));
        for (place, field) in all.enumerate().filter(|(_, field)| policy.logs(&field.name) && is_told(&field.name)) {
            let logged = logged(place, &field.name);
            let data_type = if logged.is_masked { DataType::Utf8 } else { plain(field.data_type.to_arrow()) };
            fields.push(described(format!("feature_{}", field.name), data_type, logged.is_masked));
            features.push(logged);
        }
        let allowed = policy.allowed(signature).into_iter().enumerate();
        for (place, field) in allowed.filter(|(_, field)| is_told(&field.name)) {
            let logged = logged(place, &field.name);
            fields.push(described(format!("identifier_{}", field.name), DataType::Utf8, logged.is_masked));
            identifiers.push(logged);
        }
        let metadata = [(FORMAT_KEY, FORMAT), ("stagewright.model", model)];
        let metadata = HashMap::from(metadata.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        Self { files, schema, model: model.to_owned(), version, task, features, identifiers, mask }
    }

    /// Returns the values of a feature for the rows of a request.
    fn feature(&self, place: usize, rows: &LoggedRows) -> Result<ArrayRef, ArrowError> {
        let logged = &self.features[place];
        let values = rows.batch.column(logged.place);
        match values.data_type() {
            _ if logged.is_masked => {
                let texts = arrow_cast::cast(values, &DataType::Utf8)?;
                let texts = texts.as_string::<i32>().iter();
                Ok(Arc::new(texts.map(|text| self.masked(logged, text)).collect::<StringArray>()))
            }
            DataType::Dictionary(..) => arrow_cast::cast(values, &DataType::Utf8),
            _ => Ok(values.clone()),
        }
    }

    /// Returns the values of an identifier for the rows of a request.
    fn identifier(&self, place: usize, rows: &LoggedRows) -> StringArray {
        let logged = &self.identifiers[place];
        let values = rows.kept.get(logged.place);
        let value = |row: usize| values.and_then(|values| values.get(row)?.as_deref());
        let rows = 0..rows.batch.num_rows();
        match logged.is_masked {
            true => rows.map(|row| self.masked(logged, value(row))).collect(),
            false => rows.map(value).collect(),
        }
    }

    fn masked(&self, logged: &Logged, text: Option<&str>) -> Option<String> {
        Some(self.mask.as_ref()?.hash(&self.model, &logged.name, text?))
    }
}

/// Returns the type of a column without its dictionary, which would be another one in each request.
fn plain(data_type: DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => *values,
        other => other,
    }
}

fn described(name: String, data_type: DataType, is_masked: bool) -> Field {
    let field = Field::new(name, data_type, true);
    match is_masked {
        true => field.with_metadata(HashMap::from([(MASKED.0.to_owned(), MASKED.1.to_owned())])),
        false => field,
    }
}

/// Makes a batch of requests whose columns have this schema.
pub(super) fn encode(schema: &SchemaRef, entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let mut arrays = fixed(entries);
    let fixed = arrays.len();
    for (place, field) in schema.fields().iter().enumerate().skip(fixed) {
        let place = place - fixed;
        let parts = entries.iter().map(|entry| match &entry.request.rows {
            None => Ok(new_null_array(field.data_type(), entry.rows())),
            Some(rows) => {
                let features = entry.columns.features.len();
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
