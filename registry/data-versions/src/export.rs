//! A version as files for other programs: `data_v1.2.0.parquet`, or the folder `data_v1.2.0`.
//!
//! The same version gives the same bytes on every machine: the time at which it was added is in the
//! record, and in the file's metadata instead of a column.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use stagewright_store::{
    DataKind, DataType, DataVersionRecord, ExportFile, Field, Home, ParquetExport, Schema, StoreError,
};

use crate::bytes::open_table;
use crate::error::{DataVersionsError, io_error};
use crate::files;

/// The column of an exported table with the number of its version.
pub const VERSION_COLUMN: &str = "_data_version";
/// The key of the file's metadata with the time at which the version was added.
pub const PROCESSED_AT: &str = "_processed_at";
/// The key of the file's metadata with the digest of the table.
const DIGEST: &str = "_data_digest";

/// Writes a version to a folder. Returns the file or folder that was written. A file of before is
/// replaced.
///
/// # Errors
/// Those of the store and of writing; a folder of files that exists is not replaced.
pub fn write(home: &Home, record: &DataVersionRecord, folder: &Path) -> Result<PathBuf, DataVersionsError> {
    std::fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    let stem = format!("data_v{}", record.version);
    match record.kind {
        DataKind::Files => {
            let path = folder.join(stem);
            files::unpack(home, record, &path)?;
            Ok(path)
        }
        DataKind::Table => {
            let path = folder.join(format!("{stem}.parquet"));
            parquet(home, record, &path)?;
            Ok(path)
        }
    }
}

fn parquet(home: &Home, record: &DataVersionRecord, path: &Path) -> Result<(), DataVersionsError> {
    let table = open_table(home, record)?;
    let columns = table.schema().indices_where(|field| field.name != VERSION_COLUMN);
    let fields = table.schema().project(&columns).fields().to_vec();
    let version = Field::new(VERSION_COLUMN, DataType::Utf8);
    let schema = Schema::new([fields, vec![version]].concat()).map_err(StoreError::from)?;
    let mut export = ParquetExport::new(ExportFile::create(path)?, &schema, &[])?;
    let added = jiff::Timestamp::from_millisecond(record.created_ms).unwrap_or_default();
    export.note(PROCESSED_AT, &added.to_string());
    export.note(VERSION_COLUMN, &record.version.to_string());
    export.note(DIGEST, &record.digest.to_string());
    let number = record.version.to_string();
    for batch in table.batches(Some(&columns)) {
        let batch = batch?;
        let numbers: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&number, batch.num_rows())));
        let arrays = [batch.columns(), &[numbers]].concat();
        let batch = RecordBatch::try_new(schema.to_arrow(), arrays).map_err(|error| DataVersionsError::Damaged {
            what: record.reference().to_string(),
            problem: error.to_string(),
        })?;
        export.write(&batch)?;
    }
    Ok(export.finish()?)
}
