//! Reads rows to predict in this process.

use std::io::Read;

use super::json_rows::visit_json;
use super::pieces::Pieces;
use super::{PredictionRows, RowsInput, RowsText, TextFormat};
use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::kept::RowsPiece;
use crate::signature::Signature;
use crate::source::{BatchSink, Place, Reading, Source, SourceUri, open_file, visit};

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
        let read = match input {
            RowsInput::Source(source) => visit(&source, Place::Files, stop, &mut pieces),
            RowsInput::Json(path) => {
                open_file(&path).and_then(|file| visit_json(file, &path.display().to_string(), stop, &mut pieces))
            }
            RowsInput::Text(text) => visit_text(text, stop, &mut pieces),
        };
        match read {
            Err(DataError::Unreadable { .. }) if stop.is_set() => Err(DataError::Interrupted),
            Err(error) => Err(error),
            Ok(()) => pieces.end(),
        }
    })
}

fn visit_text(text: RowsText, stop: &Interrupt, pieces: &mut Pieces<impl BatchSink>) -> Result<(), DataError> {
    let RowsText { name, format, text } = text;
    let text = Interrupted { text, stop: stop.clone() };
    match format {
        TextFormat::Json => visit_json(text, &name, stop, pieces),
        TextFormat::Jsonl { compression } => {
            let uri = SourceUri::Jsonl { path: name.into(), compression: Some(compression) };
            visit(&Source::new(uri), Place::Stream(Box::new(text)), stop, pieces)
        }
        TextFormat::Csv { options } => {
            let uri = SourceUri::Csv { path: name.into(), options };
            visit(&Source::new(uri), Place::Stream(Box::new(text)), stop, pieces)
        }
    }
}

/// A text whose reading ends when it is interrupted, whether or not it has rows.
struct Interrupted<R> {
    text: R,
    stop: Interrupt,
}

impl<R: Read> Read for Interrupted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_set() {
            return Err(std::io::Error::other("reading was interrupted"));
        }
        self.text.read(buffer)
    }
}

impl PredictionRows for Reading<RowsPiece> {
    fn next(&mut self) -> Result<Option<RowsPiece>, DataError> {
        Self::next(self)
    }
}
