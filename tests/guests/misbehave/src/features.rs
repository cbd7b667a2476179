//! Features that cost the host more than the stage: many features, and long ones.

use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{Batch, Categorical, Column, DataType, Failure, Field, Strings, Values, packed};

/// Returns the declaration of [`long_rows`].
pub(crate) fn long_features() -> Vec<Field> {
    vec![Field { name: "text".into(), data_type: DataType::Utf8, nullable: false }]
}

/// Returns one long text per row. For more rows than one it exceeds a batch, so that the host asks
/// for fewer. The text of a single row has `length` bytes.
pub(crate) fn long_rows(rows: u32, length: i32) -> Result<types::Batch, Failure> {
    let length = if rows > 1 { 9 << 20 } else { length };
    let mut offsets = vec![0; rows as usize];
    offsets.push(length);
    let text = Strings { offsets, bytes: vec![b'x'; length as usize] };
    let column = Column { values: Values::Utf8(text), validity: None };
    packed::encode(&long_features(), &Batch { rows, columns: vec![column] })
}

/// The number of features that `wide-features` declares.
const WIDE: usize = 8192;

/// Returns the declaration of that many features.
pub(crate) fn wide_features() -> Vec<Field> {
    (0..WIDE)
        .map(|number| Field { name: number.to_string(), data_type: DataType::Categorical, nullable: true })
        .collect()
}

/// Returns rows that are cheap to make. The host must check a dictionary in each column.
pub(crate) fn wide_rows(rows: u32) -> Result<types::Batch, Failure> {
    let categories = Strings { offsets: vec![0, 1], bytes: vec![b'x'] };
    let values = Values::Categorical(Categorical { codes: vec![0; rows as usize], categories });
    let column = Batch { rows, columns: vec![Column { values, validity: None }] };
    let one = packed::encode(&wide_features()[..1], &column)?;
    // Every column starts at a multiple of 8, so its bytes are the same at each position.
    Ok(types::Batch { rows, bytes: one.bytes.repeat(WIDE) })
}
