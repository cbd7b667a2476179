//! Exporting artifacts as files for other programs.
//!
//! An export is written to a new file and renamed, so that a failed one leaves no file and an
//! existing file is replaced as a whole. A path that exists and is not a file (a pipe, a device) is
//! written to directly, since a file must not replace it.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::{StoreError, io_error};
use crate::schema::DataType;
use crate::table::Table;

/// Writes a table as Parquet, compressed with zstd. Categorical columns become dictionary-encoded
/// strings.
///
/// # Errors
/// [`StoreError::Io`], [`StoreError::Export`], or those of [`Table::read`].
pub fn export_parquet(table: &Table, path: &Path) -> Result<(), StoreError> {
    let failed = |error| match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(source) => io_error("write", path)(*source),
            Err(other) => StoreError::Export { path: path.to_owned(), problem: other.to_string() },
        },
        other => StoreError::Export { path: path.to_owned(), problem: other.to_string() },
    };
    write_then_rename(path, |file| {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let mut writer = ArrowWriter::try_new(file, table.schema().to_arrow(), Some(properties)).map_err(failed)?;
        for batch in table.batches(None) {
            writer.write(&batch?).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        Ok(())
    })
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
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let file = OpenOptions::new().write(true).open(path).map_err(io_error("open", path))?;
        return write(&file);
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
    let temporary = temporary.tempfile_in(directory).map_err(io_error("create a file in", directory))?;
    write(temporary.as_file())?;
    temporary.persist(path).map_err(|error| io_error("create", path)(error.error))?;
    Ok(())
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
