//! The reading side: what arrives is checked here, before anybody believes a byte of it.

use std::sync::atomic::{Ordering, fence};

use super::{ALIGNMENT, Fault, HEADER, MORE, Memory, PIECE, Place, Rules, padded};

/// Puts messages together from pieces.
#[derive(Debug)]
pub(crate) struct Reader {
    memory: Memory,
    rules: Rules,
    /// How much was read. What stands in the shared page is for the writer to see, and never read
    /// back.
    tail: u64,
    /// The kind of the message of which pieces came and not the last.
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

    /// Takes what is there, up to the end of a message. Its bytes are then in `bytes`, which must
    /// be handed in unchanged until a message is whole.
    ///
    /// Returns the message's kind, or `None` where its end, or its begin, is not there yet.
    ///
    /// # Errors
    /// The writer broke the rules. After that nothing more can be read.
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
                // It is woken by whoever calls this, so that it goes on while the rest is awaited.
                return Ok(None);
            }
        }
    }

    /// The header of the next piece, if one is there, and how many bytes are.
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

    /// Whether this piece may come now, before any of its bytes is taken.
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

    /// Whether the writer is to be woken, after something was read.
    pub(crate) fn writer_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.memory.word(Place::WriterWaits).load(Ordering::Relaxed) != 0
    }

    /// Whether the writer wrote what was not read yet.
    pub(crate) fn has_more(&self) -> bool {
        self.memory.head().load(Ordering::SeqCst) != self.tail
    }

    /// Says that this side is about to wait for a piece, or does not any more. Whoever waits looks
    /// once more after saying so.
    pub(crate) fn waits(&self, waits: bool) {
        self.memory.word(Place::ReaderWaits).store(waits.into(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }
}

fn count(of: &'static str, used: u64, allowed: u64) -> Result<(), Fault> {
    if used > allowed { Err(Fault::Flood { of, used, allowed }) } else { Ok(()) }
}

/// A header, checked as far as it can be.
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
