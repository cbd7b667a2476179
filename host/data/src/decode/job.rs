//! The work of a decoding process.

use std::io::Read;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use stagewright_store::Schema;

use crate::error::DataError;
use crate::infer::{self, Inference, InferenceOptions};
use crate::interrupt::Interrupt;
use crate::prediction::{Pieces, RowsInput, TextFormat, visit_json};
use crate::signature::{Signature, Strictness};
use crate::source::{BatchSink, Batches, Compression, CsvOptions, InMemory, Literal, Place, Source, SourceUri, visit};
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
    #[serde(default)]
    is_pack: bool,
    wanted: JobKind,
}

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
    /// Its rows to predict, in pieces.
    Prediction {
        /// The signature.
        signature: Signature,
        /// The columns to keep beside the features.
        keep: Vec<String>,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Format {
    Csv { options: CsvOptions },
    Jsonl { compression: Option<Compression> },
    Arrow,
    Sqlite { table: Option<String> },
    PostgresRows,
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
            SourceUri::Csv { options, .. } => Format::Csv { options: options.clone() },
            SourceUri::Jsonl { compression, .. } => Format::Jsonl { compression: *compression },
            SourceUri::Arrow { .. } => Format::Arrow,
            SourceUri::Sqlite { table, .. } => Format::Sqlite { table: table.clone() },
            SourceUri::PostgresRows { .. } => Format::PostgresRows,
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
            is_pack: source.is_pack,
            wanted,
        }
    }

    /// Returns a job on rows to predict.
    pub fn on_rows(input: &RowsInput, signature: Signature, keep: Vec<String>) -> Self {
        let wanted = JobKind::Prediction { signature, keep };
        let (name, format) = match input {
            RowsInput::Source(source) => return Self::new(source, wanted),
            RowsInput::Json(path) => (path.display().to_string(), Format::Json),
            RowsInput::Text(text) => (
                text.name.clone(),
                match &text.format {
                    TextFormat::Json => Format::Json,
                    TextFormat::Jsonl { compression } => Format::Jsonl { compression: Some(*compression) },
                    TextFormat::Csv { options } => Format::Csv { options: options.clone() },
                },
            ),
        };
        Self { name, format, query: None, parameters: Vec::new(), is_pack: false, wanted }
    }

    /// Returns a job on the file of a split.
    pub fn for_split(identifiers: &[String]) -> Self {
        let format = Format::Csv { options: CsvOptions::plain() };
        let wanted = JobKind::Split { identifiers: identifiers.to_vec() };
        Self { name: SPLIT.to_owned(), format, query: None, parameters: Vec::new(), is_pack: false, wanted }
    }

    /// Returns whether the file is a database.
    pub fn is_database(&self) -> bool {
        matches!(self.format, Format::Sqlite { .. })
    }

    /// Returns the columns of the batches that the job produces; `None` if it produces none.
    pub fn schema(&self) -> Option<Schema> {
        match &self.wanted {
            JobKind::Rows { signature, strictness } => Some(signature.decoded(*strictness)),
            JobKind::Prediction { signature, .. } => Some(signature.decoded(Strictness::Predict)),
            JobKind::Split { identifiers } => split_schema(identifiers.len()).ok(),
            JobKind::Signature { .. } => None,
        }
    }

    fn source(&self) -> Source {
        let path = PathBuf::from(&self.name);
        let uri = match &self.format {
            Format::Csv { options } => SourceUri::Csv { path, options: options.clone() },
            Format::Jsonl { compression } => SourceUri::Jsonl { path, compression: *compression },
            Format::Arrow => SourceUri::Arrow { path },
            Format::Sqlite { table } => SourceUri::Sqlite { path, table: table.clone() },
            Format::PostgresRows => SourceUri::PostgresRows { path },
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
        Source { uri, query: self.query.clone(), parameters, is_pack: self.is_pack }
    }

    /// Does the job on this thread, without opening files. Rows go to `sink`; a signature is
    /// returned.
    ///
    /// # Errors
    /// As the methods of [`Decode`](super::Decode).
    pub fn perform(&self, memory: InMemory, sink: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        self.perform_at(Place::Memory(memory), sink)
    }

    /// Does the job on a text that is read as it comes.
    ///
    /// # Errors
    /// As [`DecodeJob::perform`]; [`DataError::Host`] if the job is not on text.
    pub fn perform_on_text(
        &self,
        text: Box<dyn Read>,
        sink: &mut dyn BatchSink,
    ) -> Result<Option<Inference>, DataError> {
        self.perform_at(Place::Stream(text), sink)
    }

    fn perform_at(&self, place: Place, sink: &mut dyn BatchSink) -> Result<Option<Inference>, DataError> {
        let (source, interrupt) = (self.source(), Interrupt::never());
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
                let mut take = |cells: &RecordBatch| sink.batch(cells.clone());
                split_cells(place.text()?, &self.name, identifiers, &interrupt, &mut take).map(|()| None)
            }
            JobKind::Prediction { signature, keep } => {
                let mut pieces = Pieces::new(signature.clone(), keep.clone(), sink);
                match &self.format {
                    Format::Json => visit_json(place.text()?, &self.name, &interrupt, &mut pieces)?,
                    _ => visit(&source, place, &interrupt, &mut pieces)?,
                }
                pieces.end().map(|()| None)
            }
        }
    }
}
