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
use crate::source::apart::{Apart, died};
use crate::source::{CellVisitor, Source, visit};

/// Batches that may wait; more would only cost memory.
const BATCHES_AHEAD: usize = 2;

/// A reading of a source, from its first row on.
#[derive(Debug)]
pub struct Cursor {
    schema: Schema,
    messages: Option<Receiver<Message>>,
    interrupt: Interrupt,
    thread: Apart,
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
    let decoder = Decoder::new(signature, strictness);
    let schema = decoder.schema().clone();
    let (sender, messages) = sync_channel(BATCHES_AHEAD);
    let mut batches =
        Batches { signature: signature.clone(), strictness, chunk_rows: schema.chunk_rows(), decoder, sender };
    let source = source.clone();
    let thread = Apart::start(interrupt, move |stop| {
        let result = visit(&source, stop, &mut batches).and_then(|()| batches.end());
        if let Err(error) = result {
            // Nobody listens any more if this fails.
            let _ = batches.sender.send(Message::Failed(error));
        }
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

/// Decodes cells and sends batches.
struct Batches {
    signature: Signature,
    strictness: Strictness,
    chunk_rows: usize,
    decoder: Decoder,
    sender: SyncSender<Message>,
}

impl Batches {
    fn send(&self, message: Message) -> Result<(), DataError> {
        self.sender.send(message).map_err(|_| DataError::Interrupted)
    }

    fn end(&mut self) -> Result<(), DataError> {
        if self.decoder.rows() > 0 {
            let batch = self.decoder.finish()?;
            self.send(Message::Batch(batch))?;
        }
        self.send(Message::End)
    }
}

impl CellVisitor for Batches {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        let places = self.signature.bind(names, self.strictness)?;
        self.send(Message::Opened)?;
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
            self.send(Message::Batch(batch))?;
        }
        Ok(true)
    }

    fn rows_at_once(&self) -> usize {
        self.chunk_rows
    }
}
