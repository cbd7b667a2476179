//! Batches that are wrong in one way each.

use stagewright_kit::bindings::stagewright::stage::types;
use stagewright_kit::{Batch, Column, DataType, Failure, Field, Values, packed};

use crate::Forgery;

/// Pieces of a batch start at multiples of this.
const ALIGNMENT: usize = 8;

/// Spoils a valid batch that has columns of all types of the suite's table.
pub(crate) fn forge(fields: &[Field], mut batch: Batch, forgery: Forgery) -> Result<types::Batch, Failure> {
    spoil_values(&mut batch, forgery)?;
    let mut forged = packed::encode(fields, &batch)?;
    match forgery {
        Forgery::OneRowMore => forged.rows += 1,
        Forgery::BillionsOfRows => forged.rows = u32::MAX,
        Forgery::ColumnMissing => {
            let last = fields.len() - 1;
            forged.bytes.truncate(place(fields, &batch, last)?);
        }
        Forgery::CutShort => forged.bytes.truncate(forged.bytes.len() - ALIGNMENT),
        Forgery::Trailing => forged.bytes.extend([0; ALIGNMENT]),
        Forgery::Padding => {
            let gap = gap(fields, &batch)?;
            forged.bytes[gap] = 1;
        }
        Forgery::CategoriesNegative => set_categories(fields, &batch, &mut forged, |_| -1)?,
        Forgery::CategoriesMore => set_categories(fields, &batch, &mut forged, |count| count + 1000)?,
        Forgery::CategoriesBillions => set_categories(fields, &batch, &mut forged, |_| 1 << 31)?,
        Forgery::CategoriesEndless => set_categories(fields, &batch, &mut forged, |_| i64::MAX)?,
        _ => {}
    }
    Ok(forged)
}

/// Applies a forgery that leaves the layout valid.
fn spoil_values(batch: &mut Batch, forgery: Forgery) -> Result<(), Failure> {
    match forgery {
        Forgery::OffsetsStart => offsets(batch)?[0] = 1,
        Forgery::OffsetsFall => {
            let offsets = offsets(batch)?;
            offsets[2] = offsets[1] - 1;
        }
        Forgery::OffsetNegative => offsets(batch)?[1] = i32::MIN,
        Forgery::OffsetsEnd => {
            if let Some(last) = offsets(batch)?.last_mut() {
                *last = i32::MAX;
            }
        }
        Forgery::TextNotUtf8 => {
            if let Values::Utf8(strings) = &mut column(batch, DataType::Utf8)?.values {
                strings.bytes[0] = 0xff;
            }
        }
        Forgery::CodeTooLarge => codes(batch)?[3] = i32::MAX,
        Forgery::CodeNegative => codes(batch)?[3] = -1,
        Forgery::CategoryTwice | Forgery::CategoryNotUtf8 => {
            if let Values::Categorical(column) = &mut column(batch, DataType::Categorical)?.values {
                let (bytes, ends): (&[u8], _) = if forgery == Forgery::CategoryTwice {
                    (b"sametwo-same", [0, 4, 8, 12])
                } else {
                    (b"same\xff\xfe\xfdfour", [0, 4, 7, 11])
                };
                column.categories.bytes = bytes.to_vec();
                column.categories.offsets = ends.to_vec();
                column.codes.fill(0);
            }
        }
        Forgery::TrailingBits => {
            if let Values::Boolean(bits) = &mut column(batch, DataType::Boolean)?.values
                && let Some(last) = bits.last_mut()
            {
                *last = 0xff;
            }
        }
        Forgery::TooLarge => {
            if let Values::Utf8(strings) = &mut column(batch, DataType::Utf8)?.values {
                strings.bytes = vec![b'x'; 9_000_000];
                if let Some(last) = strings.offsets.last_mut() {
                    *last = 9_000_000;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns where a column's bytes start.
fn place(fields: &[Field], batch: &Batch, column: usize) -> Result<usize, Failure> {
    let before = Batch { rows: batch.rows, columns: batch.columns[..column].to_vec() };
    Ok(packed::encode(&fields[..column], &before)?.bytes.len())
}

/// Returns where the values of the first column of a type start, after its validity.
fn values_of(fields: &[Field], batch: &Batch, data_type: DataType) -> Result<usize, Failure> {
    let column = fields
        .iter()
        .position(|field| field.data_type == data_type)
        .ok_or_else(|| Failure::internal(format!("there is no {data_type:?} column to spoil")))?;
    let validity = if fields[column].nullable { (batch.rows as usize).div_ceil(8) } else { 0 };
    Ok(place(fields, batch, column)? + validity.next_multiple_of(ALIGNMENT))
}

/// Returns the first padding byte after the codes or the offsets; one of the two has an odd count.
fn gap(fields: &[Field], batch: &Batch) -> Result<usize, Failure> {
    let rows = batch.rows as usize;
    if rows.is_multiple_of(2) {
        Ok(values_of(fields, batch, DataType::Utf8)? + 4 * (rows + 1))
    } else {
        Ok(values_of(fields, batch, DataType::Categorical)? + 4 * rows)
    }
}

/// Overwrites the number of categories.
fn set_categories(
    fields: &[Field],
    batch: &Batch,
    forged: &mut types::Batch,
    change: impl Fn(i64) -> i64,
) -> Result<(), Failure> {
    let codes = 4 * batch.rows as usize;
    let at = values_of(fields, batch, DataType::Categorical)? + codes.next_multiple_of(ALIGNMENT);
    let (count, _) = forged.bytes[at..].split_first_chunk_mut().ok_or_else(|| Failure::internal("no categories"))?;
    *count = change(i64::from_le_bytes(*count)).to_le_bytes();
    Ok(())
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
