//! Reads rows to predict in this process.

use super::json_rows::visit_json;
use super::pieces::Pieces;
use super::{PredictionRows, RowsInput, TextFormat};
use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::kept::RowsPiece;
use crate::signature::Signature;
use crate::source::{CsvText, Place, Reading, open_file, visit};

/// Opens rows to predict.
///
/// # Errors
/// As [`Decode::open_rows`](crate::Decode::open_rows).
pub(crate) fn open(
    input: RowsInput,
    signature: &Signature,
    keep: &[String],
    interrupt: &Interrupt,
) -> Result<Reading<RowsPiece>, DataError> {
    let (signature, keep) = (signature.clone(), keep.to_vec());
    Reading::start(interrupt, move |stop, sink| {
        let mut pieces = Pieces::new(signature, keep, sink);
        match input {
            RowsInput::Source(source) => visit(&source, Place::Files, stop, &mut pieces)?,
            RowsInput::Json(path) => {
                visit_json(open_file(&path)?, &path.display().to_string(), stop, &mut pieces)?;
            }
            RowsInput::Text(text) => match text.format {
                TextFormat::Json => visit_json(text.text, &text.name, stop, &mut pieces)?,
                TextFormat::Csv { delimiter, header } => {
                    CsvText::new(text.text, text.name, delimiter, header)?.visit(stop, &mut pieces)?;
                }
            },
        }
        pieces.end()
    })
}

impl PredictionRows for Reading<RowsPiece> {
    fn next(&mut self) -> Result<Option<RowsPiece>, DataError> {
        Self::next(self)
    }
}
