//! Predictions as Parquet, with types.
//!
//! A kept feature has its type in the signature. Any other kept column has the kind of its values:
//! those of the first rows decide, since the file needs its types before its first row.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use stagewright_data::{DataError, DataFault, KeptKind, KeptValues, Task};
use stagewright_store::{DataType, ExportFile, Field, ParquetExport, Schema};

use super::piece::{Piece, PredictionWriter, Unseen, best, classes, width};

/// The rows whose values decide about the types.
const DECIDING_ROWS: usize = 1 << 16;

/// The first integer that a double does not hold exactly.
const INEXACT: u64 = 1 << 53;

/// A kept column, by its index where its values are.
#[derive(Debug)]
pub(super) enum Column {
    /// A feature, with its field in the signature.
    Feature(usize, Field),
    /// A column that the input's reader kept.
    Kept(usize, String),
}

/// Writes Parquet.
pub(super) struct ParquetWriter {
    columns: Vec<Column>,
    task: Task,
    state: State,
    /// The rows written or waiting so far.
    rows: u64,
}

enum State {
    /// The first rows wait until the types are decided.
    Waiting(ExportFile, Vec<Rows>),
    Writing(Box<ParquetExport>, Schema),
    /// An error has ended it.
    Failed,
}

/// The rows of a piece.
struct Rows {
    /// The number of the first, from 0.
    first: u64,
    features: RecordBatch,
    kept: Vec<KeptValues>,
    predictions: Vec<ArrayRef>,
}

impl ParquetWriter {
    pub(super) fn new(file: ExportFile, columns: Vec<Column>, task: &Task) -> Self {
        Self { columns, task: task.clone(), state: State::Waiting(file, Vec::new()), rows: 0 }
    }

    /// Decides about the types, and writes the rows that waited for it.
    fn begin(&mut self, file: ExportFile, waiting: Vec<Rows>) -> anyhow::Result<()> {
        let mut fields: Vec<Field> = self.columns.iter().map(|column| field(column, &waiting)).collect();
        fields.extend(prediction_fields(&self.task));
        let schema = Schema::new(fields)?;
        let mut writer = ParquetExport::new(file, &schema, &["probability", "value"])?;
        for rows in &waiting {
            writer.write(&batch(rows, &self.columns, &schema)?)?;
        }
        self.state = State::Writing(Box::new(writer), schema);
        Ok(())
    }
}

impl PredictionWriter for ParquetWriter {
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        let rows = Rows {
            first: self.rows,
            features: piece.features.clone(),
            kept: piece.kept.iter().map(|column| column.values.clone()).collect(),
            predictions: predictions(piece, &self.task)?,
        };
        self.rows += piece.rows as u64;
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Waiting(file, mut waiting) => {
                waiting.push(rows);
                if self.rows >= DECIDING_ROWS as u64 {
                    return self.begin(file, waiting);
                }
                self.state = State::Waiting(file, waiting);
            }
            State::Writing(mut writer, schema) => {
                writer.write(&batch(&rows, &self.columns, &schema)?)?;
                self.state = State::Writing(writer, schema);
            }
            State::Failed => anyhow::bail!("the file failed before"),
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: Option<Unseen<'_>>) -> anyhow::Result<()> {
        if let State::Waiting(..) = &self.state
            && let State::Waiting(file, waiting) = std::mem::replace(&mut self.state, State::Failed)
        {
            self.begin(file, waiting)?;
        }
        match self.state {
            State::Writing(writer, _) => Ok(writer.finish()?),
            State::Waiting(..) | State::Failed => anyhow::bail!("the file failed before"),
        }
    }
}

fn prediction_fields(task: &Task) -> Vec<Field> {
    let number = |name: &str| Field::new(name, DataType::Float64).with_nullable(false);
    match task {
        Task::Regression => vec![number("value")],
        _ => vec![Field::new("label", DataType::Categorical).with_nullable(false), number("probability")],
    }
}

/// Returns the columns of predictions.
fn predictions(piece: &Piece<'_>, task: &Task) -> anyhow::Result<Vec<ArrayRef>> {
    let rows = || piece.numbers.chunks(width(task)).map(|numbers| best(task, numbers));
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values(rows().map(|(_, number)| number)));
    if matches!(task, Task::Regression) {
        return Ok(vec![numbers]);
    }
    let classes: ArrayRef = Arc::new(StringArray::from_iter_values(classes(task)));
    let labels = Int32Array::from_iter_values(rows().map(|(class, _)| class as i32));
    Ok(vec![Arc::new(DictionaryArray::try_new(labels, classes)?), numbers])
}

/// Returns the field of a column, by the values of the first rows.
fn field(column: &Column, waiting: &[Rows]) -> Field {
    match column {
        Column::Feature(_, field) => field.clone().with_nullable(true),
        Column::Kept(index, name) => {
            let values = waiting.iter().map(|rows| &rows.kept[*index]);
            Field::new(name.clone(), type_of(values)).with_nullable(true)
        }
    }
}

/// Returns the type that holds all these values; text if nothing else does.
fn type_of<'a>(values: impl Iterator<Item = &'a KeptValues> + Clone) -> DataType {
    let kinds = values.clone().filter(|values| values.kind() != KeptKind::Null).map(|values| match values.kind() {
        KeptKind::Boolean => DataType::Boolean,
        KeptKind::Int64 => DataType::Int64,
        KeptKind::Float64 => DataType::Float64,
        KeptKind::Timestamp => DataType::Timestamp,
        // Integers and floats together are JSON.
        KeptKind::Json if floats(values).is_some() => DataType::Float64,
        KeptKind::Null | KeptKind::Text | KeptKind::Json => DataType::Utf8,
    });
    let is_one_of = |types: &[DataType]| kinds.clone().all(|kind| types.contains(&kind));
    match kinds.clone().next() {
        Some(first) if is_one_of(&[first]) => first,
        Some(DataType::Int64 | DataType::Float64)
            if is_one_of(&[DataType::Int64, DataType::Float64]) && values.clone().all(|it| floats(it).is_some()) =>
        {
            DataType::Float64
        }
        _ => DataType::Utf8,
    }
}

/// Returns values as floats, if each of them is exactly one, or a null.
fn floats(values: &KeptValues) -> Option<Float64Array> {
    let exact = |number: i64| (number.unsigned_abs() <= INEXACT).then_some(number as f64);
    match values {
        KeptValues::Null(rows) => Some(Float64Array::new_null(*rows)),
        KeptValues::Float64(values) => Some(values.clone()),
        KeptValues::Int64(values) => {
            values.iter().map(|number| number.map_or(Some(None), |number| exact(number).map(Some))).collect()
        }
        KeptValues::Json(_) => {
            let float = |row: usize| match values.json(row) {
                serde_json::Value::Null => Some(None),
                serde_json::Value::Number(number) => match number.as_i64() {
                    Some(number) => exact(number).map(Some),
                    None => number.as_f64().filter(|_| number.is_f64()).map(Some),
                },
                _ => None,
            };
            (0..values.len()).map(float).collect()
        }
        KeptValues::Boolean(_) | KeptValues::Timestamp(_) | KeptValues::Text(_) => None,
    }
}

/// Returns the rows as a batch of these types.
fn batch(rows: &Rows, columns: &[Column], schema: &Schema) -> anyhow::Result<RecordBatch> {
    let mut arrays = Vec::with_capacity(schema.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        arrays.push(match column {
            Column::Feature(index, _) => rows.features.column(*index).clone(),
            Column::Kept(index, _) => typed(&rows.kept[*index], field, rows.first)?,
        });
    }
    arrays.extend(rows.predictions.iter().cloned());
    Ok(RecordBatch::try_new(schema.to_arrow(), arrays)?)
}

/// Returns values as an array of a type.
///
/// # Errors
/// A value that is none of the type, with its row.
fn typed(values: &KeptValues, field: &Field, first: u64) -> anyhow::Result<ArrayRef> {
    let array: Option<ArrayRef> = match (field.data_type, values) {
        (DataType::Utf8, KeptValues::Text(values)) => Some(Arc::new(values.clone())),
        (DataType::Utf8, values) => {
            let text = |row: usize| (!values.json(row).is_null()).then(|| values.with_text(row, str::to_owned));
            Some(Arc::new((0..values.len()).map(text).collect::<StringArray>()))
        }
        (DataType::Boolean, KeptValues::Null(rows)) => Some(Arc::new(BooleanArray::new_null(*rows))),
        (DataType::Boolean, KeptValues::Boolean(values)) => Some(Arc::new(values.clone())),
        (DataType::Int64, KeptValues::Null(rows)) => Some(Arc::new(Int64Array::new_null(*rows))),
        (DataType::Int64, KeptValues::Int64(values)) => Some(Arc::new(values.clone())),
        (DataType::Timestamp, KeptValues::Null(rows)) => {
            Some(Arc::new(TimestampMicrosecondArray::new_null(*rows).with_timezone("UTC")))
        }
        (DataType::Timestamp, KeptValues::Timestamp(values)) => Some(Arc::new(values.clone())),
        (DataType::Float64, values) => floats(values).map(|values| Arc::new(values) as ArrayRef),
        _ => None,
    };
    array.ok_or_else(|| misfit(values, field, first).into())
}

/// Returns the fault of the first value that is none of a type.
fn misfit(values: &KeptValues, field: &Field, first: u64) -> DataError {
    let fits = |row: usize| match (field.data_type, values.json(row)) {
        (_, serde_json::Value::Null) => true,
        (DataType::Boolean, serde_json::Value::Bool(_)) => true,
        (DataType::Int64, serde_json::Value::Number(number)) => number.is_i64(),
        (DataType::Float64, serde_json::Value::Number(number)) => number.is_f64(),
        _ => false,
    };
    let row = (0..values.len()).find(|row| !fits(*row)).unwrap_or(0);
    let complaint = format!(
        "is not of the type {}, which the values before it have\nhint: write .csv or .jsonl, where the values of a column may differ in type",
        field.data_type
    );
    let fault = values.with_text(row, |text| DataFault::of_value(text, &complaint));
    fault.in_column(&field.name).in_row(first + row as u64).into()
}
