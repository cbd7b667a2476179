//! A table's file: an Arrow IPC file of one record batch per chunk, mapped into memory and never
//! trusted.
//!
//! Opening reads the footer, the schema, the notes and the header of each chunk, and checks each
//! against the file's length and the schema. Columns are located when they are read. Arrow's own
//! reader is not used: it decodes every column of a chunk to reach one, and validates whole chunks
//! where a few rows were asked for.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::writer::FileWriter;
use arrow_ipc::{self as ipc, root_as_footer, root_as_message};
use arrow_schema as arrow_types;
use arrow_schema::ArrowError;
use arrow_schema::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::bitmap;
use crate::schema::{DataType, Schema};

const MAGIC: &[u8] = b"ARROW1";
/// The bytes of the footer's length and of the magic at the end.
const TRAILER_BYTES: usize = 4 + MAGIC.len();
/// The marker before a message's length.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The key of [`FooterNotes`] in the footer.
const NOTES_KEY: &str = "stagewright.table";

/// Returns the Arrow schema of the file: categoricals are int32 codes.
pub(super) fn storage_schema(schema: &Schema) -> SchemaRef {
    let field = |arrow: &Arc<arrow_types::Field>| match DataType::from_arrow(arrow.data_type()) {
        Some(DataType::Categorical) => Arc::new(arrow.as_ref().clone().with_data_type(arrow_types::DataType::Int32)),
        _ => Arc::clone(arrow),
    };
    Arc::new(arrow_types::Schema::new(schema.to_arrow().fields().iter().map(field).collect::<Vec<_>>()))
}

/// Returns the schema of a table whose file has this one, the inverse of [`storage_schema`]: no
/// other type is stored as int32.
fn logical_schema(storage: &arrow_types::Schema) -> Result<Schema, String> {
    let field = |arrow: &Arc<arrow_types::Field>| match arrow.data_type() {
        arrow_types::DataType::Int32 => {
            Arc::new(arrow.as_ref().clone().with_data_type(DataType::Categorical.to_arrow()))
        }
        _ => Arc::clone(arrow),
    };
    let logical = arrow_types::Schema::new(storage.fields().iter().map(field).collect::<Vec<_>>());
    Schema::try_from(&logical).map_err(|error| error.to_string())
}

/// Returns the logical bytes of a column as it is stored: values, offsets, text, and a bitmap if
/// there are nulls.
pub(super) fn column_bytes(data_type: DataType, array: &dyn Array) -> u64 {
    let rows = array.len();
    let values = match data_type {
        DataType::Boolean => bitmap::bytes_for(rows),
        DataType::Int64 | DataType::Float64 | DataType::Timestamp => rows * 8,
        DataType::Categorical => rows * 4,
        DataType::Utf8 => (rows + 1) * 4 + array.as_string::<i32>().value_data().len(),
    };
    let validity = if array.null_count() > 0 { bitmap::bytes_for(rows) } else { 0 };
    (values + validity) as u64
}

/// Notes in the footer, beside the schema.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FooterNotes<'a> {
    /// Logical bytes of all columns and categories. Informative: nothing is allocated by it.
    bytes: u64,
    /// The categories of each categorical column, in order of the columns and of their codes.
    categories: Vec<Vec<Cow<'a, str>>>,
}

/// Adds the table's logical bytes and its categories to the footer.
pub(super) fn write_notes<W: Write>(
    file: &mut FileWriter<W>,
    bytes: u64,
    categories: &[Vec<&str>],
) -> Result<(), ArrowError> {
    let lists = categories.iter().map(|list| list.iter().map(|&category| Cow::Borrowed(category)).collect());
    let notes = FooterNotes { bytes, categories: lists.collect() };
    let text = serde_json::to_string(&notes).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    file.write_metadata(NOTES_KEY, text);
    Ok(())
}

/// The positions of one chunk's header and buffers in the file.
struct Chunk {
    header: Range<usize>,
    body: Range<usize>,
}

/// A mapped table file whose structure was checked. Errors are texts; the caller knows the path.
pub(super) struct TableFile {
    map: Buffer,
    pub(super) schema: Schema,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// By column; `None` for a column that is not categorical.
    pub(super) categories: Vec<Option<Arc<StringArray>>>,
    chunks: Vec<Chunk>,
    /// The index of each column's first buffer in a chunk's list of buffers, and one more index, of
    /// its end.
    first_buffers: Vec<usize>,
}

impl TableFile {
    /// Maps a file and checks its structure.
    pub(super) fn open(file: &File) -> Result<Self, String> {
        // SAFETY: the map is only read, and nothing writes to the file while it is mapped: a staged
        // file is complete when its writer opens it and its only writable handle is flushed and
        // closed, never written again; a published one is read-only and only ever replaced by
        // rename or removed, which leaves this map's pages as they are.
        let map = unsafe { memmap2::Mmap::map(file) }.map_err(|error| format!("it cannot be mapped: {error}"))?;
        let map = Buffer::from(bytes::Bytes::from_owner(map));
        let length = map.len();
        if length < MAGIC.len() + TRAILER_BYTES || !map.starts_with(MAGIC) || !map.ends_with(MAGIC) {
            return Err("it is not a whole Arrow file".to_owned());
        }
        let footer_end = length - TRAILER_BYTES;
        let footer_bytes = i32::from_le_bytes(map[footer_end..footer_end + 4].try_into().map_err(text)?);
        let footer_start = usize::try_from(footer_bytes).ok().and_then(|bytes| footer_end.checked_sub(bytes));
        let footer_start = footer_start.ok_or("its footer is longer than the file")?;
        let footer = root_as_footer(&map[footer_start..footer_end]).map_err(text)?;
        let storage = footer.schema().ok_or("its footer has no schema")?;
        let schema = logical_schema(&try_fb_to_schema(storage).map_err(text)?)?;
        let notes = footer.custom_metadata().into_iter().flatten();
        let notes = notes.filter(|it| it.key() == Some(NOTES_KEY)).find_map(|it| it.value());
        let notes: FooterNotes = serde_json::from_str(notes.ok_or("its footer has no notes")?).map_err(text)?;
        let categories = category_arrays(&schema, notes.categories)?;
        let first_buffers = first_buffers(&schema);
        let mut table =
            Self { map: map.clone(), schema, rows: 0, bytes: notes.bytes, categories, chunks: vec![], first_buffers };
        let blocks: Vec<ipc::Block> = footer.recordBatches().into_iter().flatten().copied().collect();
        table.add_chunks(&blocks, footer_start)?;
        Ok(table)
    }

    fn add_chunks(&mut self, blocks: &[ipc::Block], footer_start: usize) -> Result<(), String> {
        let chunk_rows = self.schema.chunk_rows() as u64;
        for (number, block) in blocks.iter().enumerate() {
            let outside = || format!("chunk {number} lies outside the file");
            let range = |start: usize, length: Option<usize>| {
                let end = start.checked_add(length?)?;
                (end <= footer_start).then_some(start..end)
            };
            let start = usize::try_from(block.offset()).map_err(|_| outside())?;
            let header = range(start, usize::try_from(block.metaDataLength()).ok()).ok_or_else(outside)?;
            let body = range(header.end, usize::try_from(block.bodyLength()).ok()).ok_or_else(outside)?;
            let chunk = Chunk { header, body };
            let batch = record_batch(&self.map, &chunk).map_err(|problem| format!("chunk {number}: {problem}"))?;
            let rows = u64::try_from(batch.length()).map_err(|_| format!("chunk {number} has negative rows"))?;
            let last = number + 1 == blocks.len();
            if rows == 0 || rows > chunk_rows || (rows < chunk_rows && !last) {
                return Err(format!("chunk {number} has {rows} rows where a chunk has {chunk_rows}"));
            }
            let nodes = batch.nodes().map_or(0, |nodes| nodes.len());
            let buffers = batch.buffers().map_or(0, |buffers| buffers.len());
            if nodes != self.schema.len() || Some(&buffers) != self.first_buffers.last() {
                return Err(format!("chunk {number} has {nodes} columns of {buffers} buffers"));
            }
            if batch.compression().is_some() {
                return Err(format!("chunk {number} is compressed"));
            }
            self.rows += rows;
            self.chunks.push(chunk);
        }
        Ok(())
    }

    /// Returns the categories of each categorical column.
    pub(super) fn category_lists(&self) -> Vec<Vec<&str>> {
        let lists = self.categories.iter().flatten();
        lists.map(|list| (0..list.len()).map(|index| list.value(index)).collect()).collect()
    }

    /// Returns how many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Returns a view of one chunk.
    pub(super) fn chunk(&self, number: usize) -> Result<ChunkView<'_>, String> {
        let chunk = &self.chunks[number];
        let batch = record_batch(&self.map, chunk)?;
        // Opening the table checked it.
        let rows = usize::try_from(batch.length()).map_err(text)?;
        Ok(ChunkView { table: self, batch, body: chunk.body.clone(), rows })
    }
}

/// One chunk of a mapped table.
pub(super) struct ChunkView<'a> {
    table: &'a TableFile,
    batch: ipc::RecordBatch<'a>,
    body: Range<usize>,
    pub(super) rows: usize,
}

/// The buffers of one column of one chunk.
pub(super) struct ColumnBuffers {
    pub(super) nulls: Option<Buffer>,
    pub(super) values: Buffer,
    /// Only for utf8.
    pub(super) text: Option<Buffer>,
}

impl ChunkView<'_> {
    /// Returns the buffers of a column, with the sizes and the alignment that its type demands.
    pub(super) fn column(&self, index: usize) -> Result<ColumnBuffers, String> {
        let data_type = self.table.schema.fields()[index].data_type;
        let first = self.table.first_buffers[index];
        let rows = self.rows;
        let node = self.batch.nodes().ok_or("it has no columns")?.get(index);
        if usize::try_from(node.length()) != Ok(rows) {
            return Err(format!("it has {} values for {rows} rows", node.length()));
        }
        let (value_bytes, alignment) = match data_type {
            DataType::Boolean => (bitmap::bytes_for(rows), 1),
            DataType::Int64 | DataType::Float64 | DataType::Timestamp => (rows * 8, align_of::<i64>()),
            DataType::Categorical => (rows * 4, align_of::<i32>()),
            DataType::Utf8 => ((rows + 1) * 4, align_of::<i32>()),
        };
        let validity = self.buffer(first)?;
        let nulls = match validity.len() {
            0 => None,
            _ => Some(exactly(&validity, bitmap::bytes_for(rows), 1)?),
        };
        let values = exactly(&self.buffer(first + 1)?, value_bytes, alignment)?;
        let text = match data_type {
            DataType::Utf8 => Some(self.buffer(first + 2)?),
            _ => None,
        };
        Ok(ColumnBuffers { nulls, values, text })
    }

    fn buffer(&self, index: usize) -> Result<Buffer, String> {
        let buffer = self.batch.buffers().ok_or("it has no buffers")?.get(index);
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let range = range.and_then(|(offset, length)| {
            let start = self.body.start.checked_add(offset)?;
            (start.checked_add(length)? <= self.body.end).then_some((start, length))
        });
        let (start, length) = range.ok_or_else(|| format!("buffer {index} lies outside its chunk"))?;
        Ok(self.table.map.slice_with_length(start, length))
    }
}

/// Returns the rows of a validity bitmap, or `None` if none of them is null.
pub(super) fn nulls(bits: Option<&Buffer>, start: usize, rows: usize) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(BooleanBuffer::new(bits?.clone(), start, rows));
    (nulls.null_count() > 0).then_some(nulls)
}

fn record_batch<'a>(map: &'a [u8], chunk: &Chunk) -> Result<ipc::RecordBatch<'a>, String> {
    let header = &map[chunk.header.clone()];
    let message = header.strip_prefix(&CONTINUATION).and_then(|rest| rest.get(4..)).ok_or("it has no header")?;
    let message = root_as_message(message).map_err(text)?;
    message.header_as_record_batch().ok_or_else(|| "it is no record batch".to_owned())
}

fn exactly(buffer: &Buffer, bytes: usize, alignment: usize) -> Result<Buffer, String> {
    if buffer.len() < bytes {
        return Err(format!("it has {} bytes where {bytes} are needed", buffer.len()));
    }
    if !buffer.as_ptr().addr().is_multiple_of(alignment) {
        return Err(format!("its values are not aligned to {alignment} bytes"));
    }
    Ok(buffer.slice_with_length(0, bytes))
}

/// Returns the index of each column's first buffer: each has validity and values, utf8 also text.
fn first_buffers(schema: &Schema) -> Vec<usize> {
    let mut next = 0;
    let mut firsts = Vec::with_capacity(schema.len() + 1);
    for field in schema.fields() {
        firsts.push(next);
        next += if field.data_type == DataType::Utf8 { 3 } else { 2 };
    }
    firsts.push(next);
    firsts
}

fn category_arrays(schema: &Schema, lists: Vec<Vec<Cow<'_, str>>>) -> Result<Vec<Option<Arc<StringArray>>>, String> {
    let mut lists = lists.into_iter();
    let mut arrays = Vec::with_capacity(schema.len());
    for field in schema.fields() {
        arrays.push(match field.data_type {
            DataType::Categorical => {
                let list = lists.next().ok_or_else(|| format!("column `{}` has no categories", field.name))?;
                Some(Arc::new(StringArray::from_iter_values(list)))
            }
            _ => None,
        });
    }
    if lists.next().is_some() {
        return Err("it has more lists of categories than categorical columns".to_owned());
    }
    Ok(arrays)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
