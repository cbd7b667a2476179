//! Messages through shared memory, between one writer and one reader that do not trust each other.
//!
//! A message has a kind and bytes. It is sent in pieces of at most [`PIECE`] bytes, each with a
//! header of 16 bytes (kind, flags, length) and padded to 64 bytes. Each side writes its position
//! into a page of its own. The reader keeps its own position in private memory; it copies a header
//! before it checks it, and copies the bytes before the caller checks them. So no memory that the
//! other side can write is read twice.
//!
//! Nothing in this module waits: the modules `child` and `parent` do, each in its own way.

mod layout;
mod memory;
mod reader;
mod rules;
mod writer;

pub use layout::{PIECE, RING, SMALLEST_RING};
#[cfg(feature = "parent")]
pub(crate) use memory::create;
pub(crate) use memory::{Memory, Place};
pub(crate) use reader::Reader;
#[cfg(feature = "parent")]
#[doc(hidden)]
pub use reader::read_ring;
pub use rules::{Fault, Rules};
pub(crate) use writer::Writer;

#[cfg(all(test, feature = "parent"))]
mod tests;
