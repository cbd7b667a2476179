//! Batches as bytes, without a look at the fields that they are meant for.

use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{Batch, Strings, Values};

fn piece(bytes: &mut Vec<u8>, piece: impl IntoIterator<Item = u8>) {
    bytes.extend(piece);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn strings(bytes: &mut Vec<u8>, strings: &Strings) {
    piece(bytes, strings.offsets.iter().flat_map(|offset| offset.to_le_bytes()));
    piece(bytes, strings.bytes.iter().copied());
}

/// Writes what the columns hold, whatever it is. A column has a validity where it brings one.
pub(crate) fn raw(batch: &Batch) -> types::Batch {
    let mut bytes = Vec::new();
    for column in &batch.columns {
        if let Some(bits) = &column.validity {
            piece(&mut bytes, bits.iter().copied());
        }
        match &column.values {
            Values::Boolean(bits) => piece(&mut bytes, bits.iter().copied()),
            Values::Int64(values) | Values::Timestamp(values) => {
                piece(&mut bytes, values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Values::Float64(values) => piece(&mut bytes, values.iter().flat_map(|value| value.to_le_bytes())),
            Values::Utf8(text) => strings(&mut bytes, text),
            Values::Categorical(column) => {
                piece(&mut bytes, column.codes.iter().flat_map(|code| code.to_le_bytes()));
                let count = column.categories.offsets.len() as u64 - 1;
                piece(&mut bytes, count.to_le_bytes());
                strings(&mut bytes, &column.categories);
            }
        }
    }
    types::Batch { rows: batch.rows, bytes }
}
