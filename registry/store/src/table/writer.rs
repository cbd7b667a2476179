//! Writing a table: cuts rows into chunks, stores and hashes them, and holds a few in memory at
//! most.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::writer::FileWriter;
use arrow_schema::ArrowError;
use arrow_schema::SchemaRef;

use crate::artifact::{ArtifactKind, RemoveOnDrop, StagedFile, StagedFiles};
use crate::error::{StoreError, io_error};
use crate::schema::{DataType, Schema};
use crate::table::chunk::{Categories, ColumnBuilder};
use crate::table::column_digest::table_digest;
use crate::table::file::{column_bytes, storage_schema, write_notes};
use crate::table::hashing::Hashing;
use crate::table::reader::Table;

/// Bytes of the file's buffer. A column of a chunk has at least as many unless its values are
/// small, and passes the buffer by; smaller writes (bitmaps, padding) are gathered.
const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of memory that a writer takes for a column besides its values and the schema: the builder,
/// the map of its categories, the field as it is stored. Measured with 65,536 columns, rounded up.
const COLUMN_MEMORY: u64 = 1024;

/// The most bytes of all categories of a table in its file's footer. Arrow's writer and reader
/// count them in 31 bits.
const MAX_FOOTER_BYTES: usize = 512 << 20;

/// A table that is being written. Dropping it removes the file.
pub struct TableWriter {
    staged: StagedFiles,
    schema: Schema,
    storage: SchemaRef,
    file: FileWriter<BufWriter<File>>,
    path: PathBuf,
    unfinished: RemoveOnDrop,
    columns: Vec<ColumnBuilder>,
    categories: Vec<Categories>,
    hashing: Hashing,
    chunk_rows: usize,
    /// Rows in the current chunk.
    filled: usize,
    rows: u64,
    bytes: u64,
}

impl TableWriter {
    pub(crate) fn create(staged: StagedFiles, schema: &Schema) -> Result<Self, StoreError> {
        let storage = storage_schema(schema);
        let (file, path) = staged.create_file()?;
        let unfinished = RemoveOnDrop(Some(path.clone()));
        let file = FileWriter::try_new(BufWriter::with_capacity(BUFFER_BYTES, file), &storage)
            .map_err(|error| arrow_error(error, &path))?;
        let chunk_rows = schema.chunk_rows();
        let column = |field: &crate::Field| ColumnBuilder::new(field.data_type, chunk_rows);
        Ok(Self {
            columns: schema.fields().iter().map(column).collect(),
            categories: schema.fields().iter().map(|_| Categories::default()).collect(),
            hashing: Hashing::new(schema),
            schema: schema.clone(),
            staged,
            storage,
            file,
            path,
            unfinished,
            chunk_rows,
            filled: 0,
            rows: 0,
            bytes: 0,
        })
    }

    /// Returns the table's schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the bytes of memory that the writer holds: itself, the current chunk, chunks before
    /// it that may still be hashed, and all categories. Counts capacity, not length. The result is
    /// the same for the same rows, however fast hashing is.
    pub fn held_bytes(&self) -> u64 {
        let categories: usize = self.categories.iter().map(Categories::held_bytes).sum();
        Self::head_bytes(&self.schema) + self.filling_bytes() + self.hashing.held_bytes() + categories as u64
    }

    /// Releases what the writer still holds of the batches written: dictionaries, which slices of
    /// one batch share. [`Self::held_bytes`] counts no batch, so that a caller that counts a batch
    /// calls this when it drops it.
    pub fn forget_batch(&mut self) {
        self.categories.iter_mut().for_each(Categories::forget);
    }

    /// Returns the [`Self::held_bytes`] of a writer that has no rows yet.
    pub fn empty_bytes(schema: &Schema) -> u64 {
        let rows = schema.chunk_rows();
        let columns = schema.fields().iter().map(|field| ColumnBuilder::empty_bytes(field.data_type, rows) as u64);
        Self::head_bytes(schema) + columns.sum::<u64>()
    }

    /// Returns the bytes of memory that [`TableWriter::finish`] takes for a moment in addition:
    /// categories are written to the file's footer and read back.
    pub fn finishing_bytes(&self) -> u64 {
        self.categories.iter().map(Categories::finishing_bytes).sum::<usize>() as u64
    }

    fn head_bytes(schema: &Schema) -> u64 {
        BUFFER_BYTES as u64 + schema.held_bytes() + schema.len() as u64 * COLUMN_MEMORY
    }

    fn filling_bytes(&self) -> u64 {
        self.columns.iter().map(ColumnBuilder::held_bytes).sum::<usize>() as u64
    }

    /// Appends rows. How they are cut into batches, sliced, and how categories are numbered does
    /// not affect the table.
    ///
    /// # Errors
    /// [`StoreError::BatchMismatch`] if names or types differ from the schema's,
    /// [`StoreError::Null`] for a null in a column that is not nullable,
    /// [`StoreError::TextTooLong`], and [`StoreError::Io`], for example when the disk is full.
    /// After an error, drop the writer: the table would be incomplete.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.check(batch)?;
        let mut start = 0;
        while start < batch.num_rows() {
            let rows = (batch.num_rows() - start).min(self.chunk_rows - self.filled);
            for (index, array) in batch.columns().iter().enumerate() {
                self.columns[index]
                    .append(&array.slice(start, rows), &mut self.categories[index])
                    .map_err(|problem| self.too_long(index, problem))?;
            }
            start += rows;
            self.filled += rows;
            self.rows += rows as u64;
            if self.filled == self.chunk_rows {
                self.end_chunk(self.chunk_rows)?;
            }
        }
        Ok(())
    }

    /// Takes the CPU time, in nanoseconds, that other threads spent on this table since the last
    /// call. The stage that the table is written for is charged for it.
    pub fn take_other_threads_cpu_ns(&self) -> u64 {
        self.hashing.take_pool_cpu_ns()
    }

    /// Completes the table. It is readable at once, and visible to others after publication.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(self) -> Result<Table, StoreError> {
        self.finish_counted().map(|(table, _)| table)
    }

    /// As [`TableWriter::finish`]; also returns the rest of
    /// [`TableWriter::take_other_threads_cpu_ns`].
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish_counted(mut self) -> Result<(Table, u64), StoreError> {
        if self.filled > 0 {
            self.end_chunk(0)?;
        }
        let lists: Vec<Vec<&str>> = self
            .schema
            .indices_where(|field| field.data_type == DataType::Categorical)
            .into_iter()
            .map(|index| self.categories[index].list().iter().map(|category| &**category).collect())
            .collect();
        let category_bytes: usize = self.categories.iter().map(Categories::bytes).sum();
        let bytes = self.bytes + category_bytes as u64;
        write_notes(&mut self.file, bytes, &lists).map_err(|error| arrow_error(error, &self.path))?;
        self.file.finish().map_err(|error| arrow_error(error, &self.path))?;
        let buffer = self.file.into_inner().map_err(|error| arrow_error(error, &self.path))?;
        let file = buffer.into_inner().map_err(|error| io_error("write", &self.path)(error.into_error()))?;
        let columns = self.hashing.finish().map_err(|_| hashing_failed(&self.path))?;
        let other_cpu_ns = self.hashing.take_pool_cpu_ns();
        let digest = table_digest(&self.schema, self.rows, &lists, columns);
        let table = Table::open(&file, self.path.clone(), digest)?;
        self.unfinished.0 = None;
        self.staged.add(StagedFile { path: self.path, file, kind: ArtifactKind::Table, digest });
        Ok((table, other_cpu_ns))
    }

    fn check(&self, batch: &RecordBatch) -> Result<(), StoreError> {
        let mismatch = |problem| Err(StoreError::BatchMismatch { problem });
        if batch.num_columns() != self.schema.len() {
            return mismatch(format!("{} columns instead of {}", batch.num_columns(), self.schema.len()));
        }
        let given = batch.schema_ref().fields();
        for ((field, given), array) in self.schema.fields().iter().zip(given).zip(batch.columns()) {
            if *given.name() != field.name {
                return mismatch(format!("column `{}` is in the place of `{}`", given.name(), field.name));
            }
            if DataType::from_arrow(array.data_type()) != Some(field.data_type) {
                let found = array.data_type();
                return mismatch(format!("column `{}` is {found} instead of {}", field.name, field.data_type));
            }
            if !field.nullable && array.null_count() > 0 {
                let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or_default();
                return Err(StoreError::Null { column: field.name.clone(), row: self.rows + row as u64 });
            }
        }
        Ok(())
    }

    /// Stores and hashes the current chunk, and makes room for `next` rows of another.
    fn end_chunk(&mut self, next: usize) -> Result<(), StoreError> {
        let footer: usize = self.categories.iter().map(Categories::footer_bytes).sum();
        if footer > MAX_FOOTER_BYTES {
            let longest = (0..self.categories.len()).max_by_key(|&index| self.categories[index].footer_bytes());
            let most = MAX_FOOTER_BYTES >> 20;
            let problem = format!(
                "the categories of all columns take more than {most} MiB
hint: make the column utf8"
            );
            return Err(self.too_long(longest.unwrap_or_default(), problem));
        }
        let fields = self.schema.fields();
        let held = self.filling_bytes();
        let arrays: Vec<ArrayRef> =
            self.columns.iter_mut().zip(fields).map(|(column, field)| column.take(field.data_type, next)).collect();
        self.bytes += arrays.iter().zip(fields).map(|(it, field)| column_bytes(field.data_type, it)).sum::<u64>();
        let options = RecordBatchOptions::new().with_row_count(Some(self.filled));
        let chunk = RecordBatch::try_new_with_options(Arc::clone(&self.storage), arrays, &options)
            .map_err(|error| arrow_error(error, &self.path))?;
        self.hashing.add(&chunk, held).map_err(|_| hashing_failed(&self.path))?;
        self.file.write(&chunk).map_err(|error| arrow_error(error, &self.path))?;
        self.filled = 0;
        Ok(())
    }

    fn too_long(&self, index: usize, problem: String) -> StoreError {
        StoreError::TextTooLong { column: self.schema.fields()[index].name.clone(), problem }
    }
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// A bug of the host fails the table, not the process.
fn hashing_failed(path: &std::path::Path) -> StoreError {
    let source = std::io::Error::other("a thread that hashes panicked, please report this");
    StoreError::Io { action: "hash", path: path.to_owned(), source }
}

/// Converts an error of Arrow's writer, which is nearly always the system's.
fn arrow_error(error: ArrowError, path: &std::path::Path) -> StoreError {
    match error {
        ArrowError::IoError(_, source) => StoreError::Io { action: "write", path: path.to_owned(), source },
        other => StoreError::Io { action: "write", path: path.to_owned(), source: std::io::Error::other(other) },
    }
}
