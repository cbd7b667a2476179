//! The work of a decoding process.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use serde::{Deserialize, Serialize};
use stagewright_store::{DataType, Field, Schema};

use crate::error::DataError;
use crate::infer::{self, Inference, InferenceOptions};
use crate::interrupt::Interrupt;
use crate::request::{self, RowsInput};
use crate::rows::{KEPT_MEMORY, KeptColumn, MAX_BYTES, Rows};
use crate::signature::{Signature, Strictness};
use crate::source::{BatchSink, Batches, InMemory, Literal, Place, Source, SourceUri, visit};
use crate::split::{split_cells, split_schema};

/// The name of a split's file in errors.
pub const SPLIT: &str = "the split";

/// The work of a decoding process: what to read from the files of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecodeJob {
    /// The name of the file in errors.
    name: String,
    format: Format,
    query: Option<String>,
    parameters: Vec<Parameter>,
    wanted: JobKind,
}

/// The rows of kept values that are sent at once.
const KEPT_AT_ONCE: usize = 8192;

/// The part of a source to read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum JobKind {
    /// Its rows, decoded under a signature.
    Rows {
        /// The signature.
        signature: Signature,
        /// How strictly it applies.
        strictness: Strictness,
    },
    /// A proposed signature.
    Signature {
        /// How to infer it.
        options: InferenceOptions,
        /// Whether to propose null tokens too.
        with_tokens: bool,
    },
    /// The cells of a split's file.
    Split {
        /// The identifiers of the table that is split.
        identifiers: Vec<String>,
    },
    /// All rows at once, for prediction.
    Whole {
        /// The signature.
        signature: Signature,
        /// The columns to keep beside the features.
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

/// A [`Literal`] with its kind, which its JSON does not tell. A float is sent as its bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Parameter {
    Boolean(bool),
    Integer(i64),
    Bits(u64),
    Text(String),
}

impl DecodeJob {
    /// Returns a job on the files of a source.
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

    /// Returns a job on text that holds rows, and the text; `None` if the rows come from a source.
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

    /// Returns a job on the file of a split.
    pub fn for_split(identifiers: &[String]) -> Self {
        let format = Format::Csv { delimiter: Some(b','), header: Some(true) };
        let wanted = JobKind::Split { identifiers: identifiers.to_vec() };
        Self { name: SPLIT.to_owned(), format, query: None, parameters: Vec::new(), wanted }
    }

    /// Returns whether the file is a database.
    pub fn is_database(&self) -> bool {
        matches!(self.format, Format::Sqlite { .. })
    }

    /// Returns the columns of the batches that the job produces; `None` if it produces none.
    pub fn schema(&self) -> Option<Schema> {
        match &self.wanted {
            JobKind::Rows { signature, strictness } => Some(signature.decoded(*strictness)),
            JobKind::Whole { signature, .. } => Some(signature.decoded(Strictness::Predict)),
            JobKind::Split { identifiers } => split_schema(identifiers.len()).ok(),
            JobKind::Signature { .. } => None,
        }
    }

    /// Returns the columns of kept values, which are JSON texts; `None` if the job keeps none.
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
            // JSON is not a source. This arm is never used for it.
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

    /// Does the job on this thread, without opening files. Rows go to `sink`; a signature is
    /// returned.
    ///
    /// # Errors
    /// As the methods of [`Decode`](super::Decode).
    pub fn perform(&self, memory: InMemory, sink: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        let (source, place, interrupt) = (self.source(), Place::Memory(memory), Interrupt::never());
        match &self.wanted {
            JobKind::Rows { signature, strictness } => {
                let mut batches = Batches::new(signature.clone(), *strictness, sink);
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
                let mut take = |cells: &RecordBatch| sink.batch(cells.clone());
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
                self.pass_on(rows, sink)
            }
        }
    }

    fn pass_on(&self, rows: Rows, sink: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        let (count, kept) = (rows.batch.num_rows(), rows.kept);
        sink.opened()?;
        if count > 0 {
            sink.batch(rows.batch)?;
        }
        let Some(schema) = self.kept_schema().filter(|schema| !schema.is_empty()) else { return Ok(None) };
        for start in (0..count).step_by(KEPT_AT_ONCE) {
            let texts = |column: &KeptColumn| -> ArrayRef {
                let values = column.values.iter().skip(start).take(KEPT_AT_ONCE);
                Arc::new(values.map(|value| Some(value.to_string())).collect::<StringArray>())
            };
            sink.kept(RecordBatch::try_new(schema.to_arrow(), kept.iter().map(texts).collect())?)?;
        }
        Ok(None)
    }

    /// Assembles the batches that a job produced: features, and kept values.
    ///
    /// # Errors
    /// The part that does not fit the job.
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
                    // Each part of a value takes memory, however short its text is.
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
