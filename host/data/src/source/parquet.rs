//! Parquet files, through Arrow's reader.
//!
//! Owns the mapping of Arrow's many types to cells (`docs/types.md` has it as a table). Only wanted columns are read.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::cell::Cell;
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::source::CellVisitor;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// Pushes the cells of a file, column by column for some rows at a time.
pub(crate) fn visit(
    path: &Path,
    file: File,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let broken = |error: &dyn std::fmt::Display| {
        DataError::unreadable(
            path,
            format!("it is not a Parquet file that can be read: {error}"),
            "the file may be truncated",
        )
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&error))?;
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let places = visitor.columns(&names)?;
    // The reader returns the columns of the mask in the file's order, whatever the order asked for.
    let mut in_file_order = places.clone();
    in_file_order.sort_unstable();
    let mask = ProjectionMask::roots(builder.parquet_schema(), in_file_order.iter().copied());
    let reader = builder
        .with_projection(mask)
        .with_batch_size(visitor.rows_at_once())
        .build()
        .map_err(|error| broken(&error))?;
    let mut row = 0;
    for batch in reader {
        if interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        let batch = batch.map_err(|error| broken(&error))?;
        for (column, place) in places.iter().enumerate() {
            let read = in_file_order.binary_search(place).expect("every place is in the mask");
            visit_array(batch.column(read), column, visitor).map_err(|error| -> DataError {
                match error {
                    ArrayError::Cell { row: offset, fault } => fault.in_row(row + offset as u64).into(),
                    ArrayError::Value { row: offset, message } => {
                        DataFault::new(message).in_column(&names[*place]).in_row(row + offset as u64).into()
                    }
                    ArrayError::Arrow(error) => DataFault::new(format!("the values cannot be converted: {error}"))
                        .in_column(&names[*place])
                        .into(),
                }
            })?;
        }
        row += batch.num_rows() as u64;
        if !visitor.end_rows(batch.num_rows())? {
            return Ok(());
        }
    }
    Ok(())
}

enum ArrayError {
    /// The visitor refused a cell. It counts rows that are complete; the row here is the one within the batch.
    Cell {
        row: usize,
        fault: Box<DataFault>,
    },
    /// A value is no cell.
    Value {
        row: usize,
        message: String,
    },
    Arrow(arrow_schema::ArrowError),
}

impl From<arrow_schema::ArrowError> for ArrayError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Pushes the values of one column.
fn visit_array(array: &ArrayRef, column: usize, visitor: &mut impl CellVisitor) -> Result<(), ArrayError> {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            each(array, column, visitor, |row| Ok(Cell::Boolean(values.value(row))))
        }
        DataType::Int64 => {
            let values = array.as_primitive::<types::Int64Type>();
            each(array, column, visitor, |row| Ok(Cell::Integer(values.value(row))))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<types::Float64Type>();
            each(array, column, visitor, |row| Ok(Cell::Float(values.value(row))))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            each(array, column, visitor, |row| Ok(Cell::Text(values.value(row))))
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            visit_array(&cast(array, &DataType::Int64)?, column, visitor)
        }
        DataType::Float16 | DataType::Float32 => visit_array(&cast(array, &DataType::Float64)?, column, visitor),
        DataType::LargeUtf8 | DataType::Utf8View => visit_array(&cast(array, &DataType::Utf8)?, column, visitor),
        DataType::Dictionary(_, values) => visit_array(&cast(array, values)?, column, visitor),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            visit_binary(&cast(array, &DataType::LargeBinary)?, column, visitor)
        }
        DataType::Date32 => {
            let values = array.as_primitive::<types::Date32Type>();
            each(array, column, visitor, |row| Ok(Cell::Timestamp(i64::from(values.value(row)) * MICROSECONDS_PER_DAY)))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<types::Date64Type>();
            each(array, column, visitor, |row| scaled(values.value(row), 1000))
        }
        DataType::Timestamp(unit, _) => visit_timestamps(array, *unit, column, visitor),
        // UInt64 and decimals as digits, so that none is lost before the column's type is known; times and nested values as text.
        _ => visit_as_text(array, column, visitor),
    }
}

fn each<'a>(
    array: &ArrayRef,
    column: usize,
    visitor: &mut impl CellVisitor,
    cell: impl Fn(usize) -> Result<Cell<'a>, &'static str>,
) -> Result<(), ArrayError> {
    for row in 0..array.len() {
        let cell = if array.is_null(row) { Ok(Cell::Null) } else { cell(row) };
        let cell = cell.map_err(|message| ArrayError::Value { row, message: message.to_owned() })?;
        visitor.cell(column, cell).map_err(|fault| ArrayError::Cell { row, fault })?;
    }
    Ok(())
}

fn scaled(value: i64, factor: i64) -> Result<Cell<'static>, &'static str> {
    value.checked_mul(factor).map(Cell::Timestamp).ok_or("the time lies outside what microseconds in 64 bits can hold")
}

/// A time without a zone is taken for UTC; with one, Arrow already stores UTC.
fn visit_timestamps(
    array: &ArrayRef,
    unit: TimeUnit,
    column: usize,
    visitor: &mut impl CellVisitor,
) -> Result<(), ArrayError> {
    match unit {
        TimeUnit::Second => {
            let values = array.as_primitive::<types::TimestampSecondType>();
            each(array, column, visitor, |row| scaled(values.value(row), 1_000_000))
        }
        TimeUnit::Millisecond => {
            let values = array.as_primitive::<types::TimestampMillisecondType>();
            each(array, column, visitor, |row| scaled(values.value(row), 1000))
        }
        TimeUnit::Microsecond => {
            let values = array.as_primitive::<types::TimestampMicrosecondType>();
            each(array, column, visitor, |row| Ok(Cell::Timestamp(values.value(row))))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<types::TimestampNanosecondType>();
            each(array, column, visitor, |row| Ok(Cell::Timestamp(values.value(row).div_euclid(1000))))
        }
    }
}

/// Many writers leave out the mark that says that bytes are text.
fn visit_binary(array: &ArrayRef, column: usize, visitor: &mut impl CellVisitor) -> Result<(), ArrayError> {
    let values = array.as_binary::<i64>();
    each(array, column, visitor, |row| {
        std::str::from_utf8(values.value(row))
            .map(Cell::Text)
            .map_err(|_| "the value is binary, which tables do not hold")
    })
}

fn visit_as_text(array: &ArrayRef, column: usize, visitor: &mut impl CellVisitor) -> Result<(), ArrayError> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        let cell = if array.is_null(row) {
            Cell::Null
        } else {
            formatter.value(row).write(&mut text)?;
            Cell::Text(&text)
        };
        visitor.cell(column, cell).map_err(|fault| ArrayError::Cell { row, fault })?;
    }
    Ok(())
}
