//! The writing side.

use std::sync::atomic::{Ordering, fence};

use super::layout::{HEADER, MORE, PIECE, padded};
use super::memory::{Memory, Place};
use super::rules::Fault;

/// Writes messages as pieces, while there is room.
#[derive(Debug)]
pub(crate) struct Writer {
    memory: Memory,
    head: u64,
    /// The reader's position when it was last read and checked.
    tail: u64,
}

impl Writer {
    pub(crate) fn new(memory: Memory) -> Self {
        Self { memory, head: 0, tail: 0 }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns the pieces of a message, whose bytes are the concatenated parts.
    pub(crate) fn pieces<'a>(kind: u32, parts: &'a [&'a [u8]]) -> Pieces<'a> {
        let left = parts.iter().map(|part| part.len()).sum();
        Pieces { kind, parts, at: 0, left, ended: false }
    }

    /// Writes the next piece. Returns `false` if there is no room.
    ///
    /// # Errors
    /// The reader's position is impossible.
    pub(crate) fn write(&mut self, pieces: &mut Pieces<'_>) -> Result<bool, Fault> {
        let length = pieces.left.min(PIECE);
        if !self.has_room(padded(length))? {
            return Ok(false);
        }
        let more = pieces.left > length;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&pieces.kind.to_le_bytes());
        header[4..8].copy_from_slice(&(if more { MORE } else { 0 }).to_le_bytes());
        header[8..].copy_from_slice(&(length as u64).to_le_bytes());
        self.memory.write(self.head, &header);
        let mut position = self.head + HEADER as u64;
        pieces.take(length, |part| {
            self.memory.write(position, part);
            position += part.len() as u64;
        });
        pieces.ended = !more;
        self.head += padded(length);
        self.memory.head().store(self.head, Ordering::Release);
        self.memory.word(Place::Filled).fetch_add(1, Ordering::Release);
        Ok(true)
    }

    /// Returns whether the reader must be woken, after a piece was written.
    pub(crate) fn reader_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.memory.word(Place::ReaderWaits).load(Ordering::Relaxed) != 0
    }

    /// Returns whether there is room for the next piece.
    ///
    /// # Errors
    /// The reader's position is impossible.
    pub(crate) fn has_room_for(&mut self, pieces: &Pieces<'_>) -> Result<bool, Fault> {
        self.has_room(padded(pieces.left.min(PIECE)))
    }

    fn has_room(&mut self, needed: u64) -> Result<bool, Fault> {
        let size = self.memory.size() as u64;
        if self.head + needed - self.tail <= size {
            return Ok(true);
        }
        let tail = self.memory.tail().load(Ordering::Acquire);
        // A reader neither goes back nor overtakes the writer.
        if tail < self.tail || tail > self.head {
            return Err(Fault::Tail { head: self.head, tail });
        }
        self.tail = tail;
        Ok(self.head + needed - tail <= size)
    }

    /// Announces that this side is about to wait for room, or no longer waits. After announcing it,
    /// the caller must check once more before it waits.
    pub(crate) fn waits(&self, waits: bool) {
        self.memory.word(Place::WriterWaits).store(waits.into(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

/// A message that is being written: its parts are written as if they were one slice.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    kind: u32,
    parts: &'a [&'a [u8]],
    /// The number of bytes of the first part that have been written.
    at: usize,
    left: usize,
    ended: bool,
}

impl Pieces<'_> {
    /// Returns whether the last piece has been written. An empty message has one piece.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    fn take(&mut self, mut length: usize, mut write: impl FnMut(&[u8])) {
        self.left -= length;
        while let Some((part, rest)) = self.parts.split_first() {
            let now = (part.len() - self.at).min(length);
            write(&part[self.at..self.at + now]);
            length -= now;
            self.at += now;
            if self.at < part.len() {
                break;
            }
            (self.parts, self.at) = (rest, 0);
        }
    }
}
