//! A plain decoder of JSON rows: a map of members for each row, and one decoder for all.

use std::collections::HashMap;

use serde_json::Value;
use stagewright_store::Field;

use super::*;
use crate::cell::Cell;
use crate::decoder::Decoder;
use crate::error::{DataFault, listed};
use crate::json::split;
use crate::signature::Strictness;

/// Decodes rows, up to the first fault.
pub(super) fn decode(text: &str, signature: &Signature) -> Result<RecordBatch, DataError> {
    let mut decoder = Decoder::new(signature, Strictness::Predict);
    for row in split::rows(text)? {
        let number = decoder.row();
        let unread = |error| DataError::from(DataFault::new(format!("the text is not JSON: {error}")).in_row(number));
        let Some(object) = split::members(row).map_err(unread)? else {
            let fault = DataFault::of_value(row, "is not an object with a value for each column");
            return Err(fault.in_row(number).into());
        };
        let fields = decoder.schema().fields().to_vec();
        let missing: Vec<&String> =
            fields.iter().map(|field| &field.name).filter(|name| !object.contains_key(*name)).collect();
        if !missing.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&missing));
            return Err(DataFault::new(message).in_row(number).into());
        }
        for (column, field) in fields.iter().enumerate() {
            with_cell(object[&field.name], |cell| decoder.cell(column, cell))
                .map_err(unread)?
                .map_err(DataError::Fault)?;
        }
        decoder.end_row();
    }
    decoder.finish()
}

/// Returns the fault of each value, each decoded alone: row, field and message.
pub(super) fn faults(rows: &[HashMap<String, &str>], signature: &Signature) -> Vec<(usize, Option<String>, String)> {
    let features = signature.features();
    let mut found = Vec::new();
    for (row, object) in rows.iter().enumerate() {
        for field in features.fields() {
            let message = match object.get(&field.name) {
                None => Some(format!("the field is absent, and {}", needed(field))),
                Some(value) => fault_of(value, field, signature),
            };
            found.extend(message.map(|message| (row, Some(field.name.clone()), message)));
        }
    }
    found
}

fn fault_of(value: &str, field: &Field, signature: &Signature) -> Option<String> {
    let alone = Signature::new(vec![field.clone()]).unwrap().with_null_values(signature.null_values.clone());
    let name = serde_json::to_string(&field.name).unwrap();
    let fault = decode(&format!("{{{name}: {value}}}"), &alone).err()?;
    let message = fault.as_fault().expect("a fault of the data").message.clone();
    let is_missing = message.starts_with("the value is missing");
    Some(if is_missing { format!("the value is missing, and {}", needed(field)) } else { message })
}

fn needed(field: &Field) -> String {
    let needed = match field.data_type {
        DataType::Boolean => "a boolean",
        DataType::Int64 => "an int64",
        DataType::Float64 => "a float64",
        DataType::Utf8 | DataType::Categorical => "a text",
        DataType::Timestamp => "a timestamp",
    };
    format!("{needed} is needed{}", if field.nullable { ", or null" } else { "" })
}

/// Calls `take` with the cell for a JSON value, given as written.
fn with_cell<T>(value: &str, take: impl FnOnce(Cell<'_>) -> T) -> Result<T, serde_json::Error> {
    Ok(match value.as_bytes().first() {
        Some(b'"') => take(Cell::Text(&serde_json::from_str::<String>(value)?)),
        Some(b'{' | b'[') => take(Cell::Text(&serde_json::from_str::<Value>(value)?.to_string())),
        Some(b't') => take(Cell::Boolean(true)),
        Some(b'f') => take(Cell::Boolean(false)),
        Some(b'n') | None => take(Cell::Null),
        Some(_) => match value.parse() {
            Ok(integer) if value != "-0" => take(Cell::Integer(integer)),
            _ if value == "-0" || value.contains(['.', 'e', 'E']) => take(Cell::Decimal(value)),
            _ => take(Cell::Text(value)),
        },
    })
}
