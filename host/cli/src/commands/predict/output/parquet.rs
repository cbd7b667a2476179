//! Predictions as Parquet, with types.
//!
//! A kept feature has its type in the signature. Any other kept column has the kind of its values:
//! those of the first rows decide, since the file needs its types before its first row. How many
//! rows that are depends on their size, so that memory is bounded.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use stagewright_data::{DataError, DataFault, KeptKind, KeptValues, Task};
use stagewright_store::{DataType, ExportFile, Field, ParquetExport, Schema};

use super::piece::{Piece, PredictionWriter, Unseen, best, classes, width};

/// The rows whose values decide about the types.
const DECIDING_ROWS: u64 = 1 << 16;

/// The bytes of first rows that decide, if they are fewer rows: they wait in memory.
const DECIDING_BYTES: usize = 64 << 20;

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
    /// The first rows wait until the types are decided; with their bytes.
    Waiting(ExportFile, Vec<Rows>, usize),
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

impl Rows {
    /// Returns the bytes of the columns, at least.
    fn bytes(&self) -> usize {
        let size = |array: &dyn Array| array.to_data().get_slice_memory_size().unwrap_or_default();
        let features: usize = self.features.columns().iter().map(|column| size(column)).sum();
        features + self.kept.iter().map(|values| size(&*values.to_array())).sum::<usize>()
    }
}

impl ParquetWriter {
    pub(super) fn new(file: ExportFile, columns: Vec<Column>, task: &Task) -> Self {
        Self { columns, task: task.clone(), state: State::Waiting(file, Vec::new(), 0), rows: 0 }
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
            State::Waiting(file, mut waiting, bytes) => {
                let bytes = bytes + rows.bytes();
                waiting.push(rows);
                if self.rows >= DECIDING_ROWS || bytes >= DECIDING_BYTES {
                    return self.begin(file, waiting);
                }
                self.state = State::Waiting(file, waiting, bytes);
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
            && let State::Waiting(file, waiting, _) = std::mem::replace(&mut self.state, State::Failed)
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
        KeptKind::Json if are_floats(values) => DataType::Float64,
        KeptKind::Null | KeptKind::Text | KeptKind::Json => DataType::Utf8,
    });
    let is_one_of = |types: &[DataType]| kinds.clone().all(|kind| types.contains(&kind));
    match kinds.clone().next() {
        Some(first) if is_one_of(&[first]) => first,
        Some(DataType::Int64 | DataType::Float64)
            if is_one_of(&[DataType::Int64, DataType::Float64]) && values.clone().all(are_floats) =>
        {
            DataType::Float64
        }
        _ => DataType::Utf8,
    }
}

/// Returns whether each value is a number that a double holds, or a null.
fn are_floats(values: &KeptValues) -> bool {
    (0..values.len()).all(|row| values.is_null(row) || values.float(row).is_some())
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
    Ok(match (field.data_type, values) {
        (DataType::Utf8, KeptValues::Text(values)) => Arc::new(values.clone()),
        (DataType::Boolean, KeptValues::Boolean(values)) => Arc::new(values.clone()),
        (DataType::Int64, KeptValues::Int64(values)) => Arc::new(values.clone()),
        (DataType::Float64, KeptValues::Float64(values)) => Arc::new(values.clone()),
        (DataType::Timestamp, KeptValues::Timestamp(values)) => Arc::new(values.clone()),
        (DataType::Boolean, values) => {
            Arc::new(each(values, field, first, KeptValues::boolean)?.into_iter().collect::<BooleanArray>())
        }
        (DataType::Int64, values) => {
            Arc::new(each(values, field, first, KeptValues::integer)?.into_iter().collect::<Int64Array>())
        }
        (DataType::Float64, values) => {
            Arc::new(each(values, field, first, KeptValues::float)?.into_iter().collect::<Float64Array>())
        }
        (DataType::Timestamp, values) => {
            let times = each(values, field, first, |_, _| None::<i64>)?;
            Arc::new(times.into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        (DataType::Utf8 | DataType::Categorical, values) => {
            let text = |values: &KeptValues, row: usize| Some(values.with_text(row, str::to_owned));
            Arc::new(each(values, field, first, text)?.into_iter().collect::<StringArray>())
        }
    })
}

/// Returns each value, converted; nulls stay.
///
/// # Errors
/// The first value that cannot be converted, with its row.
fn each<T>(
    values: &KeptValues,
    field: &Field,
    first: u64,
    convert: impl Fn(&KeptValues, usize) -> Option<T>,
) -> Result<Vec<Option<T>>, DataError> {
    let convert = |row: usize| match convert(values, row) {
        _ if values.is_null(row) => Ok(None),
        None => Err(misfit(values, row, field, first)),
        value => Ok(value),
    };
    (0..values.len()).map(convert).collect()
}

/// Returns the fault of a value that is none of a type.
fn misfit(values: &KeptValues, row: usize, field: &Field, first: u64) -> DataError {
    let complaint = format!(
        "is not of the type {}, which the values before it have\nhint: write .csv or .jsonl, where the values of a column may differ in type",
        field.data_type
    );
    let fault = values.with_text(row, |text| DataFault::of_value(text, &complaint));
    fault.in_column(&field.name).in_row(first + row as u64).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_data::KeptColumn;

    fn json(texts: &[&str]) -> KeptValues {
        KeptValues::Json(texts.iter().map(|text| (*text != "null").then_some(*text)).collect())
    }

    #[test]
    fn numbers_have_their_type_however_they_are_written() {
        for (values, data_type) in [
            (vec![json(&["10.50", "1e3", "null", "7"])], DataType::Float64),
            (vec![KeptValues::Int64(vec![1, 2].into()), json(&["0.10"])], DataType::Float64),
            (vec![KeptValues::Null(2), KeptValues::Int64(vec![1].into())], DataType::Int64),
            (vec![KeptValues::Int64(vec![(1 << 53) + 1].into()), json(&["0.10"])], DataType::Utf8),
            (vec![json(&["2.9999999999999999999"])], DataType::Utf8),
            (vec![json(&["true", "1"])], DataType::Utf8),
        ] {
            assert_eq!(type_of(values.iter()), data_type, "{values:?}");
            let field = Field::new("k", type_of(values.iter())).with_nullable(true);
            values.iter().for_each(|values| drop(typed(values, &field, 0).unwrap()));
        }
        let field = Field::new("k", DataType::Utf8).with_nullable(true);
        let texts = typed(&json(&["2.9999999999999999999", "null", "\"a\"", "[1.0]"]), &field, 0).unwrap();
        let expected: StringArray =
            [Some("2.9999999999999999999"), None, Some("a"), Some("[1.0]")].into_iter().collect();
        assert_eq!(texts.to_data(), expected.to_data());
    }

    #[test]
    fn the_value_that_does_not_fit_is_named() {
        let told = |data_type, values: &KeptValues| {
            let field = Field::new("k", data_type).with_nullable(true);
            let error = typed(values, &field, 100).unwrap_err().to_string();
            error.split(" is not of the type").next().unwrap_or_default().to_owned()
        };
        let mixed = json(&["null", "7", "0.50", "true", "\"x\""]);
        assert_eq!(told(DataType::Float64, &mixed), "column `k`, data row 104: `true`");
        assert_eq!(told(DataType::Int64, &mixed), "column `k`, data row 103: `0.50`");
        assert_eq!(told(DataType::Boolean, &json(&["true", "\"x\""])), "column `k`, data row 102: `x`");
        let inexact = KeptValues::Int64(vec![1, (1 << 53) + 1].into());
        assert_eq!(told(DataType::Float64, &inexact), "column `k`, data row 102: `9007199254740993`");
        let text = KeptValues::Text(vec![None, Some("x")].into());
        assert_eq!(told(DataType::Timestamp, &text), "column `k`, data row 102: `x`");
    }

    #[test]
    fn few_long_rows_decide_about_the_types() {
        let folder = tempfile::tempdir().unwrap();
        let file = ExportFile::create(&folder.path().join("out.parquet")).unwrap();
        let task = Task::Regression;
        let mut writer = ParquetWriter::new(file, vec![Column::Kept(0, "k".to_owned())], &task);
        let long = "x".repeat(1 << 20);
        let features = RecordBatch::new_empty(Schema::new(Vec::new()).unwrap().to_arrow());
        let mut waited = 0;
        for piece in 0..20 {
            let values = KeptValues::Text(vec![Some(&*long); 8].into());
            let kept = vec![KeptColumn { name: "k".to_owned(), values }];
            let (numbers, features) = ([0.5; 8], features.clone());
            writer.write(&Piece { rows: 8, numbers: &numbers, kept, features }).unwrap();
            if matches!(writer.state, State::Waiting(..)) {
                waited = piece + 1;
            }
        }
        assert_eq!(waited, 7, "pieces of 8 MiB");
        Box::new(writer).finish(None).unwrap();
    }
}
