//! A finished table, read without copying.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{
    Array as _, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::ArrowNativeType;
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::error::StoreError;
use crate::schema::{DataType, Schema};
use crate::table::column_digest::table_digest;
use crate::table::column_message::ColumnMessage;
use crate::table::file::{ColumnBuffers, TableFile, nulls};
use crate::table::sha256_lanes::digests;

/// Bytes of memory that an open table takes for a chunk: the positions of its header and its
/// buffers.
const CHUNK_MEMORY: usize = 64;

/// A table that is published, or about to be. Immutable, cheap to clone, readable from any thread.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

struct Inner {
    file: TableFile,
    path: PathBuf,
    digest: Digest,
}

impl Table {
    pub(crate) fn open(file: &File, path: PathBuf, digest: Digest) -> Result<Self, StoreError> {
        match TableFile::open(file) {
            Ok(file) => Ok(Self(Arc::new(Inner { file, path, digest }))),
            Err(problem) => Err(StoreError::Damaged { path, problem }),
        }
    }

    /// Returns the schema.
    pub fn schema(&self) -> &Schema {
        &self.0.file.schema
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.0.file.rows
    }

    /// Returns the digest of its schema and logical content (docs/formats/table-digest.md).
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Returns the logical bytes: values, offsets, text, codes, categories, and bitmaps where there
    /// are nulls.
    pub fn bytes(&self) -> u64 {
        self.0.file.bytes
    }

    /// Returns the bytes of memory that an open table takes, approximately: its schema, its
    /// categories, and the positions of its chunks. Its values are in its file.
    pub fn held_bytes(&self) -> u64 {
        let file = &self.0.file;
        let categories = file.categories.iter().flatten().map(|list| list.get_buffer_memory_size()).sum::<usize>();
        file.schema.held_bytes() + (categories + file.chunks() * CHUNK_MEMORY) as u64
    }

    /// Returns the number of chunks.
    pub fn chunks(&self) -> usize {
        self.0.file.chunks()
    }

    /// Reads at most `rows` rows from `start` on, and at most to the end of their chunk; none only
    /// at the end of the table. `columns` are indices, in the order wanted; `None` means all.
    /// Nothing is copied. Text and codes are validated as they are read.
    ///
    /// # Errors
    /// [`StoreError::PastEnd`], [`StoreError::NoColumn`]; [`StoreError::Damaged`] if the content is
    /// not valid.
    pub fn read(&self, start: u64, rows: usize, columns: Option<&[usize]>) -> Result<RecordBatch, StoreError> {
        let Inner { file, .. } = &*self.0;
        if start > file.rows {
            return Err(StoreError::PastEnd { start, rows: file.rows });
        }
        let schema = file.schema.to_arrow();
        let all: Vec<usize>;
        let (columns, schema) = match columns {
            Some(columns) => {
                if let Some(&index) = columns.iter().find(|&&index| index >= file.schema.len()) {
                    return Err(StoreError::NoColumn { index, columns: file.schema.len() });
                }
                let fields: Vec<_> = columns.iter().map(|&index| Arc::clone(&schema.fields()[index])).collect();
                (columns, Arc::new(arrow_schema::Schema::new(fields)))
            }
            None => {
                all = (0..file.schema.len()).collect();
                (&all[..], schema)
            }
        };
        if start == file.rows || rows == 0 {
            return Ok(RecordBatch::new_empty(schema));
        }
        let chunk_rows = file.schema.chunk_rows() as u64;
        // Both quotients fit: the chunks and their rows are counted in `usize`.
        let (number, first) = ((start / chunk_rows) as usize, (start % chunk_rows) as usize);
        let chunk = file.chunk(number).map_err(|problem| self.damaged(number, None, problem))?;
        let rows = rows.min(chunk.rows - first);
        let arrays = columns
            .iter()
            .map(|&index| {
                let column = chunk.column(index).and_then(|buffers| self.slice(index, buffers, first, rows));
                column.map_err(|problem| self.damaged(number, Some(index), problem))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|error| self.damaged(number, None, error.to_string()))
    }

    /// Returns all rows in order, chunk by chunk.
    pub fn batches(&self, columns: Option<&[usize]>) -> impl Iterator<Item = Result<RecordBatch, StoreError>> {
        let chunk_rows = self.schema().chunk_rows();
        (0..self.chunks()).map(move |number| self.read((number * chunk_rows) as u64, chunk_rows, columns))
    }

    /// Reads the whole table and compares its digest with the one that it was opened under.
    ///
    /// # Errors
    /// [`StoreError::DigestDiffers`] or [`StoreError::Damaged`].
    pub fn verify(&self) -> Result<(), StoreError> {
        let Inner { file, path, digest } = &*self.0;
        let mut columns = Sha256::new();
        for number in 0..file.chunks() {
            let chunk = file.chunk(number).map_err(|problem| self.damaged(number, None, problem))?;
            let buffers = (0..file.schema.len())
                .map(|index| chunk.column(index).map_err(|problem| self.damaged(number, Some(index), problem)))
                .collect::<Result<Vec<_>, _>>()?;
            let columns_of_chunk = file.schema.fields().iter().zip(&buffers);
            let messages: Vec<ColumnMessage<'_>> =
                columns_of_chunk.map(|(field, column)| stored_message(field.data_type, chunk.rows, column)).collect();
            digests(&messages).iter().for_each(|digest| columns.update(digest.as_bytes()));
        }
        let columns = Digest::from_bytes(columns.finalize().into());
        let actual = table_digest(&file.schema, file.rows, &file.category_lists(), columns);
        if actual != *digest {
            return Err(StoreError::DigestDiffers { path: path.clone(), actual });
        }
        Ok(())
    }

    fn slice(&self, index: usize, column: ColumnBuffers, first: usize, rows: usize) -> Result<ArrayRef, String> {
        let ColumnBuffers { nulls: bits, values, text } = column;
        let nulls = nulls(bits.as_ref(), first, rows);
        Ok(match self.schema().fields()[index].data_type {
            DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new(values, first, rows), nulls)),
            DataType::Int64 => Arc::new(Int64Array::new(scalars(values, first, rows), nulls)),
            DataType::Float64 => Arc::new(Float64Array::new(scalars(values, first, rows), nulls)),
            DataType::Timestamp => {
                Arc::new(TimestampMicrosecondArray::new(scalars(values, first, rows), nulls).with_timezone("UTC"))
            }
            DataType::Utf8 => strings(scalars(values, first, rows + 1), text.unwrap_or_default(), nulls)?,
            DataType::Categorical => {
                let codes = Int32Array::new(scalars(values, first, rows), nulls);
                let categories = self.0.file.categories[index].clone().ok_or("it has no categories")?;
                Arc::new(DictionaryArray::try_new(codes, categories).map_err(|error| error.to_string())?)
            }
        })
    }

    fn damaged(&self, chunk: usize, column: Option<usize>, problem: String) -> StoreError {
        let problem = match column {
            Some(index) => format!("chunk {chunk}, column `{}`: {problem}", self.schema().fields()[index].name),
            None => format!("chunk {chunk}: {problem}"),
        };
        StoreError::Damaged { path: self.0.path.clone(), problem }
    }
}

/// Returns the message of a column as it is stored.
fn stored_message(data_type: DataType, rows: usize, column: &ColumnBuffers) -> ColumnMessage<'_> {
    let has_nulls = nulls(column.nulls.as_ref(), 0, rows).is_some();
    let validity = column.nulls.as_deref().filter(|_| has_nulls).unwrap_or_default();
    ColumnMessage::new(data_type, rows, validity, &column.values, column.text.as_deref().unwrap_or_default())
}

/// Returns values of a buffer whose size and alignment were checked for the whole chunk.
fn scalars<T: ArrowNativeType>(values: Buffer, first: usize, rows: usize) -> ScalarBuffer<T> {
    ScalarBuffer::new(values, first, rows)
}

fn strings(offsets: ScalarBuffer<i32>, text: Buffer, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
    if offsets[0] < 0 || offsets.windows(2).any(|pair| pair[1] < pair[0]) {
        return Err("its offsets decrease".to_owned());
    }
    let strings = StringArray::try_new(OffsetBuffer::new(offsets), text, nulls);
    Ok(Arc::new(strings.map_err(|error| error.to_string())?))
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("digest", &self.digest()).field("rows", &self.rows()).finish_non_exhaustive()
    }
}
