//! Decoding wherever it is done: in this process, or in one of its own.
//!
//! [`Decode`] is asked; [`InProcess`] decodes in this process. For another one there is the [`DecodeJob`], a
//! plain value that it [performs](DecodeJob::perform) on files in memory, and the [`DecodeFailure`] that it may
//! answer with. Whoever started it does not trust it: a failure becomes an error by
//! [`DecodeFailure::believed`] alone.

use std::fmt;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use serde::{Deserialize, Serialize};
use stagewright_store::{DataType, Field, Schema, open_regular};
use stagewright_text::Untrusted;

use crate::error::{DataError, DataFault, MAX_SHOWN_BYTES, shown};
use crate::infer::{self, Inference, InferenceOptions};
use crate::interrupt::Interrupt;
use crate::request::{self, KEPT_MEMORY, KeptColumn, MAX_BYTES, Rows, RowsInput};
use crate::signature::{Signature, Strictness};
use crate::source::{self, BatchSink, Batches, Cursor, InMemory, Literal, Place, Source, SourceUri, visit};
use crate::split::{SplitCellSink, split_cells, split_schema};

/// The name of a split's file in errors.
pub const SPLIT: &str = "the split";

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

/// A job of another process: the work that it does on the files of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecodeJob {
    /// The name of the file in errors.
    name: String,
    format: Format,
    query: Option<String>,
    parameters: Vec<Parameter>,
    wanted: JobKind,
}

/// So many rows of kept values are passed on at once.
const KEPT_AT_ONCE: usize = 8192;

/// The part of a source that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum JobKind {
    /// Its rows, under a signature.
    Rows {
        /// The signature.
        signature: Signature,
        /// How its columns are held to it.
        strictness: Strictness,
    },
    /// A signature.
    Signature {
        /// How to look.
        options: InferenceOptions,
        /// Whether more null tokens are proposed.
        with_tokens: bool,
    },
    /// The cells of a split.
    Split {
        /// The identifiers of its table.
        identifiers: Vec<String>,
    },
    /// All of its rows, for prediction.
    Whole {
        /// The signature.
        signature: Signature,
        /// The columns that are kept beside the features.
        keep: Vec<String>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Format {
    Csv { delimiter: Option<u8>, header: Option<bool> },
    Sqlite { table: Option<String> },
    Parquet,
    Json,
}

/// A [`Literal`] with its kind: a number of JSON does not tell.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Parameter {
    Boolean(bool),
    Integer(i64),
    Bits(u64),
    Text(String),
}

impl DecodeJob {
    /// A job on the files of this source.
    pub fn new(source: &Source, wanted: JobKind) -> Self {
        let format = match &source.uri {
            SourceUri::Csv { delimiter, header, .. } => Format::Csv { delimiter: *delimiter, header: *header },
            SourceUri::Sqlite { table, .. } => Format::Sqlite { table: table.clone() },
            SourceUri::Parquet { .. } => Format::Parquet,
        };
        let parameter = |literal: &Literal| match literal {
            Literal::Boolean(value) => Parameter::Boolean(*value),
            Literal::Integer(value) => Parameter::Integer(*value),
            Literal::Float(value) => Parameter::Bits(value.to_bits()),
            Literal::Text(value) => Parameter::Text(value.clone()),
        };
        Self {
            name: source.uri.path().display().to_string(),
            format,
            query: source.query.clone(),
            parameters: source.parameters.iter().map(parameter).collect(),
            wanted,
        }
    }

    /// A job on a text of these rows, and the text; `None` if the rows are a source's.
    pub fn for_text<'a>(input: RowsInput<'a>, name: &str, wanted: JobKind) -> Option<(Self, &'a [u8])> {
        let (format, text) = match input {
            RowsInput::Json(text) => (Format::Json, text),
            RowsInput::Csv { text, delimiter, header } => {
                (Format::Csv { delimiter: Some(delimiter), header: Some(header) }, text)
            }
            RowsInput::Source(_) => return None,
        };
        let job = Self { name: name.to_owned(), format, query: None, parameters: Vec::new(), wanted };
        Some((job, text))
    }

    /// A job on the file of a split.
    pub fn for_split(identifiers: &[String]) -> Self {
        let format = Format::Csv { delimiter: Some(b','), header: Some(true) };
        let wanted = JobKind::Split { identifiers: identifiers.to_vec() };
        Self { name: SPLIT.to_owned(), format, query: None, parameters: Vec::new(), wanted }
    }

    /// Whether the file is a database.
    pub fn is_database(&self) -> bool {
        matches!(self.format, Format::Sqlite { .. })
    }

    /// The columns of the batches that it gives, if it gives some.
    pub fn schema(&self) -> Option<Schema> {
        match &self.wanted {
            JobKind::Rows { signature, strictness } => Some(signature.decoded(*strictness)),
            JobKind::Whole { signature, .. } => Some(signature.decoded(Strictness::Predict)),
            JobKind::Split { identifiers } => split_schema(identifiers.len()).ok(),
            JobKind::Signature { .. } => None,
        }
    }

    /// The columns of kept values: texts of JSON.
    pub fn kept_schema(&self) -> Option<Schema> {
        match &self.wanted {
            JobKind::Whole { keep, .. } => {
                let field = |number: usize| Field::new(format!("kept {number}"), DataType::Utf8);
                Schema::new((0..keep.len()).map(field).collect()).ok()
            }
            JobKind::Rows { .. } | JobKind::Signature { .. } | JobKind::Split { .. } => None,
        }
    }

    fn source(&self) -> Source {
        let path = PathBuf::from(&self.name);
        let uri = match &self.format {
            Format::Csv { delimiter, header } => SourceUri::Csv { path, delimiter: *delimiter, header: *header },
            Format::Sqlite { table } => SourceUri::Sqlite { path, table: table.clone() },
            // Rows of JSON are no source: nobody asks for this one.
            Format::Parquet | Format::Json => SourceUri::Parquet { path },
        };
        let literal = |parameter: &Parameter| match parameter {
            Parameter::Boolean(value) => Literal::Boolean(*value),
            Parameter::Integer(value) => Literal::Integer(*value),
            Parameter::Bits(bits) => Literal::Float(f64::from_bits(*bits)),
            Parameter::Text(value) => Literal::Text(value.clone()),
        };
        let parameters = self.parameters.iter().map(literal).collect();
        Source { uri, query: self.query.clone(), parameters }
    }

    /// Does it, on this thread, and opens nothing. Rows go to `taker`; a signature is returned.
    ///
    /// # Errors
    /// As [`Decode`]'s.
    pub fn perform(&self, memory: InMemory, taker: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        let (source, place, interrupt) = (self.source(), Place::Memory(memory), Interrupt::never());
        match &self.wanted {
            JobKind::Rows { signature, strictness } => {
                let mut batches = Batches::new(signature.clone(), *strictness, taker);
                visit(&source, place, &interrupt, &mut batches).and_then(|()| batches.end())?;
                Ok(None)
            }
            JobKind::Signature { options, with_tokens } => {
                infer::look(&source, place, options, *with_tokens, &interrupt).map(Some)
            }
            JobKind::Split { identifiers } => {
                let Place::Memory(InMemory::File(text)) = place else {
                    return Err(DataError::Host("a split is no database".to_owned()));
                };
                let mut take = |cells: &RecordBatch| taker.batch(cells.clone());
                split_cells(text, &self.name, identifiers, &interrupt, &mut take).map(|()| None)
            }
            JobKind::Whole { signature, keep } => {
                let rows = match (&self.format, place) {
                    (Format::Json, Place::Memory(InMemory::File(text))) => {
                        let text = RowsInput::Json(text);
                        request::decode_rows_until(text, &self.name, signature, keep, &interrupt)?
                    }
                    (_, place) => request::decode_memory(&source, place, signature, keep)?,
                };
                self.pass_on(rows, taker)
            }
        }
    }

    fn pass_on(&self, rows: Rows, taker: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        let (count, kept) = (rows.batch.num_rows(), rows.kept);
        taker.opened()?;
        if count > 0 {
            taker.batch(rows.batch)?;
        }
        let Some(schema) = self.kept_schema().filter(|schema| !schema.is_empty()) else { return Ok(None) };
        for start in (0..count).step_by(KEPT_AT_ONCE) {
            let texts = |column: &KeptColumn| -> ArrayRef {
                let values = column.values.iter().skip(start).take(KEPT_AT_ONCE);
                Arc::new(values.map(|value| Some(value.to_string())).collect::<StringArray>())
            };
            taker.kept(RecordBatch::try_new(schema.to_arrow(), kept.iter().map(texts).collect())?)?;
        }
        Ok(None)
    }

    /// The rows that were passed on: batches of features, and of kept values.
    ///
    /// # Errors
    /// The part of them that does not fit the job.
    pub fn assemble_rows(&self, batches: &[RecordBatch], kept: &[RecordBatch]) -> Result<Rows, &'static str> {
        let (JobKind::Whole { keep, .. }, Some(schema)) = (&self.wanted, self.schema()) else {
            return Err("rows that nobody asked for");
        };
        let batch = concat_batches(&schema.to_arrow(), batches).map_err(|_| "rows that do not fit each other")?;
        let mut columns: Vec<KeptColumn> =
            keep.iter().map(|name| KeptColumn { name: name.clone(), values: Vec::new() }).collect();
        let mut bytes = 0;
        for part in kept {
            for (column, texts) in columns.iter_mut().zip(part.columns()) {
                for text in texts.as_string::<i32>() {
                    // Parts of a value take memory each, however short their text is.
                    let parts = text.map_or(0, |text| text.bytes().filter(|byte| b",[{".contains(byte)).count());
                    bytes += KEPT_MEMORY * (1 + parts) + text.map_or(0, str::len);
                    if bytes > MAX_BYTES.saturating_mul(2) {
                        return Err("more kept values than it may");
                    }
                    let value = text.and_then(|text| serde_json::from_str(text).ok());
                    column.values.push(value.ok_or("a kept value that is none")?);
                }
            }
        }
        match columns.iter().all(|column| column.values.len() == batch.num_rows()) {
            true => Ok(Rows { batch, kept: columns }),
            false => Err("another number of kept values than of rows"),
        }
    }
}

/// The most bytes of a message that a process that decodes may send, and of its hint.
const MESSAGE: usize = 16 << 10;
const HINT: usize = 2 << 10;

/// The most bytes of a name.
const NAME: usize = 4 << 10;

/// Between a message and its hint, wherever the two are one text.
const HINTED: &str = "\nhint: ";

/// An error that a process that decodes says it ran into.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DecodeFailure {
    /// The data is wrong.
    Fault(DataFault),
    /// The file is not what its address says.
    Unreadable(FailureText),
    /// The query was refused.
    Query(FailureText),
    /// The source or the signature asks for what cannot be.
    Plan(FailureText),
}

/// A message and its hint, which may be empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailureText {
    message: String,
    hint: String,
}

impl From<DataError> for DecodeFailure {
    fn from(error: DataError) -> Self {
        let said = |message, hint| FailureText { message, hint };
        match error {
            DataError::Fault(fault) => Self::Fault(*fault),
            DataError::Unreadable { message, hint, .. } => Self::Unreadable(said(message, hint)),
            DataError::Query { message, hint, .. } => Self::Query(said(message, hint)),
            DataError::Plan { message, hint } => Self::Plan(said(message, hint)),
            error => Self::Unreadable(said(error.to_string(), String::new())),
        }
    }
}

impl DecodeFailure {
    /// The error that it is of this source. Its texts are bounded and stay on their lines; paths
    /// and queries are the source's.
    pub fn into_source_error(self, source: &Source) -> DataError {
        self.into_error(&source.uri.path().display().to_string(), source.query.as_deref())
    }

    /// The same of an input of this name.
    pub fn into_error(self, name: &str, query: Option<&str>) -> DataError {
        let line = |text: &str, most| Untrusted::new(text).cut(most).to_string();
        let both = |said: FailureText| (line(&said.message, MESSAGE), line(&said.hint, HINT));
        match self {
            Self::Fault(fault) => {
                let message = match fault.message.split_once(HINTED) {
                    Some((message, hint)) => format!("{}{HINTED}{}", line(message, MESSAGE), line(hint, HINT)),
                    None => line(&fault.message, MESSAGE),
                };
                let column = fault.column.map(|mut name| {
                    name.truncate(name.floor_char_boundary(NAME));
                    name
                });
                let value = fault.value.map(|value| line(&value, MAX_SHOWN_BYTES + '…'.len_utf8()));
                DataFault { message, column, row: fault.row, line: fault.line, value }.into()
            }
            Self::Unreadable(said) => {
                let (message, hint) = both(said);
                DataError::Unreadable { path: name.to_owned(), message, hint }
            }
            Self::Query(said) => {
                let (message, hint) = both(said);
                DataError::Query { query: shown(query.unwrap_or_default()), message, hint }
            }
            Self::Plan(said) => {
                let (message, hint) = both(said);
                DataError::plan(message, hint)
            }
        }
    }
}
