//! Features that cost the host more than the stage: many, and long ones.

use stagewright_kit::{Batch, Categorical, Column, DataType, Field, Strings, Values, bitmap};

/// Rows of one long text each, one at a time: of more, it returns too much for a crossing, and is asked
/// for fewer.
pub(crate) fn long_rows(rows: usize) -> Batch {
    let length = if rows > 1 { 9 << 20 } else { 4 << 20 };
    let mut offsets = vec![0; rows];
    offsets.push(length);
    let text = Strings { offsets, bytes: vec![b'x'; length as usize] };
    Batch { rows: rows as u32, columns: vec![Column { values: Values::Utf8(text), validity: None }] }
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
pub(crate) fn wide_rows(rows: usize) -> Batch {
    let categories = Strings { offsets: vec![0, 1], bytes: vec![b'x'] };
    let column = Column::from(Values::Categorical(Categorical { codes: vec![0; rows], categories }));
    // Its field may hold nulls.
    let column = Column { validity: Some(bitmap::pack(std::iter::repeat_n(true, rows))), ..column };
    Batch { rows: rows as u32, columns: vec![column; WIDE] }
}
