//! The columns of a version's log: the same ones for every model, then the features.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, ArrayRef, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use stagewright_data::{Signature, Task};

use super::folder::ModelFiles;
use super::mask::MaskKey;
use super::policy::{LogPolicy, is_feature};
use super::request::LoggedRows;

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
    pub(super) model: String,
    pub(super) version: u32,
    pub(super) task: Task,
    features: Vec<Logged>,
    identifiers: Vec<Logged>,
    mask: Option<Arc<MaskKey>>,
}

impl Columns {
    /// Returns the columns that a policy lets be logged. Without a key, columns that it masks are
    /// left out. If the signature lacks one that it masks, all are.
    pub(super) fn new(
        files: Arc<ModelFiles>,
        (model, version): (&str, u32),
        task: Task,
        signature: &Signature,
        policy: &LogPolicy,
        mask: Option<Arc<MaskKey>>,
    ) -> Self {
        let is_covered = policy.covers(signature);
        let is_told = |name: &str| is_covered && (!policy.masks(name) || mask.is_some());
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

    /// Returns the number of features.
    pub(super) fn features(&self) -> usize {
        self.features.len()
    }

    /// Returns the values of a feature for the rows of a request.
    pub(super) fn feature(&self, place: usize, rows: &LoggedRows) -> Result<ArrayRef, ArrowError> {
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
    pub(super) fn identifier(&self, place: usize, rows: &LoggedRows) -> StringArray {
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
