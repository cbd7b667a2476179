//! Reads raw columns as numbers or as categories, whatever their type.
//!
//! Fitting and transforming share these conversions, so both read a value alike.

use std::borrow::Cow;

use stagewright_kit::{ColumnView, Failure, ValuesView};

use crate::categories::Categories;
use crate::dates::write_parts;
use crate::parameters::{InteractionKind, ZeroDivision};
use crate::state::Source;

/// The code of a null.
pub(crate) const MISSING: u32 = u32::MAX;
/// The code of a string that is not a category.
pub(crate) const UNSEEN: u32 = u32::MAX - 1;

/// Writes a column as numbers, with NaN for null. Flags are 0 and 1, timestamps are seconds since
/// 1970, text is parsed, and blank text is missing.
///
/// # Errors
/// `data`, with the row of the batch, if a text is not a number. The caller adds the column.
pub(crate) fn write_numbers(column: &ColumnView<'_>, numbers: &mut [f64]) -> Result<(), Failure> {
    if column.write_numbers(numbers) {
        if matches!(column.values, ValuesView::Timestamp(_)) {
            numbers.iter_mut().for_each(|value| *value /= 1e6);
        }
        return Ok(());
    }
    let text = column.as_text()?.ok_or_else(|| Failure::internal("a column is neither text nor numbers"))?;
    for (row, (number, value)) in numbers.iter_mut().zip(text.iter()).enumerate() {
        *number = match value.map(str::trim) {
            None | Some("") => f64::NAN,
            Some(value) => value.parse().map_err(|_| not_a_number(row, value))?,
        };
    }
    Ok(())
}

fn not_a_number(row: usize, value: &str) -> Failure {
    Failure::data("a text is not a number").at_row(row as u64).with_value(value)
}

/// Writes the values of a source. `operands` are its columns, in the order of [`Source::columns`].
///
/// # Errors
/// `data`, with column and row of the batch; `internal` if an operand is missing.
pub(crate) fn write_source(source: &Source, operands: &[ColumnView<'_>], values: &mut [f64]) -> Result<(), Failure> {
    let read = |place: usize, name: &str, values: &mut [f64]| {
        let column = operands.get(place).ok_or_else(|| Failure::internal(format!("no column `{name}` was read")))?;
        write_numbers(column, values).map_err(|failure| failure.in_column(name))
    };
    match source {
        Source::Column { column } => read(0, column, values),
        Source::Part { column: name, part } => {
            let column = operands.first().ok_or_else(|| Failure::internal(format!("no column `{name}` was read")))?;
            write_parts(column, *part, values).map_err(|failure| failure.in_column(name))
        }
        Source::Ratio { numerator, denominator, zero_division } => {
            let mut others = vec![0.0; values.len()];
            read(0, numerator, values)?;
            read(1, denominator, &mut others)?;
            for (value, below) in values.iter_mut().zip(others) {
                *value = ratio(*value, below, *zero_division);
            }
            Ok(())
        }
        Source::Interaction { left, right, kind } => {
            let mut others = vec![0.0; values.len()];
            read(0, left, values)?;
            read(1, right, &mut others)?;
            for (value, other) in values.iter_mut().zip(others) {
                *value = match kind {
                    InteractionKind::Product => *value * other,
                    InteractionKind::Difference => *value - other,
                    InteractionKind::Sum => *value + other,
                };
            }
            Ok(())
        }
    }
}

/// Returns `above / below`. The result is infinite only if an operand is, or if the quotient
/// exceeds the range of numbers.
fn ratio(above: f64, below: f64, zero_division: ZeroDivision) -> f64 {
    if below != 0.0 || above.is_nan() {
        return above / below;
    }
    match zero_division {
        _ if above == 0.0 => 0.0,
        ZeroDivision::Zero => 0.0,
        ZeroDivision::Null => f64::NAN,
        ZeroDivision::Constant(value) => value,
    }
}

/// Returns the fault of the first infinite value, since it has no mean and no scale. `start` is the
/// row of the first value.
pub(crate) fn refuse_infinite(start: u64, values: &[f64]) -> Result<(), Failure> {
    // Without an early exit, so that the loop is vectorised. Infinite values are rare.
    if !values.iter().fold(false, |any, value| any | value.is_infinite()) {
        return Ok(());
    }
    let row = values.iter().position(|value| value.is_infinite()).unwrap_or_default();
    Err(Failure::data("a value is infinite").at_row(start + row as u64).with_value(values[row]))
}

/// Passes the code of each row's category to `see`, in order. `code` returns the code of a string;
/// nulls become [`MISSING`]. Where a categorical column has more rows than categories, each
/// category is looked up once.
///
/// # Errors
/// Returns the error of `see`.
pub(crate) fn each_code(
    column: &ColumnView<'_>,
    rows: usize,
    mut code: impl FnMut(&[u8]) -> u32,
    mut see: impl FnMut(usize, u32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match column.values {
        ValuesView::Utf8(strings) if column.validity.is_none() => {
            strings.iter().enumerate().try_for_each(|(row, text)| see(row, code(text)))
        }
        // The text at a null is not a category, not even the empty one.
        ValuesView::Utf8(strings) => strings
            .iter()
            .enumerate()
            .try_for_each(|(row, text)| see(row, if column.is_null(row) { MISSING } else { code(text) })),
        // The code at a null is unspecified, even if there are no categories.
        ValuesView::Categorical { codes, categories } if codes.len() <= categories.len() => {
            codes.iter().enumerate().try_for_each(|(row, &number)| {
                let is_known = !column.is_null(row) && (number as usize) < categories.len();
                see(row, if is_known { code(categories.get(number as usize)) } else { MISSING })
            })
        }
        ValuesView::Categorical { codes, categories } => {
            let known: Vec<u32> = categories.iter().map(code).collect();
            codes.iter().enumerate().try_for_each(|(row, &number)| {
                let known = known.get(number as usize).copied().filter(|_| !column.is_null(row));
                see(row, known.unwrap_or(MISSING))
            })
        }
        ValuesView::Boolean(_) | ValuesView::Int64(_) | ValuesView::Float64(_) | ValuesView::Timestamp(_) => {
            (0..rows).try_for_each(|row| see(row, column.display(row).map_or(MISSING, |value| code(value.as_bytes()))))
        }
    }
}

/// Passes the codes of known categories to `see`, and [`UNSEEN`] for others.
///
/// # Errors
/// Returns the error of `see`.
pub(crate) fn each_known_code(
    column: &ColumnView<'_>,
    rows: usize,
    categories: &Categories,
    see: impl FnMut(usize, u32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    each_code(column, rows, |string| categories.find(string).unwrap_or(UNSEEN), see)
}

/// Formats a value for messages.
pub(crate) fn shown(column: &ColumnView<'_>, row: usize) -> Cow<'static, str> {
    column.display(row).map_or(Cow::Borrowed("null"), Cow::Owned)
}
