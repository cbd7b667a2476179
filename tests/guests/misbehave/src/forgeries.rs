//! Batches that are wrong in one way each.

use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{Batch, Column, DataType, Failure, Values};

use crate::Forgery;
use crate::raw::raw;

/// Spoils a batch that is right and has columns of all types of the suite's table.
pub(crate) fn forge(batch: Batch, forgery: Forgery) -> Result<types::Batch, Failure> {
    Ok(spoil_bytes(raw(&spoil(batch, forgery)?), forgery))
}

fn spoil(mut batch: Batch, forgery: Forgery) -> Result<Batch, Failure> {
    let rows = batch.rows as usize;
    match forgery {
        Forgery::OneRowMore => batch.rows += 1,
        Forgery::BillionsOfRows => batch.rows = u32::MAX,
        Forgery::ColumnMissing => drop(batch.columns.pop()),
        Forgery::OffsetsStart => offsets(&mut batch)?[0] = 1,
        Forgery::OffsetsFall => {
            let offsets = offsets(&mut batch)?;
            offsets[2] = offsets[1] - 1;
        }
        Forgery::OffsetNegative => offsets(&mut batch)?[1] = i32::MIN,
        Forgery::OffsetsEnd => {
            if let Some(last) = offsets(&mut batch)?.last_mut() {
                // Past the gap after the text, and into the next piece.
                *last += 64;
            }
        }
        Forgery::OffsetMissing => drop(offsets(&mut batch)?.pop()),
        Forgery::TextNotUtf8 => {
            if let Values::Utf8(strings) = &mut column(&mut batch, DataType::Utf8)?.values {
                strings.bytes[0] = 0xff;
            }
        }
        Forgery::CodeTooLarge => codes(&mut batch)?[3] = i32::MAX,
        Forgery::CodeNegative => codes(&mut batch)?[3] = -1,
        Forgery::CategoryTwice | Forgery::CategoryNotUtf8 => {
            if let Values::Categorical(column) = &mut column(&mut batch, DataType::Categorical)?.values {
                let bytes: &[u8] =
                    if forgery == Forgery::CategoryTwice { b"sametwo-same" } else { b"same\xff\xfe\xfdfour" };
                let ends = if forgery == Forgery::CategoryTwice { [0, 4, 8, 12] } else { [0, 4, 7, 11] };
                column.categories.bytes = bytes.to_vec();
                column.categories.offsets = ends.to_vec();
                if forgery == Forgery::CategoryTwice {
                    column.categories.bytes[8..].copy_from_slice(b"same");
                }
                column.codes.fill(0);
            }
        }
        Forgery::TrailingBits => {
            if let Values::Boolean(bits) = &mut column(&mut batch, DataType::Boolean)?.values
                && let Some(last) = bits.last_mut()
            {
                *last = 0xff;
            }
        }
        Forgery::CutShort
        | Forgery::Trailing
        | Forgery::Padding
        | Forgery::CategoryCountNegative
        | Forgery::CategoryCountHuge => {}
        Forgery::NullWhereNone => {
            let mut validity = vec![0xff; rows.div_ceil(8)];
            validity[0] = 0b1111_1011;
            if let Some(last) = validity.last_mut()
                && !rows.is_multiple_of(8)
            {
                *last &= (1 << (rows % 8)) - 1;
            }
            column(&mut batch, DataType::Float64)?.validity = Some(validity);
        }
        Forgery::TooLarge => {
            if let Values::Utf8(strings) = &mut column(&mut batch, DataType::Utf8)?.values {
                strings.bytes = vec![b'x'; 9_000_000];
                if let Some(last) = strings.offsets.last_mut() {
                    *last = 9_000_000;
                }
            }
        }
    }
    Ok(batch)
}

/// Spoils the bytes of the suite's table: x, y, plan, note, flag.
fn spoil_bytes(mut batch: types::Batch, forgery: Forgery) -> types::Batch {
    let rows = batch.rows as usize;
    // After two columns of doubles and the codes.
    let categories = 2 * 8 * rows + (4 * rows).next_multiple_of(8);
    let mut put = |at: usize, bytes: [u8; 8]| {
        if let Some(place) = batch.bytes.get_mut(at..at + 8) {
            place.copy_from_slice(&bytes);
        }
    };
    match forgery {
        Forgery::CategoryCountNegative => put(categories, (-1i64).to_le_bytes()),
        Forgery::CategoryCountHuge => put(categories, i64::MAX.to_le_bytes()),
        Forgery::CutShort => batch.bytes.truncate(batch.bytes.len() - 8),
        Forgery::Trailing => batch.bytes.extend([0; 8]),
        Forgery::Padding => {
            // The last piece is a bitmap, shorter than its place.
            if let Some(last) = batch.bytes.last_mut() {
                *last = 1;
            }
        }
        _ => {}
    }
    batch
}

fn column(batch: &mut Batch, wanted: DataType) -> Result<&mut Column, Failure> {
    batch
        .columns
        .iter_mut()
        .find(|column| column.values.data_type() == wanted)
        .ok_or_else(|| Failure::internal(format!("there is no {wanted:?} column to spoil")))
}

fn offsets(batch: &mut Batch) -> Result<&mut Vec<i32>, Failure> {
    match &mut column(batch, DataType::Utf8)?.values {
        Values::Utf8(strings) => Ok(&mut strings.offsets),
        _ => Err(Failure::internal("no text to spoil")),
    }
}

fn codes(batch: &mut Batch) -> Result<&mut Vec<i32>, Failure> {
    match &mut column(batch, DataType::Categorical)?.values {
        Values::Categorical(column) => Ok(&mut column.codes),
        _ => Err(Failure::internal("no codes to spoil")),
    }
}
