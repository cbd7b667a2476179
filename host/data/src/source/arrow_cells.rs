//! Turns Arrow arrays into cells, each with exactly the value of the array, or into a fault.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use arrow_select::take::take;

use crate::cell::{Cell, OUTSIDE_CALENDAR, in_calendar};
use crate::error::DataFault;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const UUID_BYTES: i32 = 16;

/// Receives the values of an array, from the first row on.
pub(crate) trait ValueVisitor {
    /// The reason for which the visitor stops.
    type Stop;

    /// Called for each row, with a fault for a value that cannot be a cell.
    fn value(&mut self, row: usize, value: Result<Cell<'_>, DataFault>) -> Result<(), Self::Stop>;
}

/// The reason for which not all values were passed on.
pub(crate) enum ArrayError<S> {
    /// The visitor stopped.
    Stopped(S),
    Arrow(ArrowError),
}

impl<S> From<ArrowError> for ArrayError<S> {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Passes the values of an array to the visitor.
pub(crate) fn visit<V: ValueVisitor>(
    array: &ArrayRef,
    is_uuid: bool,
    visitor: &mut V,
) -> Result<(), ArrayError<V::Stop>> {
    match array.data_type() {
        // Null arrays have no bitmap, and `is_null` returns false for them.
        DataType::Null => (0..array.len()).try_for_each(|row| push(row, Ok(Cell::Null), visitor)),
        DataType::Boolean => {
            let values = array.as_boolean();
            each(array, visitor, |row| Ok(Cell::Boolean(values.value(row))))
        }
        DataType::Int64 => {
            let values = array.as_primitive::<types::Int64Type>();
            each(array, visitor, |row| Ok(Cell::Integer(values.value(row))))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<types::Float64Type>();
            each(array, visitor, |row| Ok(Cell::Float(values.value(row))))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            each(array, visitor, |row| Ok(Cell::Text(values.value(row))))
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            visit(&cast(array, &DataType::Int64)?, is_uuid, visitor)
        }
        DataType::Float16 | DataType::Float32 => visit(&cast(array, &DataType::Float64)?, is_uuid, visitor),
        DataType::Utf8View => {
            let values = array.as_string_view();
            each(array, visitor, |row| Ok(Cell::Text(values.value(row))))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            each(array, visitor, |row| text_of(values.value(row)))
        }
        DataType::LargeUtf8 => visit(&cast(array, &DataType::Utf8)?, is_uuid, visitor),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            // A long text may be repeated in each row, which costs 16 bytes with a view of it.
            let values = match dictionary.values() {
                views if *views.data_type() == viewed(views.data_type()) => views.clone(),
                values => dictionary_values(values)?,
            };
            visit(&take(&values, dictionary.keys(), None)?, is_uuid, visitor)
        }
        DataType::FixedSizeBinary(UUID_BYTES) if is_uuid => visit_uuids(array, visitor),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            visit_binary(&cast(array, &DataType::LargeBinary)?, visitor)
        }
        DataType::Date32 => {
            let values = array.as_primitive::<types::Date32Type>();
            each(array, visitor, |row| time(values.value(row).into(), MICROSECONDS_PER_DAY, "days"))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<types::Date64Type>();
            each(array, visitor, |row| time(values.value(row), 1000, "milliseconds"))
        }
        DataType::Timestamp(unit, _) => visit_timestamps(array, *unit, visitor),
        DataType::Decimal32(_, scale) => {
            let values = array.as_primitive::<types::Decimal32Type>();
            visit_decimals(array, *scale, visitor, |row| values.value(row).to_string())
        }
        DataType::Decimal64(_, scale) => {
            let values = array.as_primitive::<types::Decimal64Type>();
            visit_decimals(array, *scale, visitor, |row| values.value(row).to_string())
        }
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<types::Decimal128Type>();
            visit_decimals(array, *scale, visitor, |row| values.value(row).to_string())
        }
        DataType::Decimal256(_, scale) => {
            let values = array.as_primitive::<types::Decimal256Type>();
            visit_decimals(array, *scale, visitor, |row| values.value(row).to_string())
        }
        // UInt64 as digits, to lose none before the column's type is known; times of day and nested
        // values as text.
        _ => visit_as_text(array, visitor),
    }
}

fn push<V: ValueVisitor>(
    row: usize,
    value: Result<Cell<'_>, DataFault>,
    visitor: &mut V,
) -> Result<(), ArrayError<V::Stop>> {
    visitor.value(row, value).map_err(ArrayError::Stopped)
}

fn each<'a, V: ValueVisitor>(
    array: &ArrayRef,
    visitor: &mut V,
    cell: impl Fn(usize) -> Result<Cell<'a>, DataFault>,
) -> Result<(), ArrayError<V::Stop>> {
    for row in 0..array.len() {
        let value = if array.is_null(row) { Ok(Cell::Null) } else { cell(row) };
        push(row, value, visitor)?;
    }
    Ok(())
}

/// Returns a time in units of `factor` microseconds since 1970. Writers use the ends of the range
/// for infinities (DuckDB, PostgreSQL), which are refused.
fn time(value: i64, factor: i64, unit: &str) -> Result<Cell<'static>, DataFault> {
    match value.checked_mul(factor).filter(|microseconds| in_calendar(*microseconds)) {
        Some(microseconds) => Ok(Cell::Timestamp(microseconds)),
        None => Err(outside(value, unit)),
    }
}

fn outside(value: i64, unit: &str) -> DataFault {
    DataFault::of_value(&format!("{value} {unit} since 1970"), OUTSIDE_CALENDAR)
}

/// A timestamp without a zone is in UTC. With one, Arrow stores UTC already.
fn visit_timestamps<V: ValueVisitor>(
    array: &ArrayRef,
    unit: TimeUnit,
    visitor: &mut V,
) -> Result<(), ArrayError<V::Stop>> {
    match unit {
        TimeUnit::Second => {
            let values = array.as_primitive::<types::TimestampSecondType>();
            each(array, visitor, |row| time(values.value(row), MICROSECONDS_PER_SECOND, "seconds"))
        }
        TimeUnit::Millisecond => {
            let values = array.as_primitive::<types::TimestampMillisecondType>();
            each(array, visitor, |row| time(values.value(row), 1000, "milliseconds"))
        }
        TimeUnit::Microsecond => {
            let values = array.as_primitive::<types::TimestampMicrosecondType>();
            each(array, visitor, |row| time(values.value(row), 1, "microseconds"))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<types::TimestampNanosecondType>();
            each(array, visitor, |row| Ok(Cell::Timestamp(values.value(row).div_euclid(1000))))
        }
    }
}

/// Checks that the times of an INT96 column, read as seconds, fit into microseconds. Returns the
/// first row whose time does not, with its fault.
pub(super) fn check_seconds(array: &ArrayRef) -> Result<(), (usize, Box<DataFault>)> {
    let values = array.as_primitive::<types::TimestampSecondType>();
    for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
        time(values.value(row), MICROSECONDS_PER_SECOND, "seconds").map_err(|fault| (row, Box::new(fault)))?;
    }
    Ok(())
}

/// Passes decimals with all digits of the file. Arrow's own text drops those beyond the column's
/// precision.
fn visit_decimals<V: ValueVisitor>(
    array: &ArrayRef,
    scale: i8,
    visitor: &mut V,
    unscaled: impl Fn(usize) -> String,
) -> Result<(), ArrayError<V::Stop>> {
    for row in 0..array.len() {
        if array.is_null(row) {
            push(row, Ok(Cell::Null), visitor)?;
        } else {
            push(row, Ok(Cell::Text(&decimal_text(&unscaled(row), scale))), visitor)?;
        }
    }
    Ok(())
}

/// Returns a decimal number, given its digits without a point.
fn decimal_text(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    match usize::try_from(scale) {
        Ok(0) => unscaled.to_owned(),
        Ok(scale) => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) if digits == "0" => unscaled.to_owned(),
        Err(_) => format!("{unscaled}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

/// Returns the type of views of the same texts or bytes; any other type as it is.
pub(crate) fn viewed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        _ => data_type.clone(),
    }
}

/// Returns the values of a dictionary in the form in which rows are taken from it: texts as views
/// into one buffer. Taking a row of others would pass over the whole dictionary.
pub(crate) fn dictionary_values(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match values.data_type() {
        DataType::Utf8View => Arc::new(values.as_string_view().gc()),
        DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
        other => cast(values, &viewed(other))?,
    })
}

/// Many writers do not mark binary columns that hold text.
fn visit_binary<V: ValueVisitor>(array: &ArrayRef, visitor: &mut V) -> Result<(), ArrayError<V::Stop>> {
    let values = array.as_binary::<i64>();
    each(array, visitor, |row| text_of(values.value(row)))
}

fn text_of(bytes: &[u8]) -> Result<Cell<'_>, DataFault> {
    std::str::from_utf8(bytes)
        .map(Cell::Text)
        .map_err(|_| DataFault::new("the value is binary, which tables do not hold"))
}

/// Adds the length of each text of a column to the length of its row.
pub(super) fn add_lengths(array: &ArrayRef, lengths: &mut [u64]) {
    let views = match array.data_type() {
        DataType::Utf8View => array.as_string_view().views(),
        DataType::BinaryView => array.as_binary_view().views(),
        _ => return,
    };
    for (length, view) in lengths.iter_mut().zip(views.iter()) {
        // The low 32 bits of a view are the length.
        *length += u64::from(*view as u32);
    }
}

fn visit_uuids<V: ValueVisitor>(array: &ArrayRef, visitor: &mut V) -> Result<(), ArrayError<V::Stop>> {
    let values = array.as_fixed_size_binary();
    for row in 0..values.len() {
        if values.is_null(row) {
            push(row, Ok(Cell::Null), visitor)?;
            continue;
        }
        let mut text = String::with_capacity(36);
        for (index, byte) in values.value(row).iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        push(row, Ok(Cell::Text(&text)), visitor)?;
    }
    Ok(())
}

fn visit_as_text<V: ValueVisitor>(array: &ArrayRef, visitor: &mut V) -> Result<(), ArrayError<V::Stop>> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        if array.is_null(row) {
            push(row, Ok(Cell::Null), visitor)?;
            continue;
        }
        let written = formatter.value(row).write(&mut text);
        let value = written.map(|()| Cell::Text(&text));
        push(row, value.map_err(|error| DataFault::new(format!("the value has no text: {error}"))), visitor)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_shows_all_its_digits() {
        for (unscaled, scale, text) in [
            ("12345", 2, "123.45"),
            ("-50", 2, "-0.50"),
            ("0", 3, "0.000"),
            ("-7", 0, "-7"),
            ("12", -3, "12000"),
            ("0", -3, "0"),
            ("123456789", 1, "12345678.9"),
        ] {
            assert_eq!(decimal_text(unscaled, scale), text);
        }
    }
}
