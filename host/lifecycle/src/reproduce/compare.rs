//! The first difference between two contents.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use serde::Serialize;
use serde_json::Value;
use stagewright_store::{ArtifactKind, ArtifactStore, Digest, Schema, Staging, StoreError, Table};

use super::error::ReproduceError;
use crate::fault::StageFault;

/// The size of the parts that are compared, in bytes.
const PIECE: usize = 64 << 10;

/// The longest text of a document or a cell that a difference shows, in characters.
const SHOWN: usize = 200;

/// A place in an artifact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A cell of a table.
    Cell {
        /// The column's name.
        column: String,
        /// The row, from 0.
        row: u64,
        /// The recorded value; null if there is none.
        recorded_value: Value,
        /// The value that was made or found.
        found_value: Value,
    },
    /// A column as a whole: its name, its type or role, or its categories.
    Column {
        /// The recorded name of the column, or the name that was found if it is not recorded.
        column: String,
        /// The difference.
        problem: String,
    },
    /// The number of rows. The rows that both have are equal.
    Rows {
        /// The first row that only one of them has, from 0.
        row: u64,
        /// The recorded number of rows.
        recorded_rows: u64,
        /// The number of rows that were made or found.
        found_rows: u64,
    },
    /// A value of a JSON document.
    Json {
        /// The JSON path: `$.metrics[2].value`.
        path: String,
        /// The recorded value; null if there is none.
        recorded_value: Value,
        /// The value that was made or found.
        found_value: Value,
    },
    /// A byte.
    Byte {
        /// The offset, from 0. It may be the end of the shorter content.
        offset: u64,
    },
}

/// Returns the first difference between a stored and a staged artifact, as far as the stored one
/// can be read.
pub(super) fn first(
    artifacts: &ArtifactStore,
    staging: &Staging,
    kind: ArtifactKind,
    (recorded, made): (Digest, Digest),
) -> Result<Option<Place>, ReproduceError> {
    let stored = artifacts.path(kind, &recorded);
    let staged = staging.path(kind, &made).ok_or_else(|| StageFault::host("a step's outputs are in its staging"))?;
    if kind == ArtifactKind::Table {
        let made = staging.open_table(&made)?;
        match artifacts.open_table(&recorded).and_then(|recorded| tables(&recorded, &made)) {
            Ok(Some(place)) => return Ok(Some(place)),
            // Contents that are not equal tables are compared by bytes.
            Ok(None) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if kind == ArtifactKind::Document
        && let (Some(recorded), Some(made)) = (document(&stored)?, document(&staged)?)
        && let Some(place) = json(&recorded, &made, "$")
    {
        return Ok(Some(place));
    }
    let open = |path: &Path| File::open(path).map_err(|error| failed(path, &error));
    let place = bytes(open(&stored)?, open(&staged)?).map_err(|error| failed(&stored, &error))?;
    Ok(place.map(|offset| Place::Byte { offset }))
}

fn failed(path: &Path, error: &std::io::Error) -> StageFault {
    StageFault::host(format!("cannot read `{}`: {error}", path.display()))
}

/// Reads a document as JSON; `None` if it is not JSON.
fn document(path: &Path) -> Result<Option<Value>, StageFault> {
    let bytes = std::fs::read(path).map_err(|error| failed(path, &error))?;
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Returns the offset of the first byte that differs.
fn bytes(mut one: impl Read, mut other: impl Read) -> std::io::Result<Option<u64>> {
    let (mut left, mut right) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    let mut start = 0;
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(PIECE as u64).read_to_end(&mut left)?;
        other.by_ref().take(PIECE as u64).read_to_end(&mut right)?;
        let differs = left.iter().zip(&right).position(|(left, right)| left != right);
        if let Some(place) = differs.or_else(|| (left.len() != right.len()).then(|| left.len().min(right.len()))) {
            return Ok(Some(start + place as u64));
        }
        if left.is_empty() {
            return Ok(None);
        }
        start += left.len() as u64;
    }
}

/// Returns the first value that differs, with the members of objects in the order of their keys.
fn json(recorded: &Value, found: &Value, path: &str) -> Option<Place> {
    let differs = |path: String, recorded: Option<&Value>, found: Option<&Value>| {
        let shown = |value: Option<&Value>| value.map_or(Value::Null, brief);
        Some(Place::Json { path, recorded_value: shown(recorded), found_value: shown(found) })
    };
    match (recorded, found) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            keys.into_iter().find_map(|key| {
                let path = format!("{path}{}", member(key));
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => json(one, other, &path),
                    (one, other) => differs(path, one, other),
                }
            })
        }
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len())).find_map(|place| {
            let path = format!("{path}[{place}]");
            match (one.get(place), other.get(place)) {
                (Some(one), Some(other)) => json(one, other, &path),
                (one, other) => differs(path, one, other),
            }
        }),
        (one, other) => (one != other).then(|| differs(path.to_owned(), Some(one), Some(other))).flatten(),
    }
}

/// Formats a member as a part of a JSON path.
fn member(key: &str) -> String {
    let is_plain = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_plain && !key.is_empty() { format!(".{key}") } else { format!("[{}]", Value::from(key)) }
}

/// Shortens a value so that it can be shown.
fn brief(value: &Value) -> Value {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return value.clone();
    }
    match value {
        Value::String(text) => cut(text).into(),
        _ => cut(&text).into(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the first difference between two tables: of their columns, then of their values column
/// by column.
fn tables(recorded: &Table, found: &Table) -> Result<Option<Place>, StoreError> {
    if let Some(place) = schemas(recorded.schema(), found.schema()) {
        return Ok(Some(place));
    }
    for (index, field) in recorded.schema().fields().iter().enumerate() {
        if let Some(place) = column(recorded, found, (index, &field.name))? {
            return Ok(Some(place));
        }
    }
    let (recorded_rows, found_rows) = (recorded.rows(), found.rows());
    let row = recorded_rows.min(found_rows);
    Ok((recorded_rows != found_rows).then_some(Place::Rows { row, recorded_rows, found_rows }))
}

fn schemas(recorded: &Schema, found: &Schema) -> Option<Place> {
    let (one, other) = (recorded.fields(), found.fields());
    (0..one.len().max(other.len())).find_map(|place| {
        let differs = |column: &str, problem: &str| {
            Some(Place::Column { column: column.to_owned(), problem: problem.to_owned() })
        };
        match (one.get(place), other.get(place)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) if one.name != other.name => {
                differs(&one.name, &format!("`{}` stands in its place", cut(&other.name)))
            }
            (Some(one), Some(_)) => differs(&one.name, "it has another type or role"),
            (Some(one), None) => differs(&one.name, "it is missing"),
            (None, Some(other)) => differs(&other.name, "it is not on record"),
            (None, None) => None,
        }
    })
}

/// Returns the first difference in a column, among the rows that both tables have.
fn column(recorded: &Table, found: &Table, (index, name): (usize, &str)) -> Result<Option<Place>, StoreError> {
    let rows = recorded.rows().min(found.rows());
    let mut start = 0;
    while start < rows {
        let most = usize::try_from(rows - start).unwrap_or(usize::MAX).min(recorded.schema().chunk_rows());
        let (one, other) = (recorded.read(start, most, Some(&[index]))?, found.read(start, most, Some(&[index]))?);
        let length = one.num_rows().min(other.num_rows());
        let (one, other) = (one.column(0).slice(0, length), other.column(0).slice(0, length));
        if let Some(place) = (0..length).find(|&row| cell(&one, row) != cell(&other, row)) {
            return Ok(Some(Place::Cell {
                column: name.to_owned(),
                row: start + place as u64,
                recorded_value: cell(&one, place).shown(),
                found_value: cell(&other, place).shown(),
            }));
        }
        if let (Some(one), Some(other)) = (categories(&one), categories(&other))
            && one != other
        {
            let problem = "its list of categories differs".to_owned();
            return Ok(Some(Place::Column { column: name.to_owned(), problem }));
        }
        start += length as u64;
    }
    Ok(None)
}

/// Returns the list of categories of a categorical column.
fn categories(column: &ArrayRef) -> Option<&ArrayRef> {
    Some(column.as_dictionary_opt::<Int32Type>()?.values())
}

/// The value of a cell. Numbers are equal if their bits are.
#[derive(PartialEq)]
enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Bits(u64),
    Text(&'a str),
    /// A type that tables do not have.
    Unknown,
}

fn cell(column: &ArrayRef, row: usize) -> Cell<'_> {
    if column.is_null(row) {
        return Cell::Null;
    }
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        Cell::Bits(values.value(row).to_bits())
    } else if let Some(values) = column.as_primitive_opt::<Int64Type>() {
        Cell::Integer(values.value(row))
    } else if let Some(values) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        Cell::Integer(values.value(row))
    } else if let Some(values) = column.as_boolean_opt() {
        Cell::Boolean(values.value(row))
    } else if let Some(values) = column.as_string_opt::<i32>() {
        Cell::Text(values.value(row))
    } else if let Some(values) = column.as_dictionary_opt::<Int32Type>() {
        let code = usize::try_from(values.keys().value(row)).ok();
        let text = values.values().as_string_opt::<i32>();
        let found = text.zip(code).filter(|(text, code)| *code < text.len());
        found.map_or(Cell::Unknown, |(text, code)| Cell::Text(text.value(code)))
    } else {
        Cell::Unknown
    }
}

impl Cell<'_> {
    /// Returns the value as JSON. A number that JSON cannot represent becomes a string.
    fn shown(&self) -> Value {
        match self {
            Self::Null | Self::Unknown => Value::Null,
            Self::Boolean(value) => (*value).into(),
            Self::Integer(value) => (*value).into(),
            Self::Bits(bits) => {
                let number = f64::from_bits(*bits);
                let plain = serde_json::Number::from_f64(number).map(Value::Number);
                plain.unwrap_or_else(|| format!("{number} ({bits:#018x})").into())
            }
            Self::Text(text) => cut(text).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, RecordBatch, StringArray};
    use serde_json::json as value;
    use stagewright_store::{DataType, Field, Home};

    use super::*;

    fn table(staging: &Staging, columns: [(&str, Vec<Option<f64>>); 2], text: &[&str]) -> Table {
        let fields = columns.iter().map(|(name, _)| Field::new(*name, DataType::Float64).with_nullable(true));
        let fields = fields.chain([Field::new("text", DataType::Utf8)]).collect();
        let schema = Schema::new(fields).expect("a schema");
        let numbers = columns.into_iter().map(|(_, values)| Arc::new(Float64Array::from(values)) as ArrayRef);
        let arrays = numbers.chain([Arc::new(StringArray::from(text.to_vec())) as ArrayRef]).collect();
        let rows = RecordBatch::try_new(schema.to_arrow(), arrays).expect("rows");
        let mut writer = staging.create_table(&schema).expect("a table");
        writer.write(&rows).expect("rows");
        writer.finish().expect("a table")
    }

    #[test]
    fn tables_differ_first_by_columns_then_by_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Home::open(folder.path()).expect("a home").artifacts.stage();
        let plain = || [("x", vec![Some(1.0), None, Some(0.0)]), ("y", vec![Some(4.0), Some(5.0), Some(6.0)])];
        let base = table(&staging, plain(), &["a", "b", "c"]);
        let differ = |columns, text: &[&str]| tables(&base, &table(&staging, columns, text)).expect("tables");
        assert_eq!(differ(plain(), &["a", "b", "c"]), None);
        let cell = |column: &str, row, recorded_value, found_value| {
            Some(Place::Cell { column: column.to_owned(), row, recorded_value, found_value })
        };
        // Columns are compared one after the other.
        let [mut x, mut y] = plain();
        (x.1[2], y.1[0]) = (Some(-0.0), Some(7.0));
        assert_eq!(differ([x, y], &["a", "b", "c"]), cell("x", 2, value!(0.0), value!(-0.0)));
        let [mut x, y] = plain();
        x.1[1] = Some(f64::NAN);
        let Some(Place::Cell { row: 1, recorded_value: Value::Null, found_value, .. }) =
            differ([x, y], &["a", "b", "c"])
        else {
            panic!("a null became a number")
        };
        assert!(found_value.as_str().is_some_and(|text| text.starts_with("NaN (0x7ff8")), "{found_value}");
        assert_eq!(differ(plain(), &["a", "b", "d"]), cell("text", 2, value!("c"), value!("d")));
        let [x, y] = plain();
        let (short, text) = ([(x.0, x.1[..2].to_vec()), (y.0, y.1[..2].to_vec())], ["a", "b"]);
        assert_eq!(differ(short, &text), Some(Place::Rows { row: 2, recorded_rows: 3, found_rows: 2 }));
        let [x, y] = plain();
        let problem = "`z` stands in its place".to_owned();
        let renamed = differ([x, ("z", y.1)], &["a", "b", "c"]);
        assert_eq!(renamed, Some(Place::Column { column: "y".to_owned(), problem }));
    }

    #[test]
    fn documents_differ_first_by_path_and_blobs_by_offset() {
        let base = value!({ "a": [1, { "b c": null }], "d": { "e": true } });
        let differ = |other: &Value| match json(&base, other, "$") {
            Some(Place::Json { path, recorded_value, found_value }) => Some((path, recorded_value, found_value)),
            None => None,
            place => panic!("{place:?}"),
        };
        assert_eq!(differ(&base), None);
        let at = |path: &str, recorded, found| Some((path.to_owned(), recorded, found));
        let other = value!({ "a": [1, { "b c": 2 }], "d": {} });
        assert_eq!(differ(&other), at("$.a[1][\"b c\"]", Value::Null, value!(2)));
        assert_eq!(differ(&value!({ "a": base["a"], "d": {} })), at("$.d.e", value!(true), Value::Null));
        assert_eq!(differ(&value!({ "a": [1], "d": 0 })), at("$.a[1]", value!({ "b c": null }), Value::Null));
        let long = vec![7; PIECE + 10];
        let mut other = long.clone();
        assert_eq!(bytes(&long[..], &other[..]).expect("slices"), None);
        other[PIECE + 3] ^= 1;
        assert_eq!(bytes(&long[..], &other[..]).expect("slices"), Some(PIECE as u64 + 3));
        assert_eq!(bytes(&long[..], &long[..5]).expect("slices"), Some(5));
    }
}
