//! Batches as the contract passes them: one list of bytes, laid out by fields and rows (WIT
//! `types.batch`).
//!
//! The host checks every batch before a stage sees it and after a stage wrote it. So [`decode`]
//! refuses what makes no sense, and explains nothing.

use crate::bindings::stagewright::stage::types;
use crate::column::bitmap;
use crate::{Batch, Categorical, Column, DataType, Failure, Field, Strings, Values};

/// Each piece of a batch starts at a multiple of this.
const ALIGNMENT: usize = 8;

/// Goes through a batch piece by piece.
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

    fn words<T>(&mut self, rows: usize, word: impl Fn([u8; 8]) -> T) -> Result<Vec<T>, Failure> {
        let (words, _) = self.piece(rows.saturating_mul(8))?.as_chunks::<8>();
        Ok(words.iter().map(|bytes| word(*bytes)).collect())
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<i32>, Failure> {
        let (numbers, _) = self.piece(count.saturating_mul(4))?.as_chunks::<4>();
        Ok(numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    fn strings(&mut self, count: usize) -> Result<Strings, Failure> {
        let offsets = self.numbers(count + 1)?;
        let end = offsets.last().and_then(|end| usize::try_from(*end).ok());
        let bytes = self.piece(end.ok_or_else(|| Failure::internal("a string ends before it begins"))?)?;
        Ok(Strings { offsets, bytes: bytes.to_vec() })
    }

    fn column(&mut self, field: &Field, rows: usize) -> Result<Column, Failure> {
        let mut validity = None;
        if field.nullable {
            let bits = self.piece(rows.div_ceil(8))?;
            validity = (bitmap::zeros(bits, rows) > 0).then(|| bits.to_vec());
        }
        let values = match field.data_type {
            DataType::Boolean => Values::Boolean(self.piece(rows.div_ceil(8))?.to_vec()),
            DataType::Int64 => Values::Int64(self.words(rows, i64::from_le_bytes)?),
            DataType::Float64 => Values::Float64(self.words(rows, f64::from_le_bytes)?),
            DataType::Timestamp => Values::Timestamp(self.words(rows, i64::from_le_bytes)?),
            DataType::Utf8 => Values::Utf8(self.strings(rows)?),
            DataType::Categorical => {
                let codes = self.numbers(rows)?;
                let count = self.words(1, u64::from_le_bytes)?[0];
                let count = usize::try_from(count).ok().filter(|count| *count < self.bytes.len());
                let count = count.ok_or_else(|| Failure::internal("a batch has more categories than bytes"))?;
                Values::Categorical(Categorical { codes, categories: self.strings(count)? })
            }
        };
        Ok(Column { values, validity })
    }
}

/// Reads a batch with these fields.
///
/// # Errors
/// `internal` if the bytes are not of these fields, which the host rules out.
pub fn decode(fields: &[Field], batch: &types::Batch) -> Result<Batch, Failure> {
    let rows = batch.rows as usize;
    let mut reader = Reader { bytes: &batch.bytes, at: 0 };
    let columns = fields.iter().map(|field| reader.column(field, rows)).collect::<Result<_, _>>()?;
    Ok(Batch { rows: batch.rows, columns })
}

/// Appends a piece, and the zeros after it.
fn piece(bytes: &mut Vec<u8>, piece: impl IntoIterator<Item = u8>) {
    bytes.extend(piece);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

/// Appends numbers of a fixed width; zeros follow.
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

/// Writes a batch with these fields.
///
/// # Errors
/// `internal` if a column is not of its field's type, or has nulls where there are none.
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

/// Columns of float64 without nulls, `numbers` column after column.
#[must_use]
pub fn encode_numbers(rows: u32, numbers: &[f64]) -> types::Batch {
    let mut bytes = Vec::with_capacity(numbers.len() * 8);
    words(&mut bytes, numbers, f64::to_le_bytes);
    types::Batch { rows, bytes }
}

/// The numbers of a batch of float64 columns without nulls, column after column.
///
/// # Errors
/// `internal` if the batch holds anything else, which the host rules out.
pub(crate) fn decode_numbers(batch: &types::Batch) -> Result<Vec<f64>, Failure> {
    let mut reader = Reader { bytes: &batch.bytes, at: 0 };
    reader.words(batch.bytes.len() / 8, f64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> (Vec<Field>, Batch) {
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
        // The gap after the last piece is looked at by nobody.
        for length in 0..whole.bytes.len() - ALIGNMENT {
            let cut = types::Batch { rows: 3, bytes: whole.bytes[..length].to_vec() };
            assert!(decode(&fields, &cut).is_err(), "{length} of {}", whole.bytes.len());
        }
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
