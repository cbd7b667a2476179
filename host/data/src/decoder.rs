//! Turns cells into Arrow columns under a signature.
//!
//! All sources and all requests pass through [`Decoder`], which holds every value to the type and
//! the nullability of its column.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES, Schema};

use crate::cell::{Cell, NullTokens};
use crate::column::ColumnBuilder;
use crate::dialect::{NOT_IN_STYLE, Style};
use crate::error::{DataError, DataFault, shown};
use crate::signature::{Signature, Strictness};

/// The fault of a null where the signature has none.
pub(crate) const MISSING: &str = "the value is missing, and the signature says that it never is";

/// The rows that the columns of a source have room for at first.
const ROWS_OF_A_BATCH: usize = 1024;

/// The part that decoders of one signature share. It is prepared once, where rows come in small
/// requests.
#[derive(Clone, Debug)]
pub(crate) struct DecoderPlan {
    schema: Schema,
    tokens: Arc<NullTokens>,
    admits_nulls: bool,
}

impl DecoderPlan {
    pub(crate) fn new(signature: &Signature, strictness: Strictness) -> Self {
        Self {
            schema: signature.decoded(strictness),
            tokens: Arc::new(NullTokens::new(&signature.null_values)),
            admits_nulls: strictness == Strictness::Ingest,
        }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns a decoder with room for this many rows.
    pub(crate) fn decoder(&self, rows: usize) -> Decoder {
        let column = |field: &Field| ColumnBuilder::with_room(field.data_type, rows);
        Decoder {
            columns: self.schema.fields().iter().map(column).collect(),
            schema: self.schema.clone(),
            tokens: Arc::clone(&self.tokens),
            admits_nulls: self.admits_nulls,
            rows: 0,
            rows_before: 0,
            text_bytes: 0,
            // A batch that is almost full has room for one more row.
            most_text: 2 * MAX_BATCH_BYTES,
            room: String::new(),
        }
    }
}

/// Turns cells into record batches under a signature.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: Schema,
    columns: Vec<ColumnBuilder>,
    tokens: Arc<NullTokens>,
    admits_nulls: bool,
    /// Rows of the current batch.
    rows: usize,
    /// Rows of all earlier batches.
    rows_before: u64,
    /// An upper bound on the bytes of text in the current batch: a category counts each time it
    /// occurs.
    text_bytes: usize,
    /// The most bytes of text of a batch.
    most_text: usize,
    /// Room for a number in the usual notation.
    room: String,
}

impl Decoder {
    pub(crate) fn new(signature: &Signature, strictness: Strictness) -> Self {
        DecoderPlan::new(signature, strictness).decoder(ROWS_OF_A_BATCH)
    }

    /// Allows one batch of all rows, with at most this many bytes of text.
    pub(crate) fn of_all_rows(self, most_text: usize) -> Self {
        Self { most_text, ..self }
    }

    #[inline]
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns an upper bound on the bytes of text in the current batch.
    #[inline]
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Returns the rows of the current batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Appends a cell to column `column` of the current row.
    #[inline]
    pub(crate) fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        if let Cell::Text(text) = cell {
            self.text_bytes += text.len();
            if self.text_bytes > self.most_text || text.len() > MAX_BATCH_BYTES {
                self.check_size(column, text)?;
            }
        }
        match self.columns[column].append(cell, &self.tokens) {
            Ok(false) => Ok(()),
            Ok(true) if self.admits_nulls || self.schema.fields()[column].nullable => Ok(()),
            Ok(true) => Err(self.null_fault(column)),
            Err(complaint) => Err(self.value_fault(column, cell, complaint)),
        }
    }

    /// As [`Decoder::cell`], for a text whose value is written in a style.
    pub(crate) fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        let raw = Cell::Text(text);
        if style.is_null(text) {
            return self.cell(column, Cell::Null);
        }
        if self.tokens.matches(raw) {
            return self.cell(column, raw);
        }
        match self.schema.fields()[column].data_type {
            DataType::Int64 | DataType::Float64 if style.has_numbers() => {
                let mut room = std::mem::take(&mut self.room);
                let decoded = match style.number(text, &mut room) {
                    // A fault shows the text as it is in the file.
                    Some(number) => self.cell(column, Cell::Text(number)).map_err(|mut fault| {
                        let of_number = fault.message.strip_prefix(&format!("`{number}`"));
                        if let Some(complaint) = of_number {
                            fault.message = format!("`{}`{complaint}", shown(text));
                            fault.value = Some(shown(text));
                        }
                        fault
                    }),
                    None => Err(self.value_fault(column, raw, NOT_IN_STYLE)),
                };
                self.room = room;
                decoded
            }
            DataType::Boolean => self.cell(column, style.boolean(text).map_or(raw, Cell::Boolean)),
            DataType::Timestamp => match style.time(text) {
                Ok(time) => self.cell(column, time.map_or(raw, Cell::Timestamp)),
                Err(complaint) => Err(self.value_fault(column, raw, complaint)),
            },
            _ => self.cell(column, raw),
        }
    }

    /// Ends the current row. Every column must have received one cell.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Ends `rows` rows at once, for sources that are read by column.
    pub(crate) fn end_rows(&mut self, rows: usize) {
        self.rows += rows;
    }

    /// Returns the index of the current row in the table, from 0.
    pub(crate) fn row(&self) -> u64 {
        self.rows_before + self.rows as u64
    }

    /// Returns whether the current batch has reached the size of a batch.
    #[inline]
    pub(crate) fn is_full(&mut self) -> bool {
        if self.text_bytes < MAX_BATCH_BYTES {
            return false;
        }
        self.text_bytes = self.held_text();
        self.text_bytes >= MAX_BATCH_BYTES
    }

    /// Returns the bytes of the current batch.
    pub(crate) fn held_bytes(&self) -> usize {
        self.rows * 8 * self.columns.len() + self.held_text()
    }

    fn held_text(&self) -> usize {
        self.columns.iter().map(ColumnBuilder::text_bytes).sum()
    }

    /// Refuses a text or a row that is larger than what may be passed to a stage at once.
    #[cold]
    fn check_size(&mut self, column: usize, text: &str) -> Result<(), Box<DataFault>> {
        let held = self.held_text();
        let message = if text.len() > MAX_BATCH_BYTES {
            format!("the text has {} bytes, more than the {MAX_BATCH_BYTES} of a row: shorten it", text.len())
        } else if held <= self.most_text {
            self.text_bytes = held + text.len();
            return Ok(());
        } else if self.most_text > 2 * MAX_BATCH_BYTES {
            format!("the rows take more than {} bytes together\nhint: pass them in parts", self.most_text)
        } else {
            format!("the values of the row take more than {MAX_BATCH_BYTES} bytes\nhint: shorten its texts")
        };
        Err(Box::new(DataFault::new(message).in_column(&self.schema.fields()[column].name).in_row(self.row())))
    }

    /// Ends the batch and returns it.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, DataError> {
        let arrays = self.columns.iter_mut().map(ColumnBuilder::finish).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.to_arrow(), arrays, &options)?;
        self.rows_before += self.rows as u64;
        self.rows = 0;
        self.text_bytes = 0;
        Ok(batch)
    }

    #[cold]
    fn null_fault(&self, column: usize) -> Box<DataFault> {
        let fault = DataFault::new(MISSING);
        Box::new(fault.in_column(&self.schema.fields()[column].name).in_row(self.row()))
    }

    #[cold]
    fn value_fault(&self, column: usize, cell: Cell<'_>, complaint: &str) -> Box<DataFault> {
        let fault = match cell {
            // As written, not as the nearest double.
            Cell::Decimal(text) => DataFault::of_value(text, complaint),
            cell => cell.with_text(|text| DataFault::of_value(text, complaint)),
        };
        Box::new(fault.in_column(&self.schema.fields()[column].name).in_row(self.row()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_store::Role;

    fn signature() -> Signature {
        Signature::new(vec![
            Field::new("id", DataType::Utf8).with_role(Role::Identifier),
            Field::new("tenure", DataType::Int64),
            Field::new("charges", DataType::Float64).with_nullable(true),
            Field::new("churn", DataType::Categorical).with_role(Role::Target),
        ])
        .unwrap()
        .with_null_values(["", " "])
    }

    #[test]
    fn a_null_passes_ingestion_and_fails_prediction_unless_the_field_is_nullable() {
        let mut ingest = Decoder::new(&signature(), Strictness::Ingest);
        assert!(ingest.cell(1, Cell::Text(" ")).is_ok());
        let mut predict = Decoder::new(&signature(), Strictness::Predict);
        assert!(predict.cell(1, Cell::Text(" ")).is_ok(), "charges is nullable");
        let fault = predict.cell(0, Cell::Text(" ")).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "column `tenure`, data row 1: the value is missing, and the signature says that it never is"
        );
    }

    #[test]
    fn rows_are_counted_across_batches() {
        let narrow = signature().with_roles(&[Role::Target]);
        let mut decoder = Decoder::new(&narrow, Strictness::Ingest);
        decoder.cell(0, Cell::Text("No")).unwrap();
        decoder.end_row();
        assert_eq!(decoder.finish().unwrap().num_rows(), 1);
        assert_eq!(decoder.row(), 1);
    }
}
