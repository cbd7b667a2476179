//! Checks a Parquet file before any of its pages is read.

use std::path::Path;

use bytes::Bytes;
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader as _, Length as _};
use stagewright_store::MAX_BATCH_BYTES;

use crate::error::{DataError, shown};
use crate::source::file_format::{FileFormat, HEAD_BYTES, recognise};
use crate::source::parquet::ParquetBytes;

/// The shortest file: the magic number twice, and the footer's length.
const MIN_BYTES: u64 = 12;

/// Checks both ends of a file and returns its length.
pub(super) fn ends(path: &Path, file: &ParquetBytes) -> Result<u64, DataError> {
    let length = file.len();
    let read = |start: u64, bytes: usize| {
        file.get_bytes(start, bytes).map_err(|error| match error {
            ParquetError::External(error) => DataError::unreadable(path, error, ""),
            error => DataError::unreadable(path, error, ""),
        })
    };
    let head = read(0, HEAD_BYTES.min(usize::try_from(length).unwrap_or(HEAD_BYTES)))?;
    match recognise(&head) {
        Some(FileFormat::Parquet) => {}
        Some(found) => return Err(found.error(path)),
        None => {
            let name = path.display();
            let hint = match std::str::from_utf8(&head) {
                Ok(text) if text.contains(',') || text.contains('\n') => format!("if it is text, write `csv:{name}`"),
                _ => "check the path".to_owned(),
            };
            return Err(DataError::unreadable(path, "it is not a Parquet file", &hint));
        }
    }
    let tail = if length >= MIN_BYTES { read(length - 4, 4)? } else { Bytes::new() };
    match &*tail {
        b"PAR1" if head.starts_with(b"PAR1") => Ok(length),
        b"PARE" => {
            Err(DataError::unreadable(path, "its footer is encrypted", "have it written again without encryption"))
        }
        _ => Err(DataError::unreadable(
            path,
            "it begins as a Parquet file and does not end as one",
            "the file may be truncated: copy it again, or have it written again",
        )),
    }
}

/// Checks the footer's statements about these columns: byte ranges, numbers of values, compression.
pub(super) fn columns(path: &Path, length: u64, metadata: &ParquetMetaData, places: &[usize]) -> Result<(), DataError> {
    let schema = metadata.file_metadata().schema_descr();
    let broken = |problem: String| damaged(path, &problem);
    let mut rows = 0_i64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 {
            return Err(broken(format!("row group {number} has {} rows", group.num_rows())));
        }
        rows = rows
            .checked_add(group.num_rows())
            .ok_or_else(|| broken("its row groups have more rows than can be counted".to_owned()))?;
        if group.num_columns() != schema.num_columns() {
            let found = (group.num_columns(), schema.num_columns());
            return Err(broken(format!("row group {number} has {} columns, and the schema {}", found.0, found.1)));
        }
        for (leaf, chunk) in group.columns().iter().enumerate() {
            if places.binary_search(&schema.get_column_root_idx(leaf)).is_ok() {
                let name = shown(&chunk.column_path().string());
                placed(chunk, length)
                    .map_err(|problem| broken(format!("column `{name}` of row group {number} {problem}")))?;
                readable(chunk.compression()).map_err(|codec| unsupported(path, &name, codec))?;
            }
        }
    }
    if rows != metadata.file_metadata().num_rows() {
        let said = metadata.file_metadata().num_rows();
        return Err(broken(format!("its row groups have {rows} rows together, and its footer says {said}")));
    }
    Ok(())
}

/// Returns how many rows are read at once: at most `most`, and fewer if rows are large. A page of
/// some bytes may repeat a value a billion times.
pub(super) fn rows_at_once(
    path: &Path,
    metadata: &ParquetMetaData,
    places: &[usize],
    most: usize,
) -> Result<usize, DataError> {
    let schema = metadata.file_metadata().schema_descr();
    let (mut fixed, mut row, mut in_lists) = (0_usize, 0_usize, Vec::new());
    for (leaf, column) in schema.columns().iter().enumerate() {
        if places.binary_search(&schema.get_column_root_idx(leaf)).is_err() {
            continue;
        }
        row = row.saturating_add(VALUE_MEMORY);
        if column.physical_type() == PhysicalType::FIXED_LEN_BYTE_ARRAY {
            fixed = fixed.saturating_add(usize::try_from(column.type_length()).unwrap_or(0));
        }
        if column.max_rep_level() > 0 {
            in_lists.push(leaf);
        }
    }
    few_in_lists(path, metadata, &in_lists)?;
    if fixed > MAX_BATCH_BYTES {
        let problem = format!("a row of it takes {fixed} bytes, and at most {MAX_BATCH_BYTES} are read");
        return Err(DataError::unreadable(path, problem, "leave out the long columns when it is written"));
    }
    let by_fixed = MAX_BATCH_BYTES / fixed.max(1);
    Ok(most.min(by_fixed).min(MAX_READ_BYTES / row.max(1)).max(1))
}

/// The approximate bytes that the reader holds for a value: itself, its levels and a view of it.
const VALUE_MEMORY: usize = 32;

/// The most bytes that the reader may hold for the rows that it reads at once.
const MAX_READ_BYTES: usize = 64 << 20;

/// The most values in the lists of one row group. All of them may belong to one row.
const MAX_IN_LISTS: i64 = 1 << 20;

/// Refuses lists with too many values to be read at once.
fn few_in_lists(path: &Path, metadata: &ParquetMetaData, leaves: &[usize]) -> Result<(), DataError> {
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut values = 0_i64;
        for &leaf in leaves {
            let chunk = group.column(leaf);
            values = values.saturating_add(chunk.num_values());
            if values > MAX_IN_LISTS {
                let problem = format!(
                    "the lists up to column `{}` of row group {number} have {values} values, and at most {MAX_IN_LISTS} are read",
                    shown(&chunk.column_path().string())
                );
                let hint = "have it written in smaller row groups, or leave the column out of the signature";
                return Err(DataError::unreadable(path, problem, hint));
            }
        }
    }
    Ok(())
}

/// Checks that the bytes of a column lie within the file.
fn placed(chunk: &ColumnChunkMetaData, length: u64) -> Result<(), String> {
    let starts = [Some(chunk.data_page_offset()), chunk.dictionary_page_offset()];
    let bytes = u64::try_from(chunk.compressed_size())
        .map_err(|_| format!("has a length of {} bytes", chunk.compressed_size()))?;
    for start in starts.into_iter().flatten() {
        let start = u64::try_from(start).map_err(|_| format!("begins at byte {start}"))?;
        if start > length {
            return Err(format!("begins at byte {start} of a file of {length}"));
        }
    }
    let start = starts[1].or(starts[0]).and_then(|start| u64::try_from(start).ok()).unwrap_or_default();
    if start.checked_add(bytes).is_none_or(|end| end > length) {
        return Err(format!("ends at byte {} of a file of {length}", start.saturating_add(bytes)));
    }
    if chunk.num_values() < 0 || chunk.uncompressed_size() < 0 {
        return Err(format!("has {} values in {} bytes", chunk.num_values(), chunk.uncompressed_size()));
    }
    Ok(())
}

/// Checks that the compression is supported.
fn readable(compression: Compression) -> Result<(), &'static str> {
    match compression {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => Ok(()),
        Compression::GZIP(_) => Err("gzip"),
        Compression::BROTLI(_) => Err("brotli"),
        Compression::LZ4 | Compression::LZ4_RAW => Err("LZ4"),
        Compression::LZO => Err("LZO"),
    }
}

fn unsupported(path: &Path, column: &str, codec: &str) -> DataError {
    DataError::unreadable(
        path,
        format!("column `{column}` is compressed with {codec}, which is not read"),
        "have it written with another codec, e.g. `pyarrow.parquet.write_table(table, FILE, compression=\"zstd\")`",
    )
}

pub(super) fn damaged(path: &Path, problem: &dyn std::fmt::Display) -> DataError {
    DataError::unreadable(
        path,
        format!("it cannot be read as Parquet: {problem}"),
        "the file may be damaged: copy it again, or have it written again",
    )
}
