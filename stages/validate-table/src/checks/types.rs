//! Whether a column is of the type that the signature says, and which values are not.

use stagewright_kit::{Column, DataType};

use crate::cells::Breaches;

/// Returns the name of a type.
pub(crate) fn type_name(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int64 => "int64",
        DataType::Float64 => "float64",
        DataType::Utf8 => "utf8",
        DataType::Categorical => "categorical",
        DataType::Timestamp => "timestamp",
    }
}

/// Returns whether a column of type `found` passes for one of type `expected`. utf8 and categorical
/// are alike.
pub(crate) fn same_type(found: DataType, expected: DataType) -> bool {
    found == expected || (is_text(found) && is_text(expected))
}

/// Returns whether values of this type are texts.
pub(crate) fn is_text(data_type: DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Categorical)
}

/// Returns whether `text` can be read as a value of `data_type`.
fn reads_as(text: &str, data_type: DataType) -> bool {
    match data_type {
        DataType::Boolean => matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "false"),
        DataType::Int64 => text.trim().parse::<i64>().is_ok(),
        DataType::Float64 => text.trim().parse::<f64>().is_ok(),
        DataType::Utf8 | DataType::Categorical => true,
        DataType::Timestamp => false,
    }
}

/// The values of a column of another type than expected that cannot be read as the expected type.
#[derive(Debug)]
pub(crate) struct TypeMismatch {
    pub(crate) expected: DataType,
    pub(crate) breaches: Breaches,
}

impl TypeMismatch {
    pub(crate) fn see(&mut self, column: &Column, start: u64, rows: usize) {
        for row in 0..rows {
            if let Some(value) = column.display(row)
                && !reads_as(&value, self.expected)
            {
                self.breaches.add(start + row as u64, || Some(value));
            }
        }
    }
}
