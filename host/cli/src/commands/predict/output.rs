//! Writes predictions: CSV to standard output, a JSON document, or a file of several formats.
//!
//! A file appears when it is whole. CSV on standard output comes as rows are predicted.

use std::path::{Path, PathBuf};

use stagewright_data::{Signature, Task};
use stagewright_store::{ExportFile, Home, ModelVersion};

mod csv;
mod document;
mod json_lines;
mod json_row;
mod parquet;
mod piece;
mod spool;
mod text;

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;
use csv::CsvWriter;
use document::DocumentWriter;
use json_lines::JsonLinesWriter;
use parquet::{Column, ParquetWriter};
use piece::PredictionWriter;
pub(super) use piece::{Piece, Unseen, header, unseen_json};
use text::TextOutput;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
    Parquet,
    /// One JSON document on standard output.
    Document,
}

/// Where predictions go, and in which format.
#[derive(Debug)]
pub(super) struct OutputPlan {
    format: Format,
    /// `None` for standard output.
    file: Option<PathBuf>,
}

/// The kept columns, by where their values come from.
#[derive(Debug)]
pub(super) struct Columns {
    /// Those that the input's reader keeps beside the features.
    pub(super) from_input: Vec<String>,
    all: Vec<Column>,
    /// The indices, among the features, of those that are features.
    features: Vec<usize>,
}

impl OutputPlan {
    /// Returns the plan for `--output` and `--json`.
    ///
    /// # Errors
    /// The file's name does not tell its format.
    pub(super) fn of(file: Option<&Path>, json: bool) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self { format: if json { Format::Document } else { Format::Csv }, file: None });
        };
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        let format = match ending.as_str() {
            "csv" => Format::Csv,
            "jsonl" | "ndjson" => Format::JsonLines,
            "parquet" | "pq" => Format::Parquet,
            _ => {
                return Err(UsageError::error(
                    ErrorCode::UnknownFormat,
                    format!("cannot tell the format of {}", file.display()),
                    "predictions are written as .csv, .jsonl or .parquet; without --output, to standard output",
                ));
            }
        };
        Ok(Self { format, file: Some(file.to_owned()) })
    }

    /// Returns whether a terminal on standard output stays free of rows.
    pub(super) fn leaves_terminal(&self) -> bool {
        self.file.is_some() || !std::io::IsTerminal::is_terminal(&std::io::stdout())
    }

    /// Decides where the values of kept columns come from: in Parquet, a feature has the type of
    /// the signature; otherwise values are as they came.
    pub(super) fn columns(&self, keep: &[String], signature: &Signature) -> Columns {
        let known = signature.features();
        let (mut from_input, mut all, mut features) = (Vec::new(), Vec::new(), Vec::new());
        for name in keep {
            match known.index_of(name).filter(|_| self.format == Format::Parquet) {
                Some(index) => {
                    all.push(Column::Feature(features.len(), known.fields()[index].clone()));
                    features.push(index);
                }
                None => {
                    all.push(Column::Kept(from_input.len(), name.clone()));
                    from_input.push(name.clone());
                }
            }
        }
        Columns { from_input, all, features }
    }

    /// Opens the output.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn open(
        &self,
        home: &Home,
        version: &ModelVersion,
        task: &Task,
        columns: Columns,
    ) -> anyhow::Result<Writer> {
        let file = self.file.as_deref().map(ExportFile::create).transpose()?;
        let names = columns.from_input;
        let writer: Box<dyn PredictionWriter> = match (self.format, file) {
            (Format::Document, _) => Box::new(DocumentWriter::new(home.path(), version, task)?),
            (Format::JsonLines, file) => Box::new(JsonLinesWriter::new(TextOutput::of(file), task)),
            (Format::Parquet, Some(file)) => Box::new(ParquetWriter::new(file, columns.all, task)),
            (Format::Csv | Format::Parquet, file) => Box::new(CsvWriter::new(TextOutput::of(file), &names, task)),
        };
        Ok(Writer { writer, features: columns.features })
    }
}

/// An open output.
pub(super) struct Writer {
    writer: Box<dyn PredictionWriter>,
    features: Vec<usize>,
}

impl Writer {
    /// Returns the indices of the features that it needs.
    pub(super) fn features(&self) -> Vec<usize> {
        self.features.clone()
    }

    /// Writes the next rows.
    ///
    /// # Errors
    /// [`ReaderGone`](crate::output::ReaderGone); the output cannot be written.
    pub(super) fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        self.writer.write(piece)
    }

    /// Ends the output. Only now does a file appear.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub(super) fn finish(self, unseen: Option<Unseen<'_>>) -> anyhow::Result<()> {
        self.writer.finish(unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_of_a_file_tells_its_format() {
        for (file, format) in [
            ("a.csv", Format::Csv),
            ("b.JSONL", Format::JsonLines),
            ("c.ndjson", Format::JsonLines),
            ("d.parquet", Format::Parquet),
        ] {
            assert_eq!(OutputPlan::of(Some(Path::new(file)), true).unwrap().format, format);
        }
        for file in ["a", "a.json", "a.txt", "-"] {
            let error = OutputPlan::of(Some(Path::new(file)), false).unwrap_err();
            assert!(error.to_string().starts_with("cannot tell the format of"), "{error}");
        }
        assert_eq!(OutputPlan::of(None, false).unwrap().format, Format::Csv);
        assert_eq!(OutputPlan::of(None, true).unwrap().format, Format::Document);
    }
}
