//! Reads a source batch by batch, under a signature.
//!
//! A thread reads and decodes; at most three batches are ahead of the consumer. Dropping the cursor
//! stops the thread, even during an endless query. A thread that does not react is left behind.

use arrow_array::RecordBatch;
use stagewright_store::{Field, Schema};

use crate::cell::Cell;
use crate::decoder::Decoder;
use crate::dialect::Style;
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::signature::{ExtraColumns, Signature, Strictness};
use crate::source::{BatchSink, CellVisitor, Place, Reading, Source, Wanted, visit};

/// A reader of a source, from its first row on.
#[derive(Debug)]
pub struct Cursor {
    schema: Schema,
    batches: Reading<RecordBatch>,
    /// The rest of the last batch.
    rest: Option<RecordBatch>,
}

/// Opens a source and finds the columns of the signature in it.
///
/// With [`Strictness::Predict`] the cursor has the features alone.
///
/// # Errors
/// [`DataError`] if the source is missing or unreadable, a column is missing or repeated, or the
/// query is refused.
pub fn open(
    source: &Source,
    signature: &Signature,
    strictness: Strictness,
    interrupt: &Interrupt,
) -> Result<Cursor, DataError> {
    let schema = signature.decoded(strictness);
    let (source, signature) = (source.clone(), signature.clone());
    let batches = Reading::start(interrupt, move |stop, sink| {
        let mut batches = Batches::new(signature, strictness, sink);
        visit(&source, Place::Files, stop, &mut batches).and_then(|()| batches.end())
    })?;
    Ok(Cursor { schema, batches, rest: None })
}

impl Cursor {
    /// Returns the columns: all of the signature, nullable; for prediction, the features.
    pub fn fields(&self) -> &[Field] {
        self.schema.fields()
    }

    /// Returns the schema of every batch.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns the next rows: at least one and at most `rows`, often fewer; `None` at the end.
    ///
    /// # Errors
    /// [`DataError::Fault`] with column, row and value for a value that does not fit;
    /// [`DataError::Interrupted`]; any error of reading the source. The cursor is then at its end.
    pub fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, DataError> {
        let rows = rows.max(1);
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.batches.next()? {
                Some(batch) => batch,
                None => return Ok(None),
            },
        };
        if batch.num_rows() <= rows {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(Some(batch.slice(0, rows)))
    }
}

/// Decodes cells and passes batches to a sink.
pub(crate) struct Batches<T> {
    signature: Signature,
    strictness: Strictness,
    chunk_rows: usize,
    decoder: Decoder,
    sink: T,
}

impl<T: BatchSink> Batches<T> {
    pub(crate) fn new(signature: Signature, strictness: Strictness, sink: T) -> Self {
        let decoder = Decoder::new(&signature, strictness);
        let chunk_rows = decoder.schema().chunk_rows();
        Self { signature, strictness, chunk_rows, decoder, sink }
    }

    /// Passes on the last rows.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        if self.decoder.rows() > 0 {
            let batch = self.decoder.finish()?;
            self.sink.batch(batch)?;
        }
        Ok(())
    }
}

impl<T: BatchSink> CellVisitor for Batches<T> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let places = self.signature.bind(names, self.strictness)?;
        self.sink.opened()?;
        Ok(places)
    }

    fn wanted(&self) -> Wanted {
        let names = self.decoder.schema().fields().iter().map(|field| field.name.clone()).collect();
        let is_strict = self.strictness == Strictness::Ingest && self.signature.extra_columns == ExtraColumns::Error;
        Wanted::These { names, refuses_others: is_strict }
    }

    #[inline]
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        self.decoder.cell(column, cell)
    }

    fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        self.decoder.styled(column, text, style)
    }

    #[inline]
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        if self.decoder.rows() >= self.chunk_rows || self.decoder.is_full() {
            let batch = self.decoder.finish()?;
            self.sink.batch(batch)?;
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        self.chunk_rows
    }
}
