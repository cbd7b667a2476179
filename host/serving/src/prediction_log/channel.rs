//! The way of requests to the thread that writes: bounded in number and in bytes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::Entry;
use super::folder::ModelFiles;

/// The most requests that wait for the writer.
pub(super) const MOST_ENTRIES: usize = 16_384;

/// The most bytes of requests that wait, or of which the writer did not make columns yet.
const MOST_BYTES: usize = 128 << 20;

/// The sending end.
#[derive(Debug)]
pub(super) struct Channel {
    /// `None` wakes the writer.
    sender: SyncSender<Option<Box<Entry>>>,
    bytes: AtomicUsize,
    is_closed: AtomicBool,
    /// The files of all models, which are tidied whether requests come or not.
    models: Mutex<Vec<Arc<ModelFiles>>>,
}

impl Channel {
    /// Opens a channel.
    pub(super) fn open() -> (Self, Receiver<Option<Box<Entry>>>) {
        let (sender, receiver) = sync_channel(MOST_ENTRIES);
        let (bytes, is_closed) = (AtomicUsize::new(0), AtomicBool::new(false));
        (Self { sender, bytes, is_closed, models: Mutex::default() }, receiver)
    }

    /// Sends a request, or drops it if too much waits. Never waits.
    pub(super) fn send(&self, entry: Entry) {
        let (bytes, rows) = (entry.bytes, entry.rows() as u64);
        let dropped = entry.columns.files.counts.dropped.clone();
        let has_room = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES && !self.is_closed();
        if !has_room || self.sender.try_send(Some(Box::new(entry))).is_err() {
            self.free(bytes);
            dropped.inc_by(rows);
        }
    }

    /// Adds a model whose files are tidied.
    pub(super) fn add(&self, files: Arc<ModelFiles>) {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).push(files);
    }

    /// Returns the files of all models.
    pub(super) fn models(&self) -> Vec<Arc<ModelFiles>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the memory of requests is free.
    pub(super) fn free(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Ends the log: no more requests are taken, and the writer writes what it has.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // A writer with a full channel is awake.
        let _ = self.sender.try_send(None);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }
}
