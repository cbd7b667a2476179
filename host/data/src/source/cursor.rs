//! Reading a source piece by piece, under a signature.
//!
//! A thread reads and decodes; at most three batches wait for the reader. Dropping the cursor stops
//! the thread, even in the middle of a query that would never end, or leaves it behind if it does
//! not hear.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow_array::RecordBatch;
use stagewright_store::{Field, Schema};

use crate::cell::Cell;
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::signature::{Decoder, Signature, Strictness};
use crate::source::reader_thread::{ReaderThread, died};
use crate::source::{CellVisitor, Place, Source, visit};

/// Batches that may wait; more would only cost memory.
const BATCHES_AHEAD: usize = 2;

/// A reading of a source, from its first row on.
#[derive(Debug)]
pub struct Cursor {
    schema: Schema,
    messages: Option<Receiver<Message>>,
    interrupt: Interrupt,
    thread: ReaderThread,
    /// What is left of the last batch.
    rest: Option<RecordBatch>,
}

enum Message {
    /// The source is there and has the columns.
    Opened,
    Batch(RecordBatch),
    /// The source has ended; without this word, the thread died.
    End,
    Failed(DataError),
}

/// Opens a source and finds the signature's columns in it.
///
/// With [`Strictness::Predict`] the cursor has the features alone.
///
/// # Errors
/// [`DataError`] if the source is missing or unreadable, if columns are missing or repeated, if a query is refused.
pub fn open(
    source: &Source,
    signature: &Signature,
    strictness: Strictness,
    interrupt: &Interrupt,
) -> Result<Cursor, DataError> {
    let schema = signature.decoded(strictness);
    let (sender, messages) = sync_channel(BATCHES_AHEAD);
    let mut batches = Batches::new(signature.clone(), strictness, sender);
    let source = source.clone();
    let thread = ReaderThread::start(interrupt, move |stop| {
        let result = visit(&source, Place::Files, stop, &mut batches).and_then(|()| batches.end());
        let last = result.map_or_else(Message::Failed, |()| Message::End);
        // Nobody listens any more if this fails.
        let _ = batches.taker.send(last);
    })?;
    let mut cursor = Cursor { schema, messages: Some(messages), interrupt: interrupt.clone(), thread, rest: None };
    match cursor.receive() {
        Message::Failed(error) => Err(error),
        // Anything else than `Opened` cannot come first.
        _ => Ok(cursor),
    }
}

impl Cursor {
    /// The columns: the signature's, all nullable; for prediction the features as the signature has them.
    pub fn fields(&self) -> &[Field] {
        self.schema.fields()
    }

    /// The same as a schema: that of every batch.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The next rows: at least one and at most `rows`, often fewer; `None` at the end.
    ///
    /// # Errors
    /// [`DataError::Fault`] with column, row and value for a value that does not fit; [`DataError::Interrupted`]; what the
    /// source says if it breaks. The cursor is at its end afterwards.
    pub fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, DataError> {
        let rows = rows.max(1);
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.receive() {
                Message::Batch(batch) => batch,
                Message::End | Message::Opened => return Ok(None),
                Message::Failed(error) => return Err(error),
            },
        };
        if batch.num_rows() <= rows {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(Some(batch.slice(0, rows)))
    }

    /// What the thread says next. After its last word it always says `End`.
    fn receive(&mut self) -> Message {
        let Some(messages) = &self.messages else { return Message::End };
        let message = match self.thread.receive(messages, &self.interrupt) {
            Ok(message) => message.unwrap_or_else(|| Message::Failed(died())),
            Err(error) => Message::Failed(error),
        };
        if matches!(message, Message::End | Message::Failed(_)) {
            self.messages = None;
        }
        message
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // A thread that waits to send wakes up when nobody can receive; then `thread` waits for it.
        self.messages = None;
    }
}

/// Who takes what decoding gives.
pub trait BatchSink {
    /// The source is there and has the columns.
    ///
    /// # Errors
    /// Nobody listens any more.
    fn opened(&mut self) -> Result<(), DataError>;

    /// The next rows, at least one.
    ///
    /// # Errors
    /// Nobody listens any more, or rows cannot be passed on.
    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError>;

    /// The next values that are kept beside rows, as [`DecodeJob::kept_schema`](crate::DecodeJob::kept_schema)
    /// has them.
    ///
    /// # Errors
    /// As [`BatchSink::batch`].
    fn kept(&mut self, values: RecordBatch) -> Result<(), DataError> {
        Err(DataError::Host(format!("nobody asked for {} rows of kept values", values.num_rows())))
    }
}

impl BatchSink for SyncSender<Message> {
    fn opened(&mut self) -> Result<(), DataError> {
        self.send(Message::Opened).map_err(|_| DataError::Interrupted)
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        self.send(Message::Batch(batch)).map_err(|_| DataError::Interrupted)
    }
}

impl<T: BatchSink + ?Sized> BatchSink for &mut T {
    fn opened(&mut self) -> Result<(), DataError> {
        (**self).opened()
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        (**self).batch(batch)
    }

    fn kept(&mut self, values: RecordBatch) -> Result<(), DataError> {
        (**self).kept(values)
    }
}

/// Decodes cells and passes batches on.
pub(crate) struct Batches<T> {
    signature: Signature,
    strictness: Strictness,
    chunk_rows: usize,
    decoder: Decoder,
    taker: T,
}

impl<T: BatchSink> Batches<T> {
    pub(crate) fn new(signature: Signature, strictness: Strictness, taker: T) -> Self {
        let decoder = Decoder::new(&signature, strictness);
        let chunk_rows = decoder.schema().chunk_rows();
        Self { signature, strictness, chunk_rows, decoder, taker }
    }

    /// Passes on what is left.
    pub(crate) fn end(&mut self) -> Result<(), DataError> {
        if self.decoder.rows() > 0 {
            let batch = self.decoder.finish()?;
            self.taker.batch(batch)?;
        }
        Ok(())
    }
}

impl<T: BatchSink> CellVisitor for Batches<T> {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let places = self.signature.bind(names, self.strictness)?;
        self.taker.opened()?;
        Ok(places)
    }

    #[inline]
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        self.decoder.cell(column, cell)
    }

    #[inline]
    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.decoder.end_rows(rows);
        if self.decoder.rows() >= self.chunk_rows || self.decoder.is_full() {
            let batch = self.decoder.finish()?;
            self.taker.batch(batch)?;
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        self.chunk_rows
    }
}
