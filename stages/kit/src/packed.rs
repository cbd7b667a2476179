//! Encodes and decodes batches as the contract passes them: one list of bytes, laid out by the
//! fields and the number of rows (WIT `types.batch`).
//!
//! The host checks every batch that it passes to or gets from a stage. So [`decode`] refuses
//! invalid bytes without a detailed explanation.

use std::ops::Range;

use crate::bindings::stagewright::stage::types;
use crate::column::bitmap;
use crate::{Batch, Categorical, Column, DataType, Failure, Field, Strings, Values};

mod in_place;

pub(crate) use in_place::{encode_matrix, is_matrix, with_matrix, with_view};

/// The alignment of the pieces of a batch in bytes.
const ALIGNMENT: usize = 8;

/// Reads a batch piece by piece.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn piece(&mut self, length: usize) -> Result<&'a [u8], Failure> {
        let piece = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let piece = piece.ok_or_else(|| Failure::internal("a batch is shorter than its fields say"))?;
        self.at += length.next_multiple_of(ALIGNMENT);
        Ok(piece)
    }

    /// Reads a piece of `rows` words and returns those of `part`.
    fn words<T>(&mut self, rows: usize, part: Range<usize>, word: impl Fn([u8; 8]) -> T) -> Result<Vec<T>, Failure> {
        let (words, _) = self.piece(rows.saturating_mul(8))?.as_chunks::<8>();
        Ok(words[part].iter().map(|bytes| word(*bytes)).collect())
    }

    /// Reads a piece of `count` numbers and returns those of `part`.
    fn numbers(&mut self, count: usize, part: Range<usize>) -> Result<Vec<i32>, Failure> {
        let (numbers, _) = self.piece(count.saturating_mul(4))?.as_chunks::<4>();
        Ok(numbers[part].iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    /// Reads the pieces of `count` strings and returns those of `part`.
    fn strings(&mut self, count: usize, part: Range<usize>) -> Result<Strings, Failure> {
        let wrong = || Failure::internal("a string ends before it begins");
        let (numbers, _) = self.piece((count + 1).saturating_mul(4))?.as_chunks::<4>();
        let offset = |place: usize| usize::try_from(i32::from_le_bytes(numbers[place])).map_err(|_| wrong());
        let (first, last, end) = (offset(part.start)?, offset(part.end)?, offset(count)?);
        let bytes = self.piece(end)?.get(first..last).ok_or_else(wrong)?;
        let offsets = numbers[part.start..=part.end].iter();
        // The first offset is an `i32` too, so the differences fit.
        let offsets = offsets.map(|offset| i32::from_le_bytes(*offset).wrapping_sub(first as i32)).collect();
        Ok(Strings { offsets, bytes: bytes.to_vec() })
    }

    /// Reads the bitmap of `rows` bits and returns the bytes of `part`, which starts at a multiple
    /// of 8 and ends at one or at `rows`.
    fn bits(&mut self, rows: usize, part: &Range<usize>) -> Result<&'a [u8], Failure> {
        Ok(&self.piece(rows.div_ceil(8))?[part.start / 8..part.end.div_ceil(8)])
    }

    fn column(&mut self, field: &Field, rows: usize, part: Range<usize>) -> Result<Column, Failure> {
        let mut validity = None;
        if field.nullable {
            let bits = self.bits(rows, &part)?;
            validity = (bitmap::zeros(bits, part.len()) > 0).then(|| bits.to_vec());
        }
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(self.bits(rows, &part)?.to_vec()),
            DataType::Int64 => Values::Int64(self.words(rows, part, i64::from_le_bytes)?),
            DataType::Float64 => Values::Float64(self.words(rows, part, f64::from_le_bytes)?),
            DataType::Timestamp => Values::Timestamp(self.words(rows, part, i64::from_le_bytes)?),
            DataType::Utf8 => Values::Utf8(self.strings(rows, part)?),
            DataType::Categorical => {
                let codes = self.numbers(rows, part)?;
                let count = self.category_count()?;
                Values::Categorical(Categorical { codes, categories: self.strings(count, 0..count)? })
            }
        };
        Ok(Column { values, validity })
    }

    /// Reads the number of categories.
    fn category_count(&mut self) -> Result<usize, Failure> {
        let count = self.words(1, 0..1, u64::from_le_bytes)?[0];
        let count = usize::try_from(count).ok().filter(|count| *count < self.bytes.len());
        count.ok_or_else(|| Failure::internal("a batch has more categories than bytes"))
    }

    /// Reads a column as numbers, with NaN for null. `numbers` has an element for each row.
    fn column_of_numbers(&mut self, field: &Field, numbers: &mut [f64]) -> Result<(), Failure> {
        let rows = numbers.len();
        let validity = if field.nullable { Some(self.bits(rows, &(0..rows))?) } else { None };
        match field.data_type {
            DataType::Float64 => {
                let (words, _) = self.piece(rows.saturating_mul(8))?.as_chunks::<8>();
                numbers.iter_mut().zip(words).for_each(|(number, word)| *number = f64::from_le_bytes(*word));
            }
            DataType::Int64 | DataType::Timestamp => {
                let (words, _) = self.piece(rows.saturating_mul(8))?.as_chunks::<8>();
                numbers.iter_mut().zip(words).for_each(|(number, word)| *number = i64::from_le_bytes(*word) as f64);
            }
            DataType::Boolean => {
                let bits = self.bits(rows, &(0..rows))?;
                numbers.iter_mut().enumerate().for_each(|(row, number)| *number = f64::from(bitmap::get(bits, row)));
            }
            DataType::Utf8 | DataType::Categorical => {
                return Err(Failure::data("the column holds text, not numbers").in_column(&field.name));
            }
        }
        if let Some(bits) = validity.filter(|bits| bitmap::zeros(bits, rows) > 0) {
            for (row, number) in numbers.iter_mut().enumerate() {
                if !bitmap::get(bits, row) {
                    *number = f64::NAN;
                }
            }
        }
        Ok(())
    }
}

/// Decodes a batch with these fields.
///
/// # Errors
/// `internal` if the bytes do not match the fields, which the host refuses.
pub fn decode(fields: &[Field], batch: &types::Batch) -> Result<Batch, Failure> {
    decode_rows(fields, batch, 0..batch.rows)
}

/// Decodes some rows of a batch. They start at a multiple of 8 and end at one or at the end of the
/// batch.
///
/// # Errors
/// As for [`decode`]; `internal` if the rows start or end elsewhere.
pub(crate) fn decode_rows(fields: &[Field], batch: &types::Batch, part: Range<u32>) -> Result<Batch, Failure> {
    let whole_bytes = part.start.is_multiple_of(8) && (part.end == batch.rows || part.end.is_multiple_of(8));
    if !whole_bytes || part.start > part.end || part.end > batch.rows {
        return Err(Failure::internal("a batch is read in parts of whole bytes of its bitmaps"));
    }
    let (rows, places) = (batch.rows as usize, part.start as usize..part.end as usize);
    let mut reader = Reader { bytes: &batch.bytes, at: 0 };
    let columns = fields.iter().map(|field| reader.column(field, rows, places.clone())).collect::<Result<_, _>>()?;
    Ok(Batch { rows: part.end - part.start, columns })
}

/// Decodes a batch of numbers into a matrix without building columns: column `i` is written to
/// `values[i * stride..]`, with NaN for null.
///
/// # Errors
/// As for [`decode`]; `data` if a column is text; `internal` if there is no room for the rows.
pub(crate) fn decode_into(
    fields: &[Field],
    batch: &types::Batch,
    values: &mut [f64],
    stride: usize,
) -> Result<(), Failure> {
    let rows = batch.rows as usize;
    let mut reader = Reader { bytes: &batch.bytes, at: 0 };
    for (place, field) in fields.iter().enumerate() {
        let numbers = values.get_mut(place * stride..).and_then(|values| values.get_mut(..rows));
        let numbers = numbers.ok_or_else(|| Failure::internal("a batch has more rows than were asked for"))?;
        reader.column_of_numbers(field, numbers)?;
    }
    Ok(())
}

/// Appends a piece and its padding.
fn piece(bytes: &mut Vec<u8>, piece: impl IntoIterator<Item = u8>) {
    bytes.extend(piece);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

/// Appends numbers of a fixed width and their padding.
fn words<const N: usize, T: Copy>(bytes: &mut Vec<u8>, values: &[T], word: impl Fn(T) -> [u8; N]) {
    let at = bytes.len();
    bytes.resize((at + values.len() * N).next_multiple_of(ALIGNMENT), 0);
    let (places, _) = bytes[at..].as_chunks_mut::<N>();
    places.iter_mut().zip(values).for_each(|(place, value)| *place = word(*value));
}

fn strings(bytes: &mut Vec<u8>, strings: &Strings) {
    words(bytes, &strings.offsets, i32::to_le_bytes);
    piece(bytes, strings.bytes.iter().copied());
}

/// Encodes a batch with these fields.
///
/// # Errors
/// `internal` if a column does not have its field's type, or has nulls that its field does not
/// allow.
pub fn encode(fields: &[Field], batch: &Batch) -> Result<types::Batch, Failure> {
    let rows = batch.len();
    if batch.columns.len() != fields.len() {
        let found = batch.columns.len();
        return Err(Failure::internal(format!("a batch of {found} columns for {} fields", fields.len())));
    }
    let mut bytes = Vec::with_capacity(rows.saturating_mul(8 * fields.len()));
    for (field, column) in fields.iter().zip(&batch.columns) {
        if column.data_type() != field.data_type {
            return Err(Failure::internal(format!("column `{}` has another type than its field", field.name)));
        }
        match &column.validity {
            Some(bits) if field.nullable => piece(&mut bytes, bits.iter().copied()),
            None if field.nullable => piece(&mut bytes, bitmap::pack(std::iter::repeat_n(true, rows))),
            Some(bits) if bitmap::zeros(bits, rows) > 0 => {
                return Err(Failure::internal(format!("column `{}` has nulls, and its field none", field.name)));
            }
            _ => {}
        }
        match &column.values {
            Values::Boolean(bits) => piece(&mut bytes, bits.iter().copied()),
            Values::Int64(values) | Values::Timestamp(values) => words(&mut bytes, values, i64::to_le_bytes),
            Values::Float64(values) => words(&mut bytes, values, f64::to_le_bytes),
            Values::Utf8(text) => strings(&mut bytes, text),
            Values::Categorical(column) => {
                words(&mut bytes, &column.codes, i32::to_le_bytes);
                let count = column.categories.offsets.len().saturating_sub(1);
                words(&mut bytes, &[count as u64], u64::to_le_bytes);
                strings(&mut bytes, &column.categories);
            }
        }
    }
    Ok(types::Batch { rows: batch.rows, bytes })
}

/// Encodes float64 columns without nulls. `numbers` are column after column.
#[must_use]
pub fn encode_numbers(rows: u32, numbers: &[f64]) -> types::Batch {
    let mut bytes = Vec::with_capacity(numbers.len() * 8);
    words(&mut bytes, numbers, f64::to_le_bytes);
    types::Batch { rows, bytes }
}

/// Decodes a batch of float64 columns without nulls. Returns the numbers column after column.
///
/// # Errors
/// `internal` if the batch holds anything else, which the host refuses.
pub(crate) fn decode_numbers(batch: &types::Batch) -> Result<Vec<f64>, Failure> {
    let mut reader = Reader { bytes: &batch.bytes, at: 0 };
    let count = batch.bytes.len() / 8;
    reader.words(count, 0..count, f64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryTable, Role};

    pub(super) fn every_type() -> (Vec<Field>, Batch) {
        let types = [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            DataType::Timestamp,
            DataType::Utf8,
            DataType::Categorical,
        ];
        let nulls = [true, false, true];
        let columns = || {
            [
                Column::boolean([true, false, true]),
                Column::from(vec![1i64, -2, i64::MAX]),
                Column::from(vec![0.1, -0.0, f64::MAX]),
                Column::timestamp(vec![0, 1, 2]),
                Column::from(Values::Utf8(Strings::collect(["a", "", "zwölf"]))),
                Column::categorical(vec![1, 0, 1], ["no", "yes", "never"]),
            ]
        };
        let fields = types.map(|data_type| Field::required("f", data_type)).into_iter();
        let fields = fields.chain(types.map(|data_type| Field::nullable("n", data_type))).collect();
        let columns = columns().into_iter().chain(columns().map(|column| column.with_validity(nulls))).collect();
        (fields, Batch::new(3, columns))
    }

    #[test]
    fn a_batch_of_every_type_survives_the_crossing() {
        let (fields, batch) = every_type();
        let crossed = encode(&fields, &batch).unwrap();
        assert_eq!(crossed.bytes.len() % ALIGNMENT, 0);
        assert_eq!(decode(&fields, &crossed).unwrap(), batch);
    }

    #[test]
    fn a_batch_that_is_cut_anywhere_is_refused() {
        let (fields, batch) = every_type();
        let whole = encode(&fields, &batch).unwrap();
        // The padding after the last piece is not read.
        for length in 0..whole.bytes.len() - ALIGNMENT {
            let cut = types::Batch { rows: 3, bytes: whole.bytes[..length].to_vec() };
            assert!(decode(&fields, &cut).is_err(), "{length} of {}", whole.bytes.len());
            assert!(with_view(&fields, &cut, |_| Ok(())).is_err(), "{length} of {}", whole.bytes.len());
        }
    }

    #[test]
    fn parts_of_a_batch_are_the_batchs_rows() {
        let (fields, three) = every_type();
        let mut whole = MemoryTable::new(fields.iter().map(|field| (field.clone(), Role::Feature)), Vec::new());
        let names = ["no", "yes", "never"];
        let rows = 0..21usize;
        let valid = rows.clone().map(|row| row % 3 != 1);
        let columns = [
            Column::boolean(rows.clone().map(|row| row % 5 == 0)),
            Column::from(rows.clone().map(|row| row as i64 - 7).collect::<Vec<_>>()),
            Column::from(rows.clone().map(|row| row as f64 / 3.0).collect::<Vec<_>>()),
            Column::timestamp(rows.clone().map(|row| row as i64).collect()),
            Column::from(Values::Utf8(Strings::collect(rows.clone().map(|row| "zwölf".repeat(row % 4))))),
            Column::categorical(rows.clone().map(|row| (row % 3) as i32).collect(), names),
        ];
        let nullable = columns.clone().map(|column| column.with_validity(valid.clone()));
        let batch = Batch::new(21, columns.into_iter().chain(nullable).collect());
        assert_eq!(batch.columns.len(), three.columns.len());
        let crossed = encode(&fields, &batch).unwrap();
        for part in [0..8, 8..16, 16..21, 0..21, 8..21, 16..16] {
            let read = decode_rows(&fields, &crossed, part.clone()).unwrap();
            // A decoded part without nulls has no bitmap, like a decoded batch.
            let cut = batch.select(part.start as usize..part.end as usize, None).unwrap();
            let again = encode(&fields, &cut).unwrap();
            assert_eq!(read, decode(&fields, &again).unwrap(), "{part:?}");
            whole.push(read).unwrap();
        }
        for part in [0..7, 3..8, 8..22, Range { start: 16, end: 8 }] {
            assert!(decode_rows(&fields, &crossed, part.clone()).is_err(), "{part:?}");
        }
    }

    #[test]
    fn numbers_are_read_into_a_matrix_as_columns_are() {
        let (fields, batch) = every_type();
        let chosen: Vec<usize> = (0..12).filter(|index| index % 6 < 4).collect();
        let fields: Vec<Field> = chosen.iter().map(|&index| fields[index].clone()).collect();
        let columns: Vec<Column> = chosen.iter().map(|&index| batch.columns[index].clone()).collect();
        let crossed = encode(&fields, &Batch::new(3, columns.clone())).unwrap();
        // Each column has five elements, of which the first belongs to another batch.
        let mut values = vec![7.0; 5 * fields.len()];
        decode_into(&fields, &crossed, &mut values[1..], 5).unwrap();
        for (found, column) in values.chunks(5).zip(columns) {
            let expected = column.into_numbers(3).unwrap();
            let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(found), bits(&[&[7.0], expected.as_slice(), &[7.0]].concat()));
        }
        assert!(decode_into(&fields, &crossed, &mut values, 2).is_ok(), "columns may overlap what follows");
        assert!(decode_into(&fields, &crossed, &mut values[..4], 1).is_err(), "there is no room");
        let text = [Field::required("plan", DataType::Utf8)];
        let crossed = encode(&text, &Batch::new(1, vec![Column::utf8([Some("a")])])).unwrap();
        let Err(Failure::Data(fault)) = decode_into(&text, &crossed, &mut values, 5) else { panic!("read") };
        assert_eq!(fault.column.as_deref(), Some("plan"));
    }

    #[test]
    fn a_column_that_is_not_its_fields_is_refused() {
        let fields = [Field::required("x", DataType::Float64)];
        assert!(encode(&fields, &Batch::new(1, vec![vec![1i64].into()])).is_err());
        assert!(encode(&fields, &Batch::new(1, vec![])).is_err());
        let null = Column::from(vec![1.0]).with_validity([false]);
        assert!(encode(&fields, &Batch::new(1, vec![null])).is_err());
    }

    #[test]
    fn numbers_cross_column_after_column() {
        let numbers = [1.5, -2.0, f64::MIN_POSITIVE, 4.0];
        let crossed = encode_numbers(2, &numbers);
        assert_eq!(decode_numbers(&crossed).unwrap(), numbers);
        let fields = ["a", "b"].map(|name| Field::required(name, DataType::Float64));
        let columns = decode(&fields, &crossed).unwrap().columns;
        assert_eq!(columns[1].as_f64(), Some(&numbers[2..]));
    }
}
