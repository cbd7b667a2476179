//! Converts batches between Arrow, which the host uses, and packed bytes, which guests use.
//!
//! `stagewright_store::packed` checks the values of every batch that comes from a guest.

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use stagewright_manifest::StepId;
use stagewright_store::{BatchFault, DataType, Field, MAX_BATCH_BYTES, Role, Schema, packed};

use crate::bindings::stagewright::stage::types;

/// Returns the fault of a row that alone exceeds the size limit of a batch.
pub(crate) fn row_too_large(
    stage: impl Into<StepId>,
    what: &str,
    bytes: usize,
    column: Option<String>,
    row: u64,
) -> StageFault {
    let message =
        format!("{what} take {bytes} bytes, more than the {MAX_BATCH_BYTES} that a batch may have: shorten its text");
    StageFault::Data { stage: stage.into(), message, column, row: Some(row), value: None }
}

/// Returns as many of the first rows of a batch as [`MAX_BATCH_BYTES`] allows; at least one unless
/// the batch is empty. `first` is the number of the first row in the stage's table.
///
/// # Errors
/// Returns a fault of the data, with column and row, if the first row alone is too large.
pub(crate) fn within_cap(
    batch: &RecordBatch,
    schema: &Schema,
    stage: impl Into<StepId>,
    first: u64,
) -> Result<RecordBatch, StageFault> {
    let fit = packed::rows_within(batch, schema, MAX_BATCH_BYTES).map_err(StageFault::host)?;
    if fit > 0 || batch.num_rows() == 0 {
        return Ok(batch.slice(0, fit));
    }
    let columns = packed::column_bytes(&batch.slice(0, 1), schema).map_err(StageFault::host)?;
    let largest = columns.iter().zip(schema.fields()).max_by_key(|(bytes, _)| **bytes);
    let name = largest.map(|(_, field)| field.name.clone());
    Err(row_too_large(stage, "the values of one row", columns.iter().sum(), name, first))
}

/// Encodes a batch for a guest. Counts rows, bytes and copies: one copy here, one when the list is
/// lowered.
///
/// # Errors
/// Returns a fault of the host if the columns do not match `schema`.
pub(crate) fn outgoing(
    batch: &RecordBatch,
    schema: &Schema,
    context: &StageContext,
) -> Result<types::Batch, StageFault> {
    let bytes = packed::write(batch, schema).map_err(StageFault::host)?;
    let batch = types::Batch { rows: batch.num_rows() as u32, bytes };
    count_in(&batch, 2, context);
    Ok(batch)
}

/// Counts rows, bytes and copies of a batch for a guest.
pub(crate) fn count_in(batch: &types::Batch, copies: u64, context: &StageContext) {
    let size = batch.bytes.len() as u64;
    Meter::add(&context.meter.rows_in, u64::from(batch.rows));
    Meter::add(&context.meter.bytes_in, size);
    Meter::add(&context.meter.copied, copies * size);
}

/// Counts rows, bytes and the copy of lifting of a guest's batch.
pub(crate) fn count_out(batch: &types::Batch, context: &StageContext) {
    let size = batch.bytes.len() as u64;
    Meter::add(&context.meter.rows_out, u64::from(batch.rows));
    Meter::add(&context.meter.bytes_out, size);
    Meter::add(&context.meter.copied, size);
}

/// Encodes columns of numbers without nulls as a batch for a guest.
pub(crate) fn numbers_out(rows: usize, columns: &[Vec<f64>]) -> types::Batch {
    let bytes = columns.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
    types::Batch { rows: rows as u32, bytes }
}

/// Decodes a guest's batch and checks it against a schema. Counts rows, bytes and the copy of
/// lifting.
pub(crate) fn incoming(
    batch: types::Batch,
    schema: &Schema,
    context: &StageContext,
) -> Result<RecordBatch, BatchFault> {
    count_out(&batch, context);
    packed::parse(batch.rows as usize, batch.bytes, schema)
}

/// Converts a column's type into the contract's.
pub(crate) fn data_type_out(data_type: DataType) -> types::DataType {
    match data_type {
        DataType::Boolean => types::DataType::Boolean,
        DataType::Int64 => types::DataType::Int64,
        DataType::Float64 => types::DataType::Float64,
        DataType::Utf8 => types::DataType::Utf8,
        DataType::Categorical => types::DataType::Categorical,
        DataType::Timestamp => types::DataType::Timestamp,
    }
}

/// Converts fields into the contract's.
pub(crate) fn fields_out(fields: &[Field]) -> Vec<types::Field> {
    let field = |field: &Field| types::Field {
        name: field.name.clone(),
        data_type: data_type_out(field.data_type),
        nullable: field.nullable,
    };
    fields.iter().map(field).collect()
}

/// Converts the roles of fields into the contract's.
pub(crate) fn roles_out(fields: &[Field]) -> Vec<types::Role> {
    let role = |field: &Field| match field.role {
        Role::Feature => types::Role::Feature,
        Role::Target => types::Role::Target,
        Role::Weight => types::Role::Weight,
        Role::Identifier => types::Role::Identifier,
        Role::Time => types::Role::Time,
        Role::Group => types::Role::Group,
    };
    fields.iter().map(role).collect()
}

/// Converts a guest's fields, of which there may be at most `most`, into a schema of features, and
/// checks their names.
///
/// # Errors
/// Returns what is wrong with the fields, as text.
pub(crate) fn schema_in(fields: Vec<types::Field>, most: usize) -> Result<Schema, String> {
    if fields.len() > most {
        return Err(format!("{} columns; at most {most} are allowed", fields.len()));
    }
    let field = |field: types::Field| {
        let data_type = match field.data_type {
            types::DataType::Boolean => DataType::Boolean,
            types::DataType::Int64 => DataType::Int64,
            types::DataType::Float64 => DataType::Float64,
            types::DataType::Utf8 => DataType::Utf8,
            types::DataType::Categorical => DataType::Categorical,
            types::DataType::Timestamp => DataType::Timestamp,
        };
        Field::new(field.name, data_type).with_nullable(field.nullable)
    };
    Schema::new(fields.into_iter().map(field).collect()).map_err(|reason| reason.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, DictionaryArray, Int64Array, StringArray};
    use stagewright_manifest::World;

    use super::*;

    fn batch(texts: ArrayRef, data_type: DataType) -> (RecordBatch, Schema) {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..texts.len() as i64));
        let fields = vec![Field::new("n", DataType::Int64), Field::new("t", data_type)];
        let schema = Schema::new(fields).expect("two names");
        (RecordBatch::try_new(schema.to_arrow(), vec![numbers, texts]).expect("columns of these types"), schema)
    }

    fn cut((batch, schema): &(RecordBatch, Schema), first: u64) -> Result<usize, StageFault> {
        within_cap(batch, schema, World::Training, first).map(|batch| batch.num_rows())
    }

    fn texts(sizes: &[usize]) -> (RecordBatch, Schema) {
        let texts: StringArray = sizes.iter().map(|&size| Some("x".repeat(size))).collect();
        batch(Arc::new(texts), DataType::Utf8)
    }

    #[test]
    fn a_batch_is_cut_at_the_size_limit() {
        let third = MAX_BATCH_BYTES / 3;
        assert_eq!(cut(&texts(&[1, 2, 3]), 0).expect("small"), 3);
        assert_eq!(cut(&texts(&[third; 5]), 0).expect("two fit"), 2);
        assert_eq!(cut(&texts(&[0; 0]), 0).expect("empty"), 0);
    }

    #[test]
    fn a_row_of_exactly_the_size_limit_is_accepted() {
        // The number, the offsets and the validities come before the text.
        let before = if Field::new("n", DataType::Int64).nullable { 32 } else { 16 };
        assert_eq!(cut(&texts(&[MAX_BATCH_BYTES - before]), 0).expect("it fits"), 1);
        assert!(cut(&texts(&[MAX_BATCH_BYTES - before + 1]), 0).is_err());
    }

    #[test]
    fn a_row_that_is_too_large_is_the_datas_fault_with_column_and_row() {
        let fault = cut(&texts(&[MAX_BATCH_BYTES + 1, 1]), 41).expect_err("too large");
        let StageFault::Data { column, row, .. } = fault else { panic!("{fault}") };
        assert_eq!((column.as_deref(), row), (Some("t"), Some(41)));
    }

    #[test]
    fn a_row_is_not_blamed_for_a_longer_category_of_another() {
        let categories: ArrayRef = Arc::new(StringArray::from(vec!["short".to_owned(), "x".repeat(MAX_BATCH_BYTES)]));
        let codes = arrow_array::Int32Array::from(vec![0, 1, 0]);
        let array = DictionaryArray::<Int32Type>::try_new(codes, categories).expect("codes of two categories");
        let (rows, schema) = batch(Arc::new(array), DataType::Categorical);
        let rest = rows.slice(1, 2);
        assert_eq!(cut(&(rows, schema.clone()), 0).expect("the first row is short"), 1);
        let fault = cut(&(rest, schema), 1).expect_err("too large");
        let StageFault::Data { column, row, .. } = fault else { panic!("{fault}") };
        assert_eq!((column.as_deref(), row), (Some("t"), Some(1)));
    }
}
