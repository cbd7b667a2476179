//! Reads parts on a thread for a consumer that waits no longer than its interrupt allows.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow_array::RecordBatch;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::kept::RowsPiece;
use crate::source::BatchSink;
use crate::source::reader_thread::{ReaderThread, died};

/// The parts that the channel holds. More would only cost memory.
const PARTS_AHEAD: usize = 2;

/// The parts that a thread reads.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    /// `None` after the last part.
    messages: Option<Receiver<Message<T>>>,
    interrupt: Interrupt,
    thread: ReaderThread,
}

enum Message<T> {
    /// The source exists and has the columns.
    Opened,
    Part(T),
    /// The source has ended. If the channel closes without this message, the thread has died.
    End,
    Failed(DataError),
}

/// Passes parts to the consumer.
#[derive(Clone)]
pub(crate) struct PartSender<T>(SyncSender<Message<T>>);

impl<T: Send + 'static> Reading<T> {
    /// Starts `read` on a thread of its own, and waits until the source is open.
    ///
    /// # Errors
    /// The source cannot be opened.
    pub(crate) fn start(
        interrupt: &Interrupt,
        read: impl FnOnce(&Interrupt, PartSender<T>) -> Result<(), DataError> + Send + 'static,
    ) -> Result<Self, DataError> {
        let (sender, messages) = sync_channel(PARTS_AHEAD);
        let thread = ReaderThread::start(interrupt, move |stop| {
            let result = read(stop, PartSender(sender.clone()));
            // Fails if the consumer is gone.
            let _ = sender.send(result.map_or_else(Message::Failed, |()| Message::End));
        })?;
        let mut reading = Self { messages: Some(messages), interrupt: interrupt.clone(), thread };
        match reading.receive() {
            Message::Failed(error) => Err(error),
            // The first message is `Opened` unless it is an error.
            _ => Ok(reading),
        }
    }

    /// Returns the next part; `None` at the end.
    ///
    /// # Errors
    /// That of the reader, which is then at its end.
    pub(crate) fn next(&mut self) -> Result<Option<T>, DataError> {
        match self.receive() {
            Message::Part(part) => Ok(Some(part)),
            Message::End | Message::Opened => Ok(None),
            Message::Failed(error) => Err(error),
        }
    }

    /// Receives the next message. After the last one it returns `End`.
    fn receive(&mut self) -> Message<T> {
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

impl<T> Drop for Reading<T> {
    fn drop(&mut self) {
        // Closing the channel wakes a thread that waits to send. Then `thread` is dropped, which
        // waits for it.
        self.messages = None;
    }
}

impl<T> PartSender<T> {
    fn send(&self, message: Message<T>) -> Result<(), DataError> {
        self.0.send(message).map_err(|_| DataError::Interrupted)
    }
}

impl BatchSink for PartSender<RecordBatch> {
    fn opened(&mut self) -> Result<(), DataError> {
        self.send(Message::Opened)
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        self.send(Message::Part(batch))
    }
}

impl BatchSink for PartSender<RowsPiece> {
    fn opened(&mut self) -> Result<(), DataError> {
        self.send(Message::Opened)
    }

    fn piece(&mut self, piece: RowsPiece) -> Result<(), DataError> {
        self.send(Message::Part(piece))
    }
}
