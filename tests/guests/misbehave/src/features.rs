//! Features that cost the host more than the stage: many, and long ones.

use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{Batch, Categorical, Column, DataType, Failure, Field, Strings, Values, packed};

/// The declaration of [`long_rows`].
pub(crate) fn long_features() -> Vec<Field> {
    vec![Field { name: "text".into(), data_type: DataType::Utf8, nullable: false }]
}

/// Rows of one long text each, one at a time: of more, it returns too much for a crossing, and is
/// asked for fewer. Then it has `length` bytes.
pub(crate) fn long_rows(rows: u32, length: i32) -> Result<types::Batch, Failure> {
    let length = if rows > 1 { 9 << 20 } else { length };
    let mut offsets = vec![0; rows as usize];
    offsets.push(length);
    let text = Strings { offsets, bytes: vec![b'x'; length as usize] };
    let column = Column { values: Values::Utf8(text), validity: None };
    packed::encode(&long_features(), &Batch { rows, columns: vec![column] })
}

/// How many features `wide-features` declares.
const WIDE: usize = 8192;

/// The declaration of as many features.
pub(crate) fn wide_features() -> Vec<Field> {
    (0..WIDE)
        .map(|number| Field { name: number.to_string(), data_type: DataType::Categorical, nullable: true })
        .collect()
}

/// Rows of them, as cheap as they can be made: the host has a dictionary to check in each.
pub(crate) fn wide_rows(rows: u32) -> Result<types::Batch, Failure> {
    let categories = Strings { offsets: vec![0, 1], bytes: vec![b'x'] };
    let values = Values::Categorical(Categorical { codes: vec![0; rows as usize], categories });
    let column = Batch { rows, columns: vec![Column { values, validity: None }] };
    let one = packed::encode(&wide_features()[..1], &column)?;
    // Every column begins at a multiple of 8, so it looks the same in any place.
    Ok(types::Batch { rows, bytes: one.bytes.repeat(WIDE) })
}
