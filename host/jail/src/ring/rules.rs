//! The limits on messages, and how they are broken.

use super::layout::PIECE;

/// The limits that a reader enforces.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Returns the longest message of a kind in bytes, or `None` for a kind that does not exist.
    pub longest: fn(u32) -> Option<u64>,
    /// The most messages.
    pub messages: u64,
    /// The most bytes of all messages together.
    pub bytes: u64,
}

/// A violation of the rules by the other side. A correct program commits none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The writer's position is impossible.
    #[error("its writer is at `{head}`, which cannot be, with the reader at `{tail}`")]
    Head {
        /// The writer's position.
        head: u64,
        /// The reader's position.
        tail: u64,
    },
    /// The reader's position is impossible.
    #[error("its reader is at `{tail}`, which cannot be, with the writer at `{head}`")]
    Tail {
        /// The writer's position.
        head: u64,
        /// The reader's position.
        tail: u64,
    },
    /// A piece exceeds [`PIECE`].
    #[error("a piece of `{length}` bytes; the longest has {PIECE}")]
    Piece {
        /// The length in the header.
        length: u64,
    },
    /// The end of a piece is missing.
    #[error("a piece that takes `{needed}` bytes, of which `{there}` are there")]
    Cut {
        /// The bytes that the piece takes.
        needed: u64,
        /// The bytes that the writer claims to have written.
        there: u64,
    },
    /// A piece in the middle of a message is not full. If this were allowed, a message could have
    /// any number of pieces.
    #[error("a piece of `{length}` bytes in the middle of a message; it has {PIECE} there")]
    Unfilled {
        /// The length in the header.
        length: u64,
    },
    /// A piece has unknown flags.
    #[error("a piece with the flags `{0:#x}`")]
    Flags(u32),
    /// A message has an unknown kind.
    #[error("a message of the unknown kind `{0}`")]
    Kind(u32),
    /// A message starts before the previous one ends.
    #[error("a message of kind `{begun}` goes on as one of kind `{got}`")]
    OtherKind {
        /// The kind of the first piece.
        begun: u32,
        /// The kind of the later piece.
        got: u32,
    },
    /// A message exceeds the limit of its kind.
    #[error("a message of kind `{kind}` with `{length}` bytes or more; the longest has {longest}")]
    Message {
        /// The kind of the message.
        kind: u32,
        /// Its length so far in bytes.
        length: u64,
        /// The limit in bytes.
        longest: u64,
    },
    /// A total exceeds its limit.
    #[error("a flood: `{used}` {of}, of which {allowed} are allowed")]
    Flood {
        /// The kind of amount.
        of: &'static str,
        /// The amount received.
        used: u64,
        /// The amount allowed.
        allowed: u64,
    },
    /// A report is invalid, or comes at the wrong time.
    #[error("a report that is none: {0}")]
    Report(&'static str),
}
