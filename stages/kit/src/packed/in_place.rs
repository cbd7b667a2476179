//! Reads batches where they lie, and writes matrices where the host takes them. A call with few
//! rows costs mostly allocations and copies, and this makes one of each batch.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ALIGNMENT, Reader};
use crate::bindings::stagewright::stage::types;
use crate::column::bitmap;
use crate::{BatchView, ColumnView, DataType, Failure, Field, MatrixView, StringsView, ValuesView};

impl<'a> Reader<'a> {
    /// Returns a piece of `count` numbers where they lie. The bytes must be aligned.
    fn numbers_in_place<T: FromBytes + Immutable + KnownLayout>(&mut self, count: usize) -> Result<&'a [T], Failure> {
        let piece = self.piece(count.saturating_mul(size_of::<T>()))?;
        <[T]>::ref_from_bytes(piece).map_err(|_| Failure::internal("a batch is not aligned"))
    }

    fn strings_in_place(&mut self, count: usize) -> Result<StringsView<'a>, Failure> {
        let offsets: &[i32] = self.numbers_in_place(count.saturating_add(1))?;
        let end = offsets.last().and_then(|end| usize::try_from(*end).ok());
        let bytes = self.piece(end.ok_or_else(|| Failure::internal("a string ends before it begins"))?)?;
        Ok(StringsView { offsets, bytes })
    }

    /// Returns a column where it lies. The bytes must be aligned.
    fn column_in_place(&mut self, field: &Field, rows: usize) -> Result<ColumnView<'a>, Failure> {
        let mut validity = None;
        if field.nullable {
            validity = Some(self.bits(rows, &(0..rows))?).filter(|bits| bitmap::zeros(bits, rows) > 0);
        }
        let values = match field.data_type {
            DataType::Boolean => ValuesView::Boolean(self.bits(rows, &(0..rows))?),
            DataType::Int64 => ValuesView::Int64(self.numbers_in_place(rows)?),
            DataType::Float64 => ValuesView::Float64(self.numbers_in_place(rows)?),
            DataType::Timestamp => ValuesView::Timestamp(self.numbers_in_place(rows)?),
            DataType::Utf8 => ValuesView::Utf8(self.strings_in_place(rows)?),
            DataType::Categorical => {
                let codes = self.numbers_in_place(rows)?;
                let count = self.category_count()?;
                ValuesView::Categorical { codes, categories: self.strings_in_place(count)? }
            }
        };
        Ok(ColumnView { values, validity })
    }
}

/// Returns whether all fields are float64 without nulls, so that a batch is a matrix.
pub(crate) fn is_matrix(fields: &[Field]) -> bool {
    fields.iter().all(|field| field.data_type == DataType::Float64 && !field.nullable)
}

/// Returns `bytes`, or an aligned copy of them in `copy`. Allocators align what they allocate, so a
/// copy is an exception.
fn aligned<'a>(bytes: &'a [u8], copy: &'a mut Vec<u64>) -> &'a [u8] {
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        return bytes;
    }
    copy.resize(bytes.len().div_ceil(ALIGNMENT), 0);
    let copy = copy.as_mut_bytes();
    copy[..bytes.len()].copy_from_slice(bytes);
    &copy[..bytes.len()]
}

/// Passes a view of a batch with these fields to `see`.
///
/// # Errors
/// As for [`decode`](super::decode); the error of `see`.
pub(crate) fn with_view<T>(
    fields: &[Field],
    batch: &types::Batch,
    see: impl FnOnce(&BatchView<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    const { assert!(cfg!(target_endian = "little"), "numbers in a batch are little-endian") }
    let mut copy = Vec::new();
    let mut reader = Reader { bytes: aligned(&batch.bytes, &mut copy), at: 0 };
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(reader.column_in_place(field, batch.rows as usize)?);
    }
    see(&BatchView { rows: batch.rows, columns })
}

/// Passes a view of a batch of `width` float64 columns without nulls to `see`.
///
/// # Errors
/// As for [`decode`](super::decode); the error of `see`.
pub(crate) fn with_matrix<T>(
    width: usize,
    batch: &types::Batch,
    see: impl FnOnce(MatrixView<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    const { assert!(cfg!(target_endian = "little"), "numbers in a batch are little-endian") }
    let mut copy = Vec::new();
    let numbers = <[f64]>::ref_from_bytes(aligned(&batch.bytes, &mut copy));
    let numbers = numbers.map_err(|_| Failure::internal("a batch has other bytes than its fields say"))?;
    see(MatrixView::new(batch.rows as usize, width, numbers)?)
}

/// Makes a batch of `width` float64 columns without nulls. `fill` writes the numbers, column after
/// column, over zeros.
///
/// # Errors
/// The error of `fill`.
pub(crate) fn encode_matrix(
    rows: u32,
    width: usize,
    fill: impl FnOnce(&mut [f64]) -> Result<(), Failure>,
) -> Result<types::Batch, Failure> {
    const { assert!(cfg!(target_endian = "little"), "numbers in a batch are little-endian") }
    let count = (rows as usize).saturating_mul(width);
    let mut bytes = vec![0u8; count.saturating_mul(8)];
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        let numbers = <[f64]>::mut_from_bytes(&mut bytes).map_err(|_| Failure::internal("no room for a batch"))?;
        fill(numbers)?;
    } else {
        let mut numbers = vec![0.0; count];
        fill(&mut numbers)?;
        bytes.copy_from_slice(numbers.as_bytes());
    }
    Ok(types::Batch { rows, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::packed::{encode, tests::every_type};

    #[test]
    fn a_view_of_a_batch_is_the_decoded_batch() {
        let (fields, batch) = every_type();
        let crossed = encode(&fields, &batch).unwrap();
        with_view(&fields, &crossed, |view| {
            assert_eq!(view.to_batch(), batch);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn bytes_at_any_address_are_viewed_alike() {
        let bytes: Vec<u8> = (0..64).collect();
        for start in 0..ALIGNMENT {
            let mut copy = Vec::new();
            let found = aligned(&bytes[start..start + 48], &mut copy);
            assert_eq!(found, &bytes[start..start + 48]);
            assert_eq!(found.as_ptr().align_offset(ALIGNMENT), 0);
        }
    }

    #[test]
    fn a_matrix_is_written_and_seen_in_place() {
        let fields = vec![Field::required("a", DataType::Float64), Field::required("b", DataType::Float64)];
        let fill = |numbers: &mut [f64]| {
            assert_eq!(numbers, [0.0; 6]);
            numbers[1] = 0.5;
            numbers[5] = -0.0;
            Ok(())
        };
        let batch = encode_matrix(3, 2, fill).unwrap();
        let columns = vec![vec![0.0, 0.5, 0.0].into(), vec![0.0, 0.0, -0.0].into()];
        assert_eq!(batch.bytes, encode(&fields, &Batch::new(3, columns)).unwrap().bytes);
        let seen = with_matrix(2, &batch, |matrix| Ok((matrix.rows(), matrix.column(0).to_vec()))).unwrap();
        assert_eq!(seen, (3, vec![0.0, 0.5, 0.0]));
        assert!(with_matrix(3, &batch, |_| Ok(())).is_err());
        let cut = types::Batch { rows: 3, bytes: batch.bytes[..47].to_vec() };
        assert!(with_matrix(2, &cut, |_| Ok(())).is_err());
    }
}
