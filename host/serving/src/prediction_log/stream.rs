//! Files that are being made: requests of one hour, model and schema.
//!
//! Requests become columns in memory, and these a piece, a small file of its own, within seconds.
//! So a server that is killed loses seconds, and readers see what was asked just now. When the hour
//! is over or the pieces are large together, they become one file.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::batch::encode;
use super::entry::Entry;
use super::folder::ModelFiles;
use super::name::LogName;

/// The requests of which columns are made at once.
const ENTRIES: usize = 4096;

/// The bytes of requests of which columns are made at once.
const ENTRY_BYTES: usize = 16 << 20;

/// The bytes of columns that become a piece at once.
const CHUNK_BYTES: usize = 32 << 20;

/// The most pieces of a file. A reader opens all of an hour at once.
pub(super) const MOST_PIECES: u32 = 120;

/// The most rows of a row group.
const GROUP_ROWS: usize = 128 << 10;

/// The most bytes of a row group in memory.
const GROUP_BYTES: usize = 64 << 20;

/// Files that are being made.
pub(super) struct Stream {
    pub(super) files: Arc<ModelFiles>,
    pub(super) schema: SchemaRef,
    /// The name of the file.
    pub(super) name: LogName,
    entries: Vec<Entry>,
    entry_bytes: usize,
    chunks: Vec<RecordBatch>,
    chunk_bytes: usize,
    /// The pieces that were written, and their bytes.
    pieces: u32,
    piece_bytes: u64,
}

impl Stream {
    pub(super) fn new(files: Arc<ModelFiles>, schema: SchemaRef, name: LogName) -> Self {
        Self {
            files,
            schema,
            name,
            entries: Vec::new(),
            entry_bytes: 0,
            chunks: Vec::new(),
            chunk_bytes: 0,
            pieces: 0,
            piece_bytes: 0,
        }
    }

    /// Takes a request. Returns the bytes of requests that are columns now.
    pub(super) fn take(&mut self, entry: Entry, now_ms: i64) -> usize {
        self.entry_bytes += entry.bytes;
        self.entries.push(entry);
        // A small log has small pieces, so that each finds room.
        let most = self.files.most_file_bytes() as usize;
        if self.entries.len() < ENTRIES && self.entry_bytes < ENTRY_BYTES.min(most) {
            return 0;
        }
        let freed = self.make_columns();
        if self.chunk_bytes >= CHUNK_BYTES.min(most) {
            self.write_piece(now_ms);
        }
        freed
    }

    /// Writes what there is as a piece. Returns the bytes of requests that are columns now.
    pub(super) fn flush(&mut self, now_ms: i64) -> usize {
        let freed = self.make_columns();
        if !self.chunks.is_empty() {
            self.write_piece(now_ms);
        }
        freed
    }

    /// Returns whether the pieces are large or many enough for a file.
    pub(super) fn is_full(&self) -> bool {
        self.piece_bytes >= self.files.most_file_bytes() || self.pieces >= MOST_PIECES
    }

    fn make_columns(&mut self) -> usize {
        let (entries, freed) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.entry_bytes));
        if entries.is_empty() {
            return freed;
        }
        // A batch that cannot be made must not end the thread, and with it the log.
        let made = catch_unwind(AssertUnwindSafe(|| encode(&self.schema, &entries)));
        match made.unwrap_or_else(|_| Err(ArrowError::ComputeError("they make no columns".to_owned()))) {
            Ok(chunk) => {
                self.chunk_bytes += chunk.get_array_memory_size();
                self.chunks.push(chunk);
            }
            Err(error) => self.drop_rows(entries.iter().map(Entry::rows).sum(), &error),
        }
        freed
    }

    fn write_piece(&mut self, now_ms: i64) {
        let (chunks, _) = (std::mem::take(&mut self.chunks), std::mem::take(&mut self.chunk_bytes));
        let rows: usize = chunks.iter().map(RecordBatch::num_rows).sum();
        let name = LogName { piece: Some(self.pieces), ..self.name };
        let written = bytes_of(&self.schema, &chunks).map_err(io::Error::other).and_then(|bytes| {
            self.files.make_room(bytes.len() as u64, now_ms)?;
            self.files.publish(name, |mut file| io::Write::write_all(&mut file, &bytes))
        });
        match written {
            Ok(bytes) => {
                self.pieces += 1;
                self.piece_bytes += bytes;
                self.files.counts.rows.inc_by(rows as u64);
            }
            Err(error) => self.drop_rows(rows, &error),
        }
    }

    fn drop_rows(&self, rows: usize, error: &dyn std::fmt::Display) {
        self.files.counts.dropped.inc_by(rows as u64);
        let folder = self.files.folder.display();
        tracing::warn!("{rows} rows of predictions are not logged in `{folder}`: {error}");
    }

    /// Makes one file of the pieces.
    pub(super) fn finish(self) {
        let pieces: Vec<LogName> = (0..self.pieces).map(|piece| LogName { piece: Some(piece), ..self.name }).collect();
        let made = match pieces.as_slice() {
            [] => return,
            [only] => std::fs::rename(self.files.path(*only), self.files.path(self.name)),
            several => self.merge(several),
        };
        // The pieces stay, and are as good.
        match made {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let folder = self.files.folder.display();
                tracing::warn!("pieces of the prediction log in `{folder}` are not put together: {error}");
            }
            _ => {}
        }
    }

    fn merge(&self, pieces: &[LogName]) -> io::Result<()> {
        self.files.publish(self.name, |file| {
            let mut writer = writer(file, &self.schema).map_err(io::Error::other)?;
            for piece in pieces {
                let file = match File::open(self.files.path(*piece)) {
                    // It was the oldest, and another file needed its room.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    file => file?,
                };
                let rows = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
                for batch in rows.map_err(io::Error::other)? {
                    write(&mut writer, &batch.map_err(io::Error::other)?).map_err(io::Error::other)?;
                }
            }
            writer.close().map_err(io::Error::other)?;
            Ok(())
        })?;
        pieces.iter().try_for_each(|piece| self.files.remove(*piece))
    }
}

fn writer<W: io::Write + Send>(output: W, schema: &SchemaRef) -> parquet::errors::Result<ArrowWriter<W>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    ArrowWriter::try_new(output, schema.clone(), Some(properties))
}

fn write<W: io::Write + Send>(writer: &mut ArrowWriter<W>, batch: &RecordBatch) -> parquet::errors::Result<()> {
    writer.write(batch)?;
    if writer.in_progress_size() > GROUP_BYTES {
        writer.flush()?;
    }
    Ok(())
}

fn bytes_of(schema: &SchemaRef, chunks: &[RecordBatch]) -> parquet::errors::Result<Vec<u8>> {
    let mut writer = writer(Vec::new(), schema)?;
    for chunk in chunks {
        write(&mut writer, chunk)?;
    }
    writer.into_inner()
}
