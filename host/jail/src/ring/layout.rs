//! The layout of messages in a ring.

/// The default size of a ring in bytes. It must fit the processor's cache: with 32 MiB, throughput
/// is a third lower.
pub const RING: usize = 4 << 20;

/// The most bytes of a message in one piece.
pub const PIECE: usize = 1 << 20;

/// The smallest size of a ring in bytes, which fits a piece.
pub const SMALLEST_RING: usize = 2 << 20;

/// Bytes of a piece's header.
pub(super) const HEADER: usize = 16;
/// The alignment of pieces in bytes.
pub(super) const ALIGNMENT: u64 = 64;

/// The flag of a piece that is not the last of its message.
pub(super) const MORE: u32 = 1;

/// Returns the bytes that a piece of this length takes in the ring.
pub(super) fn padded(length: usize) -> u64 {
    ((HEADER + length) as u64).next_multiple_of(ALIGNMENT)
}
