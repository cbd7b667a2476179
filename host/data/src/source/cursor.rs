//! Reads a source batch by batch, under a signature.
//!
//! A thread reads and decodes; at most three batches are ahead of the consumer. Dropping the cursor
//! stops the thread, even during an endless query. A thread that does not react is left behind.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow_array::RecordBatch;
use stagewright_store::{Field, Schema};

use crate::cell::Cell;
use crate::decoder::Decoder;
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::signature::{Signature, Strictness};
use crate::source::reader_thread::{ReaderThread, died};
use crate::source::{CellVisitor, Place, Source, visit};

/// The batches that the channel holds. More would only cost memory.
const BATCHES_AHEAD: usize = 2;

/// A reader of a source, from its first row on.
#[derive(Debug)]
pub struct Cursor {
    schema: Schema,
    messages: Option<Receiver<Message>>,
    interrupt: Interrupt,
    thread: ReaderThread,
    /// The rest of the last batch.
    rest: Option<RecordBatch>,
}

enum Message {
    /// The source exists and has the columns.
    Opened,
    Batch(RecordBatch),
    /// The source has ended. If the channel closes without this message, the thread has died.
    End,
    Failed(DataError),
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
    let (sender, messages) = sync_channel(BATCHES_AHEAD);
    let mut batches = Batches::new(signature.clone(), strictness, sender);
    let source = source.clone();
    let thread = ReaderThread::start(interrupt, move |stop| {
        let result = visit(&source, Place::Files, stop, &mut batches).and_then(|()| batches.end());
        let last = result.map_or_else(Message::Failed, |()| Message::End);
        // Fails if the cursor was dropped.
        let _ = batches.sink.send(last);
    })?;
    let mut cursor = Cursor { schema, messages: Some(messages), interrupt: interrupt.clone(), thread, rest: None };
    match cursor.receive() {
        Message::Failed(error) => Err(error),
        // The first message is `Opened` unless it is an error.
        _ => Ok(cursor),
    }
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

    /// Receives the next message. After the last one it returns `End`.
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
        // Closing the channel wakes a thread that waits to send. Then `thread` is dropped, which
        // waits for it.
        self.messages = None;
    }
}

/// Receives decoded batches.
pub trait BatchSink {
    /// Called once the source is open and has the columns.
    ///
    /// # Errors
    /// The receiver is gone.
    fn opened(&mut self) -> Result<(), DataError>;

    /// Receives the next rows, at least one.
    ///
    /// # Errors
    /// The receiver is gone, or rows cannot be passed on.
    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError>;

    /// Receives the next kept values, under the schema
    /// [`DecodeJob::kept_schema`](crate::DecodeJob::kept_schema).
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

    #[inline]
    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        self.decoder.cell(column, cell)
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
