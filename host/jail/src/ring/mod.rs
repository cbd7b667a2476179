//! Messages through shared memory: one writer, one reader, neither trusts the other.
//!
//! A message is a kind and bytes. It goes in pieces of at most [`PIECE`] bytes, each with a header
//! of 16 bytes (kind, flags, length), padded to 64. How far each side is stands in a page of its
//! own. The reader keeps its place in private memory, copies a header and then checks the copy,
//! copies bytes and leaves it to its caller to check the copy: nothing is looked at twice in memory
//! that the other side can write.
//!
//! Here nobody waits: `child` and `parent` do, each in its way.

mod memory;
mod reader;
mod writer;

#[cfg(feature = "parent")]
pub(crate) use memory::create;
pub(crate) use memory::{Memory, Place};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Bytes of a ring where nobody says otherwise. It must fit a processor's cache: with 32 MiB, a
/// third less goes through.
pub const RING: usize = 4 << 20;

/// The most bytes of a message that lie in the ring in one piece.
pub const PIECE: usize = 1 << 20;

/// The smallest ring: a piece fits.
pub const SMALLEST_RING: usize = 2 << 20;

const HEADER: usize = 16;
const ALIGNMENT: u64 = 64;

/// The flag of a piece that is not the message's last.
const MORE: u32 = 1;

/// Bytes that a piece of this length takes in the ring.
fn padded(length: usize) -> u64 {
    ((HEADER + length) as u64).next_multiple_of(ALIGNMENT)
}

/// The bounds of a reader. Everything has one.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The longest message of a kind in bytes; `None` for a kind that does not exist.
    pub longest: fn(u32) -> Option<u64>,
    /// How many messages may come.
    pub messages: u64,
    /// How many bytes all messages may have together.
    pub bytes: u64,
}

/// How the other side broke the rules. An honest one never does: it is forged, or broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The writer's place is none that it can have.
    #[error("its writer is at `{head}`, which cannot be, with the reader at `{tail}`")]
    Head {
        /// The writer's count.
        head: u64,
        /// Where the reader is.
        tail: u64,
    },
    /// The reader's place is none that it can have.
    #[error("its reader is at `{tail}`, which cannot be, with the writer at `{head}`")]
    Tail {
        /// Where the writer is.
        head: u64,
        /// The reader's count.
        tail: u64,
    },
    /// A piece longer than pieces are.
    #[error("a piece of `{length}` bytes; the longest has {PIECE}")]
    Piece {
        /// The header's number.
        length: u64,
    },
    /// A piece of which the end is missing.
    #[error("a piece that takes `{needed}` bytes, of which `{there}` are there")]
    Cut {
        /// The number that it takes.
        needed: u64,
        /// The bytes that the writer claims.
        there: u64,
    },
    /// A piece in the middle of a message that is not full: a message could have pieces without
    /// end.
    #[error("a piece of `{length}` bytes in the middle of a message; it has {PIECE} there")]
    Unfilled {
        /// The header's number.
        length: u64,
    },
    /// Flags that do not exist.
    #[error("a piece with the flags `{0:#x}`")]
    Flags(u32),
    /// A kind of message that does not exist.
    #[error("a message of the unknown kind `{0}`")]
    Kind(u32),
    /// Another message before the first one's end.
    #[error("a message of kind `{begun}` goes on as one of kind `{got}`")]
    OtherKind {
        /// The first piece's.
        begun: u32,
        /// The later piece's.
        got: u32,
    },
    /// A message longer than those of its kind are.
    #[error("a message of kind `{kind}` with `{length}` bytes or more; the longest has {longest}")]
    Message {
        /// Its kind.
        kind: u32,
        /// How long it is so far.
        length: u64,
        /// How long it may be.
        longest: u64,
    },
    /// More than may come.
    #[error("a flood: `{used}` {of}, of which {allowed} are allowed")]
    Flood {
        /// Of what.
        of: &'static str,
        /// How much came.
        used: u64,
        /// How much may.
        allowed: u64,
    },
    /// A report that no honest child makes.
    #[error("a report that is none: {0}")]
    Report(&'static str),
}

/// The messages that these bytes are, from a ring's begin on, where its writer says that it is at
/// `head`. For fuzzing: no writer is needed.
///
/// # Errors
/// They break the rules.
#[cfg(feature = "parent")]
#[doc(hidden)]
pub fn read_ring(bytes: &[u8], head: u64, rules: Rules) -> Result<Vec<(u32, Vec<u8>)>, Fault> {
    let map = create(SMALLEST_RING).and_then(Memory::map).expect("room for a ring");
    map.write(0, &bytes[..bytes.len().min(SMALLEST_RING)]);
    map.head().store(head, std::sync::atomic::Ordering::Release);
    let (mut reader, mut messages, mut message) = (Reader::new(map, rules), Vec::new(), Vec::new());
    while let Some(kind) = reader.read(&mut message)? {
        messages.push((kind, message.clone()));
    }
    Ok(messages)
}

#[cfg(all(test, feature = "parent"))]
mod tests;
