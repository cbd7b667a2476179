//! The reading side, which checks everything that arrives.

use std::sync::atomic::{Ordering, fence};

use super::layout::{ALIGNMENT, HEADER, MORE, PIECE, padded};
use super::memory::{Memory, Place};
use super::rules::{Fault, Rules};

/// Assembles messages from pieces.
#[derive(Debug)]
pub(crate) struct Reader {
    memory: Memory,
    rules: Rules,
    /// The number of bytes read. The copy in the shared page is for the writer and is never read
    /// back.
    tail: u64,
    /// The kind of the message whose last piece has not arrived.
    begun: Option<u32>,
    messages: u64,
    bytes: u64,
}

impl Reader {
    pub(crate) fn new(memory: Memory, rules: Rules) -> Self {
        Self { memory, rules, tail: 0, begun: None, messages: 0, bytes: 0 }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Reads what has arrived, up to the end of a message, and appends it to `bytes`. The caller
    /// must pass the same `bytes` until the message is complete.
    ///
    /// Returns the kind of the complete message, or `None` if its end has not arrived.
    ///
    /// # Errors
    /// The writer broke the rules. Nothing more can be read after that.
    pub(crate) fn read(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u32>, Fault> {
        loop {
            let head = self.memory.head().load(Ordering::Acquire);
            let Some((piece, there)) = self.header(head)? else { return Ok(None) };
            self.begin(&piece, bytes)?;
            let needed = padded(piece.length);
            if needed > there {
                return Err(Fault::Cut { needed, there });
            }
            self.memory.append(self.tail + HEADER as u64, piece.length, bytes);
            self.tail += needed;
            self.memory.tail().store(self.tail, Ordering::Release);
            self.memory.word(Place::Freed).fetch_add(1, Ordering::Release);
            self.begun = piece.more.then_some(piece.kind);
            if !piece.more {
                return Ok(Some(piece.kind));
            }
            if self.writer_waits() {
                // Lets the caller wake the writer, which continues while the rest is awaited.
                return Ok(None);
            }
        }
    }

    /// Returns the header of the next piece and the number of bytes that have arrived, if any have.
    fn header(&self, head: u64) -> Result<Option<(Piece, u64)>, Fault> {
        let there = head.wrapping_sub(self.tail);
        if there == 0 {
            return Ok(None);
        }
        if there > self.memory.size() as u64 || !there.is_multiple_of(ALIGNMENT) {
            return Err(Fault::Head { head, tail: self.tail });
        }
        Piece::parse(self.memory.read(self.tail)).map(|piece| Some((piece, there)))
    }

    /// Checks a piece before any of its bytes is copied.
    fn begin(&mut self, piece: &Piece, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let longest = (self.rules.longest)(piece.kind).ok_or(Fault::Kind(piece.kind))?;
        match self.begun {
            None => {
                bytes.clear();
                self.messages += 1;
                count("messages", self.messages, self.rules.messages)?;
            }
            Some(begun) if begun != piece.kind => return Err(Fault::OtherKind { begun, got: piece.kind }),
            Some(_) => {}
        }
        let length = (bytes.len() + piece.length) as u64;
        if length > longest {
            return Err(Fault::Message { kind: piece.kind, length, longest });
        }
        self.bytes = self.bytes.saturating_add(piece.length as u64);
        count("bytes", self.bytes, self.rules.bytes)
    }

    /// Returns whether the writer must be woken, after something was read.
    pub(crate) fn writer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.memory.word(Place::WriterWaits).load(Ordering::Relaxed) != 0
    }

    /// Returns whether there are unread bytes.
    pub(crate) fn has_more(&self) -> bool {
        self.memory.head().load(Ordering::SeqCst) != self.tail
    }

    /// Announces that this side is about to wait for a piece, or no longer waits. After announcing
    /// it, the caller must check once more before it waits.
    pub(crate) fn waits(&self, waits: bool) {
        self.memory.word(Place::ReaderWaits).store(waits.into(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

fn count(of: &'static str, used: u64, allowed: u64) -> Result<(), Fault> {
    if used > allowed { Err(Fault::Flood { of, used, allowed }) } else { Ok(()) }
}

/// A checked header.
#[derive(Debug, Clone, Copy)]
struct Piece {
    kind: u32,
    more: bool,
    length: usize,
}

impl Piece {
    fn parse(header: [u8; HEADER]) -> Result<Self, Fault> {
        let [k0, k1, k2, k3, f0, f1, f2, f3, length @ ..] = header;
        let (kind, flags) = (u32::from_le_bytes([k0, k1, k2, k3]), u32::from_le_bytes([f0, f1, f2, f3]));
        let length = u64::from_le_bytes(length);
        if flags & !MORE != 0 {
            return Err(Fault::Flags(flags));
        }
        let more = flags == MORE;
        match usize::try_from(length) {
            Ok(PIECE) => Ok(Self { kind, more, length: PIECE }),
            Ok(short) if short < PIECE && !more => Ok(Self { kind, more, length: short }),
            Ok(short) if short < PIECE => Err(Fault::Unfilled { length }),
            _ => Err(Fault::Piece { length }),
        }
    }
}

/// Reads the messages in a ring with these bytes, whose writer claims to be at `head`. For fuzzing,
/// without a writer.
///
/// # Errors
/// The bytes break the rules.
#[cfg(feature = "parent")]
#[doc(hidden)]
pub fn read_ring(bytes: &[u8], head: u64, rules: Rules) -> Result<Vec<(u32, Vec<u8>)>, Fault> {
    let map = super::memory::create(super::layout::SMALLEST_RING).and_then(Memory::map).expect("room for a ring");
    map.write(0, &bytes[..bytes.len().min(super::layout::SMALLEST_RING)]);
    map.head().store(head, std::sync::atomic::Ordering::Release);
    let (mut reader, mut messages, mut message) = (Reader::new(map, rules), Vec::new(), Vec::new());
    while let Some(kind) = reader.read(&mut message)? {
        messages.push((kind, message.clone()));
    }
    Ok(messages)
}
