#![no_main]
//! Arbitrary columns against arbitrary schemas: refused, or valid Arrow that crosses back to a guest unchanged.

use arbitrary::Arbitrary;
use arrow_array::Array as _;
use libfuzzer_sys::fuzz_target;
use stagewright_store::{
    DataType, Field, MAX_BATCH_BYTES, RawColumn, RawValues, Schema, check, raw_columns, rows_within,
};

#[derive(Arbitrary, Debug)]
struct Sent {
    rows: u16,
    columns: Vec<Column>,
    /// Whether the schema is made of the columns, as an honest guest's is.
    honest: bool,
    fields: Vec<(u8, bool)>,
}

#[derive(Arbitrary, Debug)]
struct Column {
    values: Values,
    validity: Option<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
enum Values {
    Boolean(Vec<u8>),
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Utf8 {
        offsets: Vec<i32>,
        bytes: Vec<u8>,
    },
    /// Offsets that fit their bytes, so that text is reached.
    Text(Vec<Vec<u8>>),
    Categorical {
        codes: Vec<i32>,
        offsets: Vec<i32>,
        bytes: Vec<u8>,
    },
    Categories {
        codes: Vec<u8>,
        categories: Vec<String>,
    },
    Timestamp(Vec<i64>),
}

fn joined<T: AsRef<[u8]>>(texts: &[T]) -> (Vec<i32>, Vec<u8>) {
    let bytes = texts.iter().flat_map(|text| text.as_ref().iter().copied()).collect();
    let ends = texts.iter().scan(0, |end, text| {
        *end += text.as_ref().len() as i32;
        Some(*end)
    });
    (std::iter::once(0).chain(ends).collect(), bytes)
}

fn raw(column: Column) -> RawColumn {
    let values = match column.values {
        Values::Boolean(bits) => RawValues::Boolean(bits),
        Values::Int64(values) => RawValues::Int64(values),
        Values::Float64(values) => RawValues::Float64(values),
        Values::Utf8 { offsets, bytes } => RawValues::Utf8 { offsets, bytes },
        Values::Text(texts) => {
            let (offsets, bytes) = joined(&texts);
            RawValues::Utf8 { offsets, bytes }
        }
        Values::Categorical { codes, offsets, bytes } => RawValues::Categorical { codes, offsets, bytes },
        Values::Categories { codes, categories } => {
            let (offsets, bytes) = joined(&categories);
            RawValues::Categorical { codes: codes.into_iter().map(i32::from).collect(), offsets, bytes }
        }
        Values::Timestamp(values) => RawValues::Timestamp(values),
    };
    RawColumn { values, validity: column.validity }
}

fn data_type(number: u8) -> DataType {
    let all = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Categorical,
        DataType::Timestamp,
    ];
    all[usize::from(number) % all.len()]
}

/// How many rows the first column seems to stand for.
fn rows_of(columns: &[RawColumn]) -> Option<usize> {
    Some(match &columns.first()?.values {
        RawValues::Boolean(bits) => bits.len() * 8,
        RawValues::Int64(values) | RawValues::Timestamp(values) => values.len(),
        RawValues::Float64(values) => values.len(),
        RawValues::Utf8 { offsets, .. } => offsets.len().saturating_sub(1),
        RawValues::Categorical { codes, .. } => codes.len(),
    })
}

fuzz_target!(|sent: Sent| {
    let columns: Vec<RawColumn> = sent.columns.into_iter().map(raw).collect();
    let types: Vec<(DataType, bool)> = if sent.honest {
        columns.iter().map(|column| (column.values.data_type(), column.validity.is_some())).collect()
    } else {
        sent.fields.iter().map(|&(number, nullable)| (data_type(number), nullable)).collect()
    };
    let field = |(index, (data_type, nullable)): (usize, (DataType, bool))| {
        Field::new(format!("c{index}"), data_type).with_nullable(nullable)
    };
    let schema = Schema::new(types.into_iter().enumerate().map(field).collect()).expect("names differ");
    let rows = if sent.honest { rows_of(&columns).unwrap_or_default() } else { usize::from(sent.rows) };
    let batch = match check(rows, columns, &schema) {
        Ok(batch) => batch,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return;
        }
    };
    assert_eq!(batch.num_rows(), rows);
    for column in batch.columns() {
        column.to_data().validate_full().expect("what is accepted is valid");
    }
    let out = raw_columns(&batch).expect("types of tables");
    let again = check(rows, out.clone(), &schema).expect("what the host sends, it accepts");
    // NaN is no equal of itself; its bytes are.
    let again = raw_columns(&again).expect("types of tables");
    assert_eq!(format!("{out:?}"), format!("{again:?}"), "another crossing changes nothing");
    assert_eq!(rows_within(&batch, MAX_BATCH_BYTES).expect("types of tables"), rows);
});
