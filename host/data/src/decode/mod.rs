//! Decoding files, in this process or in one of its own.
//!
//! [`Decode`] is the interface, and [`InProcess`] decodes in this process. For another process
//! there are [`DecodeJob`], a plain value that the process [performs](DecodeJob::perform) on files
//! in memory, and [`DecodeFailure`], its error. The caller does not trust that process:
//! [`DecodeFailure::into_error`] and [`Inference::checked`] check what it sends.

mod failure;
mod job;

use std::fmt;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_store::{Schema, open_regular};

use crate::error::DataError;
use crate::infer::{self, Inference, InferenceOptions};
use crate::interrupt::Interrupt;
use crate::prediction::{self, PredictionRows, RowsInput};
use crate::signature::{Signature, Strictness};
use crate::source::{self, Cursor, Source};
use crate::split::{SplitCellSink, split_cells};

pub use failure::{DecodeFailure, FailureText};
pub use job::{DecodeJob, JobKind, SPLIT};

/// The limits of decoding.
#[derive(Clone)]
pub struct DecodeLimits {
    /// Stops decoding, and is charged its CPU time.
    pub interrupt: Interrupt,
    /// Bytes of memory that a decoding process may use.
    pub memory: u64,
    /// Called with the walls that stood around a decoding process.
    pub on_walls: Option<Arc<WallObserver>>,
}

/// A callback that receives the names of walls.
pub type WallObserver = dyn Fn(&[&'static str]) + Send + Sync;

impl DecodeLimits {
    /// Returns limits with this interrupt, and with as much memory as ingestion has by default.
    pub fn until(interrupt: Interrupt) -> Self {
        Self { interrupt, memory: 1 << 30, on_walls: None }
    }
}

impl fmt::Debug for DecodeLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeLimits").field("interrupt", &self.interrupt).field("memory", &self.memory).finish()
    }
}

/// Decodes files, in this process or another one.
pub trait Decode: fmt::Debug + Send + Sync {
    /// Opens a source and finds the columns of the signature in it.
    ///
    /// # Errors
    /// As [`open`](crate::open); [`DataError::Memory`]; [`DataError::Host`].
    fn open(
        &self,
        source: &Source,
        signature: &Signature,
        strictness: Strictness,
        limits: &DecodeLimits,
    ) -> Result<Box<dyn SourceRows>, DataError>;

    /// Proposes a signature; `with_tokens` also proposes null tokens, as
    /// [`propose`](crate::propose).
    ///
    /// # Errors
    /// As [`infer`](crate::infer); [`DataError::Memory`]; [`DataError::Host`].
    fn infer(
        &self,
        source: &Source,
        options: &InferenceOptions,
        with_tokens: bool,
        limits: &DecodeLimits,
    ) -> Result<Inference, DataError>;

    /// Opens rows to predict, and keeps columns beside the features, even columns that the
    /// signature does not have.
    ///
    /// # Errors
    /// As [`open`](crate::open); [`DataError::Fault`] if a column to keep does not exist or is
    /// repeated; [`DataError::Memory`]; [`DataError::Host`].
    fn open_rows(
        &self,
        input: RowsInput,
        signature: &Signature,
        keep: &[String],
        limits: &DecodeLimits,
    ) -> Result<Box<dyn PredictionRows>, DataError>;

    /// Reads the cells of a split's file, given the names of the table's identifiers.
    ///
    /// # Errors
    /// As [`split_cells`]; [`DataError::Unreadable`]; [`DataError::Memory`]; [`DataError::Host`].
    fn read_split(
        &self,
        file: &Path,
        identifiers: &[String],
        limits: &DecodeLimits,
        take: &mut SplitCellSink<'_>,
    ) -> Result<(), DataError>;
}

/// The rows of a source, read once from the first on.
pub trait SourceRows: Send {
    /// Returns the columns of every batch.
    fn schema(&self) -> &Schema;

    /// Returns the next rows: at least one and at most `rows`, often fewer; `None` at the end.
    ///
    /// # Errors
    /// As [`Cursor::next`].
    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, DataError>;
}

/// Decodes in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Decode for InProcess {
    fn open(
        &self,
        source: &Source,
        signature: &Signature,
        strictness: Strictness,
        limits: &DecodeLimits,
    ) -> Result<Box<dyn SourceRows>, DataError> {
        Ok(Box::new(source::open(source, signature, strictness, &limits.interrupt)?))
    }

    fn infer(
        &self,
        source: &Source,
        options: &InferenceOptions,
        with_tokens: bool,
        limits: &DecodeLimits,
    ) -> Result<Inference, DataError> {
        let infer = if with_tokens { infer::propose } else { infer::infer };
        infer(source, options, &limits.interrupt)
    }

    fn open_rows(
        &self,
        input: RowsInput,
        signature: &Signature,
        keep: &[String],
        limits: &DecodeLimits,
    ) -> Result<Box<dyn PredictionRows>, DataError> {
        Ok(Box::new(prediction::open(input, signature, keep, &limits.interrupt)?))
    }

    fn read_split(
        &self,
        file: &Path,
        identifiers: &[String],
        limits: &DecodeLimits,
        take: &mut SplitCellSink<'_>,
    ) -> Result<(), DataError> {
        let opened = open_regular(file).map_err(|error| DataError::unreadable(Path::new(SPLIT), error, ""))?;
        split_cells(BufReader::new(opened), SPLIT, identifiers, &limits.interrupt, take)
    }
}

impl SourceRows for Cursor {
    fn schema(&self) -> &Schema {
        Self::schema(self)
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, DataError> {
        Self::next(self, rows)
    }
}
