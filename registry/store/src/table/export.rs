//! Exporting artifacts as files for other programs.
//!
//! An export is written to a new file and renamed, so that a failed one leaves no file and an
//! existing file is replaced as a whole. A path that exists and is not a file (a pipe, a device) is
//! written to directly, since a file must not replace it.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;

use crate::error::{StoreError, io_error};
use crate::schema::{DataType, Schema};
use crate::table::Table;

/// A file for another program. It appears under its name when it is finished, or not at all.
#[derive(Debug)]
pub struct ExportFile {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The path exists and is not a file.
    There(File),
    Beside(NamedTempFile),
}

impl ExportFile {
    /// Creates a file beside the one that it will replace.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), place: Place::of(path)? })
    }

    /// Returns the file to write to.
    pub fn file(&self) -> &File {
        match &self.place {
            Place::There(file) => file,
            Place::Beside(file) => file.as_file(),
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(self) -> Result<(), StoreError> {
        match self.place {
            Place::There(_) => Ok(()),
            Place::Beside(file) => {
                file.persist(&self.path).map(|_| ()).map_err(|error| io_error("create", &self.path)(error.error))
            }
        }
    }

    /// Returns the error of a write to it.
    pub fn failed(&self, error: io::Error) -> StoreError {
        io_error("write", &self.path)(error)
    }
}

impl Place {
    fn of(path: &Path) -> Result<Self, StoreError> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return OpenOptions::new().write(true).open(path).map(Self::There).map_err(io_error("open", path));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut temporary = tempfile::Builder::new();
        // The permissions of any new file. By default, tempfile creates one that only its owner can
        // read.
        #[cfg(unix)]
        temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        temporary.tempfile_in(directory).map(Self::Beside).map_err(io_error("create a file in", directory))
    }
}

/// Writes batches as Parquet, compressed with zstd. Categorical columns become dictionary-encoded
/// strings.
pub struct ParquetExport {
    writer: ArrowWriter<File>,
    file: ExportFile,
}

impl std::fmt::Debug for ParquetExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetExport").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ParquetExport {
    /// Begins a file of these columns. `unique` names columns whose values hardly repeat: they get
    /// no dictionary.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Export`].
    pub fn new(file: ExportFile, schema: &Schema, unique: &[&str]) -> Result<Self, StoreError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS));
        for name in unique {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from((*name).to_owned()), false);
        }
        let handle = file.file().try_clone().map_err(|error| file.failed(error))?;
        let writer = ArrowWriter::try_new(handle, schema.to_arrow(), Some(properties.build()));
        let writer = writer.map_err(|error| parquet_failed(&file.path, error))?;
        Ok(Self { writer, file })
    }

    /// Adds a text under a key to the file's metadata.
    pub fn note(&mut self, key: &str, value: &str) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value.to_owned()));
    }

    /// Writes rows.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Export`].
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let mut written = self.writer.write(batch);
        if self.writer.memory_size() >= GROUP_BYTES {
            written = written.and_then(|()| self.writer.flush());
        }
        written.map_err(|error| parquet_failed(&self.file.path, error))
    }

    /// Writes the end, and gives the file its name.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Export`].
    pub fn finish(self) -> Result<(), StoreError> {
        self.writer.close().map_err(|error| parquet_failed(&self.file.path, error))?;
        self.file.finish()
    }
}

/// The most rows of a group, which are in memory until it is written.
const GROUP_ROWS: usize = 1 << 18;

/// The bytes of memory from which on a group is written, however few rows it has.
const GROUP_BYTES: usize = 64 << 20;

fn parquet_failed(path: &Path, error: ParquetError) -> StoreError {
    let export = |problem: String| StoreError::Export { path: path.to_owned(), problem };
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(source) => io_error("write", path)(*source),
            Err(other) => export(other.to_string()),
        },
        other => export(other.to_string()),
    }
}

/// Writes a table as Parquet, compressed with zstd. Categorical columns become dictionary-encoded
/// strings.
///
/// # Errors
/// [`StoreError::Io`], [`StoreError::Export`], or those of [`Table::read`].
pub fn export_parquet(table: &Table, path: &Path) -> Result<(), StoreError> {
    let mut writer = ParquetExport::new(ExportFile::create(path)?, table.schema(), &[])?;
    for batch in table.batches(None) {
        writer.write(&batch?)?;
    }
    writer.finish()
}

/// How text is written to CSV that a spreadsheet would take for a formula, which may start
/// programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formulas {
    /// As it is, so that it reads back unchanged.
    Kept,
    /// With an apostrophe before it, so that spreadsheets show it as text.
    Quoted,
}

impl Formulas {
    fn text(self, text: &str) -> Cow<'_, str> {
        // The list of OWASP's "CSV Injection".
        if self == Self::Quoted && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
            return format!("'{text}").into();
        }
        text.into()
    }
}

/// Writes a table as CSV: a header, nulls as empty fields, timestamps as RFC 3339 in UTC, floats
/// that read back bit for bit. An empty string cannot be distinguished from a null.
///
/// # Errors
/// [`StoreError::Io`], [`StoreError::Export`], or those of [`Table::read`].
pub fn export_csv(table: &Table, path: &Path, formulas: Formulas) -> Result<(), StoreError> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(source) => io_error("write", path)(source),
        other => StoreError::Export { path: path.to_owned(), problem: format!("{other:?}") },
    };
    write_then_rename(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        let names = table.schema().fields().iter().map(|it| formulas.text(&it.name).into_owned());
        writer.write_record(names).map_err(failed)?;
        for batch in table.batches(None) {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                for (field, array) in table.schema().fields().iter().zip(batch.columns()) {
                    let cell = cell(field.data_type, array, row);
                    let is_text = matches!(field.data_type, DataType::Utf8 | DataType::Categorical);
                    let cell = if is_text { formulas.text(&cell) } else { cell.into() };
                    writer.write_field(&*cell).map_err(failed)?;
                }
                writer.write_record(None::<&[u8]>).map_err(failed)?;
            }
        }
        writer.flush().map_err(io_error("write", path))
    })
}

/// Writes the bytes of a blob or a document.
///
/// # Errors
/// [`StoreError::Io`].
pub fn export_bytes(bytes: &[u8], path: &Path) -> Result<(), StoreError> {
    write_then_rename(path, |mut file| file.write_all(bytes).map_err(io_error("write", path)))
}

fn write_then_rename(path: &Path, write: impl FnOnce(&File) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let file = ExportFile::create(path)?;
    write(file.file())?;
    file.finish()
}

fn cell(data_type: DataType, array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    match data_type {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        // The shortest text that reads back to the same value.
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Categorical => {
            let array = array.as_dictionary::<Int32Type>();
            array.values().as_string::<i32>().value(array.keys().value(row) as usize).to_owned()
        }
        DataType::Timestamp => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            match array.value_as_datetime(row) {
                Some(time) => format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S%.f")),
                // It lies outside of the calendar's range.
                None => array.value(row).to_string(),
            }
        }
    }
}
