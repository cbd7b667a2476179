//! Reads raw columns as numbers or as categories, whatever their type.
//!
//! Fitting and transforming share these conversions, so both read a value alike.

use std::borrow::Cow;

use stagewright_kit::{Column, Failure, Values};

use crate::categories::Categories;
use crate::dates::parts;
use crate::parameters::{InteractionKind, ZeroDivision};
use crate::state::Source;

/// The code of a null.
pub(crate) const MISSING: u32 = u32::MAX;
/// The code of a string that is not a category.
pub(crate) const UNSEEN: u32 = u32::MAX - 1;

/// Returns a column as numbers, with NaN for null. Flags are 0 and 1, timestamps are seconds since
/// 1970, text is parsed, and blank text is missing.
///
/// # Errors
/// `data`, with the row of the batch, if a text is not a number. The caller adds the column.
pub(crate) fn numbers(column: &Column, rows: usize) -> Result<Vec<f64>, Failure> {
    if let Some(text) = column.as_text()? {
        let parsed = text.iter().enumerate().map(|(row, value)| match value.map(str::trim) {
            None | Some("") => Ok(f64::NAN),
            Some(value) => value.parse::<f64>().map_err(|_| not_a_number(row, value)),
        });
        return parsed.collect();
    }
    let seconds = matches!(column.values, Values::Timestamp(_));
    let mut numbers =
        column.clone().into_numbers(rows).ok_or_else(|| Failure::internal("a column is neither text nor numbers"))?;
    if seconds {
        numbers.iter_mut().for_each(|value| *value /= 1e6);
    }
    Ok(numbers)
}

fn not_a_number(row: usize, value: &str) -> Failure {
    Failure::data("a text is not a number").at_row(row as u64).with_value(value)
}

/// Returns the values of a source. `column` finds columns of the batch by their names.
///
/// # Errors
/// `data`, with column and row of the batch.
pub(crate) fn source_values<'a>(
    source: &Source,
    column: impl Fn(&str) -> &'a Column,
    rows: usize,
) -> Result<Vec<f64>, Failure> {
    let read = |name: &str| numbers(column(name), rows).map_err(|failure| failure.in_column(name));
    match source {
        Source::Column { column } => read(column),
        Source::Part { column: name, part } => parts(column(name), *part).map_err(|failure| failure.in_column(name)),
        Source::Ratio { numerator, denominator, zero_division } => {
            let mut values = read(numerator)?;
            for (value, below) in values.iter_mut().zip(read(denominator)?) {
                *value = ratio(*value, below, *zero_division);
            }
            Ok(values)
        }
        Source::Interaction { left, right, kind } => {
            let mut values = read(left)?;
            for (value, other) in values.iter_mut().zip(read(right)?) {
                *value = match kind {
                    InteractionKind::Product => *value * other,
                    InteractionKind::Difference => *value - other,
                    InteractionKind::Sum => *value + other,
                };
            }
            Ok(values)
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

/// Returns the categories of a column as codes. `code` returns the code of a string; nulls become
/// [`MISSING`]. Each category of a categorical column is looked up once.
///
/// # Errors
/// Returns the error of `code`; `internal` if the text is not UTF-8.
pub(crate) fn codes(column: &Column, rows: usize, mut code: impl FnMut(&[u8]) -> u32) -> Result<Vec<u32>, Failure> {
    let mut codes: Vec<u32> = match &column.values {
        // The text at a null is not a category, not even the empty one.
        Values::Utf8(strings) if column.validity.is_some() => {
            let texts = strings.view()?.iter_bytes().enumerate();
            texts.map(|(row, text)| if column.is_null(row) { MISSING } else { code(text) }).collect()
        }
        Values::Utf8(strings) => strings.view()?.iter_bytes().map(code).collect(),
        Values::Categorical(categorical) => {
            let known: Vec<u32> = categorical.categories.view()?.iter_bytes().map(code).collect();
            // The code at a null is unspecified, even if there are no categories.
            categorical.codes.iter().map(|&number| known.get(number as usize).copied().unwrap_or(MISSING)).collect()
        }
        Values::Boolean(_) | Values::Int64(_) | Values::Float64(_) | Values::Timestamp(_) => {
            (0..rows).map(|row| column.display(row).map_or(MISSING, |value| code(value.as_bytes()))).collect()
        }
    };
    if column.validity.is_some() {
        for (row, code) in codes.iter_mut().enumerate() {
            if column.is_null(row) {
                *code = MISSING;
            }
        }
    }
    Ok(codes)
}

/// Returns the codes of known categories, and [`UNSEEN`] for others.
pub(crate) fn known_codes(column: &Column, rows: usize, categories: &Categories) -> Result<Vec<u32>, Failure> {
    codes(column, rows, |string| categories.find(string).unwrap_or(UNSEEN))
}

/// Formats a value for messages.
pub(crate) fn shown(column: &Column, row: usize) -> Cow<'static, str> {
    column.display(row).map_or(Cow::Borrowed("null"), Cow::Owned)
}
