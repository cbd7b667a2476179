//! Decoding wherever it is done: in this process, or in one of its own.
//!
//! [`Decode`] is asked; [`InProcess`] decodes in this process. For another one there is the [`DecodeJob`], a
//! plain value that it [performs](DecodeJob::perform) on files in memory, and the [`DecodeFailure`] that it may
//! answer with. Whoever started it does not trust it: a failure becomes an error by
//! [`DecodeFailure::believed`] alone.

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
use crate::request::{self, Rows, RowsInput};
use crate::signature::{Signature, Strictness};
use crate::source::{self, Cursor, Source};
use crate::split::{SplitCellSink, split_cells};

pub use failure::{DecodeFailure, FailureText};
pub use job::{DecodeJob, JobKind, SPLIT};

/// The limits of decoding, and who is told what it used.
#[derive(Clone)]
pub struct DecodeLimits {
    /// Ends it, and charges its CPU time.
    pub interrupt: Interrupt,
    /// Bytes of memory that a process that decodes may take.
    pub memory: u64,
    /// Is told the walls that stood around such a process.
    pub on_walls: Option<Arc<WallObserver>>,
}

/// Takes the names of walls.
pub type WallObserver = dyn Fn(&[&'static str]) + Send + Sync;

impl DecodeLimits {
    /// As long as the interrupt lets it, with as much memory as ingestion has by default.
    pub fn until(interrupt: Interrupt) -> Self {
        Self { interrupt, memory: 1 << 30, on_walls: None }
    }
}

impl fmt::Debug for DecodeLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeLimits").field("interrupt", &self.interrupt).field("memory", &self.memory).finish()
    }
}

/// Where files are decoded.
pub trait Decode: fmt::Debug + Send + Sync {
    /// Opens a source and finds the signature's columns in it.
    ///
    /// # Errors
    /// As [`open`](crate::open); [`DataError::Memory`]; [`DataError::Host`].
    fn open(
        &self,
        source: &Source,
        signature: &Signature,
        strictness: Strictness,
        leave: &DecodeLimits,
    ) -> Result<Box<dyn SourceRows>, DataError>;

    /// Proposes a signature. `with_tokens`: more null tokens too, as [`propose`](crate::propose).
    ///
    /// # Errors
    /// As [`infer`](crate::infer); [`DataError::Memory`]; [`DataError::Host`].
    fn infer(
        &self,
        source: &Source,
        options: &InferenceOptions,
        with_tokens: bool,
        leave: &DecodeLimits,
    ) -> Result<Inference, DataError>;

    /// Decodes rows for prediction, and keeps columns beside them. `name` is what errors call the
    /// input.
    ///
    /// # Errors
    /// As [`decode_rows`](crate::decode_rows); [`DataError::Memory`]; [`DataError::Host`].
    fn whole(
        &self,
        input: RowsInput<'_>,
        name: &str,
        signature: &Signature,
        keep: &[String],
        leave: &DecodeLimits,
    ) -> Result<Rows, DataError>;

    /// Reads the cells of a split's file, given the names of the table's identifiers.
    ///
    /// # Errors
    /// As [`split_cells`]; [`DataError::Unreadable`]; [`DataError::Memory`]; [`DataError::Host`].
    fn split(
        &self,
        file: &Path,
        identifiers: &[String],
        leave: &DecodeLimits,
        take: &mut SplitCellSink<'_>,
    ) -> Result<(), DataError>;
}

/// Rows of a source, from the first on.
pub trait SourceRows: Send {
    /// The columns of every batch.
    fn schema(&self) -> &Schema;

    /// The next rows: at least one and at most `rows`, often fewer; `None` at the end.
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
        leave: &DecodeLimits,
    ) -> Result<Box<dyn SourceRows>, DataError> {
        Ok(Box::new(source::open(source, signature, strictness, &leave.interrupt)?))
    }

    fn infer(
        &self,
        source: &Source,
        options: &InferenceOptions,
        with_tokens: bool,
        leave: &DecodeLimits,
    ) -> Result<Inference, DataError> {
        let infer = if with_tokens { infer::propose } else { infer::infer };
        infer(source, options, &leave.interrupt)
    }

    fn whole(
        &self,
        input: RowsInput<'_>,
        name: &str,
        signature: &Signature,
        keep: &[String],
        leave: &DecodeLimits,
    ) -> Result<Rows, DataError> {
        request::decode_rows_until(input, name, signature, keep, &leave.interrupt)
    }

    fn split(
        &self,
        file: &Path,
        identifiers: &[String],
        leave: &DecodeLimits,
        take: &mut SplitCellSink<'_>,
    ) -> Result<(), DataError> {
        let opened = open_regular(file).map_err(|error| DataError::unreadable(Path::new(SPLIT), error, ""))?;
        split_cells(BufReader::new(opened), SPLIT, identifiers, &leave.interrupt, take)
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
