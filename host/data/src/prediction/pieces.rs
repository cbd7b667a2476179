//! Collects decoded cells, and passes them on piece by piece: features, and kept columns beside
//! them.

use stagewright_store::MAX_BATCH_BYTES;

use crate::cell::Cell;
use crate::decoder::Decoder;
use crate::dialect::Style;
use crate::error::{DataError, DataFault, listed};
use crate::kept::{KeptColumn, RowsPiece};
use crate::kept_builder::KeptBuilder;
use crate::rows::RowPlan;
use crate::signature::{Signature, Strictness};
use crate::source::{BatchSink, CellVisitor, Wanted};

/// Bytes that a kept value takes besides its text.
const KEPT_MEMORY: usize = 16;

/// Decodes cells under a signature and passes pieces to a sink.
pub(crate) struct Pieces<T> {
    signature: Signature,
    keep: Vec<String>,
    decoder: Decoder,
    /// The most rows of a piece.
    piece_rows: usize,
    pub(super) kept: Vec<KeptBuilder>,
    /// The bytes of the kept values, at most.
    kept_bytes: usize,
    sink: T,
}

impl<T: BatchSink> Pieces<T> {
    pub(crate) fn new(signature: Signature, keep: Vec<String>, sink: T) -> Self {
        let decoder = Decoder::new(&signature, Strictness::Predict);
        let piece_rows = decoder.schema().chunk_rows();
        let kept = keep.iter().map(|_| KeptBuilder::default()).collect();
        Self { signature, keep, decoder, piece_rows, kept, kept_bytes: 0, sink }
    }

    /// Says that the input is open and has the columns.
    pub(super) fn opened(&mut self) -> Result<(), DataError> {
        self.sink.opened()
    }

    /// Passes on the last rows.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        if self.decoder.rows() > 0 { self.pass_on() } else { Ok(()) }
    }

    fn pass_on(&mut self) -> Result<(), DataError> {
        let batch = self.decoder.finish()?;
        let column =
            |(name, builder): (&String, &mut KeptBuilder)| KeptColumn { name: name.clone(), values: builder.finish() };
        let kept = self.keep.iter().zip(&mut self.kept).map(column).collect();
        self.kept_bytes = 0;
        self.sink.piece(RowsPiece { batch, kept })
    }

    /// Returns what rows of JSON have in common.
    pub(super) fn plan(&self) -> RowPlan {
        RowPlan::new(&self.signature, Strictness::Predict, &self.keep)
    }

    /// Returns the index of the current row, from 0.
    pub(super) fn row(&self) -> u64 {
        self.decoder.row()
    }

    /// Counts a value that is kept, with the length of its text.
    pub(super) fn count_kept(&mut self, column: usize, text: usize) -> Result<(), Box<DataFault>> {
        self.kept_bytes += KEPT_MEMORY + text;
        if text <= MAX_BATCH_BYTES {
            return Ok(());
        }
        let message = format!("the text has {text} bytes, more than the {MAX_BATCH_BYTES} of a row: shorten it");
        Err(Box::new(DataFault::new(message).in_column(&self.keep[column]).in_row(self.row())))
    }
}

impl<T: BatchSink> CellVisitor for Pieces<T> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let mut places = self.signature.bind(names, Strictness::Predict)?;
        let mut missing: Vec<&String> = Vec::new();
        for column in &self.keep {
            let mut found = (0..names.len()).filter(|place| names[*place] == *column);
            match (found.next(), found.next()) {
                (Some(place), None) => places.push(place),
                (None, _) => missing.push(column),
                (Some(_), Some(_)) => {
                    let message = format!("more than one column is named {}", listed(&[column]));
                    return Err(DataFault::new(message).into());
                }
            }
        }
        if !missing.is_empty() {
            let message = format!("the data has no {} to keep; it has {}", listed(&missing), listed(names));
            return Err(DataFault::new(message).into());
        }
        self.opened()?;
        Ok(places)
    }

    fn wanted(&self) -> Wanted {
        let mut names: Vec<String> = self.decoder.schema().fields().iter().map(|field| field.name.clone()).collect();
        let kept: Vec<String> = self.keep.iter().filter(|name| !names.contains(name)).cloned().collect();
        names.extend(kept);
        Wanted::These { names, refuses_others: false }
    }

    #[inline]
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        match column.checked_sub(self.decoder.schema().len()) {
            None => self.decoder.cell(column, cell),
            Some(kept) => {
                self.count_kept(kept, if let Cell::Text(text) = cell { text.len() } else { 0 })?;
                self.kept[kept].append(cell);
                Ok(())
            }
        }
    }

    fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        match column < self.decoder.schema().len() {
            true => self.decoder.styled(column, text, style),
            // What is kept is passed through as it is.
            false => self.cell(column, Cell::Text(text)),
        }
    }

    #[inline]
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        if self.decoder.rows() >= self.piece_rows || self.decoder.is_full() || self.kept_bytes >= MAX_BATCH_BYTES {
            self.pass_on()?;
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        self.piece_rows
    }
}
