//! A binned table as bytes: the common data of the parts of a training, so that the table is binned
//! once.
//!
//! Instances of one component write and read it within one training, so the format has no version.
//! All numbers are 8 bytes, little-endian: rows, features, whether there are weights; for each
//! feature its name, its cuts, whether values are missing, and a code for each row; then targets
//! and weights.

use std::io::{Read, Write};

use stagewright_kit::{BlobReader, BlobWriter, Failure};
use stagewright_trees::{BinnedMatrix, FeatureBins};

use crate::{BinnedTable, failure};

fn put(blob: &mut BlobWriter, number: u64) -> Result<(), Failure> {
    Ok(blob.write_all(&number.to_le_bytes())?)
}

fn put_numbers(blob: &mut BlobWriter, numbers: &[f64]) -> Result<(), Failure> {
    // In parts: a copy of the whole would take as much memory as the numbers.
    for block in numbers.chunks(8192) {
        let bytes: Vec<u8> = block.iter().flat_map(|number| number.to_le_bytes()).collect();
        blob.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads the format, but no more bytes than the blob has.
struct Reader<'a, 'b> {
    blob: &'a mut BlobReader<'b>,
    left: u64,
}

impl Reader<'_, '_> {
    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Failure> {
        self.left = self.left.checked_sub(length).ok_or_else(|| Failure::internal("a binned table is cut short"))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.blob.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, Failure> {
        let bytes = self.bytes(8)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).sum())
    }

    fn numbers(&mut self, count: u64) -> Result<Vec<f64>, Failure> {
        let bytes = self.bytes(count.saturating_mul(8))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect())
    }
}

impl BinnedTable {
    /// Writes the table: one byte for each value, and 8 bytes for each target and weight.
    ///
    /// # Errors
    /// Returns the host's failure.
    pub fn write(&self, blob: &mut BlobWriter) -> Result<(), Failure> {
        put(blob, self.features.rows() as u64)?;
        put(blob, self.features.width() as u64)?;
        put(blob, u64::from(self.weights.is_some()))?;
        for (index, name) in self.features.names().enumerate() {
            let (Some(bins), Some(codes)) = (self.features.bins(index), self.features.codes(index)) else {
                return Err(Failure::internal(format!("feature {index} has no bins")));
            };
            put(blob, name.len() as u64)?;
            blob.write_all(name.as_bytes())?;
            put(blob, bins.cuts().len() as u64)?;
            put_numbers(blob, bins.cuts())?;
            put(blob, u64::from(bins.has_missing()))?;
            blob.write_all(codes)?;
        }
        put_numbers(blob, &self.targets)?;
        self.weights.as_deref().map_or(Ok(()), |weights| put_numbers(blob, weights))
    }

    /// Reads a table that [`BinnedTable::write`] wrote.
    ///
    /// # Errors
    /// `internal` if the bytes are anything else; the host's failure.
    pub fn read_binned(blob: &mut BlobReader<'_>) -> Result<Self, Failure> {
        let left = blob.size();
        let mut reader = Reader { blob, left };
        let (rows, width, has_weights) = (reader.number()?, reader.number()?, reader.number()? == 1);
        let mut features = BinnedMatrix::new(usize::try_from(rows).unwrap_or(usize::MAX));
        for _ in 0..width {
            let length = reader.number()?;
            let name = String::from_utf8(reader.bytes(length)?)
                .map_err(|_| Failure::internal("a feature's name is not UTF-8"))?;
            let count = reader.number()?;
            let cuts = reader.numbers(count)?;
            let bins = FeatureBins::from_cuts(cuts, reader.number()? == 1).map_err(failure)?;
            let codes = reader.bytes(rows)?;
            features.push(name, bins, codes).map_err(failure)?;
        }
        let targets = reader.numbers(rows)?;
        let weights = has_weights.then(|| reader.numbers(rows)).transpose()?;
        if reader.left > 0 {
            return Err(Failure::internal(format!("{} bytes follow a binned table", reader.left)));
        }
        Ok(Self { features, targets, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(weights: Option<Vec<f64>>) -> BinnedTable {
        let columns: [&[f64]; 2] = [&[1.0, f64::NAN, 3.0, 2.0], &[0.0, 0.0, 0.0, 0.0]];
        let features = BinnedMatrix::from_columns(&["months", "zwölf"], &columns, 255).unwrap();
        BinnedTable { features, targets: vec![0.0, 1.0, 1.0, 0.0], weights }
    }

    fn written(table: &BinnedTable) -> Vec<u8> {
        let mut blob = BlobWriter::new();
        table.write(&mut blob).unwrap();
        blob.into_bytes()
    }

    #[test]
    fn a_binned_table_is_read_as_it_was_written() {
        for weights in [None, Some(vec![1.0, 0.5, 2.0, 0.0])] {
            let table = table(weights);
            let bytes = written(&table);
            let read = BinnedTable::read_binned(&mut BlobReader::new(&bytes)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{table:?}"));
            assert_eq!(written(&read), bytes);
        }
    }

    #[test]
    fn a_binned_table_that_is_cut_or_longer_is_refused() {
        let bytes = written(&table(None));
        for length in 0..bytes.len() {
            let cut = bytes[..length].to_vec();
            assert!(BinnedTable::read_binned(&mut BlobReader::new(&cut)).is_err(), "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(BinnedTable::read_binned(&mut BlobReader::new(&longer)).is_err());
    }
}
