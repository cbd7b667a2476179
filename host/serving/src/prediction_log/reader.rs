//! Reads the files of a model's log.
//!
//! A server may write meanwhile: pieces become one file, and old files go. The files of an hour are
//! opened at once, so that each row is read once whatever happens then.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use stagewright_store::open_regular;

use super::columns::{FORMAT, FORMAT_KEY, fixed_columns};
use super::folder::{Listed, list, without_repeated};
use super::log;
use super::name::HOUR_MS;

/// How often the files of an hour are looked up again because one went before it was opened.
const ATTEMPTS: usize = 8;

/// The rows of a batch.
const BATCH_ROWS: usize = 8192;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// A file or folder cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// A file is not one of a prediction log.
    #[error("`{}` is no file of a prediction log, or is damaged: {problem}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
}

/// The files of a model's log.
///
/// ```no_run
/// use std::path::Path;
/// use stagewright_serving::PredictionLogFiles;
///
/// let log = PredictionLogFiles::of(Path::new(".stagewright/serving"), "churn-classifier");
/// for hour in log.hours()? {
///     for file in log.open(hour)? {
///         for batch in file.batches(false)? {
///             println!("{} rows", batch?.num_rows());
///         }
///     }
/// }
/// # Ok::<(), stagewright_serving::LogReadError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PredictionLogFiles {
    folder: PathBuf,
}

/// A file of a log, opened.
#[derive(Debug)]
pub struct LogFile {
    /// Where it was. It may have gone since, which does not matter for reading it.
    pub path: PathBuf,
    file: File,
}

/// The rows of a file.
pub struct LogBatches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl PredictionLogFiles {
    /// Returns the files of a model, in the folder that servers use in their home.
    pub fn of(serving: &Path, model: &str) -> Self {
        Self::in_folder(log::folder(serving).join(model))
    }

    /// Returns the files of a folder.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the hours of which there are files, in milliseconds since the epoch, in order. The
    /// hour of a request is that of its arrival.
    ///
    /// # Errors
    /// The folder cannot be read. One that is not there has no files.
    pub fn hours(&self) -> Result<Vec<i64>, LogReadError> {
        let files = self.list()?;
        let mut hours: Vec<i64> = files.iter().map(|file| file.name.hour.saturating_mul(HOUR_MS)).collect();
        hours.dedup();
        Ok(hours)
    }

    /// Opens the files of an hour, which have each row once.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn open(&self, hour_ms: i64) -> Result<Vec<LogFile>, LogReadError> {
        let mut gone = None;
        for _ in 0..ATTEMPTS {
            let files = self.list()?;
            let of_hour = files.into_iter().filter(|file| file.name.hour == hour_ms.div_euclid(HOUR_MS)).collect();
            let paths = without_repeated(of_hour).into_iter().map(|file| self.folder.join(file.name.to_string()));
            let opened: Result<Vec<LogFile>, LogReadError> = paths
                .map(|path| match open_regular(&path) {
                    Ok(file) => Ok(LogFile { path, file }),
                    Err(reason) => Err(LogReadError::Io { path, reason }),
                })
                .collect();
            match opened {
                Err(LogReadError::Io { path, reason }) if reason.kind() == io::ErrorKind::NotFound => {
                    gone = Some(LogReadError::Io { path, reason });
                }
                opened => return opened,
            }
        }
        gone.map_or(Ok(Vec::new()), Err)
    }

    fn list(&self) -> Result<Vec<Listed>, LogReadError> {
        list(&self.folder).map_err(|reason| LogReadError::Io { path: self.folder.clone(), reason })
    }
}

impl LogFile {
    /// Reads the rows. With `predictions_only`, batches have [`fixed_columns`] alone; otherwise
    /// the features of the version follow.
    ///
    /// # Errors
    /// It is no file of a log.
    pub fn batches(self, predictions_only: bool) -> Result<LogBatches, LogReadError> {
        let Self { path, file } = self;
        // The reader of Parquet is not made for bytes that somebody has forged.
        let opened = catch_unwind(AssertUnwindSafe(|| open(file, predictions_only)));
        match opened.unwrap_or_else(|_| Err("its contents make no sense".to_owned())) {
            Ok((reader, schema)) => Ok(LogBatches { path, reader, schema }),
            Err(problem) => Err(LogReadError::Damaged { path, problem }),
        }
    }
}

fn open(file: File, predictions_only: bool) -> Result<(ParquetRecordBatchReader, SchemaRef), String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let schema = builder.schema().clone();
    let format = schema.metadata().get(FORMAT_KEY).map(String::as_str);
    if format != Some(FORMAT) {
        return Err(format!("its format is not `{FORMAT}`"));
    }
    let fixed = fixed_columns();
    for (place, wanted) in fixed.iter().enumerate() {
        let is_there = schema.fields().get(place).is_some_and(|field| {
            (field.name(), field.data_type(), field.is_nullable())
                == (wanted.name(), wanted.data_type(), wanted.is_nullable())
        });
        if !is_there {
            return Err(format!("it lacks the column `{}`", wanted.name()));
        }
    }
    let mask = match predictions_only {
        true => ProjectionMask::roots(builder.parquet_schema(), 0..fixed.len()),
        false => ProjectionMask::all(),
    };
    let reader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
    Ok((reader, schema))
}

impl LogBatches {
    /// Returns the columns of the file, features included.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Iterator for LogBatches {
    type Item = Result<RecordBatch, LogReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let damaged = |problem: String| LogReadError::Damaged { path: self.path.clone(), problem };
        let next = catch_unwind(AssertUnwindSafe(|| self.reader.next()));
        match next {
            Ok(batch) => batch.map(|batch| batch.map_err(|error| damaged(error.to_string()))),
            Err(_) => Some(Err(damaged("its contents make no sense".to_owned()))),
        }
    }
}

impl std::fmt::Debug for LogBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogBatches").field(&self.path).finish()
    }
}
